"""The record test: how far a value lies beyond the range seen so far, and what the range learns of it."""

from math import inf

from agent.detect.state import (
    M_HI,
    M_LO,
    PEAK,
    R_HI,
    R_LO,
    S_HI,
    S_LO,
    TINY,
    V_HI,
    V_LO,
    X_HI,
    X_LO,
    State,
)

#: Low and high end of each feature's range, in the order of their peaks.
FEATURES = ((X_LO, X_HI), (R_LO, R_HI), (M_LO, M_HI), (V_LO, V_HI), (S_LO, S_HI))
VALUE, RESIDUAL, MEAN, STEP, SLOW = range(5)
#: While warming up a range grows at most so many times its width at once: one wild reading must not blind it.
MAX_WARM_GROWTH = 2.0


def exceed(state: State, feature: int, value: float, share: float, slack: float) -> float:
    """Return how many alarm lines ``value`` lies beyond a feature's range.

    A new record below the alarm line widens the range at once; one at or above it is kept as the incident's
    peak, and the range learns from it when the incident is over.

    Args:
        state: the series.
        feature: index into ``FEATURES``.
        value: the feature's value, outside its range.
        share: the alarm line as a part of the range's width; inf while warming up.
        slack: what is never far, in the unit of the feature.
    """
    low, high = FEATURES[feature]
    lo, hi = state[low], state[high]
    over = value - hi if value > hi else value - lo
    size = abs(over)
    if share == inf:
        most = MAX_WARM_GROWTH * (hi - lo)
        widen(state, feature, over if not most or size <= most else most if over > 0 else -most)
        return 0.0
    line = share * (hi - lo) + slack + TINY
    if size < line:
        state[high if over > 0 else low] = value
        return size / line
    peak = state[PEAK + feature]
    reached = min(size, 2.0 * abs(peak) + line)
    if reached > abs(peak):
        state[PEAK + feature] = reached if over > 0 else -reached
    return min(size / line, 1000.0)


def widen(state: State, feature: int, by: float) -> None:
    """Move the upper end of a feature's range up, or with a negative ``by`` the lower end down."""
    low, high = FEATURES[feature]
    if by > 0:
        state[high] += by
    else:
        state[low] += by


def learn(state: State, shares: tuple[float, ...], slack: float, *, brief: bool) -> None:
    """Widen the ranges by what an incident showed: one alarm line of a brief one, half of a longer one."""
    for feature, share in enumerate(shares):
        peak = state[PEAK + feature]
        if peak:
            low, high = FEATURES[feature]
            line = share * (state[high] - state[low]) + slack
            most = min(abs(peak), line) if brief else 0.5 * abs(peak)
            widen(state, feature, most if peak > 0 else -most)
            state[PEAK + feature] = 0.0


def adopt(state: State) -> None:
    """Take what the incident showed as usual from now on; the means may go wherever the values go."""
    for feature in range(len(FEATURES)):
        peak = state[PEAK + feature]
        if peak:
            widen(state, feature, peak)
            state[PEAK + feature] = 0.0
    low, high = (R_LO, R_HI) if state[R_HI] > state[R_LO] else (X_LO, X_HI)
    for lowest, highest in ((M_LO, M_HI), (S_LO, S_HI)):
        state[lowest] = min(state[lowest], state[low])
        state[highest] = max(state[highest], state[high])


def shrink(state: State, feature: int, value: float, rate: float) -> None:
    """Let a range forget: both ends move towards ``value``, which lies inside, by ``rate`` of the way."""
    low, high = FEATURES[feature]
    lo, hi = state[low], state[high]
    if lo <= value <= hi:
        state[low] = lo + (value - lo) * rate
        state[high] = hi - (hi - value) * rate
