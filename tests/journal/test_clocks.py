"""Times of devices: history, clocks that are wrong, local time sent as UTC."""

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest

from agent.domain.records import Reading
from agent.journal.clocks import DAY_S, MAX_DEVICES, Clocks, Fault, Judged, read_faults
from agent.journal.schema import migrate

NOW = datetime(2026, 6, 26, 12, tzinfo=UTC).timestamp()
HOUR_S = 3600.0
BACK_S = 23 * DAY_S


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """Tables of a new journal, in memory."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        migrate(opened, version=0)
        yield opened


@pytest.fixture
def clocks(connection: sqlite3.Connection) -> Clocks:
    return Clocks(connection)


def of(at: float, device: str = "kiln", metric: str = "temperature") -> Reading:
    return Reading(device, metric, at, 20.0)


def send(clocks: Clocks, received: float, *at: float, device: str = "kiln") -> Judged:
    """Send one message with readings at these times."""
    judged = clocks.judge(tuple(of(one, device) for one in at), received)
    clocks.commit()
    return judged


def replaced_by_receipt(clocks: Clocks, received: float, off_s: float) -> None:
    """Send one message with a time that decoding has not believed."""
    clocks.judge((of(received),), received, off_s)
    clocks.commit()


def outcome(judged: Judged, received: float, given: float) -> str:
    """Return what became of a message with one reading."""
    if judged.old:
        assert judged.readings[0].at == given
        return "history"
    at = judged.readings[0].at
    assert at in (received, given)
    return "own" if at == given else "receipt"


def outcomes(clocks: Clocks, times: list[tuple[float, float]], device: str = "kiln") -> list[str]:
    """Send messages, each with receipt and its own time."""
    return [outcome(send(clocks, got, at, device=device), got, at) for got, at in times]


def steady(
    count: int, off_s: float, *, every_s: float = 60.0, start: float = NOW
) -> list[tuple[float, float]]:
    """Return receipt and own time of messages with a constant offset."""
    return [(start + n * every_s, start + n * every_s + off_s) for n in range(count)]


# ------------------------------------------------------------------------------------- history


def test_three_days_of_history_in_one_burst_after_a_live_message(clocks: Clocks) -> None:
    """Times more than a day old are history, the last day stays live; the next message is as ever."""
    assert outcomes(clocks, [(NOW, NOW - 1.0)]) == ["own"]
    burst = [(NOW + n * 0.05, NOW - 3 * DAY_S + n * HOUR_S) for n in range(72)]
    found = outcomes(clocks, burst)
    assert found == ["history"] * 48 + ["own"] * 24
    assert outcomes(clocks, [(NOW + 60, NOW + 60)]) == ["own"]
    assert clocks.faults() == ()


@pytest.mark.parametrize(
    ("every_s", "pause_s"),
    [
        (0.1, 0.0),
        (0.1, 0.002),
        (0.5, 0.05),
        (1.0, 0.01),
        (1.0, 0.2),
        (10.0, 2.0),
        (60.0, 0.05),
        (HOUR_S, 60.0),
    ],
)
def test_a_burst_is_history_at_any_pace_of_its_data(clocks: Clocks, every_s: float, pause_s: float) -> None:
    """The receipt of a burst does not advance as its times do."""
    outcomes(clocks, [(NOW, NOW)])
    burst = [(NOW + 1 + n * pause_s, NOW - 10 * DAY_S + n * every_s) for n in range(200)]
    assert set(outcomes(clocks, burst)) == {"history"}
    assert clocks.faults() == ()


def test_history_in_one_message(clocks: Clocks) -> None:
    """Each reading is judged by its own time, and keeps it."""
    send(clocks, NOW, NOW)
    times = [NOW - 3 * DAY_S, NOW - 2 * DAY_S, NOW - HOUR_S, NOW + 1.0]
    judged = send(clocks, NOW + 1.0, *times)
    assert ([one.at for one in judged.readings], judged.old) == (times, frozenset({0, 1}))


def test_a_backlog_after_an_outage_stays_live(clocks: Clocks) -> None:
    """It goes on from the newest time, however long the outage was."""
    outcomes(clocks, [(NOW - 5 * DAY_S, NOW - 5 * DAY_S)])
    backlog = [(NOW + n * 0.01, NOW - 5 * DAY_S + n * HOUR_S) for n in range(1, 121)]
    assert set(outcomes(clocks, backlog)) == {"own"}
    judged = send(clocks, NOW + 10.0, *[NOW - n * HOUR_S for n in range(20, 0, -1)])
    assert not judged.old


@pytest.mark.parametrize(("behind_s", "expected"), [(DAY_S - 1.0, "own"), (DAY_S + 1.0, "history")])
def test_a_day_is_the_line(clocks: Clocks, behind_s: float, expected: str) -> None:
    """Up to a day a late reading is live."""
    assert outcomes(clocks, [(NOW, NOW), (NOW, NOW - behind_s)]) == ["own", expected]


def test_live_times_without_one_of_their_own_count_as_newest(clocks: Clocks) -> None:
    """A device may send live values without a time, and its log with times."""
    send(clocks, NOW, NOW)
    assert outcomes(clocks, [(NOW + 1, NOW - 2 * DAY_S)]) == ["history"]


def test_the_gateways_own_clock_is_not_set(clocks: Clocks) -> None:
    """Payload times are believed as they are, and nothing is compared with receipt."""
    boot = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
    assert outcomes(clocks, [(NOW, NOW), (boot, NOW + 10), (boot + 1, NOW - 9 * DAY_S)]) == ["own"] * 3
    assert outcomes(clocks, [(boot + 2, boot + 2), (NOW + 20, NOW + 20)]) == ["own"] * 2
    assert clocks.faults() == ()


def test_the_gateways_clock_was_a_month_ahead(clocks: Clocks) -> None:
    """Times that agree with receipt are right, whatever was newest before."""
    ahead = NOW + 30 * DAY_S
    assert outcomes(clocks, [(ahead, ahead), (NOW, NOW - 1.0), (NOW + 60, NOW + 59)]) == [
        "own",
        "own",
        "own",
    ]


# -------------------------------------------------------------------------------- a wrong clock


def test_a_clock_that_falls_23_days_back(clocks: Clocks) -> None:
    """Two messages are history; with the third it is a fault, and receipt replaces the time."""
    outcomes(clocks, steady(3, -0.5))
    found = outcomes(clocks, steady(6, -BACK_S, start=NOW + 200))
    assert found == ["history", "history", "receipt", "receipt", "receipt", "receipt"]
    assert [(one.device, one.fault, one.off_s) for one in clocks.take_reports()] == [
        ("kiln", Fault.WRONG, -BACK_S)
    ]
    outcomes(clocks, steady(3, -0.5, start=NOW + 1000))
    assert clocks.faults() == ()
    outcomes(clocks, steady(5, -40 * DAY_S, start=NOW + 2000))
    assert [one.fault for one in clocks.faults()] == [Fault.WRONG]
    assert clocks.take_reports() == []  # reported once


def test_the_first_message_is_23_days_back(clocks: Clocks) -> None:
    """With nothing to compare it is believed, until three messages advance."""
    assert outcomes(clocks, steady(5, -BACK_S)) == ["own", "own", "receipt", "receipt", "receipt"]


@pytest.mark.parametrize("every_s", [0.5, 1.0, 10.0, 600.0, 6 * HOUR_S])
def test_a_wrong_clock_at_any_pace(clocks: Clocks, every_s: float) -> None:
    """Times cut to seconds and a jitter of the network make no difference."""
    outcomes(clocks, [(NOW, NOW)])
    jitter = itertools.cycle([0.0, 0.3, 0.1, 0.2])
    times = [
        (got + next(jitter), float(int(at)))
        for got, at in steady(12, -BACK_S, every_s=every_s, start=NOW + 10)
    ]
    assert outcomes(clocks, times)[-4:] == ["receipt"] * 4


def test_a_list_from_a_wrong_clock_keeps_its_spacing(clocks: Clocks) -> None:
    """Its newest reading gets the time of receipt."""
    for n in range(3):
        got = NOW + 60 * n
        judged = send(clocks, got, got - BACK_S - 20.0, got - BACK_S - 10.0, got - BACK_S)
    assert [one.at for one in judged.readings] == [got - 20.0, got - 10.0, got]
    assert judged.replaced
    assert not judged.old


def test_a_log_of_a_device_with_a_wrong_clock_is_history(clocks: Clocks) -> None:
    """Only times with the offset of the fault are replaced."""
    outcomes(clocks, [(NOW, NOW), *steady(4, -BACK_S, start=NOW + 60)])
    log = [(NOW + 400 + n * 0.01, NOW - 40 * DAY_S + n * HOUR_S) for n in range(20)]
    assert set(outcomes(clocks, log)) == {"history"}
    assert outcomes(clocks, steady(1, -BACK_S, start=NOW + 460)) == ["receipt"]


def test_a_message_between_breaks_the_run(clocks: Clocks) -> None:
    """Three in a row are needed."""
    times = steady(9, -BACK_S)
    for n in (2, 5, 8):
        times[n] = (times[n][0], times[n][0] - 1.0)
    found = outcomes(clocks, [(NOW - 60, NOW - 60), *times])
    assert found == ["own", *["history", "history", "own"] * 3]
    assert clocks.faults() == ()


def test_one_device_of_a_gateway_has_the_fault(clocks: Clocks) -> None:
    """The other one's times stay as they are, also in the same message."""
    for n in range(5):
        got = NOW + 60 * n
        judged = clocks.judge((of(got - BACK_S, "bad"), of(got - 2.0, "good")), got)
        clocks.commit()
    assert [(one.device, one.at) for one in judged.readings] == [("bad", got), ("good", got - 2.0)]
    assert [one.device for one in clocks.faults()] == ["bad"]


