"""Upkeep of a series every 16 readings: introduction, lines, forgetting."""

from array import array
from itertools import pairwise
from math import inf, isnan, log, nan

from agent.detect import features, incident, nature, profile, records, watermarks, week
from agent.detect.features import MEAN, NEAR, NOISE, RESIDUAL, SLOW, VALUE, ends
from agent.detect.settings import DetectSettings
from agent.detect.state import (
    ADOPTED_AT,
    AT,
    BORN,
    BORN_AT,
    BUSY,
    DRIFT,
    FEATURES,
    FIRST,
    FOLDS,
    HOUR,
    HOUR_N,
    HOUR_SUM,
    HOURS,
    KINDS,
    LAST_Y,
    LINE,
    MEANT,
    MEANT_MOVES,
    METER,
    MOVES,
    PREV,
    PROFILE,
    PROFILED,
    RANGE,
    RECENT,
    RECENTS,
    RECORD,
    REST,
    RUN,
    SAME,
    SETTLED,
    TOTAL,
    TRAVEL,
    UPKEEP_AT,
    WARM,
    M,
    S,
    State,
    V,
)
from agent.domain.records import CALM, Score

EVERY = 16  # readings
INTRODUCED = 2 * EVERY  # readings after which the first ones can be outvoted
WEEK = 7 * HOURS  # folds
FEW = 48  # readings after which the short mean has a range
YOUNG = 1024  # readings since the means began, in which the lines come closer from turn to turn
REDRAWN = 4 * EVERY  # readings, later on
FIRST_RECORD = 0.1  # of the range of the first readings: what noise would set next


def begin(state: State, value: float, at: float) -> Score:
    """Take the first value."""
    state[TOTAL] = state[KINDS] = state[SAME] = 1.0
    state[AT] = state[UPKEEP_AT] = state[BORN_AT] = at
    state[HOUR], state[HOUR_SUM], state[HOUR_N] = at // 3600.0, value, 1.0
    for place in (PREV, FIRST, REST, LAST_Y, RECENT):
        state[place] = value
    watermarks.begin(state, value, value)
    _begin_ranges(state, value, value, value, 0.0)
    return CALM


def _begin_ranges(state: State, low: float, high: float, mean: float, step: float) -> None:
    """Let all features begin, the value with the range from ``low`` to ``high``."""
    for feature in range(FEATURES):
        records.restart(state, feature, 0.0)
    state[RANGE + 2 * VALUE], state[RANGE + 2 * VALUE + 1] = low, high
    state[RANGE + 2 * NEAR], state[RANGE + 2 * NEAR + 1] = low - mean, high - mean
    state[V] = step
    records.restart(state, NOISE, step)
    _begin_means(state, mean)


def _begin_means(state: State, mean: float) -> None:
    """Let residual and means restart at ``mean``."""
    state[MEANT], state[MEANT_MOVES], state[DRIFT] = state[TOTAL], state[MOVES], 0.0
    state[M] = state[S] = mean
    for feature in (RESIDUAL, MEAN, SLOW):
        records.restart(state, feature, mean)
    if not state[PROFILED]:
        records.retire(state, RESIDUAL)


def learn_week(state: State, residual: float) -> None:
    """Learn residual and means again for a week, now that weekends have a profile of their own."""
    state[SETTLED] = state[FOLDS] + WEEK
    _begin_means(state, residual)
    for feature in (RESIDUAL, MEAN, SLOW):
        state[LINE + feature] = inf


def _introduce(state: State) -> None:
    """Begin with the last readings, without those that the others outvote."""
    recent = state[RECENT : RECENT + RECENTS]
    low, high = records.outvote(recent)
    kept = [value for value in recent if low <= value <= high]
    mean = sum(kept) / len(kept)
    step = sum(abs(b - a) for a, b in pairwise(kept)) / max(1, len(kept) - 1)
    state[TRAVEL] = min(state[TRAVEL], state[MOVES] * (high - low) ** 2)
    _begin_ranges(state, low, high, mean, step)
    watermarks.begin(state, low, high)
    for feature in (VALUE, NEAR):
        state[RECORD + feature] = FIRST_RECORD * (high - low)
    state[HOUR_SUM] = min(max(state[HOUR_SUM], low * state[HOUR_N]), high * state[HOUR_N])
    for place in range(PROFILE, PROFILE + HOURS):
        if not isnan(state[place]):
            state[place] = min(max(state[place], low), high)


