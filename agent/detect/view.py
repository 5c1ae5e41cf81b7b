"""The view of one series for prompt and page, and its learning progress."""

from math import inf
from statistics import median

from agent.detect import profile
from agent.detect.limits import Bounds
from agent.detect.settings import DetectSettings
from agent.detect.state import (
    AT,
    BORN,
    COUNTER,
    P01,
    P50,
    P99,
    PREV,
    PROFILED,
    R_HI,
    R_LO,
    RECENT,
    RECENTS,
    SPREAD,
    TOTAL,
    UPKEEP_AT,
    X_HI,
    X_LO,
    YOUNG_X,
    State,
)
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
        middle = median(ordered)
        low, high = ordered[0], ordered[-1]
        spread = sum(abs(value - middle) for value in ordered) / len(ordered)
    else:
        low, middle, high, spread = state[P01], state[P50], state[P99], state[SPREAD]
    return SeriesView(
        device=device,
        metric=metric,
        unit=unit,
        n=seen,
        warm=state[YOUNG_X] < inf,
        median=middle,
        p01=min(low, middle),
        p99=max(high, middle),
        spread=spread * profile.ABS_TO_SD,
        usual=_usual(state) if state[YOUNG_X] < inf else None,
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
    if state[COUNTER]:
        return (state[PREV] + state[X_LO], state[PREV] + state[X_HI])
    if state[PROFILED] and state[R_HI] > state[R_LO]:
        base = profile.usual(state, state[AT])
        return (base + state[R_LO], base + state[R_HI])
    return (state[X_LO], state[X_HI])


def count_readings(state: State, settings: DetectSettings) -> Progress:
    """Return the progress of a series that is warming up.

    The warm-up ends at the next turn of the upkeep, up to 16 readings late; the reported count ends at
    ``needed``.
    """
    total, needed = int(state[TOTAL]), settings.warm_readings
    seen = max(0, total - int(state[BORN]))
    until, span = None, state[AT] - state[UPKEEP_AT]
    if not state[BORN] and total > 1 and span > 0.0:  # since its first reading
        until = state[AT] + max(0, needed - seen) * span / (total - 1)
    return Progress(min(seen, needed), needed, until)
