"""A signal: its metrics, its events, and a value for every instant."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Protocol

from simulator.signals.noise import Noise


class Metric(NamedTuple):
    """One channel of a device: its name, its unit, what its sensor resolves and its range."""

    name: str
    unit: str
    decimals: int
    low: float = -math.inf
    high: float = math.inf
    step: float = 0.0  # a coarse sensor sends multiples of it
    counter: bool = False  # only rises; a reboot sets it to 0

    def sense(self, value: float) -> float:
        """Return the sensor's reading of a value."""
        if self.step:
            value = round(value / self.step) * self.step
        return round(min(max(value, self.low), self.high), self.decimals)


class Event(NamedTuple):
    """Something that a whole device goes through: a door that opens, a leak, a holiday."""

    elapsed_s: float  # since it began; more than for_s for an event that lasts beyond its end
    for_s: float
    size: float

    @property
    def grown(self) -> float:
        """How far along it is, 0 to 1."""
        return min(1.0, self.elapsed_s / self.for_s)

    def hump(self, rise_s: float) -> float:
        """Return a rise to 1 within ``rise_s`` (at most half of the event) and a slow way back to 0."""
        rise = min(rise_s, self.for_s / 2.0)
        if self.elapsed_s >= self.for_s:
            return 0.0
        if self.elapsed_s < rise:
            return (1.0 - math.exp(-3.0 * self.elapsed_s / rise)) / (1.0 - math.exp(-3.0))
        left = (self.for_s - self.elapsed_s) / (self.for_s - rise)
        return (math.exp(3.0 * left) - 1.0) / (math.exp(3.0) - 1.0)

    def plateau(self, ramp_s: float) -> float:
        """Return 1 with a ramp at both ends, each at most a quarter of the event."""
        ramp = min(ramp_s, self.for_s / 4.0)
        return max(0.0, min(1.0, self.elapsed_s / ramp, (self.for_s - self.elapsed_s) / ramp))


Events = Mapping[str, Event]
CALM: Events = MappingProxyType({})


class Signal(Protocol):
    """The healthy behaviour of one kind of device."""

    METRICS: ClassVar[tuple[Metric, ...]]
    EVENTS: ClassVar[frozenset[str]]  # kinds of hard negatives and coupled faults that it can go through

    def values(self, noise: Noise, at: float, events: Events = CALM) -> tuple[float, ...]:
        """Return one value per metric for the instant ``at`` (Unix seconds)."""
        ...


def hump(events: Events, kind: str, rise_s: float) -> float:
    """Return the size of an event of ``kind`` times its hump, 0 when there is none."""
    event = events.get(kind)
    return 0.0 if event is None else event.size * event.hump(rise_s)


def plateau(events: Events, kind: str, ramp_s: float) -> float:
    """Return the size of an event of ``kind`` times its plateau, 0 when there is none."""
    event = events.get(kind)
    return 0.0 if event is None else event.size * event.plateau(ramp_s)


def leaked(events: Events) -> float:
    """Return the size that a leak has grown to, 0 when there is none or it was mended."""
    event = events.get("leak")
    return 0.0 if event is None or event.elapsed_s >= event.for_s else event.size * event.grown
