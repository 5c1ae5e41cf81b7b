"""Checks of a run whose journal was pruned: the verdicts' sums against the acks."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.faults.evidence import Evidence, parse
from tests.faults.workload import device_name, readings_of


@dataclass(slots=True, kw_only=True)
class PrunedFindings:
    """Sums by device: verdicts are the only trace that pruning leaves of a reading."""

    acked: int = 0
    readings: int = 0  # counted by the verdicts
    lost: int = 0  # readings that the verdicts of a device are short of
    duplicated: int = 0  # readings that they have too many; allowed, counted
    verdicts: int = 0
    repeats: int = 0
    conflicting: int = 0
    missing: int = 0  # windows that still wait for a verdict
    integrity: str = "ok"
    examples: list[str] = field(default_factory=list)

    def broken(self) -> list[str]:
        """Name each promise that does not hold."""
        out = [
            f"{name} {getattr(self, name)}"
            for name in ("lost", "conflicting", "missing")
            if getattr(self, name)
        ]
        return out if self.integrity == "ok" else [*out, f"integrity_check: {self.integrity}"]


def check_pruned(evidence: Evidence) -> PrunedFindings:
    """Compare the verdicts' counts with the broker's acks, device by device."""
    found = PrunedFindings()
    contents: dict[str, set[bytes]] = defaultdict(set)
    counted: Counter[str] = Counter()
    for item in evidence.collected:
        value = parse(item.payload) if "/verdicts/" in item.topic else None
        if value is None:
            continue
        if value["id"] in contents:
            found.repeats += 1
        else:
            counted[value["device"]] += value["window"]["readings"]
        contents[value["id"]].add(item.payload)
    expected: Counter[str] = Counter()
    delivered = evidence.delivered()
    for key in delivered:
        expected[device_name(key.device)] += len(readings_of(key))
    found.acked, found.readings, found.verdicts = len(delivered), counted.total(), len(contents)
    found.lost = (expected - counted).total()
    found.duplicated = (counted - expected).total()
    found.conflicting = sum(len(payloads) > 1 for payloads in contents.values())
    if evidence.journal is not None:
        found.integrity = evidence.journal.integrity
        found.missing = sum(window.id not in contents for window in evidence.journal.windows)
    return found
