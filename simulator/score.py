"""Holds what an agent said against the true labels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simulator.faults import FINDING_KINDS, Label


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A finding that opened: when the anomaly was seen and when it was told, both in event time."""

    finding_id: str
    device: str
    kind: str
    seen: float
    told: float


@dataclass(frozen=True, slots=True)
class Match:
    """A true fault and the first finding that opened for it, if one did."""

    label: Label
    opening: Opening | None

    @property
    def delay_s(self) -> float | None:
        """From the beginning of the fault until the finding was told."""
        return None if self.opening is None else max(0.0, self.opening.told - self.label.start)

    @property
    def named_rightly(self) -> bool:
        """Whether the finding's kind is one of the fault's."""
        return self.opening is not None and self.opening.kind in FINDING_KINDS[self.label.kind]


@dataclass(frozen=True, slots=True)
class Score:
    """All faults with what was found for them, and the findings that belong to none."""

    matches: tuple[Match, ...]
    false: tuple[Opening, ...]

    @property
    def found(self) -> int:
        """Number of faults that were found."""
        return sum(match.opening is not None for match in self.matches)


def match(labels: Sequence[Label], openings: Iterable[Opening], *, grace_s: float) -> Score:
    """Match findings to faults of the same device.

    A fault is found if a finding on its device opens between its start and its end + ``grace_s``
    (two windows). One finding counts for every fault that it falls into.
    """
    ordered = sorted(openings, key=lambda one: one.seen)
    matches = tuple(
        Match(label, next((one for one in ordered if _belongs(one, label, grace_s)), None))
        for label in labels
    )
    false = tuple(one for one in ordered if not any(_belongs(one, label, grace_s) for label in labels))
    return Score(matches, false)


def _belongs(opening: Opening, label: Label, grace_s: float) -> bool:
    return opening.device == label.device and label.start <= opening.seen <= label.end + grace_s
