"""Hours, days and months of the budget, and clocks that step."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from agent.budget.periods import DAY, HOUR, MONTH, Anchor, Period, jumped, roll, starts

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def booked(wall: float, amount: int = 7) -> dict[str, Period]:
    return {kind: Period(start, amount) for kind, start in starts(wall, UTC).items()}


def anchor(wall: float, mono: float = 0.0, boot: str = "a") -> Anchor:
    return Anchor(wall, mono, boot)


def test_periods_begin_where_the_zone_says() -> None:
    """Hour, day and month begin at the local full hour, midnight and first."""
    begins = starts(at("2026-07-10T00:30:00+00:00"), BERLIN)
    assert begins == {
        HOUR: at("2026-07-10T02:00:00+02:00"),
        DAY: at("2026-07-10T00:00:00+02:00"),
        MONTH: at("2026-07-01T00:00:00+02:00"),
    }


def test_the_doubled_hour_of_autumn_is_two_periods() -> None:
    """When clocks go back, 02:30 comes twice and each is an hour of its own."""
    first = starts(at("2026-10-25T02:30:00+02:00"), BERLIN)
    second = starts(at("2026-10-25T02:30:00+01:00"), BERLIN)
    assert second[HOUR] - first[HOUR] == 3600
    assert second[DAY] == first[DAY]


def test_a_doubled_midnight_begins_one_day() -> None:
    """In Havana clocks go back from 01:00 to midnight; the day has begun at the first one."""
    havana = ZoneInfo("America/Havana")
    assert starts(at("2026-11-01T12:00:00-05:00"), havana)[DAY] == at("2026-11-01T00:00:00-04:00")


def test_an_hour_ends_and_the_day_goes_on() -> None:
    """Only the period that is over starts at zero."""
    wall = at("2026-11-24T10:59:00+00:00")
    periods, _ = roll(booked(wall), anchor(wall), anchor(wall + 120, 120.0), UTC)
    assert [periods[kind].booked for kind in (HOUR, DAY, MONTH)] == [0, 7, 7]


@pytest.mark.parametrize("step", [400 * 86_400.0, -400 * 86_400.0, 301.0 + 3600, -301.0 - 3600])
def test_a_stepped_clock_ends_no_period(step: float) -> None:
    """The money of the running periods is carried over to those of the new time, and goes on from there."""
    wall = at("2026-11-24T10:30:00+00:00")
    now = anchor(wall + 60 + step, 60.0)
    assert jumped(anchor(wall), now)
    periods, moved = roll(booked(wall), anchor(wall), now, UTC)
    assert {kind: one.start for kind, one in periods.items()} == starts(now.wall, UTC)
    assert {one.booked for one in periods.values()} == {7}
    later, _ = roll(periods, moved, anchor(now.wall + 3600, 3660.0), UTC)
    assert later[HOUR].booked == 0


@pytest.mark.parametrize(
    ("elapsed_s", "step_s", "jump"),
    [
        (0, 300, False),
        (0, 300.1, True),
        (60, 299.9, False),
        (60, 300.5, True),
        (60, -300.5, True),
        (1e6, 1299, False),
        (1e6, 1301, True),
    ],
)
def test_a_jump_is_more_than_five_minutes_and_the_drift(elapsed_s: float, step_s: float, jump: bool) -> None:
    """A thousandth of the elapsed time may be slewing."""
    wall = at("2026-11-24T10:30:00+00:00")
    assert jumped(anchor(wall), anchor(wall + elapsed_s + step_s, elapsed_s)) is jump
    assert jumped(anchor(wall), anchor(wall + step_s, boot="b")) is False


def test_many_small_steps_add_up_to_a_jump() -> None:
    """A clock that is pushed on by 4 minutes again and again gains no period."""
    wall, mono = at("2026-11-24T10:30:00+00:00"), 0.0
    periods, moved = booked(wall), anchor(wall)
    for _ in range(20):
        wall, mono = wall + 241, mono + 1
        periods, moved = roll(periods, moved, anchor(wall, mono), UTC)
    assert periods[DAY].booked == 7
    assert periods[HOUR].booked == 7


def test_a_clock_that_is_behind_after_a_reboot_ends_nothing() -> None:
    """Without a real-time clock the gateway wakes up in the past; the spend of the future day remains."""
    wall = at("2026-11-24T10:30:00+00:00")
    periods, moved = roll(booked(wall), anchor(wall), anchor(at("1970-01-01T00:01:00+00:00"), 5.0, "b"), UTC)
    assert periods == booked(wall)
    corrected, _ = roll(periods, moved, anchor(wall + 600, 65.0, "b"), UTC)
    assert {one.booked for one in corrected.values()} == {7}


def test_drift_within_a_month_is_no_jump() -> None:
    """A slewed clock (500 ppm) over a month of uptime ends its periods as any other."""
    wall, mono = at("2026-11-01T00:30:00+00:00"), 0.0
    periods, moved = booked(wall), anchor(wall)
    for hour in range(1, 30 * 24):
        now = anchor(wall + hour * 3600 * 1.0005, mono + hour * 3600)
        assert not jumped(moved, now)
        periods, moved = roll(periods, moved, now, UTC)
    assert periods[HOUR].booked == 0


def test_times_that_no_calendar_holds_are_survived() -> None:
    """A broken clock gives some period, never an exception."""
    for wall in (1e30, -1e30, float("inf"), float("nan")):
        assert set(starts(wall, UTC)) == {HOUR, DAY, MONTH}
