"""The time that a question is about, from simple English words."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

from agent.commands.printing import UnknownError, printable

DEFAULT_H = 24
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "few": 3}
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_PARTS = {"morning": (5, 12), "afternoon": (12, 18), "evening": (17, 24), "night": (18, 32)}  # hours of a day
_NIGHT_ENDS = 8
_AROUND = timedelta(hours=1)  # a single time of day

_COUNT = rf"(?P<count>\d{{1,4}}|{'|'.join(_NUMBERS)})"
_UNIT = r"(?P<unit>min(?:ute)?s?|m|hours?|hrs?|h|days?|d|weeks?|w)\b"
_CLOCK = (
    r"(?:(?P<{0}h>\d{{1,2}})(?::(?P<{0}m>\d{{2}})(?::\d{{2}})?\s?(?P<{0}x>[ap]m)?|\s?(?P<{0}y>[ap]m))"
    r"|(?P<{0}w>noon|midnight))\b"
)
_DATE = r"(?P<date>\d{4}-\d{2}-\d{2})T?"
_DAY = (
    rf"(?:(?P<before>the\s+day\s+before\s+yesterday)|(?P<day>today|yesterday)"
    rf"|(?P<last>last\s+)?(?P<name>{'|'.join(_DAYS)})|{_DATE})"
)
_PART = rf"(?P<part>{'|'.join(_PARTS)})"
_SPAN = re.compile(
    rf"(?<!\w)(?:(?:in|during|over|within|for|since)\s+)?(?:the\s+)?(?:last|past)\s+(?:{_COUNT}\s*)?{_UNIT}",
    re.IGNORECASE,
)
_AGO = re.compile(rf"(?<!\w)(?P<since>since\s+)?(?:about\s+)?{_COUNT}\s*{_UNIT}\s+ago\b", re.IGNORECASE)
_WHOLE = re.compile(r"(?<!\w)(?P<which>last|this|past)\s+(?P<unit>week|month|weekend)\b", re.IGNORECASE)
_NIGHT = re.compile(
    rf"(?<!\w)(?P<since>(?:since|after)\s+)?(?:(?P<last>last\s+night|overnight|(?:during|over|in|at)\s+(?:the\s+)?night)|(?P<now>tonight|this\s+{_PART}))\b",
    re.IGNORECASE,
)
_DATED = re.compile(
    rf"(?<!\w)(?P<since>(?:since|after|from)\s+)?(?:on\s+|the\s+)?{_DAY}(?:\s+(?:in\s+the\s+|at\s+)?{_PART})?(?:\b|(?<=T)(?=\d))",
    re.IGNORECASE,
)
_BETWEEN = re.compile(
    rf"(?<!\w)(?:between|from)\s+{_CLOCK.format('a')}\s*(?:and|to|until|till|-)\s*{_CLOCK.format('b')}",
    re.IGNORECASE,
)
_TIMED = re.compile(
    rf"(?<!\w)(?P<word>(?:since|after|from|before|until|till|at|around|about)\s+(?:about\s+)?)?{_CLOCK.format('a')}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Period:
    """A time span, Unix seconds, and the words of the question that name it; none for the last day."""

    begin: float
    end: float
    words: str


def read_period(question: str, *, now: float, zone: tzinfo) -> tuple[Period, str]:
    """Return the time that ``question`` names, and the question with those words blanked out.

    Args:
        question: the user's words.
        now: Unix seconds.
        zone: of the site.

    Raises:
        UnknownError: the time begins after ``now``, or is not one of the calendar.
    """
    text = _Text(question)
    moment = datetime.fromtimestamp(now, zone)
    try:
        begin, end = _read(text, moment) or (moment.timestamp() - DEFAULT_H * 3600.0, now)
    except OverflowError:  # the day before the first one, or after the last one of the calendar
        raise UnknownError(
            f"{printable(' '.join(text.taken()))}: is beyond the calendar; write for example 2026-01-31"
        ) from None
    words = printable(" ".join(text.taken()))
    if begin >= now:
        raise UnknownError(f"{words}: is not over yet; ask about the past, as in last night or since 14:00")
    begin = max(0.0, begin)
    return Period(begin, max(begin, min(end, now)), words), text.rest


class _Text:
    """The question; each part that is understood is blanked out."""

    def __init__(self, question: str) -> None:
        self.rest = question
        self._taken: dict[int, str] = {}

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Return the first match and blank it out."""
        found = pattern.search(self.rest)
        if found is not None:
            self._taken[found.start()] = found.group().strip()
            self.rest = self.rest[: found.start()] + " " * len(found.group()) + self.rest[found.end() :]
        return found

    def taken(self) -> list[str]:
        return [self._taken[place] for place in sorted(self._taken)]


