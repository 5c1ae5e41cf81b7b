"""A sentence of a model: the ids, names, numbers, dates and times in it."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

RELATIVE_TOLERANCE = 0.05
NEAR_MIN = 30  # minutes from an hour such as "2 am"
NIGHT_MIN = 6 * 60  # until then it is the night of the day before
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MAX_SHOWN = 24

_REF = re.compile(r"\b([rR]|k)(\d+)\b")
_IDENTIFIER = re.compile(r"(?<![\w.])[A-Za-z][A-Za-z_]*[-_#]?\d[\w-]*(?:\.\d+)?")
_NUMBER = re.compile(
    r"(?<!\w)(?<!\d\.)[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,2})?"
)
#: The names of the printed statistics p01 and p99 in sentences.
_PERCENTILE = re.compile(r"(?i)\b(?:1(?:st)?|99(?:th)?)[ -]?(?:%|percent(?:iles?)?\b)")
#: Words of letters and digits that name no device: substances, particle sizes, statistics.
_PLAIN = re.compile(r"(?i)co2|h2o|o2|o3|no2|so2|nh3|n2|pm\.?(?:1|10|25|2[._]?5)|p01|p99|p1|ph\d?")
_DASHES = str.maketrans({"\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2013": " ", "\u2014": " "})


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<{0}>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_TIME = re.compile(
    r"(?:(?<![\w:.-])|(?<=:\d\d-))"  # "02:10-02:55" are two
    r"(?:(?P<date>\d{4}-\d{2}-\d{2})(?:(?:T|,? (?:at )?)(?P<at>\d{1,2}:\d{2})(?!\d))?"
    r"|(?P<hour>\d{1,2}):(?P<minute>\d{2})(?!\d)(?:\s?(?P<half>[ap])\.?m\b)?|(?P<sharp>\d{1,2})\s?(?P<half2>[ap])\.?m\b"
    rf"|(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s(?:of\s)?{_MONTH.format('m1')}(?:,?\s(?P<y1>\d{{4}}))?(?!\w)"
    rf"|{_MONTH.format('m2')}\s(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s(?P<y2>\d{{4}}))?(?!\w)"
    rf"|(?:in|since|until|during)\s{_MONTH.format('m3')}(?:\s(?P<y3>\d{{4}}))?(?![\w-]))",
    re.IGNORECASE,
)
_HOURS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_HOUR = rf"(?P<{{0}}>\d{{{{1,2}}}}|{'|'.join(_HOURS)})"
_PART = "in\\s+the\\s+(?P<{0}>morning|afternoon|evening)"
#: "2 o'clock", "two in the afternoon", "half past two", "ten to three".
_CLOCK = re.compile(
    rf"(?i)(?<![\w:.-])(?:{_HOUR.format('hour')}(?:\s?o.?clock(?:\s+{_PART.format('p1')})?|\s+{_PART.format('p2')})"
    r"|(?:(?P<past>half|(?:a\s+)?quarter|five|ten|twenty|twenty-five|\d{1,2})(?:\s+minutes?)?\s+past"
    r"|(?P<to>(?:a\s+)?quarter|(?:five|ten|twenty|twenty-five|\d{1,2})\s+minutes?)\s+to)\s+"
    rf"{_HOUR.format('of')}(?:\s+{_PART.format('p3')})?)(?![\w:-]|\.\w)"
)
_MINUTES = {"half": 30, "quarter": 15, "five": 5, "ten": 10, "twenty": 20, "twenty-five": 25}
_RELATIVE = re.compile(r"(?i)\b(?P<far>day\s+(?:before|after)\s+)?(?P<word>yesterday|tomorrow)\b")
_NOON = re.compile(r"(?i)\b(?P<word>noon|midday|midnight)\b")
_WEEKDAY = re.compile(r"(?i)\b(?P<day>mon|tues|wednes|thurs|fri|satur|sun)days?\b")


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a sentence, its place and its printed precision."""

    start: int
    end: int
    value: float
    decimals: int


