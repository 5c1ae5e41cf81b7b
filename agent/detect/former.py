"""The states of versions before: all that still means the same is kept."""

from math import inf
from typing import Final

from agent.detect import state as places
from agent.detect.features import NOISE, VALUE
from agent.detect.state import FEATURES, HOURS, LINE, RANGE, RECENTS, RECORD, State, blank
from agent.detect.watermarks import begin

SIZES: Final = (126, 128, 149)  # doubles of a series then
_WITHOUT_MARKS: Final = 149  # what it has is at the same places

#: Then and now.
_SAME: Final = (
    (0, places.TOTAL),
    (1, places.PREV),
    (2, places.AT),
    (3, places.HOUR),
    (4, places.QUANTUM),
    (5, places.X_LO),
    (6, places.X_HI),
    (7, places.R_LO),
    (8, places.R_HI),
    (9, places.M),
    (10, places.M_LO),
    (11, places.M_HI),
    (12, places.S),
    (13, places.V),
    (14, places.V_LO),
    (15, places.V_HI),
    (16, places.SAME),
    (17, places.SAME_LIMIT),
    (19, places.KINDS),
    (20, places.METER),
    (21, places.PROFILED),
    (25, places.LAST_Y),
    (26, places.HOUR_SUM),
    (27, places.HOUR_N),
    (29, places.FOLDS),
    (30, places.RANGE + 10),
    (31, places.RANGE + 11),
    (58, places.FLAT_AT),
    (59, places.LONG_RUN),
    (60, places.REST_RUN),
    (61, places.REST),
    (62, places.FIRST),
    (63, places.SECOND),
    (66, places.P01),
    (67, places.P50),
    (68, places.P99),
    (69, places.SPREAD),
    (70, places.UPKEEP_AT),
)
_WARM, _PROFILE, _RECENT, _GAP = 300, 72, 96, 127
_FIRST_RECORD = 0.05  # of the range of a feature that was learnt for long


def translate(old: State) -> State:
    """Return a state of the version before as this version has it; what has no place is learnt again."""
    new = blank()
    if len(old) == _WITHOUT_MARKS:
        new[:_WITHOUT_MARKS] = old
        begin(new, new[places.EVER_LO], new[places.EVER_HI])
        return new
    for then, now in _SAME:
        new[now] = old[then]
    new[places.PROFILE : places.PROFILE + HOURS] = old[_PROFILE : _PROFILE + HOURS]
    new[places.RECENT : places.RECENT + RECENTS] = old[_RECENT : _RECENT + RECENTS]
    if len(old) > _GAP:
        new[places.GAP] = old[_GAP]
    total = new[places.TOTAL]
    new[places.WARM] = float(total >= _WARM)
    # Not known: how often the value moved, and when its days began.
    new[places.MOVES], new[places.FALLS] = max(total / 2.0, 1.0), 1.0
    new[places.RISES] = new[places.MOVES]
    new[places.BORN_AT] = new[places.AT] - 3600.0 * new[places.FOLDS]
    begin(new, new[places.X_LO], new[places.X_HI])
    new[places.ABOVE] = 0.5
    span = new[places.X_HI] - new[places.X_LO]
    new[places.N_LO], new[places.N_HI] = -span, span
    if not new[places.PROFILED]:
        new[places.R_LO], new[places.R_HI] = -places.BIG, places.BIG
    for feature in range(FEATURES):
        new[LINE + feature] = places.BIG if feature in {VALUE, NOISE} else inf
        low, high = new[RANGE + 2 * feature], new[RANGE + 2 * feature + 1]
        new[RECORD + feature] = _FIRST_RECORD * (high - low)
    return new
