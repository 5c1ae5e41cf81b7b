"""Faults and events that only look like faults, with their true labels.

A fault changes the healthy value (or the message) between two instants and nowhere else, so its label
follows from its definition. An event that only looks wrong (a hard negative) is described and labelled alike,
as normal. Offsets count from the start of the live part, labels are Unix seconds.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Literal

from simulator.signals import Event, Noise


class FaultKind(StrEnum):
    """The kinds of faults, and of events that only look like one."""

    SPIKE = "spike"
    LEVEL_SHIFT = "level_shift"
    DRIFT = "drift"
    NOISE_BURST = "noise_burst"
    FLATLINE = "flatline"
    DROPOUT = "dropout"
    DEVICE_SILENT = "device_silent"
    OUT_OF_RANGE = "out_of_range"
    UNIT_SWAP = "unit_swap"
    REBOOT = "reboot"
    LEAK = "leak"
    CLOCK_SKEW = "clock_skew"
    DUPLICATE = "duplicate"
    OUT_OF_ORDER = "out_of_order"
    DOOR_OPEN = "door_open"
    DEFROST = "defrost"
    SUNRISE = "sunrise"
    BATTERY_SWAP = "battery_swap"
    DST_CHANGE = "dst_change"
    SET_POINT_CHANGE = "set_point_change"
    WEEKEND = "weekend"


#: Which kinds of finding name a fault rightly. Another kind is still a find, of the wrong name. Normal events
#: normal has none: any finding is a false alarm.
FINDING_KINDS: dict[FaultKind, frozenset[str]] = dict.fromkeys(FaultKind, frozenset()) | {
    FaultKind.SPIKE: frozenset({"spike"}),
    FaultKind.LEVEL_SHIFT: frozenset({"level_shift"}),
    FaultKind.DRIFT: frozenset({"drift"}),
    FaultKind.NOISE_BURST: frozenset({"noise"}),
    FaultKind.FLATLINE: frozenset({"flatline"}),
    FaultKind.DROPOUT: frozenset({"silence"}),
    FaultKind.DEVICE_SILENT: frozenset({"silence"}),
    FaultKind.OUT_OF_RANGE: frozenset({"out_of_range"}),
    FaultKind.UNIT_SWAP: frozenset({"level_shift", "out_of_range"}),
    FaultKind.REBOOT: frozenset({"silence", "level_shift"}),
    FaultKind.LEAK: frozenset({"drift", "level_shift"}),
}

#: Events that count as normal: an agent that opens a finding for it was fooled.
NORMAL = frozenset(kind for kind in FaultKind if not FINDING_KINDS[kind])

Truth = Literal["fault", "normal"]


def is_normal(kind: FaultKind, truth: Truth | None = None) -> bool:
    """Return whether an event of a kind counts as normal; ``truth`` prevails over the kind."""
    return kind in NORMAL if truth is None else truth == "normal"


#: Kinds that concern one metric; a dropout may.
ONE_METRIC = frozenset(
    {
        FaultKind.SPIKE,
        FaultKind.LEVEL_SHIFT,
        FaultKind.DRIFT,
        FaultKind.NOISE_BURST,
        FaultKind.FLATLINE,
        FaultKind.OUT_OF_RANGE,
        FaultKind.UNIT_SWAP,
    }
)

#: Kinds that need a size: in the unit of the metric, or as noted for each.
SIZED = frozenset(
    {
        FaultKind.SPIKE,
        FaultKind.LEVEL_SHIFT,
        FaultKind.DRIFT,
        FaultKind.NOISE_BURST,
        FaultKind.OUT_OF_RANGE,
        FaultKind.DROPOUT,  # share of the lost messages, above 0 to 1
        FaultKind.LEAK,  # bar, or l/min of a water meter, at its end
        FaultKind.CLOCK_SKEW,  # s
        FaultKind.DOOR_OPEN,  # K at its peak
        FaultKind.DEFROST,  # K at its peak
        FaultKind.SET_POINT_CHANGE,  # K, or bar
    }
)

#: Kinds that the signal itself goes through, in all its metrics.
SIGNAL_KINDS = frozenset(
    {
        FaultKind.LEAK,
        FaultKind.DOOR_OPEN,
        FaultKind.DEFROST,
        FaultKind.SUNRISE,
        FaultKind.BATTERY_SWAP,
        FaultKind.DST_CHANGE,
        FaultKind.SET_POINT_CHANGE,
        FaultKind.WEEKEND,
    }
)

#: Kinds that show in the messages, not in the values.
WIRE_KINDS = frozenset(
    {
        FaultKind.DROPOUT,
        FaultKind.DEVICE_SILENT,
        FaultKind.REBOOT,
        FaultKind.CLOCK_SKEW,
        FaultKind.DUPLICATE,
        FaultKind.OUT_OF_ORDER,
    }
)

#: Kinds after which a level or a counter is another than before, for good; only steps go on as they were.
LASTING = frozenset({FaultKind.REBOOT, FaultKind.LEAK, FaultKind.BATTERY_SWAP})

#: Conversion of a value to the other unit (factor, offset).
SWAPS: dict[str, tuple[float, float]] = {
    "degC": (1.8, 32.0),  # degF
    "bar": (14.504, 0.0),  # psi
    "W": (0.001, 0.0),  # kW
    "A": (1000.0, 0.0),  # mA
    "V": (1000.0, 0.0),  # mV
    "m3/h": (4.403, 0.0),  # gallons a minute
    "l/min": (0.2642, 0.0),  # gallons a minute
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault or hard negative of a scenario, once or again every ``every_s``."""

    device: str
    metric: str | None  # None: the whole device
    kind: FaultKind
    from_s: float  # after the start of the live part; what is normal may begin before
    for_s: float
    size: float = (
        0.0  # added, added at the end (drift), spread (noise), taken instead (out of range); see SIZED
    )
    every_s: float | None = None
    jitter_s: float = 0.0  # each time it comes up to that much later
    cause: str | None = None  # a name that events of one cause share
    truth: Truth | None = None  # if it is not the usual one of its kind

    @property
    def normal(self) -> bool:
        """Whether it counts as normal."""
        return is_normal(self.kind, self.truth)

    def onset(self, offset_s: float) -> float | None:
        """Return the offset at which the occurrence that covers ``offset_s`` began, if one does."""
        onset = self.latest(offset_s)
        return onset if onset is not None and offset_s - onset < self.for_s else None

    def latest(self, offset_s: float) -> float | None:
        """Return the offset of the last beginning up to ``offset_s``, if there was one."""
        if offset_s < self.from_s:
            return None
        time = 0 if self.every_s is None else math.floor((offset_s - self.from_s) / self.every_s)
        for number in (time, time - 1):
            if number >= 0 and (onset := self._nth(number)) <= offset_s:
                return onset
        return None

    def onsets(self, first_s: float, until_s: float) -> Iterator[float]:
        """Yield the beginnings of events that last beyond ``first_s`` and begin before ``until_s``."""
        number = 0
        if self.every_s is not None:
            number = max(0, math.floor((first_s - self.from_s) / self.every_s) - 1)
        while (onset := self._nth(number)) < until_s:
            if onset + self.for_s > first_s:
                yield onset
            if self.every_s is None:
                return
            number += 1

    def event(self, offset_s: float) -> Event | None:
        """Return the signal's events at ``offset_s``; a lasting one is included beyond its end too."""
        onset = self.latest(offset_s)
        if onset is None or (offset_s - onset >= self.for_s and self.kind not in LASTING):
            return None
        return Event(offset_s - onset, self.for_s, self.size)

    def disturb(
        self, *, offset_s: float, healthy: Callable[[float], float], noise: Noise, unit: str = ""
    ) -> float:
        """Return what is measured instead of ``healthy(offset_s)``; the same value while all is well.

        Only the kinds that concern one metric change a value here.
        """
        onset = self.onset(offset_s)
        value = healthy(offset_s)
        if onset is None:
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
            case FaultKind.OUT_OF_RANGE:
                return self.size
            case FaultKind.UNIT_SWAP:
                factor, offset = SWAPS[unit]
                return value * factor + offset
            case _:
                return value

    def loses(self, offset_s: float, noise: Noise) -> bool:
        """Return whether a value at ``offset_s`` is not sent (silence, reboot, dropout)."""
        if self.onset(offset_s) is None:
            return False
        if self.kind is FaultKind.DROPOUT:
            return noise.uniform(round(offset_s * 1000), f"lost/{self.metric}") < self.size
        return self.kind in {FaultKind.DEVICE_SILENT, FaultKind.REBOOT}

    def _nth(self, number: int) -> float:
        late = (
            round(self.jitter_s * _share(f"{self.device}/{self.kind}/{self.from_s}/{number}"))
            if self.jitter_s
            else 0
        )
        return self.from_s + number * (self.every_s or 0.0) + late


