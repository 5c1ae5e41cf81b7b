"""The short way of an unremarkable reading, as nearly all are.

It learns bit for bit what :func:`agent.detect.series.observe` learns of such a reading, with fewer questions:
a *frame* answers those whose answers last, until the next half hour or the next remarkable reading.
"""

from math import inf
from struct import Struct
from typing import TYPE_CHECKING, TypeAlias

from agent.detect import flat, profile, records, upkeep
from agent.detect.features import MANY_KINDS, MEAN, NEGLIGIBLE, NOISE, ends
from agent.detect.nature import RESERVE, ZERO
from agent.detect.state import (
    BUSY,
    HOT,
    HOUR,
    HOUR_SUM,
    HOURS,
    KINDS,
    LINE,
    METER,
    PROFILE,
    PROFILED,
    QUANTUM,
    RANGE,
    RECENT,
    RECENTS,
    RESETS,
    TRAIT,
    State,
)

if TYPE_CHECKING:
    from agent.detect.settings import DetectSettings
    from agent.detect.tracked import Series

HALF_HOUR_S = 1800.0
MAX_STEPS = 4.0  # a step counts at most so many times as much as the mean step ever did
NOISY = 0.06  # and this part of the range more
_UNPACK = Struct(f"{HOT}d").unpack_from
_PACK = Struct(f"{RANGE}d").pack_into  # what comes before the ranges
_SUMS = Struct(f"{RESETS + 1 - HOUR_SUM}d")
_SUMS_AT = 8 * HOUR_SUM  # bytes

#: Until when it holds. Of the usual value: the middle of an hour, in hours since 1970, the value then, and
#: how much it rises until an hour later.
Frame: TypeAlias = tuple[float, float, float, float]


def frame_of(s: State, at: float) -> Frame | None:
    """Return the frame for readings after ``at``; None where each one needs the long way."""
    if s[BUSY] or s[KINDS] < MANY_KINDS or s[METER] or s[TRAIT] == RESERVE:
        return None
    if s[HOUR] != at // 3600.0 or not s[QUANTUM]:
        return None
    until = (at // HALF_HOUR_S + 1.0) * HALF_HOUR_S
    return (until, *profile.slope(s, at)) if s[PROFILED] else (until, 0.0, 0.0, 0.0)


def take(series: "Series", frame: Frame, x: float, at: float, k: "DetectSettings") -> bool:
    """Take a value about which nothing is remarkable; return False, with nothing changed, if something is."""
    s = series.state
    (
        total, prev, last_at, hour, quantum, same, same_limit, _, profiled, _, m, slow, v, _,
        x_lo, x_hi, n_lo, n_hi, r_lo, r_hi, m_lo, m_hi, v_lo, v_hi, _, _,
    ) = _UNPACK(s)  # fmt: skip
    if not x_lo <= x <= x_hi or at < last_at:
        return False
    size = x - prev if x > prev else prev - x
    if size < quantum and (size or same + 1.0 >= same_limit):
        return False
    until, middle, here, rise = frame
    expired = at >= until
    base = profile.usual(s, at) if expired and profiled else here + rise * (at / 3600.0 - middle)
    residual = x - base
    near = residual - m
    if not (r_lo <= residual <= r_hi and n_lo <= near <= n_hi):
        return False
    m += near * k.mean_weight
    most = MAX_STEPS * v_hi + quantum + NOISY * (x_hi - x_lo)
    v += ((min(size, most)) - v) * k.noise_weight
    moved = not (m_lo <= m <= m_hi and v_lo <= v <= v_hi)
    if moved and not (_is_small(s, MEAN, m) and (v < v_lo or _is_small(s, NOISE, v))):
        return False

    hour_sum, hour_n, folds, moves, travel, rises, falls, resets = _SUMS.unpack_from(s, _SUMS_AT)
    if not size:
        same += 1.0
    else:
        if same > 1.0:
            flat.end_run(s, prev)
            same_limit = inf
        same = 1.0
        moves += 1.0
        travel += size * size
        if x > prev:
            rises += 1.0
        elif 0.0 <= x <= ZERO * prev:
            resets += 1.0
        else:
            falls += 1.0
        prev = x
    now = at // 3600.0 if expired else hour
    at_middle = s[PROFILE + int(now) % HOURS] + residual if profiled else residual
    if now == hour:
        hour_sum += at_middle
        hour_n += 1.0
    _SUMS.pack_into(s, _SUMS_AT, hour_sum, hour_n, folds, moves, travel, rises, falls, resets)
    slow += (residual - slow) * k.drift_weight
    _PACK(s, 0, total + 1.0, prev, at, hour, quantum, same, same_limit, 0.0, profiled, 0.0, m, slow, v, x)
    count = int(total)
    s[RECENT + count % RECENTS] = x

    if moved:
        records.test_means(s, k)
    if same == flat.FIRST_TWO:
        flat.begin_run(s, x, last_at, k)
    if now != hour and profile.turn_hour(s, now, at_middle):
        upkeep.learn_week(s, residual)
    if not count % profile.EVERY:
        profile.step_estimates(s, x)
        if not count % upkeep.EVERY:
            upkeep.round_off(s, x, residual, k)
            expired = True
    if expired:
        series.frame = frame_of(s, at)
    return True


def _is_small(s: State, feature: int, mean: float) -> bool:
    """Return whether a mean is in its range, or so little beyond it that it is learnt without a score."""
    low, high = ends(feature)
    most = NEGLIGIBLE * s[LINE + feature]
    return s[low] - most <= mean <= s[high] + most
