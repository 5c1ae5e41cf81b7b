"""Long pauses of a device, and the hours of day or week where they are usual.

A pause that came twice at the same hour is usual at that hour and at no other. Each pause is kept with its
begin and its end, newest last, so that hours that move with the sun move along. Times are compared by the
hour of UTC and by the hour of the site's zone: some devices follow the sun, others the clock on the wall.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    Times = array[float]  # begin, end, begin, end, the newest last

ABOUT_S = 300.0  # times are rounded to it in words
QUARTER_S = 900.0  # zones change at whole ones
HOUR = 3600.0
DAY = 24 * HOUR
WEEK = 7 * DAY
MAX_DAYS, MAX_WEEKS = 10, 8  # pauses that are kept
MAX_DAY_S = 22 * HOUR  # longer pauses are not daily
MAX_PAUSE_S = 6 * DAY  # longer ones follow neither day nor week
MAX_TAIL_S = 30 * DAY  # longer ones teach nothing at all: a store room, a clock that was set
TWICE = 2
LONG_S = 6 * HOUR  # a pause of this length is expected again a day or a week later, though it came once
ONCE_S = HOUR  # give or take this
SHIFT_S = 2 * HOUR  # at most, by summer time
REACH_S = 4 * HOUR  # a silence further from a pause has nothing to do with it
MOST_S = 2 * HOUR  # a pause may begin or end so much beyond those before
CHAIN_S = 1.5 * HOUR  # pauses of one cause begin no further apart
ALIKE_S = 2 * HOUR
MARGIN_S = 1200.0  # after the usual end, once many are known
MARGIN_SHARE = 0.25  # of the pause, if that is less
MANY = 4  # pauses, of which the one that ends last may be an exception
STRAY_S = 7 * DAY  # so many stray pauses within this time: the device pauses at any hour
STRAYS = 2
SELDOM = 4.0  # times all the time awake before: so long a pause is in the nature of the device
TAIL = 2.0  # times the longest pause of late without an hour
FADE_S = 28 * DAY  # and it counts less from day to day
OFTEN_S = 3 * DAY  # so does one that filled its days within this time
BLIP_S = HOUR  # outages up to this long come again, if two came within BLIPS_S
BLIPS_S = 14 * DAY
RARE = 4  # periods for each pause: fewer than MANY that are spread out more have no hour

Offset = Callable[[float], float]  # of the site's zone to UTC at a time, seconds


def offset_of(zone: tzinfo | None, clock: float) -> float:
    """Return the offset of a zone, None is the machine's, to UTC at a time; 0 where the calendar ends."""
    return _offset_of(zone, clock // QUARTER_S)


@lru_cache(maxsize=4096)
def _offset_of(zone: tzinfo | None, quarter: float) -> float:
    try:
        offset = datetime.fromtimestamp(quarter * QUARTER_S, UTC).astimezone(zone).utcoffset()
    except (ValueError, OverflowError, OSError):
        return 0.0
    return 0.0 if offset is None else offset.total_seconds()


def instants_of(local: float, offset: Offset | None) -> tuple[float, float]:
    """Return when the clock on the wall first and last shows a time: twice where an hour is repeated.

    A time that is left out is shown, as it were, at the moment of the change.
    """
    if offset is None:
        return local, local
    before, after = offset(local - DAY), offset(local + DAY)
    first, last = local - before, local - after
    shown = [one for one, off in ((first, before), (last, after)) if offset(one) == off]
    if shown:
        return shown[0], shown[-1]
    change = -(-last // QUARTER_S) * QUARTER_S
    while change < first and offset(change) != after:
        change += QUARTER_S
    return change, change


class Pause(NamedTuple):
    """From the last reading before it to the first one after it, clock."""

    begin: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.begin


class Moved(NamedTuple):
    """A pause, moved by whole periods."""

    begin: float
    end: float
    came: float  # when it began

    @property
    def length(self) -> float:
        return self.end - self.begin


class Usual(NamedTuple):
    """A pause that came at least twice."""

    begin: float
    end: float  # of the newest one
    weekly: bool

    def words(self, zone: tzinfo | None) -> str:
        """Return it in words, such as ``from about 18:40 to 06:50 UTC``."""
        form = "%a %H:%M" if self.weekly else "%H:%M"
        begin, end = (
            datetime.fromtimestamp(round(one / ABOUT_S) * ABOUT_S, zone or UTC)
            for one in (self.begin, self.end)
        )
        return f"from about {begin:{form}} to {end:{form}} {end:%Z}"


class Pauses:
    """The last pauses of one device: those that may be daily, and those that no daily one explains.

    ``interval_s`` is the device's usual interval at its last pause; it blurs begin and end.
    """

    __slots__ = ("_blip_s", "_last", "_open", "days", "ended", "interval_s", "tail_at", "tail_s", "weeks")

    def __init__(
        self,
        days: Iterable[float] = (),
        weeks: Iterable[float] = (),
        interval_s: float = 0.0,
        tail_s: float = 0.0,
        tail_at: float = 0.0,
        ended: float = 0.0,
    ) -> None:
        self.days, self.weeks = array("d", days), array("d", weeks)
        self.interval_s = interval_s
        self.tail_s, self.tail_at = tail_s, tail_at  # the longest one of late that has no hour, and its end
        self.ended = ended  # the end of the newest one
        self._last = (inf, inf)  # a begin, and until when a silence since then is usual
        self._open = (inf, inf)  # no pause that is kept is near from here to there
        self._blip_s = self._second_blip()

    def until(self, begin: float, offset: Offset | None) -> float:
        """Return until when a silence since ``begin`` is usual; ``begin`` itself if it is not."""
        since, to = self._open
        if since <= begin < to:
            return begin
        if begin == self._last[0]:
            return self._last[1]
        days, weeks = (
            _near(kept, period, begin, self.interval_s, offset)
            for kept, period in ((self.days, DAY), (self.weeks, WEEK))
        )
        if all(begin < one.begin - MOST_S or begin >= one.end + MOST_S for one in (*days, *weeks)):
            self._open = (begin, self._next_begin(begin))
            return begin
        until = max(
            _end(days, DAY, begin, self.interval_s),
            _end(weeks, WEEK, begin, self.interval_s),
            _again(self.days, DAY, begin, self.interval_s),
            _again(self.weeks, WEEK, begin, self.interval_s),
        )
        self._last = (begin, until)
        return until

    def _next_begin(self, begin: float) -> float:
        """Return a time before which no pause that is kept comes again."""
        ahead = MOST_S + SHIFT_S
        begins = (
            one.begin + ((begin - one.begin) // period + 1) * period - ahead
            for kept, period in ((self.days, DAY), (self.weeks, WEEK))
            for one in _pairs(kept)
        )
        return min(begins, default=inf)

    def take(self, pause: Pause, interval_s: float, awake_s: float, offset: Offset | None) -> None:
        """Learn from a pause that is over.

        Args:
            pause: from the last reading before it to the first one after it.
            interval_s: the device's usual one.
            awake_s: for how long the device is known without pauses, 0 for one without hours.
            offset: of the site's zone.
        """
        if pause.length > MAX_TAIL_S:
            return
        self._last = self._open = (inf, inf)
        hourless = pause.length > MAX_PAUSE_S or self._keep(pause, interval_s, offset)
        self.ended = pause.end
        self._blip_s = self._second_blip()
        if pause.length > SELDOM * awake_s or self._restless(pause.end):
            if hourless and pause.length > self.tail_s * _faded(pause.end - self.tail_at):
                self.tail_s, self.tail_at = pause.length, pause.end
        elif self.tail_s and not hourless and _alike(Pause(self.tail_at - self.tail_s, self.tail_at), pause):
            self.tail_s = 0.0  # it has its hour

    def _keep(self, pause: Pause, interval_s: float, offset: Offset | None) -> bool:
        """Keep a pause among those of its sort; return whether it resembles no other one."""
        near = _near(self.days, DAY, pause.begin, self.interval_s, offset)
        daily = pause.end <= _end(near, DAY, pause.begin, self.interval_s)
        self.interval_s = interval_s
        if daily and 2 * pause.length < min(one.length for one in near):
            return False  # a moment awake within a longer one
        others = self._every()
        if pause.length <= MAX_DAY_S:
            _keep(self.days, pause, MAX_DAYS)
        if daily:
            return False
        _keep(self.weeks, pause, MAX_WEEKS)
        return not any(_alike(pause, other) for other in others)

    def tail(self, clock: float, *, on_events: bool) -> float:
        """Return how long a pause may be that has no hour, 0 where there are none.

        A device that sends at an interval, and has done so for longer than it paused, has no such pauses.
        """
        if self.tail_s and not on_events and clock - self.ended > self.tail_s:
            self.tail_s = 0.0
        blip_s = self._blip_s if clock - self.ended < BLIPS_S else 0.0
        return TAIL * max(self.tail_s * _faded(clock - self.tail_at), blip_s)

    def _restless(self, clock: float) -> bool:
        """Return whether the device pauses at any hour: often, or for most of the time."""
        if len(self.days) == 2 * MAX_DAYS and clock - self.days[0] < OFTEN_S:
            return True
        strays = self._strays(clock - STRAY_S)
        if len(strays) < STRAYS or clock - strays[0].begin < DAY:
            return False
        return 2 * sum(one.length for one in strays) > clock - strays[0].begin

    def _second_blip(self) -> float:
        """Return the length of the second longest of the short outages of late, 0 when there was but one."""
        blips = sorted(one.length for one in self._strays(self.ended - BLIPS_S) if one.length <= BLIP_S)
        return blips[-TWICE] if len(blips) >= TWICE else 0.0

    def _strays(self, since: float) -> list[Pause]:
        """Return the pauses that ended after a time and resemble no other one."""
        every = self._every()
        return [
            one
            for one in _pairs(self.weeks)
            if one.end > since and not any(_alike(one, other) for other in every)
        ]

    def _every(self) -> set[Pause]:
        return {*_pairs(self.days), *_pairs(self.weeks)}

    def nearest(self, clock: float) -> Usual | None:
        """Return the usual pause whose hours ``clock`` is closest to the end of."""
        return min(
            self.usual(), key=lambda one: (clock - one.end) % (WEEK if one.weekly else DAY), default=None
        )

    def usual(self) -> list[Usual]:
        """Return the pauses that came at least twice: the newest of each, daily ones first."""
        return [*_usual(self.days, DAY), *_usual(self.weeks, WEEK)]


def _near(
    kept: "Times", period: float, begin: float, interval_s: float, offset: Offset | None
) -> list[Moved]:
    """Return the pauses, moved by whole periods, within which or close to which a silence began."""
    found = []
    for one in _pairs(kept):
        reach = min(REACH_S, (period - one.length) / 2) + interval_s
        moved = _moved(one, period, begin + reach, 0.0)
        if offset is not None and moved is not None:
            by = offset(one.begin) - offset(begin)
            summer = offset(one.end) - offset(moved.end)
            if by or summer:
                local = _moved(one, period, begin + reach, by)
                if local is not None and local.end - by + summer > moved.end:
                    moved = Pause(local.begin, local.end - by + summer)
        if moved is not None and begin < moved.end + reach:
            found.append(Moved(*moved, one.begin))
    return found


def _moved(pause: Pause, period: float, until: float, by: float) -> Pause | None:
    """Return a pause moved by whole periods and ``by`` to its last time before ``until``; None before one."""
    times = (until - pause.begin - by) // period
    move = by + times * period
    return Pause(pause.begin + move, pause.end + move) if times >= 1 else None


def _together(near: list[Moved], begin: float, interval_s: float) -> list[Moved]:
    """Return the pauses within which a silence began, and those that begin soon after, one after the other.

    Later ones have another cause: a device may rest at noon and be off at night.
    """
    within = begin + MARGIN_S + interval_s
    found: list[Moved] = []
    for one in sorted(one for one in near if one.end > begin):
        if one.begin > within and found and one.begin - max(found[-1].begin, begin) > CHAIN_S:
            break
        found.append(one)
    return found if len(found) >= TWICE else [one for one in near if one.begin <= within]


def _end(near: list[Moved], period: float, begin: float, interval_s: float) -> float:
    """Return until when a silence is usual by the pauses near to it; ``begin`` if it is not."""
    near = sorted(_together(near, begin, interval_s), key=lambda one: one.came)
    while near and len(near) < MANY and begin - near[0].came > RARE * period * len(near):
        del near[0]
    count = len(near)
    if count < TWICE:
        return begin
    spare = count >= MANY
    begins = sorted(one.begin for one in near)
    ends = sorted(one.end for one in near)
    first, last = begins[spare], ends[-1 - spare]
    shortest = min(one.length for one in near)
    margin = min(MARGIN_S, MARGIN_SHARE * shortest) * (1.0 + 2.0 / (count - 1)) + interval_s
    room = max(0.0, (period - (last - first)) / 2)  # between two pauses
    before = min(margin + (begins[-1 - spare] - first), MOST_S, room)
    after = min(margin + (last - ends[spare]), MOST_S, room)
    return last + after if first - before <= begin < last + after else begin


def _again(kept: "Times", period: float, begin: float, interval_s: float) -> float:
    """Return until when a silence is usual by a long one that began a period before, else ``begin``."""
    if not kept:
        return begin
    once = Pause(kept[-2] + period, kept[-1] + period)
    if once.length < LONG_S or abs(once.begin - begin) > ONCE_S + interval_s:
        return begin
    return once.end + ONCE_S + interval_s


def _faded(age_s: float) -> float:
    """Return how much a tail counts after some time."""
    return min(1.0, max(0.0, 1.0 - age_s / FADE_S))


def _alike(one: Pause, other: Pause) -> bool:
    """Return whether two pauses are at the same hour of different days, or of different weeks."""
    apart = abs(other.begin - one.begin)
    if apart < DAY / 2:
        return False
    reach = min(ALIKE_S, MARGIN_SHARE * max(one.length, other.length))
    longest = max(one.length, other.length)
    for period in (DAY, WEEK):
        if longest > MAX_DAY_S and period == DAY:
            continue
        move = round(apart / period) * period
        if move and abs(apart - move) <= reach and abs(abs(other.end - one.end) - move) <= reach:
            return True
    return False


def _usual(kept: "Times", period: float) -> Iterator[Usual]:
    rest = list(_pairs(kept))[::-1]
    while rest:
        newest = rest.pop(0)
        same = [
            one for one in rest if _alike(newest, one) and (period == DAY or _same_hour_of_week(newest, one))
        ]
        if same:
            yield Usual(newest.begin, newest.end, period == WEEK)
        rest = [one for one in rest if one not in same]


def _same_hour_of_week(one: Pause, other: Pause) -> bool:
    apart = abs(other.begin - one.begin)
    return abs(apart - round(apart / WEEK) * WEEK) <= ALIKE_S


def _pairs(kept: "Times") -> Iterator[Pause]:
    return map(Pause._make, zip(kept[::2], kept[1::2], strict=True))


def _keep(kept: "Times", pause: Pause, most: int) -> None:
    if len(kept) >= 2 * most:
        del kept[:2]
    kept.extend(pause)
