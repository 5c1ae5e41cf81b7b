"""Healthy signals, the incidents of their history, and the faults to find.

Sizes are in standard deviations of the base's noise. A base is a function of dice, first instant and step;
a fault changes the healthy values from its onset on.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

DAY_S, HOUR_S, MINUTE_S = 86_400.0, 3600.0, 60.0
MONDAY = 1_788_739_200.0  # 2026-09-07, midnight UTC
Healthy = Callable[[random.Random, float, float], Iterator[float]]


@dataclass(frozen=True, slots=True)
class Base:
    """One healthy signal. ``tuned``: the detector's figures were chosen with it in sight."""

    name: str
    healthy: Healthy
    sd: float = 1.0
    step_s: float = MINUTE_S
    tuned: bool = True

    @property
    def slow(self) -> bool:
        """Whether days of it are few readings."""
        return self.step_s >= HOUR_S

    def take(self, key: object, count: int) -> tuple[float, list[float]]:
        """Return the first instant, which the key picks in the first day, and ``count`` values."""
        dice = random.Random(f"{key}/{self.name}")
        begin = MONDAY + dice.uniform(0.0, DAY_S)
        return begin, list(islice(self.healthy(dice, begin, self.step_s), count))


def wave(at: float, period_s: float = DAY_S) -> float:
    """Return a sine with its rise at midnight."""
    return math.sin(2 * math.pi * at / period_s)


def instants(begin: float, step_s: float) -> Iterator[float]:
    """Yield the moments of the readings."""
    count = 0
    while True:
        yield begin + count * step_s
        count += 1


