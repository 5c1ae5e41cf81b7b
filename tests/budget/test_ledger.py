"""The budget ledger: on disk, over restarts, under a clock that steps."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from agent.budget import ledger as ledger_module
from agent.budget.ledger import BudgetLedger, boot_id
from agent.budget.reader import read_budget
from agent.budget.store import SENTINEL
from agent.domain.model_calls import BudgetWindow
from agent.journal.errors import JournalError, JournalNewerError

if TYPE_CHECKING:
    from agent.ai.protocols import Ledger

NOON = datetime(2026, 11, 24, 12, 30, tzinfo=UTC).timestamp()
LIMITS = {BudgetWindow.HOUR: 0.10, BudgetWindow.DAY: 0.25, BudgetWindow.MONTH: 1.0}


class World:
    """Clocks and the state directory of one machine."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "budget.sqlite"
        self.wall, self.mono, self.boot = NOON, 100.0, "boot-1"
        self.zone: tzinfo = UTC
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.opened: list[BudgetLedger] = []

    def open(self, limits: dict[BudgetWindow, float] | None = None, *, shared: bool = False) -> BudgetLedger:
        ledger = BudgetLedger(
            self.path,
            limits=limits or LIMITS,
            zone=self.zone,
            wall=lambda: self.wall,
            mono=lambda: self.mono,
            log=lambda event, **fields: self.reports.append((event, fields)),
            boot=self.boot,
            shared=shared,
        )
        self.opened.append(ledger)
        return ledger

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.mono += seconds


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    for ledger in world.opened:
        ledger.close()


def spent(ledger: BudgetLedger, window: BudgetWindow = BudgetWindow.HOUR) -> tuple[float, float]:
    one = ledger.spend()[window]
    return one.spent, one.reserved


def test_it_is_a_ledger(world: World) -> None:
    """The class satisfies the caller's protocol."""
    ledger: Ledger = world.open()
    assert ledger.spend()[BudgetWindow.DAY].limit == 0.25


def test_a_booking_counts_until_it_is_settled(world: World) -> None:
    """Reserved money counts; settling leaves the actual cost."""

    async def story() -> None:
        booking = await ledger.reserve(0.06, "review")
        assert booking is not None
        assert spent(ledger) == (0.0, 0.06)
        await ledger.settle(booking, 0.01)
        assert spent(ledger) == (0.01, 0.0)
        assert spent(ledger, BudgetWindow.MONTH) == (0.01, 0.0)

    ledger = world.open()
    asyncio.run(story())


@pytest.mark.parametrize("window", list(BudgetWindow))
def test_each_period_has_its_cap(world: World, window: BudgetWindow) -> None:
    """A booking that would pass any one of the caps is refused, and nothing is booked."""

    async def story() -> None:
        assert await ledger.reserve(0.02, "review") is not None
        assert await ledger.reserve(0.02, "review") is None
        assert await ledger.reserve(0.01, "review") is not None
        assert ledger.spend()[window].reserved == pytest.approx(0.03, abs=1e-12)

    ledger = world.open({**dict.fromkeys(BudgetWindow, 1.0), window: 0.03})
    asyncio.run(story())


def test_the_cap_itself_may_be_reached(world: World) -> None:
    """0.1 in ten times 0.01 fits exactly: money is counted in whole nano-USD."""

    async def story() -> list[int | None]:
        return [await ledger.reserve(0.01, "review") for _ in range(11)]

    ledger = world.open()
    bookings = asyncio.run(story())
    assert [one is None for one in bookings] == [False] * 10 + [True]


def test_concurrent_bookings_do_not_pass_the_cap(world: World) -> None:
    """Fifty at once: as many as fit are granted."""

    async def story() -> list[int | None]:
        return await asyncio.gather(*(ledger.reserve(0.009, "review") for _ in range(50)))

    ledger = world.open()
    bookings = asyncio.run(story())
    assert sum(one is not None for one in bookings) == 11


def test_a_dead_process_has_spent_what_it_booked(world: World) -> None:
    """A booking that was never settled stays spent after a restart."""

    async def story() -> None:
        booking = await first.reserve(0.06, "review")
        assert booking is not None
        await first.settle(booking, 0.02)
        assert await first.reserve(0.05, "review") is not None

    first = world.open()
    asyncio.run(story())
    first.close()
    second = world.open()
    assert spent(second) == (0.07, 0.0)
    assert asyncio.run(second.reserve(0.04, "review")) is None


