"""Places of the numbers of a series in its array.

One flat array of doubles a series: a third of the memory of attributes, and its bytes are the dump.
The numbers that every reading needs come first, so that one step fetches them.
"""

from array import array
from math import inf, nan
from typing import Final, TypeAlias

State: TypeAlias = "array[float]"

HOURS: Final = 24
RECENTS: Final = 30

TOTAL: Final = 0  # readings
PREV: Final = 1  # last value
AT: Final = 2  # event time of the last reading
HOUR: Final = 3  # its hour since 1970
QUANTUM: Final = 4  # smallest step seen, 0 before the first
SAME: Final = 5  # equal values in a row
SAME_LIMIT: Final = 6  # how many of them alarm
METER: Final = 7  # 1: only rises, its steps are judged
PROFILED: Final = 8  # 1: hours of the day are known, residuals are judged
BUSY: Final = 9  # 1: an incident is open, or the drift rule alarms
M: Final = 10  # short mean
S: Final = 11  # slow mean
V: Final = 12  # mean step
LAST_Y: Final = 13  # last judged value: PREV, or the step of a meter
RANGE: Final = 14  # low and high end of each feature's range (2 * 6)
FEATURES: Final = 6
X_LO: Final = 14  # value
X_HI: Final = 15
N_LO: Final = 16  # value less the short mean
N_HI: Final = 17
R_LO: Final = 18  # residual: value less the usual value of the hour
R_HI: Final = 19
M_LO: Final = 20
M_HI: Final = 21
V_LO: Final = 22
V_HI: Final = 23
HOT: Final = RANGE + 2 * FEATURES

# For each feature, in the order of agent.detect.features (6 places each):
LINE: Final = 26  # how far beyond the range the alarm line is; inf: not judged
RECORD: Final = 32  # usual size of a new record
TOP: Final = 38  # how far beyond the range this incident went, signed
SEEN: Final = 44  # of value, near record and residual: how far the last incident went, as a value (3)
ADOPTED: Final = 47  # of value, residual and noise: by how much an adopted level widened it, signed (3)

HOUR_SUM: Final = 50
HOUR_N: Final = 51
FOLDS: Final = 52  # hours folded into the profile
MOVES: Final = 53  # changes of the value
TRAVEL: Final = 54  # sum of their squares
RISES: Final = 55
FALLS: Final = 56  # except those to zero
RESETS: Final = 57  # falls to zero
BEFORE: Final = 58  # of a meter: its value before the last reset
KINDS: Final = 59  # distinct values seen, up to 3
FIRST: Final = 60  # the first two of them
SECOND: Final = 61
WARM: Final = 62  # 1: judged
BORN: Final = 63  # TOTAL when this way of judging began
BORN_AT: Final = 64  # event time of that
MEANT: Final = 65  # TOTAL when residual and means began
RUN: Final = 66  # alarms in this incident, 0 without one
QUIET: Final = 67
IN_A_ROW: Final = 68
CREEP: Final = 69  # records one after the other, each of little weight: the value creeps
CREEP_AT: Final = 70  # TOTAL at the last of them
INCIDENT_AT: Final = 71
INCIDENT_TOP: Final = 72
SEEN_AT: Final = 73  # event time of the last incident
ADOPTED_AT: Final = 74  # event time of the last adoption, 0 when it is settled
BACK_AT: Final = 75  # event time since which the values are back where they were before
DRIFT: Final = 76  # score of the drift rule
FLAT_AT: Final = 77  # event time of the first of the equal values
LONG_RUN: Final = 78  # longest run of equal values, except that of the resting value
REST_RUN: Final = 79
REST: Final = 80
FLAT_TOLD: Final = 81  # event time of the first alarm of a stuck value
EVER_LO: Final = 82  # all that was seen until half a day ago
EVER_HI: Final = 83
P01: Final = 84
P50: Final = 85
P99: Final = 86
SPREAD: Final = 87
UPKEEP_AT: Final = 88
GAP: Final = 89  # of a meter: usual seconds between two readings
TRAIT: Final = 90  # from the metric's name: see agent.detect.nature
MEANT_MOVES: Final = 91  # MOVES when residual and means began
ABOVE: Final = 92  # part of the readings in the upper half of the range
MATES: Final = 93  # series of its device that are judged
RETURNS: Final = 94  # incidents since SEEN_AT, with it
PROFILE: Final = 95  # usual value per hour of the day, UTC (24)
RECENT: Final = PROFILE + HOURS  # ring of the last values (30)
HOURLY_LO: Final = RECENT + RECENTS  # the highest of the lowest values of all hours, half a day ago
HOURLY_HI: Final = HOURLY_LO + 1  # the lowest of the highest
LATER: Final = HOURLY_LO + 2  # the four marks of agent.detect.watermarks, as they are known next (4)
NEWEST: Final = HOURLY_LO + 6  # and as they are now (4)
MARKED_AT: Final = HOURLY_LO + 10  # event time when the marks moved last
SPAN_AT: Final = HOURLY_LO + 11  # event time when this half hour began
SPAN_LO: Final = HOURLY_LO + 12  # its lowest and highest value
SPAN_HI: Final = HOURLY_LO + 13
WAS_LO: Final = HOURLY_LO + 14  # of the half hour before
WAS_HI: Final = HOURLY_LO + 15
MARK: Final = HOURLY_LO + 16  # score of the marks
SWINGS: Final = HOURLY_LO + 17  # half hours in which the value went far
TURNS: Final = HOURLY_LO + 18  # of the marks
OFF_WEEKDAY: Final = HOURLY_LO + 19  # how far the means of its hours are usually from the profile
OFF_WEEKEND: Final = HOURLY_LO + 20
SETTLED: Final = HOURLY_LO + 21  # FOLDS after which the residual alone is judged
CHECKED_AT: Final = HOURLY_LO + 22  # of an incident: event time when its level was looked at last,
CHECKED: Final = HOURLY_LO + 23  # and the level then
SIZE: Final = HOURLY_LO + 24

BIG: Final = 1e150  # values are judged as if no farther from zero, so that no difference overflows
TINY: Final = 1e-300


def blank() -> State:
    """Return the state of a series that has seen nothing."""
    state = array("d", [0.0]) * SIZE  # made of bytes it would be a tenth larger
    state[SAME_LIMIT] = inf
    state[SETTLED] = 2.0 * HOURS
    for feature in range(FEATURES):
        state[LINE + feature] = inf
    state[PROFILE:RECENT] = array("d", [nan] * HOURS)
    return state
