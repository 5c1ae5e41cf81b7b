"""Water marks: where a series always comes back to, as known half a day ago.

A pump's pressure reaches its full height in every hour, a water meter rests, a compressor stops. An hour
whose lowest value is above that of every hour before shows a fault that leaves each value usual: a leak, a
load that does not end. Ranges follow small records at once; so the values are compared with their extremes
of half a day ago too, which finds a value that creeps away.
"""

from math import inf
from typing import Final, NamedTuple

from agent.detect.features import FLOOR, crowd, first_week, is_coarse, judged, roughness, skewness
from agent.detect.nature import RESERVE
from agent.detect.settings import DetectSettings
from agent.detect.state import (
    ADOPTED_AT,
    AT,
    EVER_HI,
    EVER_LO,
    HOURLY_HI,
    HOURLY_LO,
    LATER,
    MARK,
    MARKED_AT,
    METER,
    NEWEST,
    PREV,
    QUANTUM,
    RECENT,
    RECENTS,
    RUN,
    SPAN_AT,
    SPAN_HI,
    SPAN_LO,
    SWINGS,
    TRAIT,
    TURNS,
    WAS_HI,
    WAS_LO,
    X_HI,
    X_LO,
    State,
)

SPAN_S: Final = 1800.0  # an hour is the last whole half hour and the readings since
MAX_SCORE: Final = 1000.0


class Mark(NamedTuple):
    """One water mark: where it is known, where its width is measured from, and its direction."""

    known: int
    opposite: int
    up: float


MARKS: Final = (
    Mark(HOURLY_LO, EVER_LO, 1.0),  # the highest of the lowest values of all hours
    Mark(HOURLY_HI, EVER_HI, -1.0),
    Mark(EVER_HI, EVER_LO, 1.0),
    Mark(EVER_LO, EVER_HI, -1.0),
)
COUNT: Final = len(MARKS)
CEILING: Final = 1
AT_REST: Final = 0.1  # of the whole width from its low end: a machine that is off may stay so
OF_HOURS: Final = 2  # the first of them
SWING: Final = 1 / 3  # of the whole width: a half hour in which it went so far away and came back
WIDER: Final = 2.0  # times as wide as before: the swings are counted again
FEW_SWINGS: Final = 48.0
FEW_TURNS: Final = 6.0  # of half a day
WEEK_TURNS: Final = 13.0  # the same: from here on hours are judged, a weekend was seen


def begin(state: State, low: float, high: float) -> None:
    """Begin with the range of the values so far."""
    for place, (mark, value) in enumerate(zip(MARKS, (low, high, high, low), strict=True)):
        state[mark.known] = state[LATER + place] = state[NEWEST + place] = value
    state[MARKED_AT] = state[SPAN_AT] = state[AT]
    state[SPAN_LO] = state[WAS_LO] = low
    state[SPAN_HI] = state[WAS_HI] = high
    state[MARK] = state[SWINGS] = state[TURNS] = 0.0


def are_known(state: State) -> bool:
    """Return whether the marks have seen days enough to compare with."""
    return state[TURNS] >= FEW_TURNS


def watch(state: State, settings: DetectSettings) -> None:
    """Take the last readings, and note in ``MARK`` how many alarm lines the hour is beyond the marks."""
    at = state[AT]
    recent = state[RECENT : RECENT + RECENTS].tolist()
    low, high = min(recent), max(recent)
    if 0.0 <= at - state[SPAN_AT] < SPAN_S:
        state[SPAN_LO], state[SPAN_HI] = min(state[SPAN_LO], low), max(state[SPAN_HI], high)
    else:
        swing = state[SPAN_HI] - state[SPAN_LO]
        state[SWINGS] += swing > SWING * (state[EVER_HI] - state[EVER_LO])
        state[WAS_LO], state[WAS_HI] = state[SPAN_LO], state[SPAN_HI]
        state[SPAN_AT], state[SPAN_LO], state[SPAN_HI] = at, low, high
    floor, ceiling = min(state[WAS_LO], state[SPAN_LO]), max(state[WAS_HI], state[SPAN_HI])
    state[MARK] = 0.0
    lo, hi, top, bottom = state[NEWEST : NEWEST + COUNT]
    if floor > lo or ceiling < hi or high > top or low < bottom:
        _go_beyond(state, (floor, ceiling, low, high), (floor, ceiling, high, low), settings)
    if abs(at - state[MARKED_AT]) >= settings.return_s:
        state[MARKED_AT] = at
        _turn(state, (floor, ceiling, low, high))


