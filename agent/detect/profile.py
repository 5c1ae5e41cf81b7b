"""The usual values of a series: by hour of the day (UTC), and their distribution.

An hour's usual value is its mean on the days before, newer days counting more. The estimates of median,
1 % and 99 % and spread are for the prompt and the page.
"""

from collections.abc import Sequence
from math import isnan
from struct import Struct

from agent.detect import week
from agent.detect.state import (
    ABOVE,
    FOLDS,
    HOUR,
    HOUR_N,
    HOUR_SUM,
    HOURS,
    P01,
    P50,
    P99,
    PROFILE,
    PROFILED,
    RECENT,
    RECENTS,
    SPREAD,
    TOTAL,
    X_HI,
    X_LO,
    State,
)

_ESTIMATES = Struct("4d")  # from P01 to SPREAD
_ESTIMATES_AT = 8 * P01  # bytes

MIN_WEIGHT = 0.2
ONE_LEFT_OUT = 2.0  # hours: one without a reading, as a sensor that sends about once an hour has some
DAYS = 3  # after which an hour that was never seen is not waited for

EVERY = 4  # readings between two steps
PACE = 0.02  # of the spread: the median's step
TAIL = 0.01  # of the readings are beyond the outer quantiles
TAIL_PACE = 0.5
ABS_TO_SD = 1.2533  # sd / mean absolute deviation of a normal distribution
FORGET = 0.01
SLOWEST = 0.002  # of the part of readings in the upper half
MAX_SPREADS = 5.0  # a reading farther away than this counts as if it were this far


def usual(state: State, at: float) -> float:
    """Return the usual value at ``at``, between the middles of two hours; nan where none is known."""
    middle, here, rise = slope(state, at)
    return here + rise * (at / 3600.0 - middle)


def slope(state: State, at: float) -> tuple[float, float, float]:
    """Return the last middle of an hour (in hours), its usual value, and the rise to the next one."""
    hour = (at / 3600.0 - 0.5) // 1.0
    index = int(hour) % HOURS
    here = state[PROFILE + index]
    return hour + 0.5, here, state[PROFILE + (index + 1) % HOURS] - here


def turn_hour(state: State, hour: float, value: float) -> bool:
    """Fold the hour that is over into the profile; begin ``hour`` (hours since 1970) with ``value``.

    Return whether residuals have to be learnt again.
    """
    count, before = state[HOUR_N], state[HOUR]
    if count:
        index = PROFILE + int(state[HOUR]) % HOURS
        mean, known = state[HOUR_SUM] / count, state[index]
        days = state[FOLDS] / HOURS
        weight = max(MIN_WEIGHT, 1.0 / (1.0 + days))
        if isnan(known) or week.learns_at_once(state, before):
            state[index] = mean
        else:
            week.note(state, before, mean - known)
            state[index] = known + (mean - known) * weight
        state[FOLDS] += 2.0 if hour - before == ONE_LEFT_OUT else 1.0
    state[HOUR] = hour
    state[HOUR_SUM] = value
    state[HOUR_N] = 1.0
    return bool(state[PROFILED]) and week.turn(state, before, hour)


def whole(state: State) -> bool:
    """Return whether the hours of the day are known: after a day, or three of one that is not always there.

    A single hour that never came is taken to be between its neighbours, of several each as the last that did.
    """
    if state[FOLDS] < HOURS:
        return False
    hours = state[PROFILE : PROFILE + HOURS]
    for place in range(HOURS):
        if isnan(hours[place]):
            state[PROFILE + place] = (hours[place - 1] + hours[(place + 1) % HOURS]) / 2.0
    hours = state[PROFILE : PROFILE + HOURS]
    missing = sum(map(isnan, hours))
    if missing and state[FOLDS] < DAYS * (HOURS - missing):
        return False
    last = next(value for value in reversed(hours) if not isnan(value))
    for place, value in enumerate(hours):
        last = last if isnan(value) else value
        state[PROFILE + place] = last
    return True


def median(ordered: Sequence[float]) -> float:
    """Return the median of sorted values; ``statistics`` imports decimal numbers and fractions."""
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def begin_estimates(state: State) -> None:
    """Set the estimates from the first 30 readings."""
    first = sorted(state[RECENT : RECENT + RECENTS])
    middle = median(first)
    state[P01], state[P50], state[P99] = first[0], middle, first[-1]
    state[SPREAD] = sum(abs(value - middle) for value in first) / RECENTS


def step_estimates(state: State, value: float) -> None:
    """Move the estimates a little towards ``value`` (stochastic approximation)."""
    above = 1.0 if value > (state[X_LO] + state[X_HI]) / 2.0 else 0.0
    state[ABOVE] += (above - state[ABOVE]) * max(SLOWEST, EVERY / state[TOTAL])
    low, middle, high, spread = _ESTIMATES.unpack_from(state, _ESTIMATES_AT)
    pace = TAIL_PACE * spread
    high += pace * (1.0 - TAIL) if value > high else -pace * TAIL
    low -= pace * (1.0 - TAIL) if value < low else -pace * TAIL
    off = abs(value - middle)
    if value != middle:
        middle += PACE * spread if value > middle else -PACE * spread
    limit = MAX_SPREADS * spread
    spread += ((limit if spread and off > limit else off) - spread) * FORGET
    _ESTIMATES.pack_into(state, _ESTIMATES_AT, low, middle, high, spread)