def test_a_year_ahead_for_one_message_and_back(clocks: Clocks) -> None:
    """Decoding has replaced the time; one message proves nothing."""
    outcomes(clocks, steady(3, -1.0))
    replaced_by_receipt(clocks, NOW + 200, 365 * DAY_S)
    assert outcomes(clocks, steady(3, -1.0, start=NOW + 260)) == ["own"] * 3
    assert (clocks.faults(), clocks.take_reports()) == ((), [])


@pytest.mark.parametrize("year", [1970, 2000, 2016])
def test_a_clock_that_starts_in_an_early_year_is_reported(clocks: Clocks, year: int) -> None:
    """Decoding replaces such times at once; that the clock is wrong is reported as well."""
    for n in range(3):
        got = NOW + 60.0 * n
        replaced_by_receipt(clocks, got, datetime(year, 1, 1, tzinfo=UTC).timestamp() + 60.0 * n - got)
    assert [one.fault for one in clocks.take_reports()] == [Fault.WRONG]


# ------------------------------------------------------------------------------------ local time


@pytest.mark.parametrize("hours", [1.0, 2.0, 5.5, 5.75, 14.0])
def test_local_time_ahead_of_utc(clocks: Clocks, hours: float) -> None:
    """Decoding has replaced such a time; the zone is the likely cause."""
    for n in range(6):
        replaced_by_receipt(clocks, NOW + 60.0 * n, hours * HOUR_S - 0.3)
    assert [(one.fault, round(one.off_s)) for one in clocks.take_reports()] == [
        (Fault.LOCAL, round(hours * HOUR_S))
    ]


