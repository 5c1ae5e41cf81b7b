"""Cold devices: a freezer and a refrigerated truck."""

import math
from dataclasses import dataclass
from typing import ClassVar

from simulator.signals.noise import Noise
from simulator.signals.signal import CALM, Event, Events, Metric, hump, plateau

DOOR_S = 120.0
_HEATING = 0.6  # share of a defrost in which the heater is on
_BATTERY_FULL, _BATTERY_EMPTY = 3.6, 3.0
_BATTERY_LIFE_S = 3000.0 * 86_400.0
_FROM = 1_700_000_000.0  # when the batteries were new


def swing(place: float, duty: float, warmest: float, coldest: float) -> tuple[bool, float]:
    """Return whether a compressor is on and the temperature, at ``place`` (0..1) of its cycle."""
    on = place < duty
    share = place / duty if on else (place - duty) / (1.0 - duty)
    bent = (1.0 - math.exp(-2.0 * share)) / (1.0 - math.exp(-2.0))
    start, end = (warmest, coldest) if on else (coldest, warmest)
    return on, start + (end - start) * bent


def battery(at: float, noise: Noise, events: Events) -> float:
    """Return the voltage of a battery that lasts for years; a swapped one is full."""
    swap = events.get("battery_swap")
    used_s = (at - _FROM) * (1.0 + noise.phase) if swap is None else swap.elapsed_s
    return _BATTERY_FULL - (_BATTERY_FULL - _BATTERY_EMPTY) * min(1.0, used_s / _BATTERY_LIFE_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freezer:
    """A freezer whose compressor pulls the temperature down and lets it rise again."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("temperature", "degC", 2),
        Metric("power", "W", 1, 0.0),
    )
    EVENTS: ClassVar[frozenset[str]] = frozenset({"door_open", "defrost", "set_point_change"})
    period_s: float = 600.0
    duty: float = 0.45  # share of the period with the compressor on
    warmest: float = -17.4
    coldest: float = -19.2

    def values(self, noise: Noise, at: float, events: Events = CALM) -> tuple[float, ...]:
        place = (at / self.period_s + noise.phase) % 1.0
        on, temperature = swing(place, self.duty, self.warmest, self.coldest)
        n = noise.normals(at)
        watts = 118.0 + 1.5 * n[1] if on else 1.4 + 0.1 * n[1]
        if events:
            warmer = hump(events, "door_open", DOOR_S)
            defrost = events.get("defrost")
            if defrost is not None:
                warmer += defrost.size * defrost.hump(_HEATING * defrost.for_s)
                watts = (240.0 if defrost.grown < _HEATING else 118.0) + 1.5 * n[1]
            elif warmer > self.warmest - self.coldest:
                watts = 118.0 + 1.5 * n[1]
            temperature += warmer + plateau(events, "set_point_change", 1800.0)
        return temperature + 0.15 * noise.wander(at, 1800.0) + 0.04 * n[0], watts


@dataclass(frozen=True, slots=True, kw_only=True)
class Truck:
    """A refrigerated truck: temperature of the load, its door, the battery of the logger."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("temperature", "degC", 1),
        Metric("door", "", 0, 0.0, 1.0),
        Metric("battery", "V", 2, 0.0, 4.0, 0.01),
    )
    EVENTS: ClassVar[frozenset[str]] = frozenset({"door_open", "defrost", "set_point_change", "battery_swap"})
    period_s: float = 1800.0
    mean: float = 3.5
    swing: float = 0.6

    def values(self, noise: Noise, at: float, events: Events = CALM) -> tuple[float, ...]:
        place = (at / self.period_s + noise.phase) % 1.0
        _, temperature = swing(place, 0.4, self.mean + self.swing, self.mean - self.swing)
        n = noise.normals(at)
        door = 0.0
        if events:
            temperature += hump(events, "door_open", DOOR_S) + plateau(events, "set_point_change", 1800.0)
            temperature += hump(events, "defrost", 900.0)
            door = float(_door_is_open(events.get("door_open")))
        return (
            temperature + 0.3 * noise.walk(at, 21_600.0) + 0.1 * n[0],
            door,
            battery(at, noise, events) + 0.002 * n[1],
        )


def _door_is_open(event: Event | None) -> bool:
    return event is not None and event.elapsed_s < min(DOOR_S, event.for_s / 2.0)
