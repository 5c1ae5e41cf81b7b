"""The modules that are mutated, and the unit tests that must notice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """Modules that make one decision, and their tests."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


TARGETS = {
    "window": Target(("agent/pipeline/window.py",), ("tests/pipeline/test_window.py",)),
    "ground": Target(
        ("agent/prompt/ground.py", "agent/prompt/sentence.py"),
        (
            "tests/prompt/test_ground.py",
            "tests/prompt/test_fitting.py",
            "tests/prompt/test_phrasing.py",
            "tests/prompt/test_site.py",
            "tests/prompt/test_question.py",
        ),
    ),
    "fitting": Target(("agent/prompt/fitting.py",), ("tests/prompt/test_fitting.py",)),
    "spoken": Target(
        ("agent/prompt/spoken.py",), ("tests/prompt/test_phrasing.py", "tests/prompt/test_spoken.py")
    ),
    "wire": Target(
        ("agent/mqtt/wire.py",), ("tests/mqtt/test_wire.py", "tests/mqtt/test_hostile_packets.py")
    ),
    "redelivery": Target(
        ("agent/journal/redelivery.py",),
        ("tests/journal/test_tail_rule.py", "tests/journal/test_message_ids.py"),
    ),
    "budget": Target(
        ("agent/budget/ledger.py", "agent/budget/periods.py"),
        ("tests/budget/test_ledger.py", "tests/budget/test_periods.py"),
    ),
}
