"""Healthy series and faults: functions of a seeded generator, value by value."""

import math
import random
from collections.abc import Callable, Iterator

DAY_S = 86_400.0
START = 1_700_006_400.0  # a midnight, UTC
Healthy = Callable[[random.Random, float], Iterator[float]]


def white(rng: random.Random, _step_s: float) -> Iterator[float]:
    while True:
        yield rng.gauss(20.0, 1.0)


def walk(rho: float) -> Healthy:
    def ar1(rng: random.Random, _step_s: float) -> Iterator[float]:
        value, kick = 0.0, math.sqrt(1.0 - rho * rho)
        while True:
            value = rho * value + rng.gauss(0.0, kick)
            yield 20.0 + value

    return ar1


def day_curve(rng: random.Random, step_s: float) -> Iterator[float]:
    at = START
    while True:
        yield 20.0 + 3.0 * math.sin(2 * math.pi * at / DAY_S) + rng.gauss(0.0, 0.2)
        at += step_s


def weather(rng: random.Random, step_s: float) -> Iterator[float]:
    """A day curve whose height changes from day to day."""
    at, height, mean = START, 3.0, 12.0
    for count in range(10**9):
        if at % DAY_S < step_s:
            height, mean = rng.uniform(1.0, 5.0), mean * 0.8 + rng.uniform(0.0, 5.0)
        smooth = math.sin(2 * math.pi * (at / DAY_S - 0.25))
        yield mean + height * smooth + rng.gauss(0.0, 0.1) + 0 * count
        at += step_s


def duty_cycle(rng: random.Random, step_s: float) -> Iterator[float]:
    """A freezer: 40 minutes down, 60 up, give or take."""
    value, cooling, left = -18.0, True, 40
    while True:
        left -= 1
        if left <= 0:
            cooling = not cooling
            left = round((40 if cooling else 60) * rng.uniform(0.85, 1.15) * 60.0 / step_s)
        target, pace = (-21.0, 0.03) if cooling else (-15.0, 0.015)
        value += (target - value) * pace * step_s / 60.0
        yield value + rng.gauss(0.0, 0.05)


def power(rng: random.Random, step_s: float) -> Iterator[float]:
    """A compressor's power: 1 W or 118 W."""
    on, left = False, 10
    while True:
        left -= 1
        if left <= 0:
            on, left = not on, round(rng.uniform(15, 30) * 60.0 / step_s)
        yield 118.0 + rng.gauss(0.0, 1.5) if on else 1.4 + rng.gauss(0.0, 0.1)


def quantised(rng: random.Random, step_s: float) -> Iterator[float]:
    """A room in steps of half a degree."""
    for value in day_curve(rng, step_s):
        yield round(value * 2.0) / 2.0


def dead_band(rng: random.Random, step_s: float) -> Iterator[float]:
    """A sensor that repeats itself until it is off by 0.3."""
    held = 20.0
    for value in day_curve(rng, step_s):
        if abs(value - held) > 0.5:
            held = round(value, 2)
        yield held


def constant(_rng: random.Random, _step_s: float) -> Iterator[float]:
    while True:
        yield 42.0


def counter(rng: random.Random, step_s: float) -> Iterator[float]:
    """An energy meter: more by day, and back to zero now and then."""
    total, at = 1000.0, START
    while True:
        total += max(0.0, math.sin(2 * math.pi * at / DAY_S)) * rng.uniform(0.0, 0.2) + rng.choice(
            (0.0, 0.01)
        )
        if rng.random() < 1e-4:
            total = 0.0
        yield round(total, 2)
        at += step_s


def on_off(rng: random.Random, _step_s: float) -> Iterator[float]:
    state = 0.0
    while True:
        if rng.random() < (0.002 if state else 0.0007):
            state = 1.0 - state
        yield state


def sunrise(rng: random.Random, step_s: float) -> Iterator[float]:
    """Light: nothing at night, up to 40,000 lx by day, clouds."""
    at, cloud = START, 1.0
    while True:
        cloud = min(1.0, max(0.3, cloud + rng.gauss(0.0, 0.03)))
        sun = max(0.0, math.sin(2 * math.pi * (at / DAY_S - 0.25)))
        yield round(40_000.0 * sun**1.5 * cloud)
        at += step_s


def office(rng: random.Random, step_s: float) -> Iterator[float]:
    """Carbon dioxide: people on weekdays from 8 to 18."""
    at, value = START, 420.0
    while True:
        hour, weekday = at % DAY_S / 3600.0, int(at // DAY_S + 3) % 7
        busy = weekday < 5 and 8 <= hour < 18
        value += ((900.0 if busy else 420.0) - value) * 0.02 * step_s / 60.0 + rng.gauss(0.0, 4.0)
        yield value
        at += step_s


def heavy_tail(rng: random.Random, _step_s: float) -> Iterator[float]:
    """Network traffic."""
    while True:
        yield rng.lognormvariate(3.0, 0.8)


CALM: dict[str, Healthy] = {
    "white noise": white,
    "AR(1) 0.9": walk(0.9),
    "AR(1) 0.99": walk(0.99),
    "day curve": day_curve,
    "weather": weather,
    "duty cycle": duty_cycle,
    "power on/off": power,
    "quantised": quantised,
    "dead band": dead_band,
    "constant": constant,
    "counter": counter,
    "ON/OFF": on_off,
    "sunrise": sunrise,
    "office": office,
    "heavy tail": heavy_tail,
}


def take(healthy: Healthy, count: int, *, seed: int, step_s: float = 60.0) -> list[float]:
    """Return the first ``count`` values."""
    values = healthy(random.Random(seed), step_s)
    return [next(values) for _ in range(count)]


#: Faults in standard deviations of the noise: value, readings since the onset, generator -> value.
Fault = Callable[[float, int, random.Random, float], float]


def spike(size: float) -> Fault:
    return lambda value, since, _rng, sd: value + size * sd if since == 0 else value


def shift(size: float) -> Fault:
    return lambda value, _since, _rng, sd: value + size * sd


def drift(per_reading: float) -> Fault:
    return lambda value, since, _rng, sd: value + per_reading * since * sd


def noise(factor: float) -> Fault:
    return lambda value, _since, rng, sd: value + rng.gauss(0.0, math.sqrt(factor * factor - 1.0) * sd)