class Moment(NamedTuple):
    """A date or a time of day as far as it is given.

    ``hourly`` is a time such as "2 am", ``either`` one of both halves of the day.
    """

    year: int | None = None
    month: int | None = None
    day: int | None = None
    minute: int | None = None  # of the day
    hourly: bool = False
    either: bool = False


def moments(text: str) -> Iterator[tuple[str, Moment]]:
    """Yield the dates and times in ``text`` as printed, with their meaning."""
    for found, moment in _found(text):
        yield " ".join(found.group().split()), moment


def clocks(text: str) -> list[tuple[int, int, int | None]]:
    """Return begin and end of the dates and times in ``text``, in order, and the minute of a day.

    There is none for a date, and for a time that may be in either half of the day.
    """
    placed = ((found.start(), found.end(), moment) for found, moment in _found(text))
    return sorted(
        (start, end, None if moment.either or any(moment[:3]) else moment.minute)
        for start, end, moment in placed
    )


def _found(text: str) -> Iterator[tuple[re.Match[str], Moment]]:
    for found in _TIME.finditer(text):
        yield found, _moment(found)
    for found in _NOON.finditer(text):
        yield found, Moment(minute=0 if found.group().lower() == "midnight" else 720, hourly=True)
    for found in _CLOCK.finditer(text):
        yield found, _spoken_time(found)


def _spoken_time(found: re.Match[str]) -> Moment:
    word = (found["hour"] or found["of"]).lower()
    hour = int(word) if word.isdigit() else _HOURS.index(word) + 1
    part = found["p1"] or found["p2"] or found["p3"]
    if part:
        hour = hour % 12 + (0 if part.lower() == "morning" else 12)
    minute = 0
    if away := found["past"] or found["to"]:
        word = next(one for one in away.lower().split() if one not in ("a", "minute", "minutes"))
        minute = int(word) if word.isdigit() else _MINUTES[word]
        minute = minute if found["past"] else -minute
    return Moment(minute=hour * 60 + minute, hourly=not minute, either=not part)


def _moment(found: re.Match[str]) -> Moment:
    if found["date"]:
        year, month, day = map(int, found["date"].split("-"))
        hour, _, minute = (found["at"] or "").partition(":")
        return Moment(year, month, day, int(hour) * 60 + int(minute) if hour else None)
    if name := found["m3"]:
        return Moment(int(found["y3"]) if found["y3"] else None, _MONTHS.index(name[:3].lower()) + 1)
    if name := found["m1"] or found["m2"]:
        year_told = found["y1"] or found["y2"]
        day = int(found["day"] or found["day2"])
        return Moment(int(year_told) if year_told else None, _MONTHS.index(name[:3].lower()) + 1, day)
    half = (found["half"] or found["half2"] or "").lower()
    hour, minute = int(found["hour"] or found["sharp"]), int(found["minute"] or 0)
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    return Moment(minute=hour * 60 + minute, hourly=bool(found["sharp"]))


def foreign_moments(
    text: str, known: Collection[Moment], days: Collection[int] = (), today: Moment | None = None
) -> list[str]:
    """Return the dates, times and weekdays of ``text`` that are none of the known ones, as printed.

    Args:
        text: a sentence.
        known: those of its facts; the first hours of a day are in the night of the day before as well.
        days: further weekdays, 0 is Monday.
        today: the date that "yesterday" and "tomorrow" refer to, None if there is none.
    """
    wrong = [told for told, one in _relative(text, today) if not any(_is_at(one, other) for other in known)]
    wrong += [told for told, one in moments(text) if not any(_is_at(one, other) for other in known)]
    allowed = {*days, *(day for one in known for day in _weekdays(one))}
    return wrong + [told for told, day in weekdays(text) if day not in allowed]


def _relative(text: str, today: Moment | None) -> Iterator[tuple[str, Moment]]:
    """Yield the dates in ``text`` that are relative to today; without one none of them is known."""
    for found in _RELATIVE.finditer(text):
        if today is None:
            yield found.group(), Moment(year=0)
            continue
        day = date(today.year or 1, today.month or 1, today.day or 1)
        away = 2 if found["far"] else 1
        day += timedelta(days=-away if found["word"].lower() == "yesterday" else away)
        yield found.group(), Moment(day.year, day.month, day.day)