def _read(text: _Text, now: datetime) -> tuple[float, float] | None:
    """Return begin and end, Unix seconds; the end may be after ``now``."""
    for pattern, read in _SIMPLE:
        found = text.take(pattern)
        if found is not None:
            return read(found, now)
    dated, night = text.take(_DATED), None
    if dated is None:
        night = text.take(_NIGHT)
    pair = text.take(_BETWEEN)
    timed = text.take(_TIMED) if pair is None else None
    if dated is not None:
        day, begin, end = _dated(dated, now)
    elif night is not None:
        day, begin, end = _night(night, now)
    elif pair is None and timed is None:
        return None
    else:
        day, begin, end = None, now, now
    if pair is not None:
        return _between(pair, day, now, begin)
    if timed is not None:
        whole = dated or night
        default = "since" if whole is not None and whole["since"] else "at"
        return _timed(timed, day, now, begin, default=default)
    return None if begin is end else (begin.timestamp(), end.timestamp())


# ----------------------------------------------------------------------------- words of a whole span


def _span(found: re.Match[str], now: datetime) -> tuple[float, float]:
    end = now.timestamp()
    return end - _count(found) * _seconds(found), end


def _ago(found: re.Match[str], now: datetime) -> tuple[float, float]:
    """Return the day of so many days ago, or the time around so many hours ago."""
    count, unit = _count(found), _seconds(found)
    at = now.timestamp() - count * unit
    if found["since"]:
        return at, now.timestamp()
    if unit >= _UNITS["d"]:
        day = (now - timedelta(seconds=count * unit)).date()
        return _at(day, 0, now).timestamp(), _at(day, 24, now).timestamp()
    return at - unit, at + unit


def _whole(found: re.Match[str], now: datetime) -> tuple[float, float]:
    today, before = now.date(), found["which"].lower() != "this"
    monday = today - timedelta(days=today.weekday())
    match found["unit"].lower():
        case "month":
            first = today.replace(day=1)
            begin = (first - timedelta(days=1)).replace(day=1) if before else first
            end = first if before else today + timedelta(days=1)
        case "weekend":
            begin = monday + timedelta(days=-2 if before or today.weekday() < 5 else 5)  # noqa: PLR2004 - Saturday
            end = begin + timedelta(days=2)
        case _:
            begin = monday - timedelta(days=7) if before else monday
            end = begin + timedelta(days=7)
    return _at(begin, 0, now).timestamp(), _at(end, 0, now).timestamp()


_SIMPLE: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], datetime], tuple[float, float]]], ...] = (
    (_WHOLE, _whole),
    (_AGO, _ago),
    (_SPAN, _span),
)


def _count(found: re.Match[str]) -> int:
    word = (found["count"] or "1").lower()
    return _NUMBERS.get(word) or int(word)


def _seconds(found: re.Match[str]) -> float:
    return _UNITS[found["unit"][0].lower()]


# ------------------------------------------------------------------------------- a day, a time of day