def is_weekend(at: float) -> bool:
    """Return whether an instant is on a Saturday or a Sunday (UTC)."""
    return int(at // DAY_S + 3) % 7 >= 5


def white(dice: random.Random, _begin: float, _step_s: float) -> Iterator[float]:
    while True:
        yield dice.gauss(20.0, 1.0)


def day_curve(height: float, sd: float) -> Healthy:
    def run(dice: random.Random, begin: float, step_s: float) -> Iterator[float]:
        for at in instants(begin, step_s):
            yield 20.0 + height * wave(at) + dice.gauss(0.0, sd)

    return run


def wander(rho: float) -> Healthy:
    """Return an AR(1) signal of spread 1."""

    def run(dice: random.Random, _begin: float, _step_s: float) -> Iterator[float]:
        value, kick = dice.gauss(0.0, 1.0), math.sqrt(1.0 - rho * rho)
        while True:
            yield 20.0 + value
            value = rho * value + dice.gauss(0.0, kick)

    return run


def student(dice: random.Random, _begin: float, _step_s: float) -> Iterator[float]:
    """Student's t with four degrees of freedom, spread 1."""
    while True:
        yield 20.0 + dice.gauss(0.0, 1.0) / math.sqrt(dice.gammavariate(2.0, 2.0) / 4.0) / math.sqrt(2.0)


def laplace(dice: random.Random, _begin: float, _step_s: float) -> Iterator[float]:
    while True:
        yield 20.0 + dice.choice((-1.0, 1.0)) * dice.expovariate(math.sqrt(2.0))


def half_degrees(dice: random.Random, begin: float, step_s: float) -> Iterator[float]:
    for value in day_curve(3.0, 0.2)(dice, begin, step_s):
        yield round(2.0 * value) / 2.0


def office_week(dice: random.Random, begin: float, step_s: float) -> Iterator[float]:
    """A building's load: a hump on working days, a flat weekend."""
    for at in instants(begin, step_s):
        hour = at % DAY_S / HOUR_S
        hump = 0.0 if is_weekend(at) or not 6 < hour < 20 else math.sin(math.pi * (hour - 6) / 14)
        yield 10.0 + 12.0 * hump + dice.gauss(0.0, 0.5)


def weather(dice: random.Random, begin: float, step_s: float) -> Iterator[float]:
    """A day curve on weather that wanders over days, its height by the cloud of the day."""
    keep = math.exp(-step_s / (2.5 * DAY_S))
    drift, height, day = dice.gauss(0.0, 3.0), 4.0, -1.0
    for at in instants(begin, step_s):
        if at // DAY_S != day:
            day, height = at // DAY_S, dice.uniform(1.5, 6.0)
        drift = keep * drift + math.sqrt(1.0 - keep * keep) * dice.gauss(0.0, 3.0)
        yield 12.0 + drift + height * wave(at - 9 * HOUR_S) + dice.gauss(0.0, 0.2)


def duty_cycle(dice: random.Random, _begin: float, step_s: float) -> Iterator[float]:
    """A cold room between two temperatures; pulls down in a third of the time."""
    value, cooling = -18.0, False
    while True:
        cooling = value > -20.0 if cooling else value > -16.0
        value += (-0.30 if cooling else 0.10) * step_s / MINUTE_S * dice.uniform(0.8, 1.2)
        yield value + dice.gauss(0.0, 0.2)


def traffic(dice: random.Random, begin: float, step_s: float) -> Iterator[float]:
    """Network traffic: log-normal, five times as much by day."""
    for at in instants(begin, step_s):
        yield dice.lognormvariate(3.0 + 0.8 * wave(at - 9 * HOUR_S), 0.3)


def tide(dice: random.Random, begin: float, step_s: float) -> Iterator[float]:
    """A water level with the moon's period, which no clock of a day fits."""
    for at in instants(begin, step_s):
        yield 2.0 * wave(at, 44_712.0) * (1.0 + 0.3 * wave(at, 14.77 * DAY_S)) + dice.gauss(0.0, 0.1)


BASES = {
    base.name: base
    for base in (
        Base("white", white),
        Base("day", day_curve(3.0, 0.2), 0.2),
        Base("AR(1)", wander(0.9)),
        Base("hourly", white, step_s=HOUR_S),
        Base("hourly-day", day_curve(3.0, 0.2), 0.2, HOUR_S),
        Base("student", student, tuned=False),
        Base("laplace", laplace, tuned=False),
        Base("half degrees", half_degrees, 0.25, tuned=False),
        Base("day 5 min", day_curve(5.0, 0.4), 0.4, 300.0, tuned=False),
        Base("office week", office_week, 0.5, tuned=False),
        Base("weather", weather, 0.2, tuned=False),
        Base("duty cycle", duty_cycle, 0.2, tuned=False),
        Base("traffic", traffic, 6.0, tuned=False),
        Base("tide", tide, 0.1, tuned=False),
        Base("AR(1) 0.99", wander(0.99), 1.0, tuned=False),
        Base("hourly weather", weather, 0.2, HOUR_S, tuned=False),
    )
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A change from its onset on, and its deadline: seconds or readings, the later one."""

    kind: str
    size: float
    within_s: float
    within: int

    def deadline_s(self, step_s: float) -> float:
        """Return the seconds from the onset."""
        return max(self.within_s, self.within * step_s)

    def happen(
        self, healthy: Sequence[float], before: float, base: Base, dice: random.Random
    ) -> Sequence[float]:
        """Return the values from the onset on; none where the device is silent."""
        size = self.size * base.sd
        match self.kind:
            case "spike":
                return [healthy[0] + size, *healthy[1:]]
            case "shift":
                return [value + size for value in healthy]
            case "drift":
                return [value + size * count * base.step_s / DAY_S for count, value in enumerate(healthy)]
            case "noise":
                return [value + dice.gauss(0.0, size) for value in healthy]
            case "stuck":
                return [before] * len(healthy)
        return []


FAULTS = {
    "spike 6": Fault("spike", 6.0, 0.0, 10),
    "spike 10": Fault("spike", 10.0, 0.0, 10),
    "shift 4": Fault("shift", 4.0, HOUR_S, 60),
    "shift 8": Fault("shift", 8.0, HOUR_S, 60),
    "shift 10": Fault("shift", 10.0, HOUR_S, 60),
    "drift 4/d": Fault("drift", 4.0, DAY_S, 48),
    "drift 10/d": Fault("drift", 10.0, DAY_S, 48),
    "noise x3": Fault("noise", math.sqrt(8.0), HOUR_S, 60),
    "stuck": Fault("stuck", 0.0, 6 * HOUR_S, 60),
    "silent": Fault("silent", 0.0, HOUR_S / 2, 30),
}


@dataclass(frozen=True, slots=True)
class History:
    """The days on which faults are tried, and the incident before them."""

    days: tuple[float, ...]
    faults: tuple[str, ...]
    incident_s: float = 0.0  # of 10 sd, on day 6
    first: float | None = None  # a bogus first reading

    def spoil(self, values: Sequence[float], base: Base) -> list[float]:
        """Return the values with the history's incident in them."""
        spoilt = list(values)
        if self.first is not None:
            spoilt[0] = self.first
        begin = round(INCIDENT_DAY * DAY_S / base.step_s)
        for place in range(begin, min(begin + round(self.incident_s / base.step_s), len(spoilt))):
            spoilt[place] += INCIDENT_SD * base.sd
        return spoilt


INCIDENT_DAY, INCIDENT_SD = 6.0, 10.0
GRADED = ("spike 6", "spike 10", "shift 4", "shift 8", "drift 10/d")
FAST_CLEAN = History((0.25, 0.5, 1.0, 2.0, 4.0, 10.0), tuple(FAULTS))
SLOW_CLEAN = History((1.5, 3.0, 5.0, 13.0, 20.0, 30.0), tuple(FAULTS))
DIRTY = {
    "dirty30": History((8.0, 14.0, 30.0), GRADED, incident_s=30 * MINUTE_S),
    "dirty120": History((8.0, 14.0, 30.0), GRADED, incident_s=2 * HOUR_S),
    "first85": History((8.0,), GRADED, first=85.0),
}


def histories(base: Base) -> dict[str, History]:
    """Return the histories that a base is tried after."""
    return {"clean": SLOW_CLEAN} if base.slow else {"clean": FAST_CLEAN, **DIRTY}
