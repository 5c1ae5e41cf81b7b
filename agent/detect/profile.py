"""The usual value of each hour of the day (UTC): its mean on the days before, newer days counting more."""

from math import isnan

from agent.detect.state import FOLDS, HOUR, HOUR_N, HOUR_SUM, HOURS, PROFILE, State

MIN_WEIGHT = 0.2


def usual(state: State, at: float) -> float:
    """Return the usual value at ``at``, between the middles of two hours; nan where none is known."""
    place = at / 3600.0 - 0.5
    hour = place // 1.0
    share = place - hour
    index = int(hour) % HOURS
    here = state[PROFILE + index]
    there = state[PROFILE + (index + 1) % HOURS]
    return here + (there - here) * share


def turn_hour(state: State, hour: float, value: float) -> None:
    """Fold the hour that is over into the profile; begin ``hour`` (hours since 1970) with ``value``."""
    count = state[HOUR_N]
    if count:
        index = PROFILE + int(state[HOUR]) % HOURS
        mean, known = state[HOUR_SUM] / count, state[index]
        days = state[FOLDS] / HOURS
        weight = max(MIN_WEIGHT, 1.0 / (1.0 + days))
        state[index] = mean if isnan(known) else known + (mean - known) * weight
        state[FOLDS] += 1.0
    state[HOUR] = hour
    state[HOUR_SUM] = value
    state[HOUR_N] = 1.0


def whole(state: State) -> bool:
    """Say whether every hour of the day was seen, two times on average."""
    return state[FOLDS] >= 2 * HOURS and not any(map(isnan, state[PROFILE : PROFILE + HOURS]))
