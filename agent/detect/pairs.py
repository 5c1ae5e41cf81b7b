"""Pairs of series of one device, and how they part while each stays in its range.

A device is looked at some times an hour, not at each reading. The mean levels of an hour feed the regression
of each two of its series. Where one explains the other, the rest that it leaves has a range; hours beyond it
in a row are a finding, whatever the values are.
"""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import combinations
from math import inf
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agent.detect.features import DIRECTION, MANY_KINDS
from agent.detect.profile import usual
from agent.detect.state import (
    BUSY,
    KINDS,
    METER,
    PROFILED,
    QUANTUM,
    SAME,
    SAME_LIMIT,
    TOTAL,
    TRAIT,
    WARM,
    X_HI,
    X_LO,
    M,
)  # fmt: skip

if TYPE_CHECKING:
    from agent.detect.tracked import Series

LOOK_S: Final = 600.0  # between two looks
HOUR_S: Final = 3600.0
MOST_SERIES: Final = 12  # of a device, all of which are compared
BIG: Final = 1e70  # larger levels are not compared: no square of one overflows
KNOWN_HOURS: Final = 72  # that two series share before they are a pair
CLOSE: Final = 0.9  # part of one that the other explains: with so much they become a pair
LOOSE: Final = 0.8  # below it they are none any more
MEMORY: Final = 336.0  # hours of the regression
FIRST_HOURS: Final = 144  # of a pair, which are not judged: what comes once a week is news before
SHARE: Final = 0.3  # of the width of the rest: the alarm line beyond it
YOUNG_DAYS: Final = 1.0  # it is 1 + 1/days times as far
FLOOR: Final = 0.02  # of the width of the series: what the rest may always do
FOLLOW: Final = 0.05  # part of a small record that the range takes in an hour
SHRINK: Final = 0.0014  # of the way in an hour: a half-life of three weeks
ALARM_HOURS: Final = 3  # in a row beyond the line
CALM_HOURS: Final = 3  # in a row within it, which end that
KEEP_HOURS: Final = 72  # after which a parting is usual, and is so for good after as many more
BACK_HOURS: Final = 24  # as before, after which it lapses
SURE: Final = 1.01  # a parting that lasts scores a little above the line
MOST: Final = 2.9  # and never critical
SUSPICION: Final = 0.99  # the highest score of fewer hours
LINK_HOURS: Final = 6  # between two looks for partners
SUMS: Final = 6  # of a series: readings; sums of levels, looks and remarkable ones; slack, strictness
_MOMENTS: Final = Struct("6d")  # of each two series: hours, both means, both variances, covariance
_UNPACK, _PACK = _MOMENTS.unpack_from, _MOMENTS.pack_into


class Level(NamedTuple):
    """A series at a look."""

    value: float
    total: float  # readings so far
    plain: bool  # nothing else is remarkable about it
    slack: float  # what its rest may always do
    strictness: float  # its alarm lines are so many times as far


class Parting(NamedTuple):
    """Two series that have parted, or may have."""

    metric: str
    level: float  # mean of the last hour
    partner: str
    given: float  # level of the partner
    low: float  # usual with that
    high: float
    score: float
    since: int  # hour


