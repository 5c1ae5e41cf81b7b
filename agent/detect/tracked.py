"""One tracked series: its numbers, its limit, and the unit of its numbers.

A reading in another unit of the same dimension is converted. In a unit that nothing converts, one reading is
not judged; with the second in a row the series begins again, since what it learnt does not hold any more.
"""

from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING

from agent.detect.company import Hourly
from agent.detect.features import USE
from agent.detect.limits import Bounds, Limit
from agent.detect.nature import trait_of
from agent.detect.settings import SENSITIVITY
from agent.detect.state import (
    MATES,
    METER,
    PREV,
    PROFILED,
    QUANTUM,
    RECENT,
    RECENTS,
    TOTAL,
    TRAIT,
    WARM,
    X_HI,
    X_LO,
    M,
    State,
    blank,
)
from agent.detect.tuning import UNTUNED, Tuning
from agent.domain.metric_names import MetricClass, is_alarm, look_up
from agent.domain.records import Reading
from agent.domain.units import SAME, Conversion, conversion

if TYPE_CHECKING:
    from agent.detect.calm import Frame
    from agent.detect.presence import Presence

STEPS = 4.0  # a first reading with a unit fits the last one without if it is so many of the recent steps away
CLOSE = 0.02  # or so much of the value
SMALL = 0.02  # of the largest value: W and kW look the same so close to zero
NO_UNIT = ""

Said = tuple[float, str]
# Device, metric, unit, pending unit, as sent, and the word behind the last value.
Odd = tuple[str, str, str | None, str | None, Said | None, str | None]


class Series:
    """One tracked series. ``seen`` is the count of all readings when it was last seen."""

    __slots__ = (
        "alarm",
        "bounds",
        "diagnostic",
        "frame",
        "hourly",
        "ignored",
        "limit",
        "metric",
        "odd",
        "pending",
        "presence",
        "said",
        "seen",
        "sensitivity",
        "state",
        "tuning",
        "unit",
        "uses",
        "was",
        "word",
    )

    def __init__(self, metric: str, unit: str | None, limit: Limit | None, tuning: Tuning = UNTUNED) -> None:
        self.metric = metric
        self.unit = unit
        self.seen = 0
        self.state: State = blank()
        self.was: str | None = None  # the unit before it began again, NO_UNIT without one
        self.pending: str | None = None  # the foreign unit of the last reading
        self.said: Said | None = None  # the last reading as sent, if it was converted
        self.word: str | None = None  # behind the last value
        self.frame: Frame | None = None  # of the short way, None while each reading needs the long one
        self.odd = False  # whether the last reading was one of these
        self.hourly: Hourly | None = None  # since the hours of the day are known
        self.presence: Presence | None = None  # since the first full hour
        self.diagnostic = look_up(metric).kind is not MetricClass.READING
        self.alarm = is_alarm(metric)
        self.hold(limit)
        self.tune(tuning)
        self.nature()

    def tune(self, tuning: Tuning) -> None:
        """Take the rule that holds for the series from now on."""
        self.tuning = tuning
        self.frame = None
        self.ignored = tuning.ignore
        self.sensitivity = SENSITIVITY[tuning.sensitivity]  # the alarm lines are so many times as far

    def nature(self) -> None:
        """Note in the state the traits that follow from the metric's name."""
        self.state[TRAIT] = trait = trait_of(self.metric)
        self.uses = trait == USE

    def hold(self, limit: Limit | None) -> None:
        """Take the limit that holds for the series from now on."""
        self.limit = limit
        self.frame = None
        self.bounds: Bounds | None = None if limit is None else limit.bounds(self.unit)

    def agree(self, reading: Reading) -> Conversion | None:
        """Return the way from a reading's unit to that of the series, None if the reading cannot be judged.

        The series may begin again, or take the unit for its own.
        """
        given, unit = reading.unit, self.unit
        self.said = None
        if given is None or given == unit:
            self.pending, self.odd = None, False
            return SAME
        way = self._first_unit(given, reading.value) if unit is None else conversion(given, unit)
        if way is not None and isfinite(way.apply(reading.value)):
            self.pending, self.odd = None, way is not SAME
            if way is not SAME:
                self.said = (reading.value, given)
            return way
        if self.pending != given:
            self.pending, self.odd = given, True
            return None
        self._begin_again(given)
        return SAME

    def _first_unit(self, given: str, value: float) -> Conversion | None:
        """Take the unit of a series that had none, if the value goes on from the last one."""
        fit = _goes_on(self.state, value)
        if fit:
            self.unit = given
            self.hold(self.limit)
        return None if fit is False else SAME

    def _begin_again(self, unit: str) -> None:
        self.was, self.unit = self.unit or NO_UNIT, unit
        self.pending, self.odd = None, False
        mates = self.state[MATES]
        self.state = blank()
        self.hourly = None
        self.state[MATES] = mates
        self.nature()
        self.hold(self.limit)

    def note_hour(self, hour: int) -> None:
        """Note the level at the begin of an hour, once the hours of the day are known."""
        level = self.state[M]
        if not (self.judged and self.state[PROFILED] and isfinite(level)):
            return
        if self.hourly is None:
            self.hourly = Hourly(hour, level)
        else:
            self.hourly.note(hour, level)

    @property
    def judged(self) -> bool:
        """Whether its values are judged, or only against a limit."""
        return not (self.diagnostic or self.ignored)

    @property
    def plain(self) -> bool:
        """Whether the score of a calm value is CALM, with nothing else in it."""
        return not (
            self.odd or self.alarm or self.ignored or (self.limit is not None and self.bounds is None)
        )

    @property
    def learning(self) -> bool:
        """Whether it is to be judged but is not yet."""
        return not self.state[WARM] and self.judged


def _goes_on(state: State, value: float) -> bool | None:
    """Return whether a value has the size of those before it, None if it is too small to decide."""
    seen = int(state[TOTAL])
    recent = state[RECENT : RECENT + min(seen, RECENTS)]
    start = seen % RECENTS if seen > RECENTS else 0
    steps = max((abs(b - a) for a, b in pairwise(recent[start:] + recent[:start])), default=0.0)
    last = state[PREV]
    reach = max(STEPS * steps, CLOSE * abs(last), 2.0 * state[QUANTUM])
    low, high = state[X_LO], state[X_HI]
    if not state[METER] and low - reach <= value <= high + reach and abs(value) < SMALL * max(-low, high):
        return None
    return abs(value - last) <= reach
