"""What goes wrong, and the true label of it.

A fault changes the healthy value (or swallows the message) between two instants and nowhere else, so
its label follows from its definition. Offsets count from the start of the live part, labels are Unix seconds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from simulator.signals import Noise


class FaultKind(StrEnum):
    """The kinds of faults."""

    SPIKE = "spike"
    LEVEL_SHIFT = "level_shift"
    DRIFT = "drift"
    NOISE_BURST = "noise_burst"
    FLATLINE = "flatline"
    DEVICE_SILENT = "device_silent"
    OUT_OF_RANGE = "out_of_range"


#: Which kinds of finding name a fault rightly. Another kind is still a find, of the wrong name.
FINDING_KINDS: dict[FaultKind, frozenset[str]] = {
    FaultKind.SPIKE: frozenset({"spike"}),
    FaultKind.LEVEL_SHIFT: frozenset({"level_shift"}),
    FaultKind.DRIFT: frozenset({"drift"}),
    FaultKind.NOISE_BURST: frozenset({"noise"}),
    FaultKind.FLATLINE: frozenset({"flatline"}),
    FaultKind.DEVICE_SILENT: frozenset({"silence"}),
    FaultKind.OUT_OF_RANGE: frozenset({"out_of_range"}),
}

#: Kinds that need a size, in the unit of the metric.
SIZED = frozenset(
    {FaultKind.SPIKE, FaultKind.LEVEL_SHIFT, FaultKind.DRIFT, FaultKind.NOISE_BURST, FaultKind.OUT_OF_RANGE}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of a scenario, once or again every ``every_s``."""

    device: str
    metric: str | None  # None: the whole device
    kind: FaultKind
    from_s: float  # after the start of the live part
    for_s: float
    size: float = 0.0  # added, added at the end (drift), spread (noise) or taken instead (out of range)
    every_s: float | None = None

    def onset(self, offset_s: float) -> float | None:
        """Return the offset at which the occurrence that covers ``offset_s`` began, if one does."""
        since = offset_s - self.from_s
        if since < 0:
            return None
        if self.every_s is not None:
            since %= self.every_s
        return offset_s - since if since < self.for_s else None

    def disturb(self, *, offset_s: float, healthy: Callable[[float], float], noise: Noise) -> float:
        """Return what is measured instead of ``healthy(offset_s)``; the same value while all is well."""
        onset = self.onset(offset_s)
        value = healthy(offset_s)
        if onset is None or self.kind is FaultKind.DEVICE_SILENT:
            return value
        match self.kind:
            case FaultKind.SPIKE | FaultKind.LEVEL_SHIFT:
                return value + self.size
            case FaultKind.DRIFT:
                return value + self.size * (offset_s - onset) / self.for_s
            case FaultKind.NOISE_BURST:
                return value + self.size * noise.normals(offset_s, f"burst/{self.metric}")[0]
            case FaultKind.FLATLINE:
                return healthy(onset)
            case _:
                return self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What was really wrong: device, metric, kind, and from when to when (Unix seconds)."""

    device: str
    metric: str | None
    kind: FaultKind
    start: float
    end: float

    def as_dict(self) -> dict[str, object]:
        """Return the label as it stands in a labels file."""
        return {
            "device": self.device,
            "metric": self.metric,
            "kind": str(self.kind),
            "from": self.start,
            "to": self.end,
        }


def label(faults: tuple[Fault, ...], *, start: float, until: float) -> list[Label]:
    """Return the true labels of all that begins before ``until``, in order; ``start`` is the live start."""
    found = [
        Label(
            device=fault.device,
            metric=fault.metric,
            kind=fault.kind,
            start=start + onset,
            end=start + onset + fault.for_s,
        )
        for fault in faults
        for onset in _onsets(fault, until - start)
    ]
    return sorted(found, key=lambda one: (one.start, one.device, one.metric or ""))


def _onsets(fault: Fault, until_s: float) -> Iterator[float]:
    onset = fault.from_s
    while onset < until_s:
        yield onset
        if fault.every_s is None:
            return
        onset += fault.every_s