def test_a_period_renews(world: World) -> None:
    """The next hour has its own money; the day remembers."""

    async def story() -> None:
        assert await ledger.reserve(0.10, "review") is not None
        assert await ledger.reserve(0.01, "review") is None
        world.pass_time(3600)
        assert spent(ledger) == (0.0, 0.0)
        assert spent(ledger, BudgetWindow.DAY) == (0.0, 0.10)
        assert await ledger.reserve(0.10, "review") is not None
        world.pass_time(3600)
        assert await ledger.reserve(0.10, "review") is None  # the day's cap
        assert await ledger.reserve(0.05, "review") is not None

    ledger = world.open()
    asyncio.run(story())


def test_settling_in_the_next_hour_leaves_that_hour_alone(world: World) -> None:
    """A booking of an hour that is over is given back to day and month only."""

    async def story() -> None:
        booking = await ledger.reserve(0.10, "review")
        assert booking is not None
        world.pass_time(3600)
        await ledger.settle(booking, 0.03)
        assert spent(ledger) == (0.0, 0.0)
        assert spent(ledger, BudgetWindow.DAY) == (0.03, 0.0)

    ledger = world.open()
    asyncio.run(story())


def test_a_booking_of_an_hour_that_is_over_says_nothing_of_the_next(world: World) -> None:
    """Settled or not, it neither counts as reserved there nor gives money back to other bookings there."""

    async def story() -> None:
        old = await ledger.reserve(0.10, "review")
        world.pass_time(3600)
        first = await ledger.reserve(0.05, "review")
        assert old is not None
        assert first is not None
        await ledger.settle(first, 0.04)
        assert spent(ledger) == (0.04, 0.0)
        assert await ledger.reserve(0.05, "review") is not None
        await ledger.settle(old, 0.03)
        assert spent(ledger) == pytest.approx((0.04, 0.05))
        assert spent(ledger, BudgetWindow.DAY) == pytest.approx((0.07, 0.05))

    ledger = world.open()
    asyncio.run(story())


@pytest.mark.parametrize("step", [400 * 86_400.0, -400 * 86_400.0])
def test_a_stepped_clock_gives_no_money(world: World, step: float) -> None:
    """A wall clock that jumps by days while the monotonic one does not resets nothing, and is logged."""

    async def story() -> None:
        assert await ledger.reserve(0.10, "review") is not None
        world.wall += step
        assert await ledger.reserve(0.01, "review") is None
        assert [(event, fields["level"]) for event, fields in world.reports] == [
            ("budget_clock_jumped", "warning")
        ]
        world.pass_time(3600)
        assert await ledger.reserve(0.01, "review") is not None

    ledger = world.open()
    asyncio.run(story())


@pytest.mark.parametrize(
    ("zone", "midnight"),
    [
        ("Europe/Berlin", (2026, 3, 29)),  # of 23 hours
        ("Europe/Berlin", (2026, 3, 30)),
        ("Europe/Berlin", (2026, 10, 25)),  # of 25 hours
        ("Europe/Berlin", (2026, 10, 26)),
        ("Africa/Cairo", (2026, 4, 24)),  # begins at 01:00
        ("Australia/Lord_Howe", (2026, 4, 5)),  # half an hour longer
        ("Asia/Kolkata", (2026, 6, 1)),
    ],
)
def test_a_call_in_flight_at_midnight_is_of_the_day_that_is_over(
    world: World, zone: str, midnight: tuple[int, int, int]
) -> None:
    """By the clock of the site, also where it changes that day; the new day has all of its money."""
    world.zone = ZoneInfo(zone)
    world.wall = datetime(*midnight, tzinfo=world.zone).timestamp() - 1.0
    limits = dict.fromkeys(BudgetWindow, 0.1)

    async def story() -> None:
        booking = await ledger.reserve(0.10, "review")
        assert booking is not None
        assert await ledger.reserve(0.01, "review") is None
        world.pass_time(2)
        for window in (BudgetWindow.HOUR, BudgetWindow.DAY):
            assert spent(ledger, window) == (0.0, 0.0)
            shown = read_budget(world.path, limits=limits, zone=world.zone, now=ledger._now())[window]
            assert (shown.spent, shown.reserved) == (0.0, 0.0)
        await ledger.settle(booking, 0.03)
        assert spent(ledger, BudgetWindow.DAY) == (0.0, 0.0)
        of_month = 0.0 if midnight[2] == 1 else 0.03
        assert spent(ledger, BudgetWindow.MONTH) == (of_month, 0.0)
        world.wall -= 120.0  # a small step back over midnight is not the old day again
        assert await ledger.reserve(0.07, "review") is not None
        assert spent(ledger, BudgetWindow.DAY) == (0.0, 0.07)

    ledger = world.open(limits)
    asyncio.run(story())