class Link:
    """A pair: what ``metric`` usually leaves of the regression on ``partner``."""

    __slots__ = (
        "by", "calm", "first", "given_high", "given_low", "high", "hours", "kept", "last", "low", "metric",
        "out", "partner", "since", "top",
    )  # fmt: skip

    def __init__(self, metric: str, partner: str) -> None:
        self.metric, self.partner = metric, partner
        self.low, self.high = inf, -inf  # of the rest
        self.given_low, self.given_high = inf, -inf  # of the partner
        self.hours = 0  # that it knows
        self.out = 0  # hours beyond the line in a row
        self.calm = 0  # hours within it since then
        self.since = 0  # first hour beyond it
        self.top = 0.0  # how far beyond it was then, signed
        self.by = 0.0  # by how much a parting that lasted has widened it, signed
        self.kept = 0  # hours since then
        self.last = 0.0  # score of the last hour
        self.first = 0  # hour of the first rest

    def dump(self) -> list[Any]:
        """Return the state as JSON values."""
        return [getattr(self, name) for name in self.__slots__]

    @classmethod
    def load(cls, values: Sequence[Any]) -> "Link":
        """Take back what :meth:`dump` gave."""
        one = cls("", "")
        for name, value in zip(cls.__slots__, values, strict=True):
            setattr(one, name, value)
        return one

    def line(self, slack: float, hour: int, strictness: float) -> float:
        """Return how far beyond the range the alarm line is."""
        days = max(1.0, (hour - self.first) / 24.0)
        width = self.high - self.low - abs(self.by)
        return strictness * (SHARE * width * (1.0 + YOUNG_DAYS / days) + slack)

    def judge(self, rest: float, given: float, line: float, hour: int) -> float:
        """Return how many alarm lines a rest is beyond its range, 0 where it is not judged; learn from it."""
        known = self.given_low <= given <= self.given_high
        if self.out and not known:
            if abs(hour - self.since) < KEEP_HOURS:
                return 0.0  # what has parted teaches nothing there
            self.allow()
        self.given_low, self.given_high = min(self.given_low, given), max(self.given_high, given)
        if not self.hours:
            self.first = hour
        self.hours += 1
        over = max(0.0, rest - self.high) or min(0.0, rest - self.low)
        if self.hours <= FIRST_HOURS or not known:  # with values that are new, so is the rest
            self.low, self.high = min(self.low, rest), max(self.high, rest)
            return 0.0
        score = abs(over) / line
        if score >= 1.0:
            self.since = self.since if self.out else hour
            self.out += 1
            self.calm = 0
            self.top = over if abs(over) > abs(self.top) else self.top
            if self.out >= KEEP_HOURS:
                self._widen(self.top)
                self.by, self.kept, self.calm, self.out, self.top = self.top, 0, 0, 0, 0.0
            return score
        if self.out:
            self.calm += 1
            if self.calm >= CALM_HOURS or self.out < ALARM_HOURS:
                self._widen(max(-line, min(self.top, line)))
                self.out, self.top = 0, 0.0
            return score
        if self.by:
            self._probe(rest, line)
        elif over:
            self._widen(over * FOLLOW)
        else:
            self.low += (rest - self.low) * SHRINK
            self.high -= (self.high - rest) * SHRINK
        return score

    def allow(self) -> None:
        """Take it as usual how far the two have parted."""
        self._widen(self.top)
        self.out, self.top = 0, 0.0

    def _probe(self, rest: float, line: float) -> None:
        """Keep a parting that became usual, or take it back when the two are together again."""
        self.kept += 1
        back = self.low - min(self.by, 0.0) - line <= rest <= self.high - max(self.by, 0.0) + line
        self.calm = self.calm + 1 if back else 0
        if self.calm >= BACK_HOURS:
            if self.by > 0.0:
                self.high -= max(0.0, self.by - line)
            else:
                self.low -= min(0.0, self.by + line)
            self.by = 0.0
        elif self.kept >= KEEP_HOURS and not back:
            self.by = 0.0

    def _widen(self, by: float) -> None:
        if by > 0.0:
            self.high += by
        else:
            self.low += by


