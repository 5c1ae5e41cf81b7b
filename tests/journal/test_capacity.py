"""No room: the journal's own cap, a full disk, a failing one."""

import itertools
import json
import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.domain.records import MessageRow, Outgoing, Row, TimerKind
from agent.journal import JournalError, JournalSettings, JournalStorageError, pruning
from agent.journal.reader import Reader
from tests.journal.rig import Rig, acking, arrival, concluding, link_up, sealing, window

VERDICT = Outgoing(0, "mqtt", "edge-agent/gw1/verdicts/d1", b"content", retain=True, settles=True)
SMALL = JournalSettings(commit_ms=5, max_mib=8, max_inbox_bytes=64 * 1024, max_group=32, ballast_bytes=0)
BIG = b'{"a": 1, "pad": 2' + b" " * 4000 + b"}"


def states(rig: Rig) -> list[str]:
    """Return the states that were reported."""
    return [values["state"] for event, values in rig.reports if event == "journal_state_changed"]


def fill(rig: Rig) -> int:
    """Offer messages of 4 kB until the journal and then the inbox are full; return how many were taken."""
    rig.offer([link_up(1)])
    taken = 0

    def full() -> bool:
        nonlocal taken
        while rig.journal.inbox.offer([arrival(taken + 1, payload=BIG)]):
            taken += 1
        return rig.journal.stats.state == "full" and rig.journal.inbox.depth > 0

    rig.until(full)
    return taken


def test_the_cap_stops_the_acks_and_nothing_else(tmp_path: Path) -> None:
    """At 95 % arrivals wait and jobs go on; once rows may go, the intake goes on without a loss."""
    with Rig(tmp_path, settings=SMALL) as rig:
        taken = fill(rig)
        journaled = rig.journal.stats.journaled
        assert journaled == len(rig.acks) < taken
        assert states(rig)[-2:] == ["degraded", "full"]
        assert "Raise journal.max_mib" in rig.journal.stats.problem
        rig.rooms = 0
        rig.write(sealing(window("w1", "d1", 1, 10)))
        rig.write(concluding(window("w1", "d1", 1, 10), VERDICT))
        rig.write(lambda store: store.snapshot(journaled, b""))
        rig.write(lambda store: store.prune())
        assert rig.journal.stats.journaled == journaled  # its verdict waits for the broker
        rig.write(acking(1))
        rig.write(lambda store: store.prune())
        rig.until(lambda: rig.journal.stats.journaled == taken)
        rig.settle()
        assert rig.rooms == 1
        assert rig.journal.stats.state == "ok"
        assert [mid for _, mid in rig.acks] == list(range(2, taken + 2))


@pytest.mark.slow
def test_kept_rows_go_first(tmp_path: Path) -> None:
    """From 80 % on verdicts and then quarantine go before their time, and that is counted."""
    with Rig(tmp_path, settings=SMALL) as rig:
        for number in range(40):
            one = window(f"w{number}", "d1", 1, 1)
            rig.write(sealing(one))
            rig.write(concluding(one, detail=b"d" * 100_000))
        rig.offer([link_up(1), *(arrival(number, payload=b"{" + b"x" * 4000) for number in range(12))])
        rig.settle()
        rig.write(lambda store: store.snapshot(5, b""))
        rig.write(lambda store: store.prune())
        with Reader.open(tmp_path) as reader:
            assert (reader.counts()["verdicts"], reader.counts()["quarantine"]) == (40, 12)
        for number in range(20, 3000, 10):
            rig.offer([arrival(number + more, payload=BIG) for more in range(10)])
            rig.settle()
            if rig.journal.stats.pruned_early:
                break
        rig.until(lambda: rig.journal.stats.pruned_early >= 40)
        assert states(rig)[0] == "degraded"


@pytest.mark.slow
def test_a_refused_verdict_does_not_stop_the_acks_of_all(tmp_path: Path) -> None:
    """Under pressure a committed verdict no longer holds its rows; it still waits in the outbox."""
    with Rig(tmp_path, settings=SMALL) as rig:
        rig.offer([link_up(1), *(arrival(number, payload=BIG) for number in range(8))])
        rig.settle()
        rig.write(sealing(window("w1", "d1", 1, 8)))
        rig.write(concluding(window("w1", "d1", 1, 8), VERDICT))
        taken = 8 + fill(rig)
        rig.write(lambda store: store.snapshot(1000, b""))
        rig.until(lambda: rig.journal.stats.journaled == taken)
        waiting, _ = rig.write(lambda store: store.outbox.pending("mqtt", after=0, limit=9))
        assert [item.outbox_id for item in waiting] == [1]