def test_the_doubled_hour_is_two_hours_of_one_day(world: World) -> None:
    """A call that ends in the second 02:30 gives nothing back to that hour, and its cost to the day."""
    world.zone = ZoneInfo("Europe/Berlin")
    world.wall = datetime(2026, 10, 25, 2, 30, tzinfo=world.zone).timestamp()

    async def story() -> None:
        booking = await ledger.reserve(0.10, "review")
        assert booking is not None
        world.pass_time(timedelta(hours=1).total_seconds())
        assert spent(ledger) == (0.0, 0.0)
        await ledger.settle(booking, 0.03)
        assert spent(ledger) == (0.0, 0.0)
        assert spent(ledger, BudgetWindow.DAY) == (0.03, 0.0)

    ledger = world.open()
    asyncio.run(story())


@pytest.mark.parametrize("step", [-3600.0, 3600.0, -86_400.0, 40 * 86_400.0])
@pytest.mark.parametrize("looks", [False, True])
def test_a_call_in_flight_over_a_step_of_the_clock_costs_what_it_cost(
    world: World, step: float, *, looks: bool
) -> None:
    """Its booking goes with its periods; one of an hour that was over gives nothing back to another hour."""

    async def story() -> None:
        old = await ledger.reserve(0.04, "review")
        world.pass_time(3600)
        late = await ledger.reserve(0.05, "review")
        assert old is not None
        assert late is not None
        world.wall += step
        if looks:
            await ledger.refresh()
        for window, reserved in ((BudgetWindow.HOUR, 0.05), (BudgetWindow.DAY, 0.09)):
            assert spent(ledger, window) == pytest.approx((0.0, reserved))
            shown = read_budget(world.path, limits=LIMITS, zone=UTC, now=ledger._now())[window]
            assert (shown.spent, shown.reserved) == pytest.approx((0.0, reserved))
        await ledger.settle(old, 0.01)
        await ledger.settle(late, 0.02)
        assert spent(ledger) == pytest.approx((0.02, 0.0))
        assert spent(ledger, BudgetWindow.DAY) == pytest.approx((0.03, 0.0))
        assert spent(ledger, BudgetWindow.MONTH) == pytest.approx((0.03, 0.0))

    ledger = world.open()
    asyncio.run(story())


def test_a_stepped_clock_gives_no_money_over_a_restart(world: World) -> None:
    """The step is seen although the process that booked is gone: the boot is the same."""
    first = world.open()
    assert asyncio.run(first.reserve(0.10, "review")) is not None
    first.close()
    world.wall += 86_400 * 3
    world.mono += 5
    assert asyncio.run(world.open().reserve(0.01, "review")) is None


def test_a_new_day_after_a_reboot_has_new_money(world: World) -> None:
    """A gateway that was off for a day starts with fresh hours and days."""
    first = world.open()
    assert asyncio.run(first.reserve(0.10, "review")) is not None
    first.close()
    world.wall, world.mono, world.boot = NOON + 86_400, 3.0, "boot-2"
    second = world.open()
    assert spent(second) == (0.0, 0.0)
    assert spent(second, BudgetWindow.MONTH) == (0.10, 0.0)


def test_a_lost_file_counts_as_spent(world: World) -> None:
    """When budget.sqlite vanishes, nothing is paid until the next period, and it is logged."""

    async def story() -> None:
        assert await ledger.reserve(0.001, "review") is None
        assert ledger.spend()[BudgetWindow.HOUR].spent == 0.10
        world.pass_time(3600)
        assert await ledger.reserve(0.001, "review") is None  # the day is lost as well
        world.pass_time(86_400)
        assert await ledger.reserve(0.001, "review") is None  # and the month
        world.pass_time(31 * 86_400)
        assert await ledger.reserve(0.001, "review") is not None

    world.open().close()
    world.path.unlink()
    ledger = world.open()
    assert ledger.lost
    ((event, fields),) = world.reports
    assert (event, fields["level"], fields["path"]) == ("budget_file_lost", "warning", str(world.path))
    assert "edge-agent budget reset" in fields["remedy"]
    asyncio.run(story())


def test_a_lost_file_stays_lost_over_a_restart(world: World) -> None:
    """Starting again does not turn a lost file into a new one."""
    world.open().close()
    world.path.unlink()
    world.open().close()
    again = world.open()
    assert not again.lost  # this time the file was there
    assert asyncio.run(again.reserve(0.001, "review")) is None


