"""Cheap streaming estimates of median, 1 % and 99 % and spread, for the prompt and the page."""

from statistics import median

from agent.detect.state import P01, P50, P99, RECENT, RECENTS, SPREAD, State

EVERY = 4  # readings between two steps
PACE = 0.02  # of the spread: the median's step
TAIL = 0.01  # of the readings lie beyond the outer quantiles
TAIL_PACE = 0.5
ABS_TO_SD = 1.2533  # sd / mean absolute deviation of a normal distribution
FORGET = 0.01
MAX_SPREADS = 5.0  # a reading farther away than this counts as if it were no farther


def begin(state: State) -> None:
    """Set the estimates from the first 30 readings."""
    first = sorted(state[RECENT : RECENT + RECENTS])
    middle = median(first)
    state[P01], state[P50], state[P99] = first[0], middle, first[-1]
    state[SPREAD] = sum(abs(value - middle) for value in first) / RECENTS


def step(state: State, value: float) -> None:
    """Move the estimates a little towards what ``value`` says (stochastic approximation)."""
    middle, spread = state[P50], state[SPREAD]
    off = abs(value - middle)
    limit = MAX_SPREADS * spread
    state[SPREAD] = spread + ((limit if spread and off > limit else off) - spread) * FORGET
    if value > middle:
        state[P50] = middle + PACE * spread
    elif value < middle:
        state[P50] = middle - PACE * spread
    pace = TAIL_PACE * spread
    state[P99] += pace * (1.0 - TAIL) if value > state[P99] else -pace * TAIL
    state[P01] -= pace * (1.0 - TAIL) if value < state[P01] else -pace * TAIL
