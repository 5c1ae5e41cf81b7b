"""The flatline rule: equal values for much longer than this series ever had."""

from math import inf

from agent.detect.settings import DetectSettings
from agent.detect.state import (
    AT,
    COUNTER,
    FIRST,
    FLAT_AT,
    FOLDS,
    HOURS,
    KINDS,
    LONG_RUN,
    RESERVE,
    REST,
    REST_RUN,
    SAME,
    SAME_LIMIT,
    SECOND,
    TOTAL,
    State,
)

OFTEN = 10.0  # a series that never stays equal this long is judged within its first two days
MANY_KINDS = 3.0
MAX_SCORE = 2.0  # a stuck sensor is a warning, however long it lasts


def begin_run(state: State, value: float, since: float, settings: DetectSettings) -> float:
    """Note that ``value`` came twice, first at ``since``; return how many in a row alarm."""
    state[FLAT_AT] = since
    state[SAME_LIMIT] = limit = _limit(state, value, settings)
    return limit


def _limit(state: State, value: float, settings: DetectSettings) -> float:
    """Return the run of ``value`` at which the rule alarms; two-valued series and batteries have none."""
    if state[KINDS] < MANY_KINDS or state[TOTAL] < settings.warm_readings or state[RESERVE]:
        return inf
    rests = value == state[REST]
    if state[FOLDS] < 2 * HOURS and (rests or state[LONG_RUN] >= OFTEN or state[COUNTER]):
        return inf  # a meter may rest all night, and never at the value of an earlier rest
    longest = settings.flat_factor * state[LONG_RUN]
    if rests:
        longest = max(longest, settings.rest_factor * state[REST_RUN])
    return max(settings.flat_readings, longest)


def end_run(state: State, value: float) -> None:
    """Learn how long ``value`` stayed.

    The value that rests longest (a pump's zero, a closed valve) has a longest run of its own, so that a
    sensor stuck anywhere else is noticed soon.
    """
    run = state[SAME]
    if run >= state[SAME_LIMIT]:  # it was stuck: learn of it, but not all
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


def tell_apart(state: State, value: float) -> float:
    """Count distinct values, up to three; return the count."""
    if state[KINDS] == 1.0 and value != state[FIRST]:
        state[SECOND], state[KINDS] = value, 2.0
    elif state[KINDS] == 2.0 and value not in (state[FIRST], state[SECOND]):  # noqa: PLR2004 - two values known
        state[KINDS] = MANY_KINDS
    return state[KINDS]


def stuck(state: State, settings: DetectSettings) -> float:
    """Return the score of a run that has reached its limit; after a day it is taken as usual."""
    if abs(state[AT] - state[FLAT_AT]) >= settings.flat_adopt_s:
        state[SAME_LIMIT] = settings.flat_factor * state[SAME]
        return 0.0
    return min(MAX_SCORE, state[SAME] / state[SAME_LIMIT])
