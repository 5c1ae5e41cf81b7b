"""One series: what it has seen, and the score of its next reading."""

from struct import Struct

from agent.detect import calm, features, flat, incident, nature, profile, records, upkeep, watermarks
from agent.detect.features import MANY_KINDS, MEAN, NEAR, NOISE, RESIDUAL, SLOW, VALUE
from agent.detect.settings import DetectSettings
from agent.detect.state import (
    ADOPTED,
    ADOPTED_AT,
    AT,
    BIG,
    DRIFT,
    HOT,
    HOUR_N,
    HOUR_SUM,
    HOURS,
    IN_A_ROW,
    KINDS,
    LAST_Y,
    LINE,
    MARK,
    METER,
    MOVES,
    PREV,
    PROFILE,
    QUANTUM,
    R_HI,
    R_LO,
    RANGE,
    RECENT,
    RECENTS,
    REST,
    REST_RUN,
    RISES,
    RUN,
    SAME,
    TOTAL,
    TRAIT,
    TRAVEL,
    X_HI,
    X_LO,
    M,
    S,
    State,
    V,
)
from agent.domain.records import CALM, Kind, Score

UNPACK_HOT = Struct(f"{HOT}d").unpack_from
LONG_REST = 30.0  # equal readings
NONE = [0.0] * 6


def observe(s: State, x: float, at: float, k: DetectSettings) -> Score:
    """Score one finite value and learn from it; ``s`` is laid out as ``agent.detect.state`` has it."""
    (
        total, prev, last_at, hour, quantum, same, same_limit, meter, profiled, busy, m, slow, v, last_y,
        x_lo, x_hi, n_lo, n_hi, r_lo, r_hi, m_lo, m_hi, v_lo, v_hi, _, _,
    ) = UNPACK_HOT(s)  # fmt: skip
    if not -BIG < x < BIG:
        x = BIG if x > 0 else -BIG
    if not total:
        return upkeep.begin(s, x, at)
    if meter and at < last_at:
        return CALM  # a late reading: later ones have counted it already
    s[TOTAL] = total + 1.0
    s[AT] = at
    s[RECENT + int(total) % RECENTS] = x
    y = x
    if x == prev:
        s[SAME] = same = same + 1.0
        if same == flat.FIRST_TWO:
            same_limit = flat.begin_run(s, x, last_at, k)
        if meter:
            y = 0.0
    else:
        moved = _move(s, prev, x, at - last_at)
        if moved is None:
            return CALM
        y, same = moved, 1.0

    # the features
    base = profile.usual(s, at) if profiled else 0.0
    z = residual = y - base
    near = residual - m
    scores = NONE
    if not (x_lo <= y <= x_hi and r_lo <= residual <= r_hi and n_lo <= near <= n_hi):
        scores, z = _beyond(s, y, residual, near, k)
    s[M] = m = m + (z - m) * k.mean_weight
    if scores is NONE or max(scores) < 1.0:
        s[S] = slow + (z - slow) * k.drift_weight
    step = y - last_y if y > last_y else last_y - y
    s[LAST_Y] = y
    most = calm.MAX_STEPS * v_hi + quantum + calm.NOISY * (x_hi - x_lo)
    s[V] = v = v + ((min(most, step)) - v) * k.noise_weight
    if not (m_lo <= m <= m_hi and v_lo <= v <= v_hi) and not s[ADOPTED_AT]:
        scores = scores[:]
        scores[MEAN], scores[NOISE] = records.test_means(s, k)
    if busy:
        scores, z = _while_busy(s, scores, base, z, k)

    # the hour of the day
    now = at // 3600.0
    at_middle = s[PROFILE + int(now) % HOURS] + z if profiled else z
    if now == hour:
        s[HOUR_SUM] += at_middle
        s[HOUR_N] += 1.0
    elif at > last_at and profile.turn_hour(s, now, at_middle):
        upkeep.learn_week(s, z)

    kind, score = Kind.NONE, 0.0
    if scores is not NONE:
        score = max(scores)
        if score >= 1.0:
            kind, score = incident.go_on(s, scores, x, k, up=y > x_hi or residual > r_hi or near > n_hi)
        elif score:
            kind, score = incident.name(scores, 0.0, 0.0, k), score * score * score
            if scores[VALUE] or scores[RESIDUAL]:
                incident.creep(s)
    if not total % profile.EVERY:
        profile.step_estimates(s, x)
        if not total % upkeep.EVERY:
            upkeep.round_off(s, y, z, k)
    if same >= same_limit:
        stuck = flat.stuck(s, k)
        if stuck >= 1.0:
            kind, score = Kind.FLATLINE, max(stuck, score)
    if not score:
        return CALM
    if meter:
        return Score(score, kind, (prev + x_lo, prev + x_hi))
    return Score(score, kind, features.expected(s, base))


