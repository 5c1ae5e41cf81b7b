"""Series that fall away while other values of their device go on.

It is looked at once an hour, at the device's first message in it: an hour in which a device sends nothing
counts for none of its series. Only a series that came regularly for long is missed.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from agent.detect.features import MANY_KINDS
from agent.detect.state import AT, BORN, BORN_AT, FLAT_AT, KINDS, PREV, SAME, TOTAL, X_HI, X_LO
from agent.domain.metric_names import is_of_health
from agent.domain.records import Absence

if TYPE_CHECKING:
    from agent.detect.tracked import Series

KNOWN_HOURS = 24  # of its device, in which a series came regularly, ...
KNOWN_READINGS = 100  # ... and so many readings: then it is missed
AGAIN = 4  # times as many hours, for each time that it was gone and came back: it may be its nature
LONGER = 4  # times its longest absence, and a day: then that is not its nature
MAX_GONE = 8
IRREGULAR = 12  # hours of regularity that one without costs
MAX_MORE = 168  # hours of regularity that count beyond those that are needed
MISSED = 2  # hours of its device without it
FELLOWS = 5  # readings that another series had in them at least
SLACK = 10  # the number of readings in an hour may differ by one in so many, and by one
AROUND_S = 1800.0  # what changed so close to its last reading has to do with its end
MAX_STILL = 64  # series without many values that may be new names
PRESENT, DUE, REPORTED, BACK, NEVER = range(5)  # NEVER: to a person it is usual


class Presence:
    """How regularly one series comes, by the hours of its device."""

    __slots__ = ("count", "doubt", "gone", "hours", "missed", "others", "state", "total", "longest", "known")  # noqa: RUF023 - as dumped, new ones last

    def __init__(self, total: float = 0.0) -> None:
        self.total = total  # readings at the last look
        self.count = 0  # in the last hour in which it came
        self.doubt = 0  # hours that this one costs if it comes again: it may have ended within
        self.hours = 0  # in which it came regularly
        self.missed = 0  # hours without it since then
        self.others = 0  # readings of another series in these
        self.gone = 0  # times that it came back
        self.state = PRESENT
        self.longest = 0  # hours without it before it came back
        self.known = False  # whether it was ever regular

    @property
    def regular(self) -> bool:
        """Whether it would be missed."""
        return self.total >= KNOWN_READINGS and self.hours >= self._needed

    @property
    def overdue(self) -> bool:
        """Whether an absence is to be reported: it may be the nature of the series, but not for so long."""
        return self.regular or self.missed >= max(KNOWN_HOURS, LONGER * self.longest)

    @property
    def _needed(self) -> int:
        return int(KNOWN_HOURS * AGAIN**self.gone)

    def come(self, count: int, others: Sequence[int], *, next_hour: bool) -> None:
        """Take an hour with readings; ``others`` are the counts of all series of the device, sorted."""
        if self.missed >= MISSED:
            self.gone, self.hours = min(self.gone + 1, MAX_GONE), 0
            self.longest = max(self.longest, self.missed)
        in_step = _has_near(others, count) or (next_hour and _near(count, self.count))
        hours = self.hours + in_step - self.doubt - (IRREGULAR if self.missed else 0)
        self.hours = min(max(0, hours), self._needed + MAX_MORE)
        self.known = self.known or self.regular
        self.doubt = 0 if in_step else IRREGULAR
        self.count, self.missed, self.others = count, 0, 0
        if self.state != NEVER:
            self.state = BACK if self.state == REPORTED else PRESENT

    def miss(self, others: int) -> bool:
        """Take an hour without a reading; return whether a series that is known has been away for long."""
        self.missed += 1
        self.others += others
        long = self.missed >= MISSED and self.others >= FELLOWS
        return long and self.state in (PRESENT, BACK) and (self.known or self.regular)

    def dump(self) -> list[Any]:
        """Return the state as JSON values."""
        return [getattr(self, name) for name in self.__slots__]

    @classmethod
    def load(cls, values: Sequence[Any]) -> "Presence":
        """Take back what :meth:`dump` gave."""
        one = cls()
        for name, value in zip(cls.__slots__, values, strict=False):  # a former version has fewer
            setattr(one, name, value)
        return one


class Reasons:
    """Series of a device that changed their state or began: what ends with them has not failed.

    The colour of a lamp is not sent while it is off, and a metric may be renamed. A report
    of a fault does not count, nor a series that has fallen away as well.
    """

    def __init__(self, known: Iterable["Series"], counts: Iterable[int]) -> None:
        self._switched: list[float] = []
        self._began: list[float] = []
        self._still: list[tuple[float, float]] = []  # began, the last of one or two values
        for series, count in zip(known, counts, strict=True):
            state, presence = series.state, series.presence
            away = presence is not None and presence.known and not count
            if away or is_of_health(series.metric):
                continue
            if 1.0 < state[KINDS] < MANY_KINDS or not state[PREV]:
                self._switched.append(state[FLAT_AT] if state[SAME] > 1.0 else state[AT])
            if state[BORN]:
                continue
            if state[KINDS] >= MANY_KINDS:
                self._began.append(state[BORN_AT])
            elif len(self._still) < MAX_STILL:
                self._still.append((state[BORN_AT], state[PREV]))
        self._switched.sort()
        self._began.sort()

    def explain(self, series: "Series") -> bool:
        """Return whether one of them goes with the last reading of a series."""
        state = series.state
        end = state[AT]
        if _is_around(self._switched, end) or _is_around(self._began, end):
            return True
        return any(
            abs(at - end) < AROUND_S and state[X_LO] <= value <= state[X_HI] for at, value in self._still
        )


def look(metrics: Iterable["Series"], *, next_hour: bool) -> bool:
    """Note which series of a device came in the last hour; return whether one has fallen away.

    ``next_hour``: the device was looked at an hour ago. It is due to be reported then.
    """
    known = list(metrics)
    counts = [_count(series) for series in known]
    others, most = sorted(counts), max(counts, default=0)
    found, reasons = False, None
    for series, count in zip(known, counts, strict=True):
        presence = series.presence
        if presence is None:
            series.presence = Presence(series.state[TOTAL])
            continue
        presence.total = series.state[TOTAL]
        if count:
            presence.come(count, others, next_hour=next_hour)
        elif most and presence.miss(most):
            reasons = reasons or Reasons(known, counts)
            if reasons.explain(series) or not _is_judged(series):
                presence.state = REPORTED
            elif presence.overdue:
                presence.state, found = DUE, True
    return found


def take_due(metrics: Iterable["Series"]) -> Iterator[Absence]:
    """Yield the series of a device that are due to be reported, once each."""
    for series in metrics:
        presence, state = series.presence, series.state
        if presence is not None and presence.state == DUE:
            presence.state = REPORTED
            yield Absence(series.metric, state[AT], state[PREV], series.unit)


def absent(metrics: Iterable["Series"]) -> list[str]:
    """Return the metrics that have fallen away, or came back within the last hours."""
    return [
        series.metric
        for series in metrics
        if series.presence is not None and series.presence.state in (REPORTED, BACK)
    ]


def allow(series: "Series") -> None:
    """Take it as usual that a series falls away."""
    if series.presence is not None:
        series.presence.state = NEVER


def is_due(metrics: Iterable["Series"]) -> bool:
    """Return whether a series of a device is due to be reported."""
    return any(series.presence is not None and series.presence.state == DUE for series in metrics)


def _count(series: "Series") -> int:
    """Return how many readings a series had since the last look; it may have begun again."""
    before = 0.0 if series.presence is None else series.presence.total
    total = series.state[TOTAL]
    return int(total - before if total >= before else total)


def _is_judged(series: "Series") -> bool:
    """Whether a series has values that are measured, rather than states."""
    return series.judged and not series.alarm and series.state[KINDS] >= MANY_KINDS


def _is_around(times: Sequence[float], end: float) -> bool:
    """Return whether one of the sorted times is close to the end of a series."""
    place = bisect_right(times, end - AROUND_S)
    return place < len(times) and times[place] < end + AROUND_S


def _near(one: int, other: int) -> bool:
    return abs(one - other) <= max(1, one // SLACK)


def _has_near(counts: Sequence[int], count: int) -> bool:
    """Return whether a series has about as many readings as this one, which is among them."""
    place = bisect_left(counts, count)
    before = counts[place - 1] if place else -inf
    after = counts[place + 1] if place + 1 < len(counts) else inf
    return min(count - before, after - count) <= max(1, count // SLACK)
