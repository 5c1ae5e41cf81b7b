"""The journal as the other folders see it."""

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from secrets import token_hex
from typing import Self, TypeVar

from agent.domain.records import Posted, Row, TimerKind
from agent.journal.errors import JournalError, JournalStorageError, is_storage, is_transient
from agent.journal.inbox import Inbox, Job, refuse
from agent.journal.opening import NAME, open_database
from agent.journal.places import Places
from agent.journal.reader import connect_to_read
from agent.journal.recovery import read_rows, recover
from agent.journal.schema import read_meta, write_meta
from agent.journal.sequence import AgentClock, RowSequence, last_row
from agent.journal.settings import JournalSettings
from agent.journal.state_dir import Ballast, StateLock, sync_directory
from agent.journal.stats import JournalStats
from agent.journal.store import Store
from agent.journal.unread import Unread
from agent.journal.writer import Wiring, Writer
from agent.testing.failpoint import FailpointRefusedError, arm

T = TypeVar("T")


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
        sequence = RowSequence(seq=seq, clock_value=clock_value, clock=self.clock)
        self.journal_id, self.answer_key = _prepare(connection, agent_id, sequence)
        self.recovered = recover(connection)
        self.last_seq = sequence.seq  # what came after it goes through on_rows
        self.filters: tuple[str, ...] = tuple(json.loads(str(read_meta(connection, "filters") or "[]")))
        #: The last attempt to connect on disk, 0 for none.
        self.generation = int(read_meta(connection, "generation") or 0)
        #: Of a partition: the last own epoch, and the highest known one.
        self.epochs: tuple[int, int] = tuple(json.loads(str(read_meta(connection, "epochs") or "[0, 0]")))
        self.stats = JournalStats()
        self.unread = Unread(knows=wiring.knows)
        self.places = Places(connection)
        self.inbox = Inbox(max_bytes=settings.max_inbox_bytes)
        self._writer = Writer(
            connection=connection,
            path=path,
            ballast=ballast,
            inbox=self.inbox,
            wiring=wiring,
            settings=settings,
            sequence=sequence,
            clock=self.clock,
            stats=self.stats,
            unread=self.unread,
            places=self.places,
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

    def accept(self, posted: Posted) -> bool:
        """Queue a posted message, whose receipt comes once it is on disk; False when it must be sent again.

        Any thread may call it.
        """
        return self.stats.state != "full" and self.inbox.offer_posted(posted)

    def consumed(self, rows: int) -> None:
        """Count ``rows`` rows as consumed by the analyst; the number of unconsumed ones is bounded."""
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


def _prepare(connection: sqlite3.Connection, agent_id: str, sequence: RowSequence) -> tuple[str, bytes]:
    """Give a new journal its id, and note in an old one that its link is down since its last row.

    Return the id, and the key of the links in notices.
    """
    connection.execute("BEGIN IMMEDIATE")
    journal_id = read_meta(connection, "journal_id")
    if journal_id is None:
        journal_id = token_hex(8)
        write_meta(connection, "journal_id", journal_id)
        write_meta(connection, "agent_id", agent_id)
    answer_key = read_meta(connection, "answer_key")
    if answer_key is None:
        answer_key = token_hex(32)
        write_meta(connection, "answer_key", answer_key)
    if sequence.seq:
        sequence.seq += 1
        connection.execute(
            "INSERT INTO timer_events VALUES (?,?,NULL,?,NULL)",
            (sequence.seq, TimerKind.DISCONNECTED.value, sequence.clock_value),
        )
    connection.execute("COMMIT")
    return str(journal_id), bytes.fromhex(str(answer_key))
