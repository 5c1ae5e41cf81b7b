"""The fit of a cited fact to an alarm that is called normal: its hours and bounds.

Nothing here understands a sentence. A fact fits where it has neither recurring hours nor a bound, and where
it denies something, depends on something else or is about a change that lasts.
"""

import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from agent.domain.metric_names import find_dimensions
from agent.domain.units import conversion, find_dimension
from agent.prompt.quantity import ANY, fold, placed_quantities
from agent.prompt.sentence import DAYS, clocks, plain, strip_moments, weekdays
from agent.prompt.spoken import is_english

DAY_MIN, WEEK_MIN = 1440, 7 * 1440
EARLY_MIN = 30  # that something planned may begin before its hour
LEAST_LATE_MIN = 120  # that what it leaves behind may be seen later, if it takes no longer itself
MAX_SHARE = 0.25  # of a week: of hours that fill more of it, the other hours follow
MARGIN = 0.1  # of the way from the usual values to the bound
_REACH = 40  # characters before a number or a time that may belong to it

_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_PART = r"(?:\s+(?:mornings?|afternoons?|evenings?|nights?)\b)?"
_EACH_DAY = re.compile(rf"(?i)\b(?:(?:every|each)\s+(?:\w+\s+)?(?P<one>{_DAY})|(?P<more>{_DAY}s))\b{_PART}")
_WORKDAYS = re.compile(r"(?i)\bweekdays\b|\bmondays?\s*(?:to|through|until|till|-)\s*fridays?\b")
_WEEKENDS = re.compile(r"(?i)\bweekends\b")
_DAILY = re.compile(
    r"(?i)\b(?:daily|nightly|(?:every|each)\s+(?:day|night|morning|noon|afternoon|evening))\b"
)
_RECURRENCES = (_EACH_DAY, _WORKDAYS, _WEEKENDS, _DAILY)
#: Words of a time or an event that none of the hours of a sentence was made of: they may be its reason.
_OTHER_TIME = re.compile(
    rf"(?i)\b(?:{_DAY}s?|mon|tues?|wed|thu(?:rs?)?|fri|sat|weekdays?|weekends?|mornings?|afternoons?"
    r"|evenings?|nights?|overnight|lunch(?:time)?|again|also|and then|later|afterwards?|sometimes|whenever"
    r"|any ?time|(?:all|whole) day|for hours|between [^\W\d]\w*)\b"
)
_UNTIL = re.compile(r"(?i)\s*(?:-|to|until|till)\s*")
_BETWEEN = re.compile(r"(?i)\bbetween\s*\Z")
_LASTS = re.compile(r"(?i)\bfor\s+(?:(?:about|up to|less than)\s+)?\Z")
#: Words that deny, leave something out, or are about a change that lasts.
_OTHERWISE = re.compile(
    r"(?i)\b(?:not|never|no|none|nobody|neither|nor|cannot|except|excluding|but|unless|outside|other|otherwise"
    r"|rest|rests|without|only|closed|shut|off|idle|empty|quiet|silent|since|until|till|from now|present"
    r"|begins?|began|starts?|started|stays?|moved|new|changed?|season|spring|summer|autumn|winter)\b|n't\b"
)

_MUST = r"(?:must|shall|should|has to|have to|always)"
_MODAL = rf"(?:{_MUST}(?: always)? (?:stay|be|remain|keep|be kept)|stays?|remains?"
_HIGHEST = re.compile(
    r"(?i)\b(?:up to|at most|(?:no|not) more than|(?:must|shall|should|may) not exceed|never exceeds?"
    rf"|(?:not|never) above|max(?:imum|\.)?(?: of)?|{_MODAL}) (?:below|under))\s*\Z"
)
_LOWEST = re.compile(
    r"(?i)\b(?:at least|(?:no|not) less than|(?:not|never) below|min(?:imum|\.)?(?: of)?"
    rf"|{_MODAL}) (?:above|over))\s*\Z"
)
_WITHIN = re.compile(rf"(?i)\b{_MODAL}|kept) between\s*\Z")
_AND = re.compile(r"(?i)\s*(?:[^\s\d]{1,12}\s+)?and\s*")
#: Words that make a bound depend on something, or a difference.
_DEPENDS = re.compile(
    r"(?i)\b(?:when|while|if|after|before|during|for|within|then|once|unless|with|without|full|empty|rest"
    r"|except|but|otherwise|more|less|warmer|colder|cooler|hotter|higher|lower|larger|smaller|rises?|falls?"
    r"|drops?|differs?|peaks?|short|briefly|sometimes|usually|normally|typically|often|mostly|about"
    r"|approximately|roughly)\b"
)


class Alarm(NamedTuple):
    """An alarming reading; without a unit it takes those of its metric, as far as its usual values allow."""

    value: float
    unit: str | None  # canonical
    metric: str
    usual: tuple[float, float]


def misfit(fact: str, at: str, alarms: Sequence[Alarm]) -> str:
    """Return why a fact cannot be the reason to call an alarm normal; empty if it may be one.

    Args:
        fact: the sentence, as a person wrote it.
        at: weekday and time of day of the alarm, such as ``tue 06:40``; empty if there is none.
        alarms: its readings.
    """
    text = fold(plain(fact))
    if not is_english(text):
        return ""
    if at and _at_another_time(text, at):
        return "is on another time"
    broken = [bound for one in alarms if (bound := _broken(text, one)) is not None]
    return f"has {broken[0]}" if broken and all(broken) else ""


# ------------------------------------------------------------------------------------ hours