def score(state: State) -> float:
    """Return the score of the last reading: that of its hour.

    An incident begins with a reading of the end that did not come back, so that the finding cites it.
    """
    x, low, high = state[PREV], state[SPAN_LO], state[SPAN_HI]
    if not state[RUN] and state[EVER_LO] <= x <= state[EVER_HI]:
        raised = min(state[WAS_LO], low) > state[HOURLY_LO]
        if (x > (low + high) / 2.0) == raised:
            return 0.0
    return state[MARK]


def _go_beyond(
    state: State, tested: tuple[float, ...], learnt: tuple[float, ...], settings: DetectSettings
) -> None:
    """Test an hour that is beyond a mark. It moves what is known later, not by all of it."""
    rest = state[EVER_LO] + AT_REST * (state[EVER_HI] - state[EVER_LO])
    for place, (known, opposite, up) in enumerate(MARKS):
        line = _line(state, place, abs(state[known] - state[opposite]), settings)
        over = up * (tested[place] - state[known])
        probation = state[ADOPTED_AT] and place < OF_HOURS
        if over > line and not probation and not (place == CEILING and tested[place] < rest):
            state[MARK] = max(state[MARK], min(over / line, MAX_SCORE))
        # The values move it as far as their range has learnt, an hour by one line.
        newest, most = state[NEWEST + place], state[LATER + place] + up * line
        if up > 0.0:
            most = max(most, state[X_HI]) if place >= OF_HOURS else most
            state[NEWEST + place] = max(newest, min(learnt[place], most))
        else:
            most = min(most, state[X_LO]) if place >= OF_HOURS else most
            state[NEWEST + place] = min(newest, max(learnt[place], most))


def _line(state: State, place: int, width: float, settings: DetectSettings) -> float:
    """Return how far beyond a mark the alarm line is; inf: it is not judged."""
    turns = state[TURNS]
    if not are_known(state) or state[METER] or state[TRAIT] == RESERVE or not judged(state, settings):
        return inf
    if place < OF_HOURS:
        if state[SWINGS] < FEW_SWINGS or turns < WEEK_TURNS:
            return inf
    elif roughness(state) > settings.load and not is_coarse(state):
        return inf  # of a load that is seldom on
    share = settings.mark_share * (1.0 + settings.young_turns / turns + first_week(state, settings))
    slack = FLOOR * (state[EVER_HI] - state[EVER_LO]) + 2.0 * state[QUANTUM]
    return (share * width + slack) * crowd(state, settings, skewness(state, settings) - 1.0)


def _turn(state: State, tested: tuple[float, ...]) -> None:
    """Let the marks of half a day ago be known. A level that was adopted stays so until it is left."""
    width = state[EVER_HI] - state[EVER_LO]
    for place, (known, _, up) in enumerate(MARKS):
        later = state[LATER + place]
        if up > 0.0:
            state[known] = max(later, min(state[known], tested[place]))
        else:
            state[known] = min(later, max(state[known], tested[place]))
        state[LATER + place] = state[NEWEST + place]
    state[TURNS] += 1.0
    if state[EVER_HI] - state[EVER_LO] > WIDER * width:
        state[SWINGS] = 0.0  # those before were of another size


def adopt(state: State) -> None:
    """Take the present hour as usual until it is left."""
    recent = state[RECENT : RECENT + RECENTS]
    low, high = min(recent), max(recent)
    floor, ceiling = min(state[WAS_LO], state[SPAN_LO], low), max(state[WAS_HI], state[SPAN_HI], high)
    for (known, _, up), value in zip(MARKS, (floor, ceiling, low, high), strict=True):
        state[known] = max(state[known], value) if up > 0.0 else min(state[known], value)
    state[MARK] = 0.0
