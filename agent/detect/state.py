"""Places of the numbers of a series in its array.

One flat array of doubles a series: a third of the memory of attributes, and its bytes are the dump.
The numbers that every reading needs come first, so that one step fetches them.
"""

import re
from array import array
from math import inf, nan
from typing import Final, TypeAlias

State: TypeAlias = "array[float]"

TOTAL: Final = 0  # readings
PREV: Final = 1  # last value
AT: Final = 2  # event time of the last reading
HOUR: Final = 3  # its hour since 1970
QUANTUM: Final = 4  # smallest step seen, 0 before the first
X_LO: Final = 5  # range of the value
X_HI: Final = 6
R_LO: Final = 7  # range of the residual: value less the usual value of the hour
R_HI: Final = 8
M: Final = 9  # short mean and its range
M_LO: Final = 10
M_HI: Final = 11
S: Final = 12  # slow mean
V: Final = 13  # mean step and its range
V_LO: Final = 14
V_HI: Final = 15
SAME: Final = 16  # equal values in a row
SAME_LIMIT: Final = 17  # how many of them alarm
RUN: Final = 18  # alarms in this incident, 0 without one
KINDS: Final = 19  # distinct values seen, up to 3
COUNTER: Final = 20  # 1: only rises, its steps are judged
PROFILED: Final = 21  # 1: hours of the day are known, residuals are judged
YOUNG_X: Final = 22  # how much farther the alarm line is for values and steps; inf: warming up
YOUNG_Z: Final = 23  # the same for residual and means
DRIFT: Final = 24  # score of the drift rule
LAST_Y: Final = 25  # last judged value: PREV, or the step of a counter
HOT: Final = 26

HOUR_SUM: Final = 26
HOUR_N: Final = 27
Z_N: Final = 28  # readings that residual and means have seen
FOLDS: Final = 29  # hours folded into the profile
S_LO: Final = 30  # range of the slow mean, as it was some blocks ago
S_HI: Final = 31
PEAK: Final = 32  # + feature: how far beyond its range this incident went for more than a moment, signed (5)
TOP: Final = 37  # + feature: how far it went at all (5)
SEEN: Final = 42  # + feature: how far the last incident went, as a value (5)
SEEN_AT: Final = 47  # + feature: event time of that (5)
IN_A_ROW: Final = 52
QUIET: Final = 53
CREEP: Final = 54  # records one after the other, each of little weight: the value creeps
CREEP_AT: Final = 55  # TOTAL at the last of them
INCIDENT_AT: Final = 56
INCIDENT_TOP: Final = 57
FLAT_AT: Final = 58  # event time of the first of the equal values
LONG_RUN: Final = 59  # longest run of equal values, except that of the resting value
REST_RUN: Final = 60
REST: Final = 61
FIRST: Final = 62  # the first two distinct values
SECOND: Final = 63
RISES: Final = 64
FALLS: Final = 65
P01: Final = 66
P50: Final = 67
P99: Final = 68
SPREAD: Final = 69
UPKEEP_AT: Final = 70
BORN: Final = 71  # TOTAL when this way of judging began
PROFILE: Final = 72  # usual value per hour of the day, UTC (24)
RECENT: Final = 96  # ring of the last values (30)
HOURS: Final = 24
RECENTS: Final = 30
RESERVE: Final = RECENT + RECENTS  # 1: what is left of a battery, its rises are none of our business
GAP: Final = RESERVE + 1  # of a counter: usual seconds between two readings
SIZE: Final = GAP + 1
OLD_SIZE: Final = RESERVE  # of states that know nothing of the last two

BIG: Final = 1e150  # values are judged as if no farther from zero, so that no difference overflows
TINY: Final = 1e-300

_WORDS = re.compile(r"[a-z]+")
_RESERVES = frozenset({"battery", "batt", "bat", "vbat", "vbatt", "accu", "akku"})


def blank() -> State:
    """Return the state of a series that has seen nothing."""
    state = array("d", bytes(8 * SIZE))
    state[SAME_LIMIT] = state[YOUNG_X] = state[YOUNG_Z] = inf
    state[PROFILE:RECENT] = array("d", [nan] * HOURS)
    return state


def is_reserve(metric: str) -> bool:
    """Return whether ``metric`` is the charge of a battery: it rests for days and rises at once."""
    return not _RESERVES.isdisjoint(_WORDS.findall(metric.casefold()))
