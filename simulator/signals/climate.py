"""Indoor climate: room, office, greenhouse, battery sensor; and the weather."""

from dataclasses import dataclass
from typing import ClassVar

from simulator.signals.clock import day_curve, day_off, daylight, hour, people_clock, present
from simulator.signals.cold import battery
from simulator.signals.noise import Noise
from simulator.signals.signal import CALM, Events, Metric, hump, plateau

AIRING_S = 120.0
_LAMP_HOURS = 4.0, 22.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A room sensor: a day curve, weather that wanders, a little noise; humidity falls as it warms."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("temperature", "degC", 2),
        Metric("humidity", "%RH", 1, 0.0, 100.0),
    )
    EVENTS: ClassVar[frozenset[str]] = frozenset({"door_open", "set_point_change"})
    mean: float = 21.0
    swing: float = 1.4  # half the difference between the warmest and the coldest hour
    warmest_hour: float = 15.0  # UTC

    def values(self, noise: Noise, at: float, events: Events = CALM) -> tuple[float, ...]:
        n = noise.normals(at)
        warm = self.swing * day_curve(at, self.warmest_hour) + 0.25 * noise.wander(at, 2400.0)
        warm += plateau(events, "set_point_change", 3600.0) + hump(events, "door_open", AIRING_S)
        return (
            self.mean + warm + 0.05 * n[0],
            46.0 - 2.2 * warm + 1.2 * noise.wander(at, 3600.0, "h") + 0.25 * n[1],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """An office: people come on weekdays, breathe, and the heating has a set point for day and night."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("co2", "ppm", 0, 350.0, 5000.0),
        Metric("temperature", "degC", 1),
        Metric("humidity", "%RH", 0, 0.0, 100.0),
        Metric("occupancy", "", 0, 0.0),
    )
    EVENTS: ClassVar[frozenset[str]] = frozenset({"weekend", "dst_change", "door_open", "set_point_change"})
    people: float = 8.0
    arrive: float = 8.0  # UTC
    leave: float = 17.0

    def values(self, noise: Noise, at: float, events: Events = CALM) -> tuple[float, ...]:
        there = people_clock(at, events)
        hours = {"arrive": self.arrive, "leave": self.leave}
        here = warm = breath = 0.0
        if not day_off(there, events):
            here = present(there, **hours, spread_h=0.5) * (0.85 + 0.15 * noise.wander(at, 2700.0, "people"))
            breath = present(there, **hours, spread_h=0.9, lag_h=0.7)
            warm = present(there, **hours, spread_h=1.2, lag_h=0.3)
        aired = hump(events, "door_open", AIRING_S)  # K, below 0
        n = noise.normals(at)
        temperature = 18.5 + 2.6 * warm + 0.2 * day_curve(at, 15.0) + 0.2 * noise.walk(at, 7200.0)
        temperature += aired + plateau(events, "set_point_change", 3600.0)
        return (
            430.0
            + 60.0 * self.people * breath
            + 25.0 * noise.walk(at, 5400.0, "co2")
            + 60.0 * aired
            + 5.0 * n[0],
            temperature + 0.04 * n[1],
            44.0
            - 1.6 * (temperature - 20.0)
            + 4.0 * breath
            + 2.0 * noise.walk(at, 21_600.0, "h")
            + 0.3 * n[2],
            self.people * here,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Greenhouse:
    """A greenhouse: the sun lights and warms it, lamps lengthen the day, heating holds the night."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("temperature", "degC", 1),
        Metric("humidity", "%RH", 1, 0.0, 100.0),
        Metric("light", "klx", 2, 0.0),
    )
    EVENTS: ClassVar[frozenset[str]] = frozenset({"sunrise", "dst_change", "door_open", "set_point_change"})
    night: float = 16.0  # set point of the heating
    sun: float = 10.0  # what a clear noon adds
    lamps: float = 6.0  # klx

    def values(self, noise: Noise, at: float, events: Events = CALM) -> tuple[float, ...]:
        clear = 0.72 + 0.28 * noise.walk(at, 43_200.0, "sky")
        if "sunrise" in events:  # a clear one
            clear += (1.0 - clear) * events["sunrise"].plateau(1800.0)
        sun = clear * daylight(at)
        first, last = _LAMP_HOURS
        lamps = self.lamps if first <= hour(people_clock(at, events)) < last else 0.0
        n = noise.normals(at)
        warm = self.sun * clear * daylight(at - 2700.0) + 0.5 * noise.wander(at, 3600.0)
        warm += plateau(events, "set_point_change", 2700.0) + hump(events, "door_open", AIRING_S)
        return (
            self.night + warm + 0.08 * n[0],
            82.0 - 2.6 * warm + 1.5 * noise.walk(at, 10_800.0, "h") + 0.4 * n[1],
            (62.0 * sun) * (1.0 + 0.03 * n[2]) + lamps * (1.0 + 0.01 * n[3]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdoor:
    """The weather outside: a day curve on a walk of several days, and air pressure."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("temperature", "degC", 1),
        Metric("humidity", "%RH", 0, 0.0, 100.0),
        Metric("pressure", "hPa", 1),
    )
    EVENTS: ClassVar[frozenset[str]] = frozenset({"sunrise"})
    mean: float = 9.0
    swing: float = 4.0

    def values(self, noise: Noise, at: float, events: Events = CALM) -> tuple[float, ...]:
        n = noise.normals(at)
        warm = self.swing * day_curve(at, 14.5) + 3.0 * noise.walk(at, 345_600.0)
        if "sunrise" in events:
            warm += 1.5 * events["sunrise"].plateau(3600.0)
        return (
            self.mean + warm + 0.1 * n[0],
            74.0 - 2.5 * warm + 4.0 * noise.walk(at, 86_400.0, "h") + 0.5 * n[1],
            1013.0 + 11.0 * noise.walk(at, 345_600.0, "p") + 0.1 * n[2],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatterySensor:
    """A coarse sensor on a battery: 0.1 K, 1 %RH, 10 mV. Let its device report on change."""

    METRICS: ClassVar[tuple[Metric, ...]] = (
        Metric("temperature", "degC", 1),
        Metric("humidity", "%RH", 0, 0.0, 100.0),
        Metric("battery", "V", 2, 0.0, 4.0, 0.01),
    )
    EVENTS: ClassVar[frozenset[str]] = frozenset({"battery_swap", "door_open", "set_point_change"})
    mean: float = 20.0
    swing: float = 1.2

    def values(self, noise: Noise, at: float, events: Events = CALM) -> tuple[float, ...]:
        n = noise.normals(at)
        warm = self.swing * day_curve(at, 15.0) + 0.4 * noise.walk(at, 14_400.0)
        warm += plateau(events, "set_point_change", 3600.0) + hump(events, "door_open", AIRING_S)
        return (
            self.mean + warm + 0.03 * n[0],
            48.0 - 2.0 * warm + 2.0 * noise.walk(at, 28_800.0, "h") + 0.2 * n[1],
            battery(at, noise, events) + 0.002 * n[2],
        )
