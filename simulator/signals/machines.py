"""Machines: a pump, an air compressor, a server."""

from dataclasses import dataclass
from typing import ClassVar

from simulator.signals.clock import day_curve, day_off, hour, people_clock, present
from simulator.signals.noise import Noise
from simulator.signals.signal import CALM, Events, Metric, leaked, plateau

_BACKUP_HOURS = 1.0, 2.5
_UP_SINCE = 1_700_000_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pump:
    """A pump on a duty cycle; vibration, current, flow and pressure follow one load."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("vibration", "mm/s", 2, 0.0),
        Metric("current", "A", 2, 0.0),
        Metric("flow", "m3/h", 2, 0.0),
        Metric("pressure", "bar", 2, 0.0),
    )
    EVENTS: ClassVar[frozenset[str]] = frozenset({"leak", "set_point_change"})
    period_s: float = 180.0
    duty: float = 0.7  # share of the period at full load
    rest: float = 0.0  # load between, 0 is off
    ramp_s: float = 4.0

    def load(self, at: float) -> float:
        """Return the load, 0 to 1."""
        place = at % self.period_s
        falling = self.duty * self.period_s
        rise = min(1.0, place / self.ramp_s)
        fall = min(1.0, max(0.0, (place - falling) / self.ramp_s))
        return self.rest + (1.0 - self.rest) * (rise - fall)

    def values(self, noise: Noise, at: float, events: Events = CALM) -> tuple[float, ...]:
        load = self.load(at + noise.phase * self.period_s)
        n = noise.normals(at)
        wear = noise.wander(at, 900.0)
        lost = leaked(events) * load  # bar
        more = plateau(events, "set_point_change", 60.0) * load  # bar
        return (
            0.20 + 1.9 * load * load + 0.05 * wear * load + n[0] * (0.01 + 0.07 * load),
            0.30 + 7.2 * load + 1.1 * more + n[1] * (0.01 + 0.09 * load),
            12.5 * load - 0.2 * wear * load + 1.8 * lost + n[2] * 0.12 * load,
            0.8 + 3.4 * load + 0.04 * wear * load - lost + more + n[3] * (0.005 + 0.02 * load),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressor:
    """An air compressor that loads and unloads between two pressures, and idles when nobody works."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("pressure", "bar", 2, 0.0),
        Metric("current", "A", 1, 0.0),
        Metric("oil_temperature", "degC", 1),
    )
    EVENTS: ClassVar[frozenset[str]] = frozenset({"leak", "set_point_change", "weekend", "dst_change"})
    period_s: float = 420.0
    duty: float = 0.4  # share of the period in which it loads
    low: float = 6.8
    high: float = 7.5

    def values(self, noise: Noise, at: float, events: Events = CALM) -> tuple[float, ...]:
        lost = leaked(events)  # bar
        there = people_clock(at, events)
        works = 0.0 if day_off(there, events) else present(there, arrive=6.0, leave=20.0, spread_h=0.4)
        duty = min(0.9, self.duty * (0.45 + 0.55 * works) + 0.25 * lost)
        place = (at / self.period_s + noise.phase) % 1.0
        on = place < duty
        share = place / duty if on else 1.0 - (place - duty) / (1.0 - duty)
        n = noise.normals(at)
        more = plateau(events, "set_point_change", 300.0)
        return (
            self.low + (self.high - self.low) * share - lost + more + 0.015 * n[0],
            (31.0 + 2.4 * share + 3.0 * more if on else 11.5) + 0.3 * n[1],
            58.0 + 14.0 * works + 6.0 * lost + 2.0 * noise.walk(at, 14_400.0) + 0.3 * n[2],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A rack: its load follows people and a nightly backup; power, fan and inlet temperature follow it."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("inlet_temperature", "degC", 1),
        Metric("fan", "rpm", 0, 0.0),
        Metric("power", "W", 0, 0.0),
        Metric("uptime", "s", 0, 0.0, counter=True),
    )
    EVENTS: ClassVar[frozenset[str]] = frozenset({"set_point_change", "weekend", "dst_change"})
    idle: float = 210.0
    busy: float = 180.0  # what full load adds
    inlet: float = 22.0
    cooling_s: float = 1500.0  # period of the air conditioning
    room: float = 0.0  # K: the air that all racks share wanders so far

    def load(self, noise: Noise, at: float, events: Events) -> float:
        """Return the load, 0 to 1."""
        there = people_clock(at, events)
        people = 0.0 if day_off(there, events) else present(there, arrive=8.5, leave=17.5, spread_h=0.8)
        first, last = _BACKUP_HOURS
        backup = 0.45 if first <= hour(there) < last else 0.0
        return min(1.0, max(0.0, 0.15 + 0.4 * people + backup + 0.12 * noise.walk(at, 7200.0, "load")))

    def values(self, noise: Noise, at: float, events: Events = CALM) -> tuple[float, ...]:
        load = self.load(noise, at, events)
        n = noise.normals(at)
        cooling = abs(2.0 * ((at / self.cooling_s + noise.phase) % 1.0) - 1.0) - 0.5
        inlet = self.inlet + 0.8 * load + 0.9 * cooling + 0.3 * day_curve(at, 15.0)
        inlet += plateau(events, "set_point_change", 1800.0)
        if self.room:
            inlet += self.room * noise.shared.walk(at, 21_600.0, "room")
        return (
            inlet + 0.1 * n[0],
            3200.0 + 2600.0 * load + 140.0 * (inlet - self.inlet) + 30.0 * n[1],
            self.idle + self.busy * load + 2.5 * n[2],
            at - _UP_SINCE + noise.phase * 1e7,
        )
