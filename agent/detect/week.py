"""Weekends: a profile of their own for a series that differs clearly then.

The profile of the hours is that of the present kind of day, Saturday and Sunday or the others (UTC). The
other one waits behind the state, which is longer then. A series without such a difference pays three numbers.
"""

from typing import Final

from agent.detect.state import (
    AT,
    BORN_AT,
    HOURS,
    OFF_WEEKDAY,
    OFF_WEEKEND,
    PROFILE,
    SIZE,
    X_HI,
    X_LO,
    State,
)

LONG: Final = SIZE + HOURS + 1  # doubles of a series with weekends: the other profile, and the weeks since
WEEKS: Final = SIZE + HOURS
DAY_S: Final = 86_400.0
KNOWN_S: Final = 21 * DAY_S
MONDAY: Final = 3  # of the first day of 1970, a Thursday, in days after a Monday
SATURDAY: Final = 5
PACE: Final = 0.02  # an hour
CLEAR: Final = 2.0  # times as far from the profile as on working days
WORTH: Final = 0.05  # of the range of the values


def is_weekend(hour: float) -> bool:
    """Return whether an hour since 1970 is on a Saturday or a Sunday."""
    return (hour // HOURS + MONDAY) % 7 >= SATURDAY


def note(state: State, hour: float, off: float) -> None:
    """Take how far the mean of an hour was from the profile."""
    place = OFF_WEEKEND if is_weekend(hour) else OFF_WEEKDAY
    state[place] += (abs(off) - state[place]) * PACE


def turn(state: State, before: float, hour: float) -> bool:
    """Change to the profile of another kind of day; return whether residuals have to be learnt again.

    That is so once, when the first weekend with a profile of its own is over and the working days have lost
    what they had of the weekends.
    """
    was, now = is_weekend(before), is_weekend(hour)
    if was == now:
        return False
    if len(state) == SIZE:
        if was and _differs(state):
            state.extend(state[PROFILE : PROFILE + HOURS])
            state.append(0.0)
        return False
    profile, other = state[PROFILE : PROFILE + HOURS], state[SIZE : SIZE + HOURS]
    state[PROFILE : PROFILE + HOURS], state[SIZE : SIZE + HOURS] = other, profile
    state[WEEKS] += float(was)
    return was and state[WEEKS] == 1.0


def _differs(state: State) -> bool:
    known = state[AT] - state[BORN_AT] >= KNOWN_S
    least = max(CLEAR * state[OFF_WEEKDAY], WORTH * (state[X_HI] - state[X_LO]))
    return known and state[OFF_WEEKEND] > least


def learns_at_once(state: State, hour: float) -> bool:
    """Return whether an hour is the first of its kind: of the first day with a profile for it."""
    return len(state) == LONG and not state[WEEKS] and is_weekend(hour) and not is_weekend(hour - HOURS)


def forget(state: State) -> None:
    """Drop the other profile."""
    del state[SIZE:]
    state[OFF_WEEKDAY] = state[OFF_WEEKEND] = 0.0
