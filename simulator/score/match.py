"""Holds the findings of an agent against the true labels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simulator.faults import FINDING_KINDS, Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A finding that opened: when the anomaly was seen and when it was reported, both in event time.

    ``later`` are kinds that it was given afterwards: the first reading of a shift may be reported as a spike.
    """

    finding_id: str
    device: str
    kind: str
    seen: float
    reported: float
    later: tuple[str, ...] = ()

    @property
    def kinds(self) -> frozenset[str]:
        """All its names."""
        return frozenset((self.kind, *self.later))


@dataclass(frozen=True, slots=True)
class Match:
    """A label and the first finding that opened for it, if one did; ``findings`` is how many did.

    For a normal event, a finding is one that belongs to no fault, so it is false.
    """

    label: Label
    opening: Opening | None
    findings: int = 0

    @property
    def delay_s(self) -> float | None:
        """From the beginning of the fault until the finding was reported."""
        return None if self.opening is None else max(0.0, self.opening.reported - self.label.start)

    @property
    def normal(self) -> bool:
        """Whether the label only looks like a fault, or counts as none."""
        return self.label.normal

    @property
    def named_rightly(self) -> bool:
        """Whether the finding had, at least once, a name of the fault."""
        names = FINDING_KINDS[self.label.kind]
        return self.opening is not None and (not names or bool(self.opening.kinds & names))


@dataclass(frozen=True, slots=True)
class Score:
    """All labels with their findings, the findings that belong to no fault, and those that do."""

    matches: tuple[Match, ...]
    false: tuple[Opening, ...]
    true: tuple[Opening, ...] = ()

    @property
    def faults(self) -> tuple[Match, ...]:
        """The matches of faults."""
        return tuple(match for match in self.matches if not match.normal)

    @property
    def normal(self) -> tuple[Match, ...]:
        """The matches of normal events: hard negatives, duplicates, messages out of order, wrong clocks."""
        return tuple(match for match in self.matches if match.normal)

    @property
    def found(self) -> int:
        """Number of faults that were found."""
        return sum(match.opening is not None for match in self.faults)

    @property
    def fooled(self) -> tuple[Match, ...]:
        """Normal events that were taken for faults."""
        return tuple(match for match in self.normal if match.opening is not None)


def match(labels: Sequence[Label], openings: Iterable[Opening], *, grace_s: float) -> Score:
    """Match findings to faults of the same device.

    A fault is found if a finding on its device opens between its start and its end + ``grace_s``
    (two windows). One finding counts for every fault that it falls into. A label of a normal event is no
    fault: a finding that belongs to nothing else is false there too.
    """
    ordered = sorted(openings, key=lambda one: one.seen)
    faults = [label for label in labels if not label.normal]
    true = [any(_belongs(one, label, grace_s) for label in faults) for one in ordered]
    false = tuple(one for one, belongs in zip(ordered, true, strict=True) if not belongs)
    return Score(
        tuple(_first(label, false if label.normal else ordered, grace_s) for label in labels),
        false,
        tuple(one for one, belongs in zip(ordered, true, strict=True) if belongs),
    )


def _first(label: Label, ordered: Iterable[Opening], grace_s: float) -> Match:
    own = [one for one in ordered if _belongs(one, label, grace_s)]
    return Match(label, own[0] if own else None, len(own))


def _belongs(opening: Opening, label: Label, grace_s: float) -> bool:
    return opening.device == label.device and label.start <= opening.seen <= label.end + grace_s