@lru_cache(maxsize=4096)
def _share(text: str) -> float:
    """Return a number in 0..1 that belongs to a text; no seed in it: labels follow from definitions alone."""
    return int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big") / 2.0**32


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The truth: device, metric, kind, from when to when (Unix seconds), whether it is normal."""

    device: str
    metric: str | None
    kind: FaultKind
    start: float
    end: float
    cause: str | None = None
    truth: Truth | None = None

    @property
    def normal(self) -> bool:
        """Whether it only looks wrong: no finding should open for it."""
        return is_normal(self.kind, self.truth)

    def as_dict(self) -> dict[str, object]:
        """Return the label as it is written in a labels file."""
        return {
            "device": self.device,
            "metric": self.metric,
            "kind": str(self.kind),
            "from": self.start,
            "to": self.end,
            "normal": self.normal,
            **({} if self.cause is None else {"cause": self.cause}),
            **({} if self.truth is None else {"truth": self.truth}),
        }


def label(faults: tuple[Fault, ...], *, start: float, until: float) -> list[Label]:
    """Return the true labels of all that happens from ``start``, the live start, and begins before ``until``.

    They are in order. A label covers the whole event, also the part before the live start or
    after ``until``.
    """
    found = [
        Label(
            device=fault.device,
            metric=fault.metric,
            kind=fault.kind,
            start=start + onset,
            end=start + onset + fault.for_s,
            cause=fault.cause,
            truth=fault.truth,
        )
        for fault in faults
        for onset in fault.onsets(0.0, until - start)
    ]
    return sorted(found, key=lambda one: (one.start, one.device, one.metric or ""))