@pytest.mark.parametrize("hours", [-1.0, -3.5, -5.0, -12.0])
def test_local_time_behind_utc(clocks: Clocks, hours: float) -> None:
    """It is believed, and noted once."""
    assert outcomes(clocks, steady(20, hours * HOUR_S - 1.0)) == ["own"] * 20
    assert [one.fault for one in clocks.take_reports()] == [Fault.LOCAL]


@pytest.mark.parametrize("off_s", [-100 * 60.0, -15 * 60.0, -1830.0, -40.0, -1.0, 0.0, -18 * HOUR_S])
def test_other_delays_are_not_noted(clocks: Clocks, off_s: float) -> None:
    """A device may send its readings late."""
    outcomes(clocks, steady(20, off_s))
    assert clocks.faults() == ()


def test_a_backlog_does_not_look_like_local_time(clocks: Clocks) -> None:
    """Not even where several messages of one moment are whole hours old."""
    outcomes(clocks, [(NOW - 8 * HOUR_S, NOW - 8 * HOUR_S)])
    outcomes(clocks, [(NOW + n * 0.02, NOW - 5 * HOUR_S + (n // 4) * HOUR_S) for n in range(16)])
    assert clocks.faults() == ()


# ---------------------------------------------------------------------------------- kept over restarts


def commit(clocks: Clocks, connection: sqlite3.Connection) -> None:
    clocks.insert(connection)
    clocks.commit()


def test_the_run_goes_on_after_a_kill_between_any_two_messages(connection: sqlite3.Connection) -> None:
    """The state is on disk with the messages."""
    times = [(NOW, NOW), *steady(5, -BACK_S, start=NOW + 60)]
    found: list[str] = []
    for got, at in times:
        again = Clocks(connection)
        if found:
            again._newest.put("kiln", NOW)  # as from the rows that are still journaled
            again.commit()
        found.append(outcome(again.judge((of(at),), got), got, at))
        commit(again, connection)
    assert found == ["own", "history", "history", "receipt", "receipt", "receipt"]
    assert [(one.device, one.fault) for one in read_faults(connection)] == [("kiln", Fault.WRONG)]
    assert Clocks(connection).take_reports() == []


def test_the_newest_time_is_kept_when_its_row_is_pruned(connection: sqlite3.Connection) -> None:
    """It is saved with the pruning."""
    before = Clocks(connection)
    send(before, NOW, NOW)
    before.save(connection, 1)
    before.commit()
    assert outcomes(Clocks(connection), [(NOW + 9, NOW - 2 * DAY_S)]) == ["history"]


def test_a_rollback_changes_nothing(connection: sqlite3.Connection, clocks: Clocks) -> None:
    """The messages come again, and are judged as if for the first time."""
    send(clocks, NOW - 5 * DAY_S, NOW - 5 * DAY_S)
    for _ in range(2):
        got = [clocks.judge((of(NOW - n * HOUR_S),), NOW).old for n in range(100, 0, -1)]
        assert not any(got)
        clocks.save(connection, 7)
        clocks.rollback()
    steps = steady(3, -BACK_S)
    send(clocks, NOW, NOW)
    for got_, at in steps[:2]:
        send(clocks, got_, at)
    for _ in range(2):
        assert clocks.judge((of(steps[2][1]),), steps[2][0]).replaced
        clocks.rollback()
        assert (clocks.faults(), clocks.take_reports()) == ((), [])


def test_the_number_of_devices_is_bounded(connection: sqlite3.Connection, clocks: Clocks) -> None:
    """The devices that were met first are forgotten, on disk too."""
    for n in range(MAX_DEVICES + 10):
        clocks.judge((of(NOW, f"d{n}"),), NOW)
    clocks.save(connection, 1)
    clocks.commit()
    assert connection.execute("SELECT count(*) FROM clocks").fetchone() == (MAX_DEVICES,)
    assert connection.execute("SELECT 1 FROM clocks WHERE device = 'd9'").fetchone() is None
    assert outcomes(clocks, [(NOW + 1, NOW - 9 * DAY_S)], device="d0") == ["own"]