class Pairs:
    """The series of one device, of which each two are compared."""

    __slots__ = ("due", "hour", "links", "means", "moments", "names", "parted")

    def __init__(self) -> None:
        self.due = 0.0  # event time of the next look
        self.hour = 0  # of the last look, since 1970
        self.names: list[str] = []
        self.means = array("d")  # of this hour, SUMS for each series
        self.moments = array("d")  # of each two series, those of the second one together
        self.links: list[Link] = []
        self.parted: dict[str, Parting] = {}  # in the last hour, by metric

    def take(self, at: float, levels: Mapping[str, Level]) -> bool:
        """Take the levels of a look; return whether an hour was over."""
        self.due, hour = (at // LOOK_S + 1.0) * LOOK_S, int(at // HOUR_S)
        turned = bool(self.hour) and hour > self.hour
        if turned:
            self._turn(self.hour)
            if (hour - 1) // LINK_HOURS > (self.hour - 1) // LINK_HOURS:
                self._link()
        self.hour = hour
        for name, level in levels.items():
            if name not in self.names:
                self._meet(name)
            place = SUMS * self.names.index(name)
            total, means = level.total, self.means
            if total < means[place]:
                self._forget(name)
            if total != means[place]:
                means[place] = total
                means[place + 1] += level.value
                means[place + 2] += 1.0
                means[place + 3] += not level.plain
                means[place + 4], means[place + 5] = level.slack, level.strictness
        return turned

    def has_room(self, levels: Mapping[str, Level]) -> bool:
        """Return whether no more series than can be compared have come, with those that fell away."""
        return len(levels.keys() | set(self.names)) <= MOST_SERIES

    def tell(self, metric: str) -> Parting | None:
        """Return how a series has parted, for its next reading; a suspicion is returned once."""
        one = self.parted.get(metric)
        if one is not None and one.score < 1.0:
            del self.parted[metric]
        return one

    def partners(self, metric: str) -> tuple[str, ...]:
        """Return the series that go with one."""
        both = [(link.metric, link.partner) for link in self.links]
        return tuple(two if one == metric else one for one, two in both if metric in (one, two))

    def allow(self, metric: str) -> None:
        """Take it as usual how a series has parted."""
        self.parted.pop(metric, None)
        for link in self.links:
            if link.metric == metric:
                link.allow()

    def dump(self) -> list[Any]:
        """Return the state as JSON values."""
        links, parted = [link.dump() for link in self.links], list(self.parted.values())
        return [self.due, self.hour, self.names, list(self.means), list(self.moments), links, parted]

    @classmethod
    def load(cls, values: Sequence[Any]) -> "Pairs":
        """Take back what :meth:`dump` gave."""
        one = cls()
        one.due, one.hour, one.names, means, moments, links, parted = values
        one.means, one.moments = array("d", means), array("d", moments)
        one.links = [Link.load(link) for link in links]
        one.parted = {parting[0]: Parting(*parting) for parting in parted}
        return one

    def _meet(self, name: str) -> None:
        self.moments.frombytes(bytes(_MOMENTS.size * len(self.names)))
        self.names.append(name)
        self.means.extend([0.0] * SUMS)

    def _forget(self, name: str) -> None:
        """Compare a series that began again from its begin."""
        place = self.names.index(name)
        for one, two in combinations(range(len(self.names)), 2):
            if place in (one, two):
                at = _place(one, two)
                _PACK(self.moments, at, *[0.0] * 6)
        self.links = [link for link in self.links if name not in (link.metric, link.partner)]
        self.parted.pop(name, None)

    def _turn(self, hour: int) -> None:
        """Compare the means of an hour."""
        self.parted = {}
        present: list[tuple[int, float]] = []
        for place in range(len(self.names)):
            at = SUMS * place
            count, busy = self.means[at + 2], self.means[at + 3]
            if count and not busy:
                present.append((place, self.means[at + 1] / count))
            self.means[at + 1 : at + 4] = array("d", [0.0] * 3)
        links = {(link.metric, link.partner): link for link in self.links}
        for (one, x), (two, y) in combinations(present, 2):
            at = _place(one, two)
            link = links.get((self.names[two], self.names[one]))
            if link is not None:
                self._judge(link, at, x, y, SUMS * two, hour)
                if link.out or link.by:
                    continue
            _learn(self.moments, at, x, y)

    def _judge(self, link: Link, at: int, x: float, y: float, place: int, hour: int) -> None:
        """Judge an hour of a pair."""
        _, mean_x, mean_y, var_x, _, both = _UNPACK(self.moments, at)
        with_x = mean_y + both / var_x * (x - mean_x) if var_x else mean_y
        line = link.line(self.means[place + 4], hour, self.means[place + 5])
        low, high = with_x + link.low, with_x + link.high
        score = link.judge(y - with_x, x, line, hour)
        if not (link.out and score):
            return
        score = min(max(SURE, score), MOST) if link.out >= ALARM_HOURS else min(SUSPICION, score / 2.0)
        known = self.parted.get(link.metric)
        if known is None or known.score < score:
            one = Parting(link.metric, y, link.partner, x, low, high, score, link.since)
            self.parted[link.metric] = one

    def _link(self) -> None:
        """Drop pairs that do not go together any more; find each other series its best partner."""
        kept = []
        for link in self.links:
            places = self.names.index(link.partner), self.names.index(link.metric)
            if link.out or link.by or self._explained(*places) >= LOOSE:
                kept.append(link)
        self.links = kept
        known = {name for link in kept for name in (link.metric, link.partner)}
        for place, name in enumerate(self.names):
            if name in known:
                continue
            others = [other for other in range(len(self.names)) if other != place]
            best = max(others, key=lambda other: self._explained(*sorted((place, other))), default=place)
            first, second = sorted((place, best))
            if best != place and self._explained(first, second) >= CLOSE:
                self.links.append(Link(self.names[second], self.names[first]))
                known |= {self.names[first], self.names[second]}

    def _explained(self, one: int, two: int) -> float:
        """Return which part of one series another explains, 0 while they know few hours."""
        at = _place(one, two)
        hours, _, _, var_x, var_y, both = _UNPACK(self.moments, at)
        slack_x, slack_y = self.means[SUMS * one + 4], self.means[SUMS * two + 4]
        moves = var_x > slack_x * slack_x and var_y > slack_y * slack_y
        # Of small values no product of two variances is left.
        return both / var_x * (both / var_y) if hours >= KNOWN_HOURS and moves else 0.0


def _place(one: int, two: int) -> int:
    """Return where the moments of two series are, the first of which was met before the second; in bytes."""
    return _MOMENTS.size * (two * (two - 1) // 2 + one)


def _learn(moments: "array[float]", at: int, x: float, y: float) -> None:
    """Take an hour of two series."""
    hours, mean_x, mean_y, var_x, var_y, both = _UNPACK(moments, at)
    hours += 1.0
    weight = 1.0 / hours if hours < MEMORY else 1.0 / MEMORY
    keep, off_x, off_y = 1.0 - weight, x - mean_x, y - mean_y
    new_x = weight * off_x
    _PACK(
        moments, at, hours, mean_x + new_x, mean_y + weight * off_y, keep * (var_x + new_x * off_x),
        keep * (var_y + weight * off_y * off_y), keep * (both + new_x * off_y),
    )  # fmt: skip


def hour_words(hour: int, zone: tzinfo | None) -> str:
    """Return an hour in words, such as ``Tue 14:00 UTC``; empty where the calendar ends."""
    try:
        return f"{datetime.fromtimestamp(hour * HOUR_S, zone or UTC):%a %H:%M %Z}"
    except (OverflowError, OSError, ValueError):
        return ""


def levels(metrics: Iterable["Series"], at: float) -> dict[str, Level]:
    """Return the levels of the series of a device that may be compared: measured values."""
    found = {}
    for series in metrics:
        state = series.state
        if not series.judged or series.alarm or state[KINDS] < MANY_KINDS:
            continue
        if state[METER] or state[TRAIT] == DIRECTION:
            continue
        level = state[M] + (usual(state, at) if state[PROFILED] else 0.0)
        if -BIG < level < BIG:
            plain = bool(state[WARM]) and not state[BUSY] and state[SAME] < state[SAME_LIMIT]
            slack = FLOOR * (state[X_HI] - state[X_LO]) + state[QUANTUM]
            found[series.metric] = Level(level, state[TOTAL], plain, slack, series.sensitivity)
    return found


def are_few(found: Mapping[str, Level]) -> bool:
    """Return whether so many series are to be compared."""
    return 1 < len(found) <= MOST_SERIES