def _dated(found: re.Match[str], now: datetime) -> tuple[date, datetime, datetime]:
    today = now.date()
    if found["before"]:
        day = today - timedelta(days=2)
    elif found["day"]:
        day = today - timedelta(days=found["day"].lower() == "yesterday")
    elif found["name"]:
        back = (today.weekday() - _DAYS.index(found["name"].lower())) % 7
        day = today - timedelta(days=back or (7 if found["last"] else 0))
    else:
        try:
            day = date.fromisoformat(found["date"])
        except ValueError:
            raise UnknownError(f"{found['date']}: is not a date; write for example 2026-01-31") from None
    begin, end = _PARTS[found["part"].lower()] if found["part"] else (0, 24)
    return day, _at(day, begin, now), now if found["since"] else _at(day, end, now)


def _night(found: re.Match[str], now: datetime) -> tuple[date, datetime, datetime]:
    """Return last night, or the part of today; a night lasts from 18:00 to 8:00."""
    today, part = now.date(), "night"
    if found["last"]:
        today -= timedelta(days=1)
    elif found["part"] and found["part"].lower() != "night":
        part = found["part"].lower()
    elif now.hour < _NIGHT_ENDS:
        today -= timedelta(days=1)
    begin, end = _PARTS[part]
    return today, _at(today, begin, now), now if found["since"] else _at(today, end, now)


def _between(found: re.Match[str], day: date | None, now: datetime, begin: datetime) -> tuple[float, float]:
    first, last = _clock(found, "a"), _clock(found, "b")
    on = _day_of(first, day, now, begin)
    start, end = datetime.combine(on, first, now.tzinfo), datetime.combine(on, last, now.tzinfo)
    return start.timestamp(), (end if end > start else _at(on, 24, now, last)).timestamp()


def _timed(
    found: re.Match[str], day: date | None, now: datetime, begin: datetime, *, default: str
) -> tuple[float, float]:
    """Return the time since, until or around a time of day, on ``day`` or the last time that it was."""
    clock = _clock(found, "a")
    at = datetime.combine(_day_of(clock, day, now, begin), clock, now.tzinfo)
    match (found["word"] or default).split()[0].lower():
        case "since" | "after" | "from":
            return at.timestamp(), now.timestamp()
        case "before" | "until" | "till":
            start = begin if begin < at and day is not None else _at(at.date(), 0, now)
            return start.timestamp(), at.timestamp()
        case _:
            return (at - _AROUND).timestamp(), (at + _AROUND).timestamp()


def _day_of(clock: time, day: date | None, now: datetime, begin: datetime) -> date:
    """Return the day on which a time of day is meant: a night goes on after midnight."""
    if day is None:
        return now.date() - timedelta(days=datetime.combine(now.date(), clock, now.tzinfo) >= now)
    night = begin.hour >= _PARTS["night"][0] and clock.hour < _NIGHT_ENDS
    return day + timedelta(days=night)


def _clock(found: re.Match[str], which: str) -> time:
    if found[f"{which}w"]:
        return time(12 if found[f"{which}w"].lower() == "noon" else 0)
    hour, half = int(found[f"{which}h"]), (found[f"{which}x"] or found[f"{which}y"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    try:
        return time(hour % 24 if hour == 24 else hour, int(found[f"{which}m"] or 0))  # noqa: PLR2004 - midnight
    except ValueError:
        raise UnknownError(f"{printable(found.group().strip())}: is not a time of day; write 14:00") from None


def _at(day: date, hour: int, now: datetime, clock: time = time()) -> datetime:
    """Return ``clock`` plus hours, which may pass midnight, in the zone of ``now``."""
    days, hour = divmod(hour, 24)
    return datetime.combine(day + timedelta(days=days), clock if clock != time() else time(hour), now.tzinfo)


def local(at: float, zone: tzinfo) -> str:
    """Return a time to the minute on the clock of the site."""
    try:
        return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return f"{at:.0f} s since 1970"