@pytest.mark.slow
def test_a_full_journal_opens_with_windows_open_and_without_verdicts(tmp_path: Path) -> None:
    """Rows before the snapshot go when the intake is shut: the windows hold all that is needed."""
    with Rig(tmp_path, settings=SMALL) as rig:
        taken = fill(rig)
        journaled = rig.journal.stats.journaled
        assert journaled < taken
        rig.write(sealing(window("w1", "d1", 1, 10)))
        rig.write(lambda store: store.snapshot(journaled, b"", 5))
        rig.until(lambda: rig.journal.stats.journaled == taken)
    with Rig(tmp_path, settings=SMALL) as again:
        assert [one.id for one in again.journal.recovered.pending] == ["w1"]


@pytest.mark.slow
def test_garbage_does_not_stop_the_acks(tmp_path: Path) -> None:
    """Nothing but quarantine rows, and no row that a snapshot could pass: the oldest go."""
    with Rig(tmp_path, settings=replace(SMALL, max_inbox_bytes=2**25, max_group=256)) as rig:
        rig.offer([link_up(1), *(arrival(number, payload=b"{" + BIG) for number in range(3_000))])
        rig.settle()
        assert len(rig.acks) == 3_000
        assert rig.journal.stats.pruned_early > 0


def test_timers_alone_do_not_fill_it(tmp_path: Path) -> None:
    """Rows without a message go behind a snapshot as well, and are counted."""
    with Rig(tmp_path, settings=SMALL) as rig:
        for _ in range(50):
            rig.write(lambda store: store.timer(TimerKind.TICK))
        rig.write(lambda store: store.snapshot(50, b""))
        rig.write(lambda store: store.prune())
        assert rig.journal.stats.pruned_rows == 50


def test_a_large_snapshot_alone_does_not_shut_the_intake(tmp_path: Path) -> None:
    """No pruning could make up for it: beyond a quarter of the cap it is not counted."""
    with Rig(tmp_path, settings=SMALL) as rig:
        rig.write(lambda store: store.snapshot(0, os.urandom(9 * 2**20)))
        rig.offer([link_up(1), *(arrival(number) for number in range(50))])
        rig.settle()
        assert len(rig.acks) == 50
        assert rig.journal.stats.state == "ok"


def test_a_snapshot_that_does_not_fit_holds_up_nothing(tmp_path: Path) -> None:
    """The storage refuses it: it is given up, and what was in its transaction goes through."""
    with Rig(tmp_path) as rig:
        limit_pages(rig, 40)
        large = rig.journal.write(lambda store: store.snapshot(1, os.urandom(400_000)), optional=True)
        small = rig.journal.write(lambda store: store.seal(window()))
        assert isinstance(large.exception(10), JournalStorageError)
        small.result(60)
        with Reader.open(tmp_path) as reader:
            assert len(list(reader.windows(limit=5))) == 1


def limit_pages(rig: Rig, pages: int) -> None:
    """Have SQLite report a full disk from so many pages on."""
    rig.write(lambda _: rig.journal._connection.execute(f"PRAGMA max_page_count={pages}").fetchone())


