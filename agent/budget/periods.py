"""Hour, day and month of the budget, and the clock and time zone that end them."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from agent.budget.pricing import NANO
from agent.domain.model_calls import BudgetWindow, Spend

HOUR, DAY, MONTH = "hour", "day", "month"
KINDS = (HOUR, DAY, MONTH)
MAX_JUMP_S = 300.0
MAX_DRIFT = 0.001  # of the elapsed time: more than any slewing clock
LOCALTIME = Path("/etc/localtime")


@dataclass(frozen=True, slots=True)
class Anchor:
    """A moment that both clocks saw: wall time and monotonic time of one boot."""

    wall: float
    mono: float
    boot: str


@dataclass(frozen=True, slots=True)
class Period:
    """Money booked since ``start`` (Unix seconds), nano-USD. ``lost``: the file was lost in this period."""

    start: float
    booked: int
    lost: bool = False


def starts(wall: float, zone: tzinfo) -> dict[str, float]:
    """Return when the hour, day and month of ``wall`` began in ``zone``, Unix seconds."""
    try:
        moment = datetime.fromtimestamp(wall, zone)
        hour = moment.replace(minute=0, second=0, microsecond=0)
        day = hour.replace(hour=0, fold=0)
        return {HOUR: hour.timestamp(), DAY: day.timestamp(), MONTH: day.replace(day=1).timestamp()}
    except (ValueError, OverflowError, OSError):
        return starts(0.0, UTC)


def jumped(anchor: Anchor, now: Anchor) -> bool:
    """Return whether the wall clock was stepped by more than 5 minutes since ``anchor``.

    After a reboot the monotonic clock restarts, so a step cannot be seen then.
    """
    if anchor.boot != now.boot:
        return False
    elapsed = now.mono - anchor.mono
    return abs(now.wall - anchor.wall - elapsed) > MAX_JUMP_S + MAX_DRIFT * abs(elapsed)


def roll(
    periods: Mapping[str, Period], anchor: Anchor, now: Anchor, zone: tzinfo
) -> tuple[dict[str, Period], Anchor]:
    """Return the periods at ``now`` and the anchor to compare clocks with from then on.

    A period ends when the wall clock enters a later one. After a step of the clock nothing ends: the money of
    the running periods is carried over to those that the new time falls into. A clock that runs behind
    (booted without a real-time clock) ends nothing either.
    """
    current = starts(now.wall, zone)
    if jumped(anchor, now):
        return {kind: Period(current[kind], one.booked, one.lost) for kind, one in periods.items()}, now
    rolled = {
        kind: Period(current[kind], 0) if current[kind] > one.start else one for kind, one in periods.items()
    }
    fresh = rolled[DAY].start != periods[DAY].start  # once a day, so that slow drift never adds up
    return rolled, now if fresh or anchor.boot != now.boot else anchor


def spend_of(
    stored: Mapping[str, Period],
    anchor: Anchor,
    bookings: Iterable[tuple[int, Mapping[str, float]]],
    *,
    limits: Mapping[str, int],
    now: Anchor,
    zone: tzinfo,
) -> Mapping[BudgetWindow, Spend]:
    """Return limit, spent and reserved of the periods at ``now``, USD.

    Args:
        stored: the periods as on disk.
        anchor: as on disk.
        bookings: amount of each call under way, nano-USD, and the begins of its periods.
        limits: nano-USD.
        now: this moment.
        zone: of the periods.
    """
    bookings = list(bookings)
    periods, _ = roll(stored, anchor, now, zone)
    booked_in = stored if jumped(anchor, now) else periods  # a step ends no period
    result = {}
    for kind in KINDS:
        period, limit = periods[kind], limits[kind]
        spent = max(period.booked, limit) if period.lost else period.booked
        reserved = sum(amount for amount, begins in bookings if begins[kind] == booked_in[kind].start)
        reserved = min(reserved, period.booked)
        result[BudgetWindow(kind)] = Spend(limit / NANO, (spent - reserved) / NANO, reserved / NANO)
    return result


def find_zone(
    name: str | None, *, environ: Mapping[str, str] | None = None, localtime: Path = LOCALTIME
) -> tzinfo:
    """Return the zone ``name``, else that of ``TZ``, else the system's; each with its summer time.

    Raises:
        ZoneInfoNotFoundError: ``name`` is given and unknown.
    """
    if name is not None:
        return ZoneInfo(name)
    wanted = (os.environ if environ is None else environ).get("TZ", "").removeprefix(":")
    if wanted:
        with suppress(OSError, ValueError, KeyError):
            return _read_zone(Path(wanted)) if wanted.startswith("/") else ZoneInfo(wanted)
    with suppress(OSError, ValueError):
        return _read_zone(localtime)
    return UTC


def _read_zone(path: Path) -> ZoneInfo:
    with path.open("rb") as file:
        return ZoneInfo.from_file(file, key=str(path))
