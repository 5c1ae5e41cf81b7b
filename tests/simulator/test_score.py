"""Findings are held against true labels by device and time."""

from simulator.faults import FaultKind, Label
from simulator.score import Opening, match

SHIFT = Label(device="pump", metric="flow", kind=FaultKind.LEVEL_SHIFT, start=100.0, end=120.0)
QUIET = Label(device="room", metric=None, kind=FaultKind.DEVICE_SILENT, start=100.0, end=130.0)


def opening(device: str, seen: float, kind: str = "level_shift", told: float | None = None) -> Opening:
    return Opening(
        finding_id=f"{device}@{seen}",
        device=device,
        kind=kind,
        seen=seen,
        told=told if told is not None else seen,
    )


def test_fault_is_found_between_its_start_and_its_end_plus_grace() -> None:
    """Both ends count; before the start and after the grace it is a false finding."""
    for seen, found in ((99.9, 0), (100.0, 1), (130.0, 1), (130.1, 0)):
        score = match([SHIFT], [opening("pump", seen)], grace_s=10)
        assert (score.found, len(score.false)) == (found, 1 - found), seen


def test_finding_of_another_device_is_false() -> None:
    """Only the fault's own device counts."""
    score = match([SHIFT], [opening("room", 105)], grace_s=10)
    assert score.found == 0
    assert [one.device for one in score.false] == ["room"]


def test_first_finding_counts_and_the_second_is_not_false() -> None:
    """Two findings in one fault: the first is the find, the other is not held against the agent."""
    score = match([SHIFT], [opening("pump", 110), opening("pump", 103)], grace_s=10)
    found = score.matches[0].opening
    assert found is not None
    assert found.seen == 103
    assert score.false == ()


def test_delay_runs_until_it_was_told() -> None:
    """The delay is what an operator waits: from the true start to the message."""
    score = match([SHIFT], [opening("pump", 103, told=104.5)], grace_s=10)
    assert score.matches[0].delay_s == 4.5


def test_right_name_depends_on_the_fault() -> None:
    """Silence names a silent device, a spike does not name a level shift."""
    score = match(
        [SHIFT, QUIET], [opening("pump", 103, "spike"), opening("room", 106, "silence")], grace_s=10
    )
    assert [one.named_rightly for one in score.matches] == [False, True]


def test_agent_that_says_nothing_finds_nothing() -> None:
    """Without findings nothing is found and nothing is false."""
    score = match([SHIFT, QUIET], [], grace_s=10)
    assert (score.found, score.false) == (0, ())
    assert [one.delay_s for one in score.matches] == [None, None]