def round_off(state: State, y: float, z: float, settings: DetectSettings) -> None:
    """Do what is due every 16 readings; ``y`` is the judged value, ``z`` what the means took in."""
    total, at = state[TOTAL] - 1.0, state[AT]
    if total == INTRODUCED and not state[METER]:
        _introduce(state)
        profile.begin_estimates(state)
    if total < INTRODUCED:
        return
    if nature.is_meter(state):
        begin_again(state, 1.0, 0.0)
        return
    if not state[WARM]:
        seen, time = total - state[BORN], at - state[BORN_AT]
        if seen < settings.warm_readings and (time < settings.warm_s or seen < INTRODUCED):
            return
        state[WARM] = 1.0
    if not state[PROFILED] and not state[METER] and profile.whole(state):
        state[PROFILED] = 1.0
        _begin_means(state, y - profile.usual(state, at))
    else:
        _forget(state, y, z, settings)
    since = total - state[MEANT]
    if FEW <= since < FEW + EVERY:
        records.restart(state, MEAN, state[M])
    elif features.SLOW_BEGINS <= since < features.SLOW_BEGINS + EVERY:
        records.restart(state, SLOW, state[S])
    if since < YOUNG or not total % REDRAWN or state[LINE + VALUE] == inf:
        features.draw(state, settings)
    if state[PROFILED] and state[LINE + NEAR] == inf and state[FOLDS] > state[SETTLED]:
        records.retire(state, NEAR)
    if state[ADOPTED_AT]:
        records.settle(state, y, settings)
    if not state[BUSY]:
        records.end_first_week(state, settings)
    _watch_drift(state, settings)
    watermarks.watch(state, settings)
    incident.note_busy(state)


def _forget(state: State, y: float, z: float, settings: DetectSettings) -> None:
    """Shrink the ranges by the half-life, in readings or in time, whichever is longer."""
    at = state[AT]
    by_time = max(0.0, at - state[UPKEEP_AT]) / settings.half_life_s
    state[UPKEEP_AT] = at
    if state[BUSY]:
        return
    rate = min(EVERY / settings.half_life_readings, by_time) * log(2.0)
    z, slow = (z, state[S]) if state[PROFILED] else (nan, nan)
    records.shrink(state, (y, 0.0, z, state[M], state[V], slow), rate)


def _watch_drift(state: State, settings: DetectSettings) -> None:
    """Measure how far the slow mean is from where it ever was until one to two blocks ago."""
    slow = state[S]
    low, high = ends(SLOW)
    if state[low] <= slow <= state[high] or not state[PROFILED] or state[ADOPTED_AT]:
        state[DRIFT] = 0.0
        return
    score = records.test(state, SLOW, slow, settings)
    state[DRIFT] = score if score >= 1.0 else 0.0


def begin_again(state: State, meter: float, value: float) -> None:
    """Judge in another way from now on, beginning at ``value``; what was learnt of values is forgotten."""
    state[METER], state[BORN], state[WARM] = meter, state[TOTAL], 0.0
    state[BORN_AT] = state[AT]
    state[LAST_Y] = value
    state[PROFILED] = state[FOLDS] = state[HOUR_SUM] = state[HOUR_N] = state[RUN] = state[ADOPTED_AT] = 0.0
    state[PROFILE : PROFILE + HOURS] = array("d", [nan] * HOURS)
    nature.begin_again(state)
    week.forget(state)
    state[SETTLED] = 2.0 * HOURS
    _begin_ranges(state, value, value, value, 0.0)
    watermarks.begin(state, value, value)
    for feature in range(FEATURES):
        state[LINE + feature] = inf
    incident.note_busy(state)
