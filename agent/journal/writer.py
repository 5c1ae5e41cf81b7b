"""The journal's thread: the only one that writes, one transaction for what came within an interval."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from agent.domain.records import Arrival, LinkUp, Row, TimerKind
from agent.journal.answer import Answer, refuse
from agent.journal.arrivals import Intake
from agent.journal.capacity import Capacity
from agent.journal.errors import JournalCorruptError, JournalStorageError, is_damage, is_storage
from agent.journal.family_tables import FamilyTables
from agent.journal.inbox import Group, Inbox, Job
from agent.journal.message_ids import MessageIds
from agent.journal.newcomers import Newcomers
from agent.journal.opening import mark_suspect
from agent.journal.pruning import Pruner
from agent.journal.redelivery import Redelivery
from agent.journal.sequence import Sequence
from agent.journal.series import SeriesTable
from agent.journal.stats import JournalStats
from agent.journal.store import Store
from agent.journal.wiring import Pace, Wiring
from agent.testing.failpoint import failpoint

_IDLE_S = 1.0  # longest time without a heartbeat while nothing happens
_PRUNE_INTERVAL_S = 60.0  # each one rewrites pages: seldom, for the sake of SD cards
_IO_INTERVAL_S = 10.0
_BACKOFF_S = (0.1, 2.0)  # first and longest wait after a failed commit


class Writer:
    """Takes a group, writes it in one transaction, and tells of it only once it is on disk."""

    def __init__(
        self,
        *,
        connection: sqlite3.Connection,
        path: Path,
        inbox: Inbox,
        wiring: Wiring,
        pace: Pace,
        sequence: Sequence,
        redelivery: Redelivery,
        message_ids: MessageIds,
        series: SeriesTable,
        newcomers: Newcomers,
        pruner: Pruner,
        capacity: Capacity,
        stats: JournalStats,
        wall: Callable[[], float],
        mono: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._path = path
        self._inbox = inbox
        self._wiring = wiring
        self._pace = pace
        self._sequence = sequence
        self._redelivery = redelivery
        self._message_ids = message_ids
        self._series = series
        self._newcomers = newcomers
        self._pruner = pruner
        self._capacity = capacity
        self._stats = stats
        self._wall = wall
        self._mono = mono
        self._family_tables = FamilyTables(connection, wiring.families)
        self._backoff_s = 0.0
        self._pruned = mono()
        self._io_at = 0.0

    def run(self) -> None:
        """Write until the inbox is stopped and empty, or the storage fails after the stop."""
        self._capacity.measure()
        while self.turn():
            pass
        self._stats.bytes_written = _bytes_written()

    def turn(self) -> bool:
        """Do one group; False when there is nothing left to do after a stop."""
        self._beat()
        failpoint("journal_turn")
        stopped = self._inbox.stopped
        group = self._inbox.take(
            max_items=self._pace.max_group,
            max_jobs=self._pace.max_jobs,
            max_bytes=self._pace.max_group_bytes,
            wait_s=self._pace.commit_s,
            idle_s=self._idle_s(),
            intake=self._capacity.intake,
            max_pending_rows=self._pace.max_pending_rows,
        )
        pruning = self._prune_is_due() and not stopped
        # When room is short, even a quiet site must notice that it is over.
        measuring = self._capacity.strained and not stopped
        if group.items or group.jobs or pruning or measuring or self._gives_up():
            done = self._commit(group, prune=pruning)
            if self._inbox.found_room():
                self._wiring.on_room()
            return done or not self._inbox.stopped
        return not stopped

    def _idle_s(self) -> float:
        """Return the longest wait without work: none while pruning must go on."""
        if self._pruner.more and self._capacity.pressed:
            return 0.0
        if self._inbox.depth or not self._capacity.intake:
            return _IDLE_S  # what is held stays so, for whatever was due long ago
        held_s = self._redelivery.due_s(self._mono())
        return _IDLE_S if held_s is None else min(_IDLE_S, held_s)

    def _gives_up(self) -> bool:
        """Whether held messages count as new: nothing more of their run came in time."""
        return self._redelivery.due_s(self._mono()) == 0.0 and not self._inbox.depth and self._capacity.intake

    # --------------------------------------------------------------------------------- one group

    def _commit(self, group: Group, *, prune: bool) -> bool:
        try:
            results = _Results()
            self._transact(group, results, prune=prune)
        except sqlite3.Error as error:
            self._fail(group, error)
            return False
        self._succeed(group, results)
        return True

    def _transact(self, group: Group, results: "_Results", *, prune: bool) -> None:
        connection = self._connection
        mark = self._sequence.mark()
        connection.execute("BEGIN IMMEDIATE")
        try:
            store = self._open_store(results)
            intake = Intake(
                decode=self._wiring.decode,
                redelivery=self._redelivery,
                message_ids=self._message_ids,
                series=self._series,
                newcomers=self._newcomers,
                sequence=self._sequence,
                rows=results.rows,
            )
            results.intake = intake
            for item in group.items:
                if isinstance(item, Arrival):
                    intake.accept(item)
                elif isinstance(item, LinkUp):
                    intake.drop_held()
                    self._redelivery.link(item)
                    if item.filters:
                        store.set_filters(item.filters)
                    failpoint("c13_generation")
                    results.link = item
                else:
                    intake.drop_held()
                    store.timer(TimerKind.DISCONNECTED, mono=item.mono)
            if self._gives_up():
                intake.give_up_held()
            failpoint("c1_received")
            intake.insert(connection)
            self._family_tables.insert(connection)
            for job in group.jobs:
                results.answers.append(self._run(job, store))
            if prune:
                self._pruner.step(connection, early=self._capacity.pressed, full=not self._capacity.intake)
            if self._capacity.troubled:
                self._sequence.save(connection)
            failpoint("c2_committing")
            started = self._mono()
            connection.execute("COMMIT")
            self._stats.commit_s += self._mono() - started
        except BaseException:
            self._roll_back(mark)
            raise

    def _roll_back(self, mark: tuple[int, float]) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._sequence.reset(mark)
        self._redelivery.rollback()
        self._message_ids.rollback()
        self._series.rollback()
        self._newcomers.rollback()
        self._family_tables.rollback()

    def _run(self, job: Job, store: Store) -> Answer:
        """Run a job in a savepoint: one that fails takes nothing of the others with it."""
        rows, passed, mark = len(store.rows), len(store.passed), self._sequence.mark()
        self._connection.execute("SAVEPOINT job")
        try:
            value = job.run(store)
        except Exception as error:
            if is_storage(error) or is_damage(error):
                raise
            self._connection.execute("ROLLBACK TO job")
            self._connection.execute("RELEASE job")
            del store.rows[rows:], store.passed[passed:]
            self._sequence.reset(mark)
            return Answer(future=job.future, error=error)
        self._connection.execute("RELEASE job")
        return Answer(future=job.future, value=value)

    def _open_store(self, results: "_Results") -> Store:
        return Store(
            connection=self._connection,
            sequence=self._sequence,
            pruner=self._pruner,
            wall=self._wall,
            rows=results.rows,
            passed=results.passed,
        )

    # ------------------------------------------------------------------------------------- after it

    def _succeed(self, group: Group, results: "_Results") -> None:
        failpoint("c3_committed")
        for point in results.passed:
            failpoint(point)
        self._redelivery.commit()
        self._message_ids.commit()
        self._series.commit()
        self._newcomers.commit()
        self._family_tables.commit()
        self._backoff_s = 0.0
        stats = self._stats
        stats.commits += 1
        stats.last_commit = self._mono()
        stats.jobs += len(group.jobs)
        stats.ids_reused = self._redelivery.ids_reused
        if results.intake is not None:
            stats.add(results.intake.tally)
            if results.intake.tally.new_refused:
                stats.new_refused_at = self._mono()
            if results.intake.acks:
                self._wiring.on_acks(results.intake.acks)
            if results.intake.noted:
                self._wiring.on_feedback(results.intake.noted)
        if results.link is not None:
            failpoint("c13_generation_committed")
            self._wiring.on_generation(results.link.generation)
        for answer in results.answers:
            stats.jobs_failed += answer.give()
        if results.rows:
            self._inbox.handed(len(results.rows))
            self._wiring.on_rows(results.rows)
        stats.pending_rows = self._inbox.pending_rows
        self._capacity.succeed(items=bool(group.items))
        self._capacity.measure()
        if results.intake is not None and results.intake.texts:
            self._wiring.on_texts(results.intake.texts)

    def _fail(self, group: Group, error: sqlite3.Error) -> None:
        """Withhold the acks, keep the group, make room and wait: the storage may come back."""
        if is_damage(error):
            mark_suspect(self._path)
            raise JournalCorruptError(
                f"journal: {self._path} is damaged: {error}; it is checked at the next start"
            )
        if not is_storage(error):
            raise error
        self._stats.commit_failures += 1
        optional = [job for job in group.jobs if job.optional]
        refuse(optional, JournalStorageError(f"journal: cannot write to {self._path}: {error}"))
        self._inbox.put_back(Group(group.items, [job for job in group.jobs if not job.optional]))
        if self._capacity.fail(error):
            self._make_room()
        self._backoff_s = min(max(2 * self._backoff_s, _BACKOFF_S[0]), _BACKOFF_S[1])
        self._inbox.pause(self._backoff_s)

    def _make_room(self) -> None:
        mark = self._sequence.mark()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._pruner.step(self._connection, early=True, full=True)
            self._connection.execute("COMMIT")
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            self._capacity.measure()
        except sqlite3.Error:
            self._roll_back(mark)

    def _prune_is_due(self) -> bool:
        if not self._pruner.enabled:
            return False
        now = self._mono()
        interval_s = _IDLE_S if self._capacity.pressed else _PRUNE_INTERVAL_S
        if now - self._pruned < interval_s and not self._pruner.more:
            return False
        self._pruned = now
        return True

    def _beat(self) -> None:
        now = self._mono()
        self._stats.heartbeat = now
        self._stats.inbox_refused = self._inbox.refused
        if now >= self._io_at:
            self._io_at = now + _IO_INTERVAL_S
            self._stats.bytes_written = _bytes_written()


class _Results:
    """What a transaction will have brought about, if it commits."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.passed: list[str] = []
        self.answers: list[Answer] = []
        self.intake: Intake | None = None
        self.link: LinkUp | None = None


def _bytes_written() -> int:
    """Return what this thread caused to be written to the storage, as the kernel counts."""
    try:
        with Path("/proc/thread-self/io").open("rb") as file:
            for line in file:
                if line.startswith(b"write_bytes:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0
