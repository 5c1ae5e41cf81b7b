"""Times and time spans as an operator writes them."""

from datetime import UTC, datetime

from agent.commands.printing import UnknownError, printable

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_LAST = 253_402_300_799.0  # of the year 9999


def read_span(text: str, option: str) -> float:
    """Return a span such as ``90m`` in seconds.

    Raises:
        UnknownError: it is none.
    """
    number, unit = text[:-1], text[-1:]
    if text.isascii() and unit in UNITS and number.replace(".", "", 1).isdecimal():
        return float(number) * UNITS[unit]
    raise UnknownError(f"{option} {printable(text)}: is not a time span; write for example 30s, 2h or 7d")


def read_moment(text: str, option: str, *, now: float | None = None) -> float:
    """Return a time: ISO 8601 (UTC without a zone), Unix seconds, or with ``now`` a span before it.

    Raises:
        UnknownError: it is none.
    """
    if now is not None and text[-1:] in UNITS:
        return now - read_span(text, option)
    try:
        at = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
            at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            at = -1.0
    if 0.0 <= at <= _LAST:
        return at
    more = ", 14d for so long ago" if now is not None else ""
    raise UnknownError(
        f"{option} {printable(text)}: is not a time; write 2026-01-31T12:00:00Z or Unix seconds{more}"
    )