def test_a_lost_file_grants_only_what_is_free_and_shows_the_larger_spend(world: World) -> None:
    """A booking of nothing goes; a cost that is known of counts where it is above the cap."""

    async def story() -> None:
        assert await ledger.reserve(1e-9, "review") is None
        assert await ledger.reserve(0.0, "review") is not None
        await ledger.settle(999, 0.15)  # of a call that was booked in the file that is gone
        assert spent(ledger) == (0.15, 0.0)
        assert spent(ledger, BudgetWindow.DAY) == (0.25, 0.0)

    world.open().close()
    world.path.unlink()
    ledger = world.open()
    asyncio.run(story())


def test_a_period_is_never_below_zero(world: World) -> None:
    """Settling a booking that somebody has taken out of the sums gives no money to others."""

    async def story() -> None:
        booking = await ledger.reserve(0.10, "review")
        assert booking is not None
        ledger._file._db.execute("UPDATE periods SET booked = 0")
        await ledger.settle(booking, 0.0)
        assert spent(ledger) == (0.0, 0.0)
        assert await ledger.reserve(0.11, "review") is None

    ledger = world.open()
    asyncio.run(story())


def test_reset_gives_the_money_back(world: World) -> None:
    """After ``budget reset`` a lost file is a new one."""

    async def story() -> None:
        await ledger.reset()
        assert spent(ledger) == (0.0, 0.0)
        assert await ledger.reserve(0.10, "review") is not None

    world.open().close()
    world.path.unlink()
    ledger = world.open()
    asyncio.run(story())


def test_a_reset_by_another_process_is_seen(world: World) -> None:
    """The running agent reads the file again; what was in flight then is counted when it is settled."""

    async def story() -> None:
        booking = await agent.reserve(0.10, "review")
        assert booking is not None
        await command.reset()
        assert spent(agent) == (0.0, 0.1)
        await agent.refresh()
        assert spent(agent) == (0.0, 0.0)
        await agent.settle(booking, 0.02)
        assert spent(agent) == (0.02, 0.0)

    agent, command = world.open(), world.open()
    asyncio.run(story())


def test_the_first_start_is_no_loss(world: World) -> None:
    """A fresh directory has all its money; so has one whose first start was cut short."""
    world.path.write_bytes(b"")
    ledger = world.open()
    assert not ledger.lost
    assert asyncio.run(ledger.reserve(0.10, "review")) is not None
    assert world.path.with_name(SENTINEL).exists()


@pytest.mark.parametrize("damage", [b"not a database, but long enough " * 8, b""])
def test_a_damaged_file_counts_as_spent(world: World, damage: bytes) -> None:
    """A corrupt or emptied file is a lost one; the corrupt one is kept aside."""
    world.open().close()
    world.path.write_bytes(damage)
    ledger = world.open()
    assert ledger.lost
    assert asyncio.run(ledger.reserve(0.001, "review")) is None
    assert bool(damage) == any(".corrupt-" in path.name for path in world.path.parent.iterdir())


