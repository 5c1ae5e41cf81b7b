"""Meters: what flows now, and a counter that is its exact sum."""

import math
from dataclasses import dataclass
from typing import ClassVar

from simulator.signals.clock import DAY_S, daylight, daylight_sum
from simulator.signals.noise import Noise
from simulator.signals.signal import CALM, Events, Metric, leaked

_DAYLIGHT_S = 12.0 * 3600.0
_SLOT_S = 600.0
_BURST = 0.4  # share of a slot in which water runs
_FROM = 1_700_000_000.0  # when the counters were 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Solar:
    """Solar panels: power follows sun and clouds; the counter sums the days' weather, not their clouds."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("power", "W", 0, 0.0),
        Metric("energy", "kWh", 2, 0.0, counter=True),
    )
    EVENTS: ClassVar[frozenset[str]] = frozenset({"sunrise"})
    peak: float = 5000.0

    def values(self, noise: Noise, at: float, events: Events = CALM) -> tuple[float, ...]:
        days, rate = noise.tally(at, DAY_S, "weather")
        done = (math.floor(at / DAY_S) - _FROM / DAY_S) * DAY_S
        clear = 0.65 + 0.3 * (rate - 1.0)
        midnight = math.floor(at / DAY_S) * DAY_S
        before = 0.65 * done + 0.3 * (days - rate * (at - midnight) - midnight)
        daily_kwh = self.peak * _DAYLIGHT_S * 2.0 / math.pi / 3.6e6
        n = noise.normals(at)
        sky = clear * (1.0 + 0.12 * noise.walk(at, 3600.0, "clouds"))
        if "sunrise" in events:  # a clear one
            sky += (1.0 - sky) * events["sunrise"].plateau(1800.0)
        return (
            self.peak * daylight(at) * sky * (1.0 + 0.01 * n[0]),
            daily_kwh * (before / DAY_S + clear * daylight_sum(at)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WaterMeter:
    """A water meter: taps run in bursts, hardly any at night; the counter is the exact sum of the flow."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("flow", "l/min", 2, 0.0),
        Metric("total", "m3", 4, 0.0, counter=True),
    )
    EVENTS: ClassVar[frozenset[str]] = frozenset({"leak"})
    mean: float = 1.5  # l/min over the day
    quiet_hour: float = 3.0  # UTC, when nobody uses any

    def values(self, noise: Noise, at: float, events: Events = CALM) -> tuple[float, ...]:
        turn = 2.0 * math.pi * (at / DAY_S - self.quiet_hour / 24.0)
        used = at - math.sin(turn) * DAY_S / (2.0 * math.pi)  # time that passes faster by day
        counted, rate = noise.tally(used, _SLOT_S, "taps")
        place = used / _SLOT_S - math.floor(used / _SLOT_S)
        run = min(1.0, place / _BURST)
        seconds = counted + rate * _SLOT_S * (run - place)
        flow = self.mean * (1.0 - math.cos(turn)) * rate / _BURST if place < _BURST else 0.0
        litres = self.mean * (seconds - _FROM) / 60.0
        leak = events.get("leak")
        if leak is not None:
            lasted = min(leak.elapsed_s, leak.for_s)
            litres += leak.size * lasted * lasted / leak.for_s / 120.0
            flow += leaked(events)
        return flow, litres / 1000.0
