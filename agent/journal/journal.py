"""The journal as the other rooms see it."""

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Self, TypeVar

from agent.domain.keys import Key
from agent.domain.records import Row, TimerKind
from agent.journal.answer import refuse
from agent.journal.ballast import Ballast
from agent.journal.capacity import Capacity
from agent.journal.clock import AgentClock
from agent.journal.errors import JournalError, JournalStorageError, is_storage, is_transient
from agent.journal.inbox import Inbox, Job
from agent.journal.lock import StateLock
from agent.journal.message_ids import MessageIds
from agent.journal.newcomers import BURST, Newcomers
from agent.journal.opening import NAME, open_database
from agent.journal.pruning import Pruner
from agent.journal.reader import connect_to_read
from agent.journal.recovery import read_rows, recover
from agent.journal.redelivery import Redelivery
from agent.journal.schema import read_meta, sync_directory, write_meta
from agent.journal.sequence import Sequence, last_row
from agent.journal.series import SeriesTable
from agent.journal.stats import JournalStats
from agent.journal.store import Store
from agent.journal.wiring import Pace, Wiring
from agent.journal.writer import Writer
from agent.testing.failpoint import FailpointRefusedError, arm

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """Section ``journal`` of the configuration, and limits that only tests change."""

    commit_ms: Annotated[
        int,
        Key(
            "longest time until a reading is on disk and acknowledged; a longer one spares an SD card",
            ge=1,
            le=5000,
        ),
    ] = 100
    max_mib: Annotated[
        int,
        Key("at 95 % of it the agent stops acknowledging and the broker holds the rest", ge=16, le=1_048_576),
    ] = 512
    keep_days: Annotated[
        float, Key("how long reviewed windows and quarantined messages are kept", gt=0, le=3650)
    ] = 7.0
    prune: Annotated[bool, Key("`false` keeps every row; for test rigs")] = True
    new_devices_per_min: Mapping[str, int] = field(default_factory=dict)  # by source
    new_devices_burst: int = BURST
    max_inbox_bytes: int = 8 * 1024 * 1024
    max_group: int = 256
    max_pending_rows: int = 4096
    ballast_bytes: int = 4 * 1024 * 1024


class Journal:
    """One file, one writing thread. Made by :meth:`open`; the caller runs :meth:`run` in a thread."""

    def __init__(
        self,
        *,
        path: Path,
        lock: StateLock,
        connection: sqlite3.Connection,
        ballast: Ballast,
        agent_id: str,
        wiring: Wiring,
        settings: JournalSettings,
        wall: Callable[[], float],
        mono: Callable[[], float],
        stretch: Callable[[float], float],
    ) -> None:
        self._path = path
        self._lock = lock
        self._connection = connection
        self._ended = threading.Event()
        self._running = False
        seq, clock_value = last_row(connection)
        self.clock = AgentClock(last=clock_value, wall=wall, mono=mono, stretch=stretch)
        sequence = Sequence(seq=seq, clock_value=clock_value, clock=self.clock)
        self.journal_id = _prepare(connection, agent_id, sequence)
        self.recovered = recover(connection)
        self.last_seq = sequence.seq  # what came after it goes through on_rows
        self.filters: tuple[str, ...] = tuple(json.loads(str(read_meta(connection, "filters") or "[]")))
        #: The last attempt to connect on disk, 0 for none.
        self.generation = int(read_meta(connection, "generation") or 0)
        redelivery = Redelivery()
        redelivery.load(connection)
        series = SeriesTable(connection)
        self.stats = JournalStats()
        self.inbox = Inbox(max_bytes=settings.max_inbox_bytes)
        self._writer = Writer(
            connection=connection,
            path=path,
            inbox=self.inbox,
            wiring=wiring,
            pace=Pace(
                commit_s=settings.commit_ms / 1000,
                max_group=settings.max_group,
                max_pending_rows=settings.max_pending_rows,
            ),
            sequence=sequence,
            redelivery=redelivery,
            message_ids=MessageIds(connection, now=self.clock.now),
            series=series,
            newcomers=Newcomers(
                connection,
                knows=wiring.knows,
                per_min=settings.new_devices_per_min,
                burst=settings.new_devices_burst,
            ),
            pruner=Pruner(
                sequence=sequence,
                series=series,
                now=self.clock.now,
                keep_s=settings.keep_days * 86_400,
                stats=self.stats,
                enabled=settings.prune,
            ),
            capacity=Capacity(
                connection=connection,
                path=path,
                max_bytes=int(settings.max_mib * 2**20),
                ballast=ballast,
                stats=self.stats,
                log=wiring.log,
                mono=mono,
            ),
            stats=self.stats,
            wall=wall,
            mono=mono,
        )

    @classmethod
    def open(
        cls,
        state_dir: Path,
        *,
        agent_id: str,
        wiring: Wiring,
        settings: JournalSettings,
        wall: Callable[[], float],
        mono: Callable[[], float],
        stretch: Callable[[float], float] = float,
    ) -> Self:
        """Lock the state directory, open or create the journal in it, and read what must be recovered.

        Raises:
            JournalInUseError: another agent has the directory.
            JournalNewerError: a newer agent wrote the journal; nothing was touched.
            JournalStorageError: the disk is full, read-only or fails; a later try may succeed.
            JournalError: the directory or the file is not ours to use.
        """
        _make(state_dir)
        lock = StateLock(state_dir / "journal.lock")
        lock.acquire()
        try:
            ballast = Ballast(state_dir / "journal.ballast", size=settings.ballast_bytes)
            connection = _open_with(ballast, state_dir / NAME, log=wiring.log)
            try:
                ballast.restore()
                return cls(
                    path=state_dir / NAME,
                    lock=lock,
                    connection=connection,
                    ballast=ballast,
                    agent_id=agent_id,
                    wiring=wiring,
                    settings=settings,
                    wall=wall,
                    mono=mono,
                    stretch=stretch,
                )
            except BaseException:
                connection.close()
                raise
        except BaseException as error:
            lock.release()
            if isinstance(error, (sqlite3.Error, OSError)):
                raise _explain(state_dir, error) from error
            raise

    def rows_after(self, seq: int) -> Iterator[Row]:
        """Yield the rows above ``seq`` that were there at start-up; later ones come through ``on_rows``."""
        with closing(connect_to_read(self._path)) as connection:
            yield from read_rows(connection, after=seq, upto=self.last_seq)

    def write(self, job: Callable[[Store], T], *, urgent: bool = False, optional: bool = False) -> Future[T]:
        """Run ``job`` inside the next transaction; its future is answered once that is on disk.

        Any thread may call it. ``urgent`` does not wait for the interval. The job may run again after a
        rollback, so it must touch nothing but the store. An exception of it goes to its future alone.
        An ``optional`` job is not tried again when the storage refuses it, and holds up nothing.
        """
        future: Future[T] = Future()
        work = Job(job, future, urgent, optional)
        if not self.inbox.submit(work):
            refuse([work])
        return future

    def consumed(self, rows: int) -> None:
        """Tell that the analyst is through with ``rows`` rows; only so many may be unconsumed."""
        self.inbox.consumed(rows)

    def run(self) -> None:
        """Be the journal's thread until :meth:`stop`; what it raises must end the process."""
        self._running = True
        try:
            if not self._ended.is_set():
                self._writer.run()
        finally:
            self._close()

    def stop(self, timeout_s: float) -> bool:
        """Commit what is queued, then close; false when that took longer than ``timeout_s``."""
        self.inbox.stop()
        if not self._running:
            self._close()
        return self._ended.wait(timeout_s)

    def _close(self) -> None:
        refuse(self.inbox.close())
        if not self._ended.is_set():
            self._connection.close()
            self._lock.release()
            self._ended.set()


