"""One series: what it has seen, and the score of its next reading."""

from math import inf
from struct import Struct

from agent.detect import flat, incident, profile, upkeep
from agent.detect.ranges import MEAN, RESIDUAL, STEP, VALUE, exceed
from agent.detect.settings import DetectSettings
from agent.detect.state import (
    AT,
    BIG,
    FALLS,
    HOT,
    HOUR_N,
    HOUR_SUM,
    LAST_Y,
    PREV,
    QUANTUM,
    RECENT,
    RECENTS,
    RESERVE,
    RISES,
    SAME,
    TOTAL,
    V_LO,
    M,
    S,
    State,
    V,
)
from agent.domain.records import CALM, Kind, Score

FLOOR = 0.01  # of the value's range: what residuals and means may always do
UNPACK_HOT = Struct(f"{HOT}d").unpack_from
MIN_REFILL = 0.5  # of its range: a battery that rises more was changed or charged
MAX_STEPS = 4.0  # a step counts at most so many times as much as the mean step ever did


def observe(s: State, x: float, at: float, k: DetectSettings) -> Score:
    """Score one finite value of a series and learn from it; ``state`` has the layout of ``s``."""
    (
        total, prev, last_at, hour, quantum, x_lo, x_hi, r_lo, r_hi, m, m_lo, m_hi, slow, v, v_lo, v_hi,
        same, same_limit, run, kinds, counter, profiled, young_x, young_z, drift, last_y,
    ) = UNPACK_HOT(s)  # fmt: skip
    if not -BIG < x < BIG:
        x = BIG if x > 0 else -BIG
    if not total:
        return upkeep.begin(s, x, at)
    if counter and at < last_at:
        return CALM  # a late reading: later ones have counted it already
    s[TOTAL] = total + 1.0
    s[AT] = at
    s[RECENT + int(total) % RECENTS] = x
    y = x
    if x == prev:
        s[SAME] = same = same + 1.0
        if same == 2.0:  # noqa: PLR2004 - the first two of a run
            same_limit = flat.begin_run(s, x, last_at, k)
        if counter:
            y = 0.0
    else:
        s[PREV] = x
        if same > 1.0:
            flat.end_run(s, prev)
            same = 1.0
        step = x - prev
        size = step if step > 0.0 else -step
        if (size < quantum or not quantum) and size > 1e-9 * abs(x):
            s[QUANTUM] = quantum = size
        if kinds < flat.MANY_KINDS:
            kinds = flat.tell_apart(s, x)
        if counter or young_x == inf:
            s[RISES if step > 0.0 else FALLS] += 1.0
        if counter:
            if step < 0.0:  # a reset is not part of the rate
                return upkeep.check_counter(s, x)
            y = upkeep.per_gap(s, step, at - last_at)
        elif step > 0.0 and s[RESERVE] and step > MIN_REFILL * (x_hi - x_lo) + quantum:
            return upkeep.refill(s, x)
    if kinds < flat.MANY_KINDS:  # constant or ON/OFF: nothing to compare with yet
        young_x = young_z = inf

    # the value against its range
    span = x_hi - x_lo
    slack = FLOOR * span + quantum
    z = y
    by_value = by_residual = by_mean = by_step = 0.0
    if y > x_hi or y < x_lo:
        share = k.spike_share * young_x
        by_value = exceed(s, VALUE, y, share, quantum)
        if by_value >= 1.0:  # the means are spared the rest
            line = share * span + quantum
            z = x_hi + line if y > x_hi else x_lo - line

    # the residual against its range
    base = 0.0
    if profiled:
        base = profile.usual(s, at)
        z -= base
        residual = y - base
        if residual > r_hi or residual < r_lo:
            share = k.residual_share * young_z
            by_residual = exceed(s, RESIDUAL, residual, share, slack)
            if by_residual >= 1.0:
                line = share * (r_hi - r_lo) + slack
                z = min(z, r_hi + line) if residual > r_hi else max(z, r_lo - line)

    # short and slow mean
    s[M] = m = m + (z - m) * k.mean_weight
    if m > m_hi or m < m_lo:
        by_mean = exceed(s, MEAN, m, k.mean_share * young_z, slack)
    s[S] = slow + (z - slow) * k.drift_weight

    # mean step
    step = y - last_y
    if step < 0.0:
        step = -step
    s[LAST_Y] = y
    most = MAX_STEPS * v_hi + slack + 0.05 * span
    s[V] = v = v + (min(step, most) - v) * k.noise_weight
    if v > v_hi:
        by_step = exceed(s, STEP, v, k.noise_share * young_x, slack)
    elif v < v_lo:
        s[V_LO] = v

    # the hour of the day
    now = at // 3600.0
    if now == hour:
        s[HOUR_SUM] += base + z
        s[HOUR_N] += 1.0
    elif at > last_at:
        profile.turn_hour(s, now, base + z)

    kind, score = Kind.NONE, 0.0
    if by_value or by_residual or by_mean or by_step or drift:
        scores = (by_value, by_residual, by_mean, by_step, drift)
        score = max(scores)
        if score >= 1.0:
            kind, score = incident.go_on(s, scores, k, up=y > x_hi or bool(profiled and y - base > r_hi))
        else:
            kind, score = incident.name(scores, 0.0, 0.0, k), score * score * score
            if by_value or by_residual:
                incident.creep(s)
            if run:
                upkeep.calm_down(s, slack, k)
    elif run:
        upkeep.calm_down(s, slack, k)
    if not total % profile.EVERY:
        profile.step_estimates(s, x)
        if not total % upkeep.EVERY:
            upkeep.round_off(s, y, z, slack, k)
    if same >= same_limit:
        stuck = flat.stuck(s, k)
        if stuck >= 1.0:
            kind, score = Kind.FLATLINE, max(stuck, score)
    if not score:
        return CALM
    if counter:
        return Score(score, kind, (prev + x_lo, prev + x_hi))
    if profiled and by_residual >= by_value:
        return Score(score, kind, (base + r_lo, base + r_hi))
    return Score(score, kind, (x_lo, x_hi))
