"""The flatline rule: equal values for much longer than this series ever had."""

from math import inf

from agent.detect.features import MANY_KINDS, roughness
from agent.detect.nature import RESERVE
from agent.detect.settings import DetectSettings
from agent.detect.state import (
    AT,
    FLAT_AT,
    FLAT_TOLD,
    FOLDS,
    HOURS,
    KINDS,
    LONG_RUN,
    METER,
    REST,
    REST_RUN,
    SAME,
    SAME_LIMIT,
    TRAIT,
    WARM,
    X_HI,
    X_LO,
    State,
)

FIRST_TWO = 2.0  # of a run of equal readings
OFTEN = 10.0  # a series that never stays equal this long is judged within its first two days
DAYS_OF_METER = 7  # a meter's rests are known after so many
AT_REST = 0.05  # of the whole width from its low end
SETTING = 0.2  # roughness of a setting, or of a load that is seldom on
MAX_SCORE = 2.0  # a stuck sensor is a warning, however long it lasts


def begin_run(state: State, value: float, since: float, settings: DetectSettings) -> float:
    """Note that ``value`` came twice, first at ``since``; return how many in a row alarm."""
    state[FLAT_AT], state[FLAT_TOLD] = since, 0.0
    state[SAME_LIMIT] = limit = _limit(state, value, settings)
    return limit


def _limit(state: State, value: float, settings: DetectSettings) -> float:
    """Return the run of ``value`` at which the rule alarms; two-valued series and batteries have none."""
    if state[KINDS] < MANY_KINDS or not state[WARM] or state[TRAIT] == RESERVE:
        return inf
    if roughness(state) > SETTING:
        return inf
    folds, longest = state[FOLDS], settings.flat_factor * state[LONG_RUN]
    if state[METER]:  # it never rests at the value of an earlier rest
        longest = max(longest, settings.flat_factor * state[REST_RUN])
        return max(settings.flat_readings, longest) if folds >= DAYS_OF_METER * HOURS else inf
    rests = value == state[REST]
    if folds < DAYS_OF_METER * HOURS and _is_off(state, value):
        return inf
    if folds < 2 * HOURS and (rests or max(state[LONG_RUN], state[REST_RUN]) >= OFTEN):
        return inf
    if rests:
        longest = max(longest, settings.rest_factor * state[REST_RUN])
    return max(settings.flat_readings, longest)


def _is_off(state: State, value: float) -> bool:
    """Return whether a value is where a machine that is off may be, for as long as its weekend lasts."""
    low, longest = state[X_LO], max(state[LONG_RUN], state[REST_RUN])
    if longest < OFTEN:
        return value <= low and longest >= FIRST_TWO
    return value <= low + AT_REST * (state[X_HI] - low)


def end_run(state: State, value: float) -> None:
    """Learn how long ``value`` stayed.

    The value that rests longest (a pump's zero, a closed valve) has a longest run of its own, so that a
    sensor stuck anywhere else is noticed soon.
    """
    run = state[SAME]
    if run >= state[SAME_LIMIT] and not state[METER]:  # it was stuck: learn of it, but not all
        run = min(run, 2.0 * state[REST_RUN] if value == state[REST] else state[SAME_LIMIT] * 2.0 / 3.0)
    if value == state[REST]:
        state[REST_RUN] = max(state[REST_RUN], run)
    elif run > state[REST_RUN]:
        state[LONG_RUN] = max(state[LONG_RUN], state[REST_RUN])
        state[REST], state[REST_RUN] = value, run
    else:
        state[LONG_RUN] = max(state[LONG_RUN], run)
    state[SAME] = 1.0
    state[SAME_LIMIT] = inf


def stuck(state: State, settings: DetectSettings) -> float:
    """Return the score of a run that has reached its limit; a day after its first alarm it is usual."""
    at = state[AT]
    if state[METER] and abs(at - state[FLAT_AT]) < settings.meter_rest_s:
        return 0.0
    if not state[FLAT_TOLD]:
        state[FLAT_TOLD] = at
    if abs(at - state[FLAT_TOLD]) >= settings.flat_adopt_s:
        state[SAME_LIMIT] = inf
        return 0.0
    return min(MAX_SCORE, state[SAME] / state[SAME_LIMIT])