def test_a_full_disk_withholds_the_acks(tmp_path: Path) -> None:
    """The group is kept and committed once there is space, in order, once, and it is reported once."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *(arrival(number) for number in range(100))])
        rig.settle()
        limit_pages(rig, 20)
        rig.offer([arrival(number, payload=BIG) for number in range(100, 160)])
        rig.until(lambda: rig.journal.stats.commit_failures >= 2)
        assert len(rig.acks) == 100
        assert rig.journal.stats.state == "full"
        assert "cannot write to" in rig.journal.stats.problem
        assert rig.journal.stats.pruned_early == 0
        connection = rig.journal._connection
        # Fits into the pages that are there.
        future = rig.journal.write(lambda store: store.set_filters(["a/b"]))
        connection.execute("PRAGMA max_page_count=1000000").fetchone()
        future.result(60)
        rig.settle()
        assert [mid for _, mid in rig.acks] == list(range(1, 161))
        assert [row.seq for row in rig.rows] == list(range(1, 161))
        assert states(rig) == ["full", "ok"]
    with Rig(tmp_path) as again:
        assert [row for row in again.journal.rows_after(0) if isinstance(row, MessageRow)] == rig.rows


def test_stopping_on_a_full_disk_ends(tmp_path: Path) -> None:
    """Uncommitted messages were not acknowledged; jobs get an error."""
    with Rig(tmp_path) as rig:
        limit_pages(rig, 20)
        rig.offer([link_up(1), *(arrival(number, payload=BIG) for number in range(60))])
        rig.until(lambda: rig.journal.stats.commit_failures >= 1)
        future = rig.journal.write(lambda store: store.snapshot(1, b"x" * 400_000))
        rig.stop()
        assert isinstance(future.exception(10), JournalError)
        assert rig.acks == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    argv = [str(mount), "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    if not mount or not umount or subprocess.run(argv, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs the right to mount")
    yield folder
    subprocess.run([umount, str(folder)], check=True)


@pytest.mark.process
@pytest.mark.root
def test_a_disk_filled_by_others(small_disk: Path) -> None:
    """The ballast is dropped, arrivals wait, jobs go on; once the disk is free, all is as before."""
    settings = JournalSettings(commit_ms=5, ballast_bytes=2 * 1024 * 1024, max_inbox_bytes=1 << 20)
    with Rig(small_disk / "state", settings=settings) as rig:
        ballast = small_disk / "state" / "journal.ballast"
        assert ballast.exists()
        rig.offer([link_up(1), *(arrival(number) for number in range(100))])
        rig.settle()
        filler = small_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        number = 100
        while rig.journal.stats.state != "full":
            assert number < 3_000
            rig.offer([arrival(number, payload=BIG)])
            number += 1
            rig.until(lambda: not rig.journal.inbox.depth or rig.journal.stats.state == "full")
        assert not ballast.exists()
        acked = len(rig.acks)
        for _ in range(20):
            rig.write(lambda store: store.set_filters(["goes/on"]))
        assert len(rig.acks) == acked
        filler.unlink()
        rig.acked(number)
        rig.settle()
        assert rig.journal.stats.state == "ok"
        assert [mid for _, mid in rig.acks] == list(range(1, number + 1))
        rows = len(rig.rows)
        assert [event for event, _ in rig.reports].count("journal_ballast_dropped") == 1
    with Rig(small_disk / "state", settings=settings) as again:
        assert ballast.exists()
        assert sum(isinstance(row, MessageRow) for row in again.journal.rows_after(0)) == rows


@pytest.mark.process
@pytest.mark.root
def test_starting_on_a_full_disk(small_disk: Path) -> None:
    """The ballast makes room for the files that SQLite needs to open."""
    settings = JournalSettings(commit_ms=5, ballast_bytes=2 * 1024 * 1024)
    with Rig(small_disk, settings=settings) as rig:
        rig.offer([link_up(1), *(arrival(number) for number in range(100))])
        rig.settle()
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    with Rig(small_disk, settings=settings) as again:
        assert len(list(again.journal.rows_after(0))) == 101
        assert [event for event, _ in again.reports] == ["journal_ballast_dropped"]


def test_a_lagging_analyst_stops_the_intake(tmp_path: Path) -> None:
    """Rows that nobody consumed bound what is taken on; jobs are not held up."""
    settings = JournalSettings(commit_ms=5, max_group=10, max_pending_rows=50, ballast_bytes=0)
    with Rig(tmp_path, settings=settings, auto_consume=False) as rig:
        rig.offer([link_up(1), *(arrival(number) for number in range(500))])
        rig.until(lambda: len(rig.rows) >= 50)
        rig.write(lambda store: store.set_filters(["goes/on"]))
        assert 50 <= len(rig.rows) <= 60
        assert rig.journal.inbox.pending_rows >= 50
        done = 0
        while len(rig.rows) < 500:
            seen = len(rig.rows)
            rig.journal.consumed(seen - done)
            done = seen
            rig.until(_longer(rig.rows, seen))
        assert [row.seq for row in rig.rows] == list(range(1, 501))


def _longer(rows: list[Row], length: int) -> Callable[[], bool]:
    return lambda: len(rows) > length


def test_a_failing_disk_withholds_the_acks(tmp_path: Path) -> None:
    """A write error is waited out like a full disk, without touching what is kept for the user."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(0, payload=b"{")])
        rig.settle()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
        try:
            rig.offer([arrival(number, payload=BIG) for number in range(1, 201)])
            rig.until(lambda: rig.journal.stats.commit_failures >= 2)
            acked = len(rig.acks)
            assert rig.journal.stats.state == "full"
            assert "disk I/O error" in rig.journal.stats.problem
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert acked < 201
        rig.settle()
        assert [mid for _, mid in rig.acks] == list(range(1, 202))
        assert rig.journal.stats.state == "ok"
        assert rig.journal.stats.pruned_early == 0


@pytest.mark.slow
def test_names_of_series_do_not_keep_it_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that invents metrics fills the cap with names; once no reading needs them, they go."""
    monkeypatch.setattr(pruning, "_MAX_SERIES", 100)
    with Rig(tmp_path, settings=replace(SMALL, max_mib=4, new_devices_burst=10**6)) as rig:
        rig.offer([link_up(1)])
        rig.write(lambda store: store.prune())  # the hourly look has been
        messages = itertools.count(1)
        while not rig.journal.stats.problem:
            names = {f"{next(messages)}-{place}-{'x' * 300}": 1 for place in range(100)}
            rig.journal.inbox.offer([arrival(payload=json.dumps(names).encode())])
            rig.write(lambda store: store.snapshot(rig.rows[-1].seq if rig.rows else 0, b""))
        with sqlite3.connect(rig.folder / "journal.sqlite") as looks:
            assert _series(looks) > 1000
            monkeypatch.setattr(pruning, "_SERIES_PRESSED_S", 0.1)
            rig.until(lambda: _series(looks) < 1000)


def _series(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM series").fetchone()[0])
