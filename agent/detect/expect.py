"""Configured silence of a device: its expected interval and its quiet hours."""

import re
from dataclasses import dataclass
from math import inf
from typing import Self

from agent.detect.pauses import DAY, Offset, instants_of

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FIRST_DAY = 3  # of the week that 1970-01-01, a Thursday, was
MAX_CHAINED = 16  # quiet hours that follow one another
_FORM = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? +)?"
    r"(?P<begin>[0-2]?[0-9]:[0-5][0-9])-(?P<end>[0-2]?[0-9]:[0-5][0-9])"
)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hours of some days of the week, by the clock of the site; they may pass midnight."""

    begin_s: float
    end_s: float  # after ``begin_s``, so that it may be more than a day
    days: frozenset[int] = frozenset(range(7))  # on which they begin, 0 is Monday

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``18:00-07:00``, ``sat-sun 00:00-24:00`` or ``fri 18:00-24:00``.

        Raises:
            ValueError: in words for a person.
        """
        found = _FORM.fullmatch(text.strip().lower())
        if found is None:
            raise ValueError(f"{text!r} is not a range of hours; write 18:00-07:00 or sat-sun 00:00-24:00")
        begin, end = (_seconds(found[name], text) for name in ("begin", "end"))
        if begin == end:
            raise ValueError(f"{text!r} begins when it ends; write 00:00-24:00 for a whole day")
        days = frozenset(range(7))
        if found["first"]:
            first, last = (_weekday(found[name] or found["first"], text) for name in ("first", "last"))
            days = frozenset((first + later) % 7 for later in range((last - first) % 7 + 1))
        return cls(begin, end if end > begin else end + DAY, days)

    def __str__(self) -> str:
        days = [WEEKDAYS[day] for day in sorted(self.days)]
        end_s = self.end_s if self.end_s <= DAY else self.end_s - DAY
        hours = "-".join(f"{s // 3600:02.0f}:{s % 3600 // 60:02.0f}" for s in (self.begin_s, end_s))
        return hours if len(days) == len(WEEKDAYS) else f"{', '.join(days)} {hours}"

    def until(self, clock: float, offset: Offset | None) -> float:
        """Return when the hours that hold at a time end, the time itself when they do not hold.

        Once begun they last until their end: an hour that the clock on the wall shows twice does not break
        them.
        """
        today = (clock + (offset(clock) if offset else 0.0)) // DAY
        for day in (today, today - 1.0):
            if int(day + FIRST_DAY) % 7 not in self.days:
                continue
            begin, _ = instants_of(day * DAY + self.begin_s, offset)
            _, end = instants_of(day * DAY + self.end_s, offset)
            if begin <= clock < end:
                return end
        return clock


@dataclass(frozen=True, slots=True)
class Expect:
    """The configured silence of a device."""

    interval_s: float | None = None  # between its readings
    quiet: tuple[QuietHours, ...] = ()  # when it may be silent
    muted: bool = False  # none of its series is judged

    def allow(self, begin: float, due: float, patience_s: float, offset: Offset | None) -> float:
        """Return when a silence since ``begin`` that would be reported at ``due`` is reported."""
        if self.muted:
            return inf
        if (end := self._quiet_until(begin, offset)) > begin:
            due = max(due, end + patience_s)
        for _ in range(MAX_CHAINED):
            end = self._quiet_until(due, offset)
            if end <= due:
                break
            due = end + patience_s
        return due

    def _quiet_until(self, clock: float, offset: Offset | None) -> float:
        until = clock
        for _ in range(MAX_CHAINED):
            end = max((hours.until(until, offset) for hours in self.quiet), default=until)
            if end == until:
                break
            until = end
        return until


#: Nothing is configured: the device's own rhythm holds.
LEARNT = Expect()


def _seconds(text: str, whole: str) -> float:
    hours, minutes = map(int, text.split(":"))
    seconds = hours * 3600.0 + minutes * 60.0
    if seconds > DAY:
        raise ValueError(f"{whole!r} holds an hour after 24:00; write hours from 00:00 to 24:00")
    return seconds


def _weekday(text: str, whole: str) -> int:
    if text not in WEEKDAYS:
        raise ValueError(f"{whole!r} names no day; write {', '.join(WEEKDAYS)}")
    return WEEKDAYS.index(text)
