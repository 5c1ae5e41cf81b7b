"""Event times: the time that a device wrote, as far as it can be believed."""

import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from agent.decode.family import Note, Properties, TimeFrom

# Seconds, milliseconds, microseconds and nanoseconds since 1970 differ in size: from 2000 on, the
# ranges do not touch. Any other number is not calendar time but, for example, seconds since the start.
_YEAR_2000 = 946_684_800.0
_MAX_SECONDS = 1e11
_SCALES = (1.0, 1e3, 1e6, 1e9)

# A gateway without a battery-backed clock starts in the past; an earlier receipt time proves nothing.
_CLOCK_WAS_SET = datetime(2025, 1, 1, tzinfo=UTC).timestamp()

_MAX_TEXT = 64
_NUMBER = re.compile(r"\d{9,20}(\.\d{0,9})?", re.ASCII)
_DATE_AND_TIME = re.compile(r"\d{4}-?\d\d-?\d\d[T ]\d\d", re.ASCII)


_PROPERTIES = frozenset({"time", "ts", "timestamp"})


class Moment(NamedTuple):
    """When a message was, before its payload is read."""

    at: float
    received: float
    time_from: TimeFrom = TimeFrom.RECEIPT
    notes: tuple[Note, ...] = ()


def moment_of(properties: Properties, received: float, max_future_skew_s: float) -> Moment:
    """Return the time that the first readable user property gives, else the receipt time."""
    notes: tuple[Note, ...] = ()
    for name, text in properties:
        if name in _PROPERTIES:
            found = read_time(text, received, max_future_skew_s)
            if not isinstance(found, Note):
                return Moment(found, received, TimeFrom.PROPERTY)
            notes = (found,)
    return Moment(received, received, TimeFrom.RECEIPT, notes)


def read_time(given: Any, received: float, max_future_skew_s: float) -> float | Note:
    """Return ``given`` as Unix seconds, or why the receipt time must replace it.

    Args:
        given: seconds, milliseconds, microseconds or nanoseconds since 1970 as float or text, or ISO 8601
            text. Without a zone it is taken as UTC only where that agrees with receipt within the skew.
        received: receipt time, Unix seconds.
        max_future_skew_s: how far ahead of ``received`` a time may be. The past is never wrong.
    """
    if isinstance(given, str):
        text = given[:_MAX_TEXT].strip()
        number = float(text) if _NUMBER.fullmatch(text) else None
        at = _from_iso(text, received, max_future_skew_s) if number is None else _from_epoch(number)
    elif isinstance(given, float):
        at = _from_epoch(given)
    else:
        return Note.TIME_UNREADABLE
    if isinstance(at, float) and at > received + max_future_skew_s and received >= _CLOCK_WAS_SET:
        return Note.TIME_IN_FUTURE
    return at


def _from_epoch(number: float) -> float | Note:
    for scale in _SCALES:
        if _YEAR_2000 * scale <= number < _MAX_SECONDS * scale:
            return number / scale
    return Note.TIME_NOT_EPOCH


def _from_iso(text: str, received: float, max_skew_s: float) -> float | Note:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.timestamp()
        as_utc = moment.replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return Note.TIME_UNREADABLE
    if not _DATE_AND_TIME.match(text):
        return Note.TIME_UNREADABLE  # a date alone
    return as_utc if abs(as_utc - received) <= max_skew_s else Note.TIME_WITHOUT_ZONE