def _make(state_dir: Path) -> None:
    try:
        missing = [folder for folder in (state_dir, *state_dir.parents) if not folder.exists()]
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in missing:
            sync_directory(folder.parent)
        arm(state_dir)
    except (FileExistsError, NotADirectoryError):
        raise JournalError(f"journal: {state_dir} is not a directory; correct agent.state_dir") from None
    except OSError as error:
        kind = JournalStorageError if is_transient(error) else JournalError
        raise kind(
            f"journal: cannot create {state_dir}: {error.strerror}; create it or set agent.state_dir"
        ) from error
    except FailpointRefusedError as error:
        raise JournalError(f"journal: {error}") from error


def _open_with(ballast: Ballast, path: Path, *, log: Callable[..., None]) -> sqlite3.Connection:
    """Open the file and write to it; on a full disk give it the ballast and try once more."""
    try:
        return _open_and_write(path, log=log)
    except sqlite3.Error:
        if not ballast.drop():
            raise
    log("journal_ballast_dropped", level="warning", path=str(ballast.path))
    return _open_and_write(path, log=log)


def _open_and_write(path: Path, *, log: Callable[..., None]) -> sqlite3.Connection:
    connection = open_database(path, log=log)
    try:
        write_meta(connection, "opened_by", os.getpid())
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _explain(state_dir: Path, error: Exception) -> JournalError:
    kind = JournalStorageError if is_storage(error) or isinstance(error, OSError) else JournalError
    return kind(
        f"journal: cannot use {state_dir}: {error}; check that its disk has free space and is sound, "
        f"and that it is writable for user {os.getuid()}"
    )


def _prepare(connection: sqlite3.Connection, agent_id: str, sequence: Sequence) -> str:
    """Give a new journal its id; note in an old one that its link is down since its last row."""
    connection.execute("BEGIN IMMEDIATE")
    journal_id = read_meta(connection, "journal_id")
    if journal_id is None:
        journal_id = token_hex(8)
        write_meta(connection, "journal_id", journal_id)
        write_meta(connection, "agent_id", agent_id)
    if sequence.seq:
        sequence.seq += 1
        connection.execute(
            "INSERT INTO timer_events VALUES (?,?,NULL,?)",
            (sequence.seq, TimerKind.DISCONNECTED.value, sequence.clock_value),
        )
    connection.execute("COMMIT")
    return str(journal_id)