def _at_another_time(text: str, at: str) -> bool:
    spans, rest = _hours(text)
    other = _OTHERWISE.search(rest) or _OTHER_TIME.search(rest)
    if not spans or other or sum(length for _, length in spans) > MAX_SHARE * WEEK_MIN:
        return False
    day, _, clock = at.partition(" ")
    hours, minutes = map(int, clock.split(":"))
    now = DAYS.index(day) * DAY_MIN + hours * 60 + minutes
    return all(
        (now - begin + EARLY_MIN) % WEEK_MIN > EARLY_MIN + length + max(length, LEAST_LATE_MIN)
        for begin, length in spans
    )


def _hours(text: str) -> tuple[list[tuple[float, float]], str]:
    """Return the recurring hours of a sentence as begin and length, minutes of the week, and its other words.

    There are none where it names a day of one week, a date, or a time without an end.
    """
    days = _days(text)
    if days is None:
        return [], text
    rest = text
    for recurrence in _RECURRENCES:
        rest = recurrence.sub(lambda found: " " * len(found.group()), rest)
    times = list(clocks(text))
    if not times:
        return [(day * DAY_MIN, DAY_MIN) for day in days], rest
    lasts = _lasting(text)
    spans: list[tuple[float, float]] = []
    place = 0
    while place < len(times):
        start, end, begin = times[place]
        after = times[place + 1] if place + 1 < len(times) else None
        if begin is None:
            return [], text
        if after is not None and after[2] is not None and _joined(text, start, text[end : after[0]]):
            spans.append((begin, (after[2] - begin) % DAY_MIN or DAY_MIN))
            rest = _without(rest, start, after[1])
            place += 2
        elif lasts is not None:
            spans.append((begin, lasts))
            place += 1
        else:
            return [], text
    return [(day * DAY_MIN + begin, length) for day in days for begin, length in spans], rest


def _days(text: str) -> set[int] | None:
    """Return the weekdays on which something recurs, None where one single day is meant."""
    days = {DAYS.index((one["one"] or one["more"])[:3].lower()) for one in _EACH_DAY.finditer(text)}
    days |= set(range(5)) if _WORKDAYS.search(text) else set()
    days |= {5, 6} if _WEEKENDS.search(text) else set()
    if _DAILY.search(text):
        return set(range(7))
    if days:
        return days
    return None if any(True for _ in weekdays(text)) else set(range(7))


def _joined(text: str, start: int, gap: str) -> bool:
    """Return whether two times are the begin and the end of hours."""
    return bool(
        _UNTIL.fullmatch(gap)
        or (gap.strip().lower() == "and" and _BETWEEN.search(text[max(0, start - _REACH) : start]))
    )


def _lasting(text: str) -> float | None:
    """Return how long something lasts, minutes, if the sentence has it."""
    for number, quantity in placed_quantities(text):
        way = conversion(quantity.unit or "", "min")
        if way is not None and _LASTS.search(text[max(0, number.start - _REACH) : number.start]):
            return way.apply(quantity.value)
    return None


# ------------------------------------------------------------------------------------ bounds


def _broken(text: str, alarm: Alarm) -> str | None:
    """Return the bound that a value breaks, as a detail of a check shows it.

    It is empty if the value keeps the bounds, None if none is on such a value.
    """
    lows, highs, every, rest = _bounds(strip_moments(text), alarm)
    low, high = alarm.usual
    guessed = alarm.unit is None and (high > max(highs, default=high) or low < min(lows, default=low))
    if guessed or not (lows or highs) or _DEPENDS.search(rest):
        return None
    top, bottom = max([high, *every]), min([low, *every])
    if highs and alarm.value > top + MARGIN * (top - low):
        return f"at most {max(highs):g}"
    if lows and alarm.value < bottom - MARGIN * (high - bottom):
        return f"at least {min(lows):g}"
    return ""


def _bounds(text: str, alarm: Alarm) -> tuple[list[float], list[float], list[float], str]:
    """Return lowest, highest and all values that a text names for a reading, and its other words."""
    found = sorted(placed_quantities(text), key=lambda one: one[0].start)
    lows: list[float] = []
    highs: list[float] = []
    every, rest = [], text
    for (number, quantity), after in zip_longest(found, found[1:]):
        begin = max(0, number.start - _REACH)
        head = text[begin : number.start]
        ends = after if after is not None and _AND.fullmatch(text[number.end : after[0].start]) else None
        shared = ends[1].unit if ends is not None and quantity.unit == ANY else quantity.unit
        value = _of(shared, alarm, quantity.value)
        if value is None:
            continue
        every.append(value)
        for pattern, bounds in ((_HIGHEST, highs), (_LOWEST, lows)):
            if phrase := pattern.search(head):
                bounds.append(value)
                rest = _without(rest, begin + phrase.start(), number.start)
        other = None if ends is None else _of(ends[1].unit, alarm, ends[1].value)
        if other is not None and _WITHIN.search(head):
            lows.append(min(value, other))
            highs.append(max(value, other))
    return lows, highs, every, rest


def _without(text: str, start: int, end: int) -> str:
    return text[:start] + " " * (end - start) + text[end:]


def _of(unit: str | None, alarm: Alarm, value: float) -> float | None:
    """Return a value in the unit of a reading; a kelvin is a difference, degrees are those of the series."""
    wanted = alarm.unit
    if unit is None or (unit == "K" and wanted != "K"):
        return None
    if wanted is None or unit == "deg":
        dimension = "temperature" if unit == "deg" else find_dimension(unit)
        fitting = find_dimensions(alarm.metric) if wanted is None else (find_dimension(wanted),)
        return value if dimension in fitting else None
    way = conversion(unit, wanted)
    return None if way is None else way.apply(value)
