"""Event times: the time that a device wrote, as far as it can be believed."""

import re
from datetime import UTC, datetime, tzinfo
from math import inf
from typing import Any, NamedTuple

from agent.decode.family import Note, Properties, TimeFrom

# Seconds, milliseconds, microseconds and nanoseconds since 1970 differ in size: from 2000 on, the
# ranges do not touch. Any other number is not calendar time but, for example, seconds since the start.
_YEAR_2000 = 946_684_800.0
_MAX_SECONDS = 1e11
_SCALES = (1.0, 1e3, 1e6, 1e9)

# A clock that is not set starts in 1970, 2000 or 2016; no device that speaks now measured before 2020.
_CLOCKS_START = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
# A gateway without a battery-backed clock starts in the past; an earlier receipt time proves nothing.
CLOCK_WAS_SET = datetime(2025, 1, 1, tzinfo=UTC).timestamp()

_MAX_TEXT = 64
_NUMBER = re.compile(r"\d{1,20}(\.\d{0,9})?", re.ASCII)
_DATE_AND_TIME = re.compile(r"\d{4}-?\d\d-?\d\d[Tt ]\d\d", re.ASCII)
_ZONE_NAME = re.compile(r"\[[\w/+\-]{1,40}\]|\s?(?:UTC|GMT)\Z", re.ASCII)  # behind an offset or instead of it
_OFFSET = re.compile(r"(?:Z|z|[+-]\d\d:?\d\d)\Z", re.ASCII)
_DOTTED = re.compile(r"(\d\d)\.(\d\d)\.(\d{4})([T ].*)", re.ASCII)  # day, month, year

_PROPERTIES = frozenset({"time", "ts", "timestamp"})


class Moment(NamedTuple):
    """When a message was, before its payload is read."""

    at: float
    received: float
    time_from: TimeFrom = TimeFrom.RECEIPT
    notes: tuple[Note, ...] = ()
    off_s: float | None = None  # of a time that was not believed, from receipt


def moment_of(properties: Properties, received: float, max_future_skew_s: float) -> Moment:
    """Return the time that the first readable user property gives, else the receipt time."""
    notes: tuple[Note, ...] = ()
    off_s: float | None = None
    for name, text in properties:
        if name in _PROPERTIES:
            found = read_time(text, received, max_future_skew_s)
            if not isinstance(found, Note):
                return Moment(found, received, TimeFrom.PROPERTY)
            notes, off_s = (found,), offset_of(text, received)
    return Moment(received, received, TimeFrom.RECEIPT, notes, off_s)


def read_time(
    given: Any, received: float, max_future_skew_s: float, zone: tzinfo | None = None
) -> float | Note:
    """Return ``given`` as Unix seconds, or why the receipt time must replace it.

    Args:
        given: seconds, milliseconds, microseconds or nanoseconds since 1970 as float or text, or ISO 8601
            text. Without a zone it is taken as UTC only where that agrees with receipt within the skew.
        received: receipt time, Unix seconds.
        max_future_skew_s: how far ahead of ``received`` a time may be. The past is right from 2020 on.
        zone: of times without one, and of future times that agree with receipt in this zone.
    """
    at = _parse(given, received, max_future_skew_s, zone)
    if isinstance(at, float) and received >= CLOCK_WAS_SET:
        if at > received + max_future_skew_s:
            # An old time must stay as it is: it may be the backlog of a device that does send UTC.
            local = at if zone is None else _as_local(at, zone)
            return local if abs(local - received) <= max_future_skew_s else Note.TIME_IN_FUTURE
        if at < _CLOCKS_START:
            return Note.TIME_TOO_OLD
    return at


def offset_of(given: Any, received: float) -> float | None:
    """Return the distance of a time that is not believed from receipt, None where it cannot be read."""
    at = _parse(given, received, inf, None)
    return at - received if isinstance(at, float) else None


def is_epoch(given: Any) -> bool:
    """Return whether a number or text can only be a time: since 1970 in s, ms, µs or ns, or a date."""
    if isinstance(given, str):
        text = given[:_MAX_TEXT].strip()
        if not _NUMBER.fullmatch(text):
            return bool(_DATE_AND_TIME.match(text))
        given = float(text)
    if not isinstance(given, float):
        return False
    at = _from_epoch(given)
    return isinstance(at, float) and at > _CLOCKS_START


def _parse(given: Any, received: float, max_skew_s: float, zone: tzinfo | None) -> float | Note:
    """Return a time as it is given, believed or not."""
    if isinstance(given, str):
        text = given[:_MAX_TEXT].strip()
        number = float(text) if _NUMBER.fullmatch(text) else None
        return _from_iso(text, received, max_skew_s, zone) if number is None else _from_epoch(number)
    return _from_epoch(given) if isinstance(given, float) else Note.TIME_UNREADABLE


def _as_local(at: float, zone: tzinfo) -> float:
    """Return the moment at which a clock in ``zone`` shows what a clock of UTC shows at ``at``."""
    try:
        return datetime.fromtimestamp(at, UTC).replace(tzinfo=zone).timestamp()
    except (ValueError, OverflowError, OSError):
        return at


def _from_epoch(number: float) -> float | Note:
    for scale in _SCALES:
        if _YEAR_2000 * scale <= number < _MAX_SECONDS * scale:
            return number / scale
    return Note.TIME_NOT_EPOCH


def _from_iso(text: str, received: float, max_skew_s: float, zone: tzinfo | None) -> float | Note:
    try:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            text = _as_iso(text)
            moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.timestamp()
        if not _DATE_AND_TIME.match(text):
            return Note.TIME_UNREADABLE  # a date alone
        if zone is not None:
            return moment.replace(tzinfo=zone).timestamp()
        as_utc = moment.replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return Note.TIME_UNREADABLE
    return as_utc if abs(as_utc - received) <= max_skew_s else Note.TIME_WITHOUT_ZONE


def _as_iso(text: str) -> str:
    """Return a time with a named zone, or with dots or slashes in its date, as ISO 8601."""
    name = _ZONE_NAME.search(text)
    if name and name.end() == len(text):
        bracket = text[name.start()] == "["
        text = text[: name.start()]
        if not bracket or ("UTC" in name[0] and not _OFFSET.search(text)):
            text += "+00:00"
    text = _DOTTED.sub(r"\3-\2-\1\4", text)
    return text.replace("/", "-") if text[4:5] == text[7:8] == "/" else text