def _move(s: State, prev: float, x: float, gap_s: float) -> float | None:
    """Take another value than the last one; return what is judged of it, None if nothing is."""
    s[PREV] = x
    if s[SAME] > 1.0:
        flat.end_run(s, prev)
    size = x - prev
    if s[RUN] == 1.0 and nature.was_wild(s, prev, x):
        s[TRAVEL] = max(0.0, s[TRAVEL] - size * size)  # about that of the step to it
    else:
        s[TRAVEL] += size * size
    s[MOVES] += 1.0
    if size > 0.0:
        s[RISES] += 1.0
    else:
        size = -size
        s[nature.fall(prev, x)] += 1.0
    if (size < s[QUANTUM] or not s[QUANTUM]) and size > 1e-9 * abs(x):
        s[QUANTUM] = size
    if s[KINDS] < MANY_KINDS:
        nature.tell_apart(s, x)
    if s[METER]:
        y = nature.step_of(s, prev, x, gap_s)
        if nature.is_plain(s):
            upkeep.begin_again(s, 0.0, x)
            return None
        return y
    if s[TRAIT] and nature.is_refill(s, prev, x):
        upkeep.begin_again(s, 0.0, x)
        return None
    return x


def _beyond(s: State, y: float, residual: float, near: float, k: DetectSettings) -> tuple[list[float], float]:
    """Test value, residual and near record; return the scores, and the residual clipped to the lines."""
    scores, z, base = [0.0] * 6, residual, y - residual
    side = s[IN_A_ROW] if s[RUN] else 0.0
    for feature, value, off in ((VALUE, y, base), (RESIDUAL, residual, 0.0), (NEAR, near, near - residual)):
        low, high = s[RANGE + 2 * feature], s[RANGE + 2 * feature + 1]
        if low <= value <= high:
            continue
        if feature == NEAR and (s[ADOPTED_AT] or (side and (side > 0.0) != (value > high)) or _at_rest(s)):
            continue  # the way back from an incident, or to rest
        line = s[LINE + feature]
        scores[feature] = records.test(s, feature, value, k)
        if scores[feature] >= 1.0:  # the means are spared the rest
            z = min(z, high + line - off) if value > high else max(z, low - line - off)
    return scores, z


def _at_rest(s: State) -> bool:
    return s[PREV] == s[REST] and s[REST_RUN] >= LONG_REST


def _while_busy(
    s: State, scores: list[float], base: float, z: float, k: DetectSettings
) -> tuple[list[float], float]:
    """Go on with incident, drift and a level on probation; return the scores, and what the hour learns."""
    if s[DRIFT] or s[MARK]:
        scores = scores[:]
        scores[SLOW], scores[MEAN] = s[DRIFT], max(scores[MEAN], watermarks.score(s))
    if s[RUN] and max(scores) < 1.0:
        incident.calm_down(s, k)
    if s[ADOPTED_AT]:  # the hour learns of a level on probation no more than of an incident
        for low, high, place, value in ((R_LO, R_HI, ADOPTED + 1, z), (X_LO, X_HI, ADOPTED, base + z)):
            by = s[place]
            if not s[low] - min(by, 0.0) <= value <= s[high] - max(by, 0.0) and base:
                z = 0.0
    return scores, z
