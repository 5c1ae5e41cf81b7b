"""The record test: how far a value is beyond the range so far, and learning."""

from math import inf

from agent.detect.state import (
    INCIDENT_AT,
    M_HI,
    M_LO,
    PEAK,
    R_HI,
    R_LO,
    S_HI,
    S_LO,
    SEEN,
    SEEN_AT,
    TINY,
    TOP,
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
#: A mean creeps, so its range follows a new record by this part a reading; a value's range follows at once.
FOLLOW = 0.02
NEGLIGIBLE = 0.2  # of an alarm line: not worth a score
ANOTHER_DAY_S = 12 * 3600.0


def exceed(state: State, feature: int, value: float, share: float, slack: float) -> float:
    """Return how many alarm lines ``value`` is beyond a feature's range.

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
        if feature < MEAN:
            widen(state, feature, over)
            return size / line
        widen(state, feature, over * FOLLOW)
        return size / line if size > NEGLIGIBLE * line else 0.0
    peak = abs(state[PEAK + feature])
    reached = min(size, 2.0 * peak + line)
    if reached > peak:
        state[PEAK + feature] = reached if over > 0 else -reached
    if size > abs(state[TOP + feature]):
        state[TOP + feature] = over
    return min(size / line, 1000.0)


def widen(state: State, feature: int, by: float) -> None:
    """Move the upper end of a feature's range up, or with a negative ``by`` the lower end down."""
    low, high = FEATURES[feature]
    if by > 0:
        state[high] += by
    else:
        state[low] += by


def learn(state: State, shares: tuple[float, ...], slack: float, *, brief: bool) -> None:
    """Widen the ranges by the values of an incident.

    One alarm line of a brief incident, half of a longer one; and as far as it has now gone on two days,
    because what comes back another day is usual.
    """
    at = state[INCIDENT_AT]
    for feature, share in enumerate(shares):
        peak, top = state[PEAK + feature], state[TOP + feature]
        if not peak:
            continue
        low, high = FEATURES[feature]
        line = share * (state[high] - state[low]) + slack
        most = min(abs(peak), line) if brief else 0.5 * abs(peak)
        place = high if top > 0 else low
        now, before = state[place] + top, state[SEEN + feature]
        edge = state[place] + (most if peak > 0 else -most)
        if abs(at - state[SEEN_AT + feature]) >= ANOTHER_DAY_S and state[SEEN_AT + feature]:
            edge = max(edge, min(now, before)) if top > 0 else min(edge, max(now, before))
        state[place] = edge
        state[SEEN + feature], state[SEEN_AT + feature] = now, at
        state[PEAK + feature] = state[TOP + feature] = 0.0


def adopt(state: State) -> None:
    """Take what the incident showed as usual from now on; the means may go wherever the values go."""
    for feature in range(len(FEATURES)):
        peak = state[PEAK + feature]
        if peak:
            widen(state, feature, peak)
            state[PEAK + feature] = state[TOP + feature] = 0.0
    low, high = (R_LO, R_HI) if state[R_HI] > state[R_LO] else (X_LO, X_HI)
    for lowest, highest in ((M_LO, M_HI), (S_LO, S_HI)):
        state[lowest] = min(state[lowest], state[low])
        state[highest] = max(state[highest], state[high])


def shrink(state: State, feature: int, value: float, rate: float) -> None:
    """Let a range forget: both ends move towards ``value``, inside the range, by ``rate`` of the way."""
    low, high = FEATURES[feature]
    lo, hi = state[low], state[high]
    if lo <= value <= hi:
        state[low] = lo + (value - lo) * rate
        state[high] = hi - (hi - value) * rate
