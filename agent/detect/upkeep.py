"""Upkeep of a series every 16 readings: alarm lines, forgetting, drift, counters."""

from array import array
from math import inf, log, nan

from agent.detect import incident, profile
from agent.detect.flat import MANY_KINDS
from agent.detect.ranges import FEATURES, MEAN, RESIDUAL, SLOW, STEP, VALUE, exceed, shrink
from agent.detect.settings import DetectSettings
from agent.detect.state import (
    AT,
    BORN,
    COUNTER,
    DRIFT,
    FALLS,
    FIRST,
    FOLDS,
    GAP,
    HOUR,
    HOUR_N,
    HOUR_SUM,
    HOURS,
    KINDS,
    LAST_Y,
    PEAK,
    PREV,
    PROFILE,
    PROFILED,
    RECENT,
    RECENTS,
    REST,
    RISES,
    RUN,
    S_HI,
    S_LO,
    SAME,
    SEEN_AT,
    TOP,
    TOTAL,
    UPKEEP_AT,
    V_HI,
    V_LO,
    X_HI,
    X_LO,
    YOUNG_X,
    YOUNG_Z,
    Z_N,
    M,
    S,
    State,
    V,
)
from agent.domain.records import CALM, Score

EVERY = 16  # readings
MAX_RESETS = 3.0  # a counter that falls more often than this and 1 in 500 readings is none
MIN_RISES = 20.0
GAP_PACE = 1.02  # how fast the usual gap follows: what was lost now and then does not count


def begin(state: State, value: float, at: float) -> Score:
    """Take the first value."""
    state[TOTAL] = state[KINDS] = state[SAME] = 1.0
    state[AT] = state[UPKEEP_AT] = at
    state[HOUR], state[HOUR_SUM], state[HOUR_N] = at // 3600.0, value, 1.0
    for place in (PREV, FIRST, REST, LAST_Y, RECENT, X_LO, X_HI, M, S):
        state[place] = value
    _restart_means(state, value)
    return CALM


def _restart_means(state: State, value: float) -> None:
    """Let residual and means restart at ``value``."""
    state[Z_N], state[YOUNG_Z], state[DRIFT] = 0.0, inf, 0.0
    state[M] = state[S] = value
    for feature in (RESIDUAL, MEAN, SLOW):
        low, high = FEATURES[feature]
        state[low] = state[high] = value
        state[PEAK + feature] = state[TOP + feature] = state[SEEN_AT + feature] = 0.0


def calm_down(state: State, slack: float, settings: DetectSettings) -> None:
    """Count a calm reading during an incident."""
    x, z = state[YOUNG_X], state[YOUNG_Z]
    shares = (
        settings.spike_share * x,
        settings.residual_share * z,
        settings.mean_share * z,
        settings.noise_share * x,
        settings.drift_share * z,
    )
    incident.calm_down(state, shares, slack, settings)


def round_off(state: State, y: float, z: float, slack: float, settings: DetectSettings) -> None:
    """Do what is due every 16 readings; ``y`` is the judged value, ``z`` what the means took in."""
    total = state[TOTAL]
    state[Z_N] += EVERY
    if total < RECENTS + EVERY and total >= RECENTS:
        profile.begin_estimates(state)
    if total - state[BORN] < settings.warm_readings:
        return
    if state[YOUNG_X] == inf and _is_counter(state):
        _restart(state, 1.0, 0.0)
        return
    _grow_up(state, settings)
    if not state[PROFILED] and state[FOLDS] >= 2 * HOURS and profile.whole(state):
        state[PROFILED] = 1.0
        _restart_means(state, y - profile.usual(state, state[AT]))
        return
    _forget(state, y, z, settings)
    if state[PROFILED]:
        _watch_drift(state, slack, settings)


def _grow_up(state: State, settings: DetectSettings) -> None:
    """Bring the alarm lines closer the more was seen."""
    folds = state[FOLDS]
    first_day = settings.young_day if folds < HOURS else 1.0
    state[YOUNG_X] = first_day + settings.young_readings / (state[TOTAL] - state[BORN])
    seen = state[Z_N]
    if seen < settings.warm_readings or (state[PROFILED] and folds < 3 * HOURS):
        state[YOUNG_Z] = inf
    else:
        state[YOUNG_Z] = first_day + settings.young_readings / seen


def _forget(state: State, y: float, z: float, settings: DetectSettings) -> None:
    """Shrink the ranges by the half-life, in readings or in time, whichever is longer."""
    at = state[AT]
    by_time = max(0.0, at - state[UPKEEP_AT]) / settings.half_life_s
    state[UPKEEP_AT] = at
    if state[RUN]:
        return
    rate = min(EVERY / settings.half_life_readings, by_time) * log(2.0)
    shrink(state, VALUE, y, rate)
    shrink(state, MEAN, state[M], rate)
    shrink(state, STEP, state[V], rate)
    if state[PROFILED]:
        shrink(state, RESIDUAL, z, rate)
        shrink(state, SLOW, state[S], rate)


def _watch_drift(state: State, slack: float, settings: DetectSettings) -> None:
    """Measure how far the slow mean is from where it ever was until one to two blocks ago."""
    slow = state[S]
    lo, hi = state[S_LO], state[S_HI]
    if lo <= slow <= hi or state[KINDS] < MANY_KINDS:
        state[DRIFT] = 0.0
        return
    score = exceed(state, SLOW, slow, settings.drift_share * state[YOUNG_Z], slack)
    state[DRIFT] = score if score >= 1.0 else 0.0


def _is_counter(state: State) -> bool:
    return not state[COUNTER] and state[FALLS] == 0.0 and state[RISES] >= MIN_RISES


def check_counter(state: State, value: float) -> Score:
    """Take a fall of a counter for a reset, unless there are too many for one."""
    if state[FALLS] > MAX_RESETS + state[TOTAL] / 500.0:
        _restart(state, 0.0, value)
    return CALM


def per_gap(state: State, step: float, gap_s: float) -> float:
    """Return a counter's step, as it would have been had the gap to its last reading been the usual one."""
    usual = state[GAP]
    if gap_s <= 0.0:
        return step
    if not usual:
        usual = gap_s
    elif gap_s > usual:
        usual = min(gap_s, usual * GAP_PACE)
    else:
        usual = max(gap_s, usual / GAP_PACE)
    state[GAP] = usual
    return step * usual / gap_s if gap_s > usual else step


def refill(state: State, value: float) -> Score:
    """Restart at ``value``: a battery was changed or charged."""
    _restart(state, 0.0, value)
    return CALM


def _restart(state: State, counter: float, value: float) -> None:
    """Judge in another way from now on, beginning at ``value``; what was learnt of values is forgotten."""
    state[COUNTER], state[BORN], state[YOUNG_X] = counter, state[TOTAL], inf
    state[LAST_Y] = state[X_LO] = state[X_HI] = value
    state[V] = state[V_LO] = state[V_HI] = 0.0
    state[PROFILED] = state[FOLDS] = state[HOUR_SUM] = state[HOUR_N] = state[RUN] = 0.0
    for feature in (VALUE, STEP):
        state[PEAK + feature] = state[TOP + feature] = state[SEEN_AT + feature] = 0.0
    state[PROFILE : PROFILE + HOURS] = array("d", [nan] * HOURS)
    _restart_means(state, value)