def weekdays(text: str) -> Iterator[tuple[str, int]]:
    """Yield the weekdays in ``text`` by their full names, 0 is Monday."""
    for found in _WEEKDAY.finditer(text):
        yield found.group(), DAYS.index(found["day"][:3].lower())


def around(day: int, minute: int | None) -> set[int]:
    """Return a weekday, and that of the evening before its first hours."""
    return {day, (day - 1) % 7} if minute is not None and minute < NIGHT_MIN else {day}


def _weekdays(moment: Moment) -> set[int]:
    if None in (moment.year, moment.month, moment.day):
        return set()
    try:
        day = date(moment.year or 0, moment.month or 0, moment.day or 0).weekday()
    except ValueError:
        return set()
    return around(day, moment.minute)


def _is_at(told: Moment, known: Moment) -> bool:
    """Return whether each part that is given is that of the known moment."""
    pairs = zip(told[:3], known[:3], strict=True)
    if any(one is not None and one != other for one, other in pairs):
        return False
    if told.minute is None:
        return True
    if known.minute is None:
        return False
    day_min = 720 if told.either else 1440
    apart = abs(told.minute - known.minute) % day_min
    return min(apart, day_min - apart) <= NEAR_MIN if told.hourly else apart == 0


def strip_moments(text: str) -> str:
    """Blank out dates and times, keeping all places."""
    return _CLOCK.sub(_blank, _TIME.sub(_blank, text))


def strip_percentiles(text: str) -> str:
    """Blank out the names of percentiles, keeping all places."""
    return _PERCENTILE.sub(_blank, text)


def plain(text: str) -> str:
    """Return ``text`` with one kind of minus sign, same length."""
    return text.translate(_DASHES)


def strip_words(text: str, words: Collection[str]) -> str:
    """Blank out the known ``words`` (metrics, units), longest first, keeping all places."""
    for word in sorted(words, key=len, reverse=True):
        spoken = re.escape(word).replace("_", "[_ ]")
        text = re.sub(rf"(?i)(?<!\w){spoken}(?!\w)", _blank, text)
    return text


def references(text: str) -> list[str]:
    """Return the ids of readings and facts in ``text``, as ``r17`` and ``k3``."""
    return [f"{match[1].lower()}{int(match[2][:9])}" for match in _REF.finditer(text)]


def identifiers(text: str) -> list[str]:
    """Return the words of letters and digits in ``text`` that look like a name, without reading ids."""
    found = [match.group() for match in _IDENTIFIER.finditer(text)]
    return [word for word in found if not _REF.fullmatch(word) and not _PLAIN.fullmatch(word)]


def strip_identifiers(text: str) -> str:
    """Blank out every word of letters and digits, so that ``pump-1`` does not yield a number."""
    return _IDENTIFIER.sub(_blank, text)


def numbers(text: str) -> Iterator[Number]:
    """Yield the numbers in ``text``; identifiers and times must be gone."""
    last = 0  # where the number before ends
    for match in _NUMBER.finditer(text):
        start, printed = match.start(), match.group()
        before = text[last:start].rstrip() or text[max(0, last - 1) : last]
        last = match.end()
        if printed[0] in "+-" and before[-1:].isdigit():
            printed, start = printed[1:], start + 1  # "70-72" is a range
        digits = printed.replace(",", "")
        decimals = 0
        if "e" not in digits.lower():
            decimals = len(digits.partition(".")[2])
        yield Number(start, match.end(), float(digits), decimals)


def matches(number: Number, fact: float) -> bool:
    """Return whether the printed number is ``fact`` rounded to as many decimals, and within 5 % of it."""
    half = 0.5000001 * 10.0**-number.decimals
    if abs(number.value - fact) > half:
        return False
    return abs(number.value - fact) <= RELATIVE_TOLERANCE * max(abs(fact), abs(number.value))


def printable(text: str) -> str:
    """Return the begin of ``text`` as a detail of a check shows it."""
    return "".join(char if char.isprintable() else "?" for char in text[:MAX_SHOWN])


def _blank(match: re.Match[str]) -> str:
    return " " * len(match.group())