def test_a_torn_page_is_noticed(world: World) -> None:
    """Damage behind a good header is found at opening."""
    world.open().close()
    content = bytearray(world.path.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    world.path.write_bytes(bytes(content))
    assert world.open().lost


def test_a_newer_file_is_refused(world: World) -> None:
    """A ledger of a newer agent is not touched."""
    world.open().close()
    connection = sqlite3.connect(world.path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    before = world.path.read_bytes()
    with pytest.raises(JournalNewerError, match=r"schema 99.*nothing was touched"):
        world.open()
    assert world.path.read_bytes() == before


def test_a_directory_that_cannot_be_written_is_said(world: World) -> None:
    """The error names the file and the remedy."""
    world.path = world.path.parent / "missing" / "budget.sqlite"
    with pytest.raises(JournalError, match=r"cannot open .*budget.sqlite.*agent.state_dir"):
        world.open()


def test_a_write_that_fails_is_no_booking(world: World) -> None:
    """When the disk refuses, the caller gets an error and nothing may be spent."""
    ledger = world.open()
    blocker = sqlite3.connect(world.path, isolation_level=None)
    blocker.execute("PRAGMA busy_timeout=0")
    ledger._file._db.execute("PRAGMA busy_timeout=0")
    blocker.execute("BEGIN EXCLUSIVE")
    for _ in range(3):  # logged once
        with pytest.raises(JournalError, match="no model call is made"):
            asyncio.run(ledger.reserve(0.01, "review"))
    blocker.execute("ROLLBACK")
    assert asyncio.run(ledger.reserve(0.01, "review")) is not None
    assert [(event, fields["level"]) for event, fields in world.reports] == [("budget_write_failed", "error")]
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(JournalError):
        asyncio.run(ledger.reserve(0.01, "review"))
    blocker.close()
    assert [event for event, _ in world.reports] == ["budget_write_failed"] * 2  # once for each trouble


def test_a_booking_nobody_waits_for_is_given_back(world: World) -> None:
    """Cancelled while it waits for the disk, a booking that commits all the same is released."""

    async def story() -> None:
        tasks = [asyncio.create_task(ledger.reserve(0.01, "review")) for _ in range(6)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)
        for _ in range(3):
            await ledger.refresh()
        assert spent(ledger) == (0.0, 0.0)

    ledger = world.open()
    asyncio.run(story())


def test_limits_can_change_while_it_runs(world: World) -> None:
    """A reload takes new caps; what is booked stays."""

    async def story() -> None:
        assert await ledger.reserve(0.10, "review") is not None
        ledger.reconfigure({**LIMITS, BudgetWindow.HOUR: 0.05})
        assert await ledger.reserve(0.001, "review") is None
        ledger.reconfigure({**LIMITS, BudgetWindow.HOUR: 0.20})
        assert await ledger.reserve(0.10, "review") is not None

    ledger = world.open()
    asyncio.run(story())


def test_commits_are_flushed(world: World) -> None:
    """The file is opened with synchronous=FULL and a rollback journal, so readers leave nothing behind."""
    ledger = world.open()
    db = ledger._file._db
    assert db.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "truncate"


def test_the_boot_is_named_by_the_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without its file each process is a boot of its own."""
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    monkeypatch.setattr(ledger_module, "_BOOT_ID", tmp_path / "missing")
    assert boot_id() == f"process-{os.getpid()}"


def test_a_reboot_within_the_hour_is_remembered(world: World) -> None:
    """A step of the clock after it is seen, although no period has ended in between."""
    first = world.open()
    assert asyncio.run(first.reserve(0.10, "review")) is not None
    first.close()
    world.mono, world.boot = 3.0, "boot-2"
    second = world.open()
    assert asyncio.run(second.reserve(0.01, "review")) is None
    second.close()
    world.wall += 86_400 * 3
    world.mono += 5
    assert asyncio.run(world.open().reserve(0.01, "review")) is None


def test_a_refresh_sees_a_stepped_clock(world: World) -> None:
    """As a booking does."""
    ledger = world.open()
    world.wall += 86_400
    asyncio.run(ledger.refresh())
    assert [event for event, _ in world.reports] == ["budget_clock_jumped"]


def test_closing_finishes_what_was_handed_in(world: World) -> None:
    """A booking that waits for the disk is on it afterwards, and the file is closed."""

    async def story() -> None:
        task = asyncio.create_task(ledger.reserve(0.01, "review"))
        await asyncio.sleep(0.05)
        early = task.done()
        threading.Timer(0.1, free.set).start()
        ledger.close()
        assert await task is not None
        assert not early  # one after the other, in one thread

    ledger, free = world.open(), threading.Event()
    ledger._executor.submit(free.wait)
    asyncio.run(story())
    with pytest.raises(JournalError, match="is closed"):
        ledger._file.load()
    assert spent(world.open()) == (0.01, 0.0)


def test_a_booking_that_nobody_waits_for_may_fail(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk refuses it in the ledger's own thread; that is logged once, and nothing is given back."""
    entered, free = threading.Event(), threading.Event()
    threads: list[str] = []

    def refuse() -> float:
        threads.append(threading.current_thread().name)
        entered.set()
        free.wait()
        raise sqlite3.OperationalError("database or disk is full")

    async def story() -> None:
        task = asyncio.create_task(ledger.reserve(0.01, "review"))
        await asyncio.to_thread(entered.wait)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        free.set()
        ledger.close()

    ledger = world.open()
    monkeypatch.setattr(ledger, "_wall", refuse)
    asyncio.run(story())
    assert [event for event, _ in world.reports] == ["budget_write_failed"]
    assert [name.partition("_")[0] for name in threads] == ["budget"]
    assert caplog.records == []


def test_a_shared_ledger_keeps_the_bookings_of_the_other_process(world: World) -> None:
    """Both see each other's money, and a call under way is settled to its cost, not kept as spent."""

    async def story() -> None:
        booking = await first.reserve(0.06, "review")
        second = world.open(shared=True)
        assert await second.reserve(0.05, "ask") is None
        other = await second.reserve(0.04, "ask")
        assert await first.reserve(0.01, "review") is None
        assert booking is not None
        assert other is not None
        await first.settle(booking, 0.01)
        await second.settle(other, 0.02)
        await first.refresh()

    first = world.open()
    asyncio.run(story())
    assert spent(first) == pytest.approx((0.03, 0.0))
