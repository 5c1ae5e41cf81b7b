"""The view of one series for prompt and page, and its learning progress."""

import math

from agent.detect import features, profile
from agent.detect.limits import Bounds
from agent.detect.settings import DetectSettings
from agent.detect.state import (
    AT,
    BORN,
    BORN_AT,
    METER,
    P01,
    P50,
    P99,
    PREV,
    PROFILED,
    RANGE,
    RECENT,
    RECENTS,
    SPREAD,
    TOTAL,
    WARM,
    State,
)
from agent.detect.upkeep import EVERY, INTRODUCED
from agent.domain.records import Progress, SeriesView

SECOND_KIND = 2.0
#: The first other value of a series that had never changed: there is nothing to compare it with.
FIRST_CHANGE = Progress(2, 3, None, "values")


def view_series(
    state: State, *, device: str, metric: str, unit: str | None, bounds: Bounds | None
) -> SeriesView:
    """Return what is known of a series that has at least one reading."""
    seen = int(state[TOTAL])
    recent = _recent(state, seen)
    if seen < RECENTS + 1:
        ordered = sorted(recent)
        middle = profile.median(ordered)
        low, high = ordered[0], ordered[-1]
        spread = sum(abs(value - middle) for value in ordered) / len(ordered)
    else:
        low, middle, high, spread = state[P01], state[P50], state[P99], state[SPREAD]
    return SeriesView(
        device=device,
        metric=metric,
        unit=unit,
        n=seen,
        warm=state[WARM] == 1.0,
        median=middle,
        p01=min(low, middle),
        p99=max(high, middle),
        spread=spread * profile.ABS_TO_SD,
        usual=_usual(state) if state[WARM] == 1.0 else None,
        limits=(None, None) if bounds is None else (bounds.low, bounds.high),
        recent=recent,
        last_at=state[AT],
        last_value=state[PREV],
    )


def _recent(state: State, seen: int) -> tuple[float, ...]:
    ring = state[RECENT : RECENT + RECENTS]
    start = seen % RECENTS
    return tuple(ring[:seen]) if seen < RECENTS else tuple(ring[start:] + ring[:start])


def _usual(state: State) -> tuple[float, float]:
    if state[METER]:
        return (state[PREV] + state[RANGE], state[PREV] + state[RANGE + 1])
    base = profile.usual(state, state[AT]) if state[PROFILED] else 0.0
    return features.expected(state, base)


def count_readings(state: State, settings: DetectSettings) -> Progress:
    """Return the progress of a series that is warming up, by readings or by time, whichever is farther.

    The warm-up ends at the next turn of the upkeep, up to 16 readings late; until then one is reported to be
    missing.
    """
    needed, seen = settings.warm_readings, max(0, int(state[TOTAL] - state[BORN]))
    new_use = features.is_new_use(state, settings)
    warm_s = settings.warm_use_s if new_use else settings.warm_s
    if not new_use:
        seen = min(needed, seen)
    span, until = state[AT] - state[BORN_AT], None
    if seen > 1 and span > 0.0:
        pace = span / (seen - 1)
        if new_use or needed * pace > warm_s:
            needed = max(seen, INTRODUCED + EVERY, math.ceil(warm_s / pace))
        until = state[AT] + max(1, needed - seen) * pace
    return Progress(min(seen, needed - 1), needed, until)
