"""The journal thread: the only writer, one transaction per commit interval."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.domain.records import Arrival, LinkUp, Posted, Row, TimerKind
from agent.journal.announced import Announced
from agent.journal.arrivals import Ack, Decode, Intake
from agent.journal.capacity import Capacity
from agent.journal.clocks import FAULTS, Clocks
from agent.journal.commands import CommandRate, Refusal
from agent.journal.errors import JournalCorruptError, JournalStorageError, is_damage, is_storage
from agent.journal.family_tables import Families, FamilyTables
from agent.journal.inbox import Group, Inbox, Item, Job, answer, refuse
from agent.journal.opening import mark_suspect
from agent.journal.places import Places
from agent.journal.pruning import Pruner
from agent.journal.redelivery import MessageIds, Redelivery
from agent.journal.samples import Samples
from agent.journal.sequence import AgentClock, RowSequence
from agent.journal.series import Newcomers, SeriesTable
from agent.journal.settings import JournalSettings
from agent.journal.short_way import ReadPlain, ShortWay
from agent.journal.source_saves import SourceSaves
from agent.journal.state_dir import Ballast
from agent.journal.stats import JournalStats
from agent.journal.store import Store
from agent.journal.unread import Unread
from agent.testing.failpoint import failpoint
from agent.verdict.feedback import Noted

_MAX_JOBS = 512  # in a group; a sealed window and its verdict are two
_MAX_GROUP_BYTES = 4 * 1024 * 1024
_MAX_GROUP_ROWS = 4096  # and those of one more message: the will of a gateway is a row for each device
_IDLE_S = 1.0  # longest time without a heartbeat while nothing happens
_PRUNE_INTERVAL_S = 60.0  # each one rewrites pages: seldom, for the sake of SD cards
_IO_INTERVAL_S = 10.0
_BACKOFF_S = (0.1, 2.0)  # first and longest wait after a failed commit


@dataclass(slots=True, kw_only=True)
class Wiring:
    """The receivers of the writer's results. All are called on its thread and must not block.

    Those of the link are set once it is built, before the writer runs.
    """

    decode: Decode
    read_plain: ReadPlain | None = None  # what ``decode`` makes of messages with nothing but readings
    on_rows: Callable[[list[Row]], None]
    log: Callable[..., None]
    on_acks: Callable[[list[Ack]], None] = lambda _acks: None
    on_generation: Callable[[int], None] = lambda _generation: None
    on_room: Callable[[], None] = lambda: None
    families: Families | None = None  # with state that the journal keeps
    on_texts: Callable[[list[tuple[Arrival, bool]]], None] = lambda _texts: None
    knows: Callable[[str], bool] = lambda _device: False  # a device, to the detector
    on_feedback: Callable[[tuple[Noted, ...]], None] = lambda _noted: None
    on_refusals: Callable[[list[Refusal]], None] = lambda _refusals: None  # of commands


_Answer = tuple[Future[Any], Any, Exception | None]  # to a job


@dataclass(slots=True)
class _Results:
    """The results of a transaction, delivered once it is committed."""

    rows: list[Row] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)
    answers: list[_Answer] = field(default_factory=list)
    intake: Intake | None = None
    link: LinkUp | None = None
    rest: list[Item] = field(default_factory=list)  # not taken: for the next transaction


class Writer:
    """Takes a group, writes it in one transaction, and reports it only once it is on disk."""

    def __init__(
        self,
        *,
        connection: sqlite3.Connection,
        path: Path,
        ballast: Ballast,
        inbox: Inbox,
        wiring: Wiring,
        settings: JournalSettings,
        sequence: RowSequence,
        clock: AgentClock,
        stats: JournalStats,
        unread: Unread,
        places: Places,
        wall: Callable[[], float],
        mono: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._path = path
        self._inbox = inbox
        self._wiring = wiring
        self._settings = settings
        self._sequence = sequence
        self._stats = stats
        self._wall = wall
        self._mono = mono
        self._redelivery = Redelivery(connection)
        self._message_ids = MessageIds(connection, now=clock.now)
        self._series = SeriesTable(connection)
        self._newcomers = Newcomers(
            connection,
            knows=wiring.knows,
            per_min=settings.new_devices_per_min,
            burst=settings.new_devices_burst,
        )
        self._family_tables = FamilyTables(connection, wiring.families)
        self._unread = unread
        self._saves = SourceSaves(connection, stats=stats, wall=wall, mono=mono)
        self._clocks = Clocks(connection)
        self._announced = Announced(knows=wiring.knows)
        self._command_rate = CommandRate()
        self._places = places
        self._short_way = (
            None
            if wiring.read_plain is None
            else ShortWay(
                read=wiring.read_plain,
                series=self._series,
                unread=unread,
                clocks=self._clocks,
                announced=self._announced,
                places=places,
                sequence=sequence,
            )
        )
        stats.clocks = self._clocks.faults()
        self._parts = (
            self._saves,
            self._redelivery,
            self._message_ids,
            self._series,
            self._newcomers,
            self._family_tables,
            unread,
            self._clocks,
            self._announced,
            places,
        )
        keep_s = settings.keep_days * 86_400
        self._pruner = Pruner(
            sequence=sequence,
            series=self._series,
            clocks=self._clocks,
            samples=Samples(keep_s=keep_s, max_bytes=settings.max_mib * 2**20),
            now=clock.now,
            keep_s=keep_s,
            stats=stats,
            enabled=settings.prune,
        )
        self._capacity = Capacity(
            connection=connection,
            path=path,
            max_bytes=int(settings.max_mib * 2**20),
            ballast=ballast,
            stats=stats,
            log=wiring.log,
            mono=mono,
        )
        self._backoff_s = 0.0
        self._pruned = mono()
        self._io_at = 0.0

    def run(self) -> None:
        """Write until the inbox is stopped and empty, or the storage fails after the stop."""
        self._capacity.measure()
        while self.turn():
            pass
        self._save_last()
        self._stats.bytes_written = _bytes_written()

    def turn(self) -> bool:
        """Do one group; False when there is nothing left to do after a stop."""
        self._beat()
        failpoint("journal_turn")
        stopped = self._inbox.stopped
        group = self._inbox.take(
            max_items=self._settings.max_group,
            max_jobs=_MAX_JOBS,
            max_bytes=_MAX_GROUP_BYTES,
            wait_s=self._settings.commit_ms / 1000,
            idle_s=self._idle_s(),
            intake=self._capacity.intake,
            max_pending_rows=self._settings.max_pending_rows,
        )
        pruning = self._prune_is_due() and not stopped
        # When room is short, even a quiet site must notice that it is over.
        measuring = self._capacity.strained and not stopped
        saving = self._capacity.intake and not stopped and self._saves.due()
        if group.items or group.jobs or pruning or measuring or saving or self._gives_up():
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

    def _transact(self, group: Group, results: _Results, *, prune: bool) -> None:
        connection = self._connection
        mark = self._sequence.mark()
        connection.execute("BEGIN IMMEDIATE")
        try:
            store = Store(
                connection=connection,
                sequence=self._sequence,
                pruner=self._pruner,
                wall=self._wall,
                rows=results.rows,
                passed=results.passed,
                places=self._places,
            )
            intake = Intake(
                decode=self._wiring.decode,
                redelivery=self._redelivery,
                message_ids=self._message_ids,
                series=self._series,
                newcomers=self._newcomers,
                unread=self._unread,
                clocks=self._clocks,
                announced=self._announced,
                command_rate=self._command_rate,
                places=self._places,
                sequence=self._sequence,
                rows=results.rows,
                short_way=self._short_way,
            )
            results.intake = intake
            place = 0
            while place < len(group.items):
                if len(results.rows) >= _MAX_GROUP_ROWS:
                    results.rest = group.items[place:]
                    break
                if (end := intake.hasten(group.items, place)) > place:
                    place = end
                    continue
                item = group.items[place]
                place += 1
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
            if not results.rest and self._gives_up():
                intake.give_up_held()
            failpoint("c1_received")
            intake.insert(connection)
            self._family_tables.insert(connection)
            for job in group.jobs:
                results.answers.append(self._run(job, store))
            if prune:
                self._pruner.step(connection, early=self._capacity.pressed, full=not self._capacity.intake)
            if self._capacity.intake and self._saves.due():
                self._saves.write(connection)
            if self._capacity.troubled:
                self._sequence.save(connection)
            failpoint("c2_committing")
            started = self._mono()
            connection.execute("COMMIT")
            self._stats.commit_s += self._mono() - started
        except BaseException:
            self._roll_back(mark)
            raise

    def _save_last(self) -> None:
        """Write the counts by source of the last seconds; a storage that refuses them loses nothing else."""
        mark = self._sequence.mark()
        if not self._saves.unsaved:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._saves.write(self._connection)
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            self._roll_back(mark)

    def _roll_back(self, mark: tuple[int, float]) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._sequence.reset(mark)
        for part in self._parts:
            part.rollback()

    def _run(self, job: Job, store: Store) -> _Answer:
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
            return job.future, None, error
        self._connection.execute("RELEASE job")
        return job.future, value, None

    # ------------------------------------------------------------------------------------- after it

    def _succeed(self, group: Group, results: _Results) -> None:
        failpoint("c3_committed")
        for point in results.passed:
            failpoint(point)
        changed = self._clocks.changed
        for part in self._parts:
            part.commit()
        if changed:
            self._report_clocks()
        self._backoff_s = 0.0
        if results.rest:
            self._inbox.put_back(Group(results.rest, []))
        stats = self._stats
        stats.commits += 1
        stats.ids_reused = self._redelivery.ids_reused
        if results.intake is not None:
            stats.add(results.intake.tally, self._mono())
            if results.intake.tally.new_refused:
                stats.new_refused_at = self._mono()
            for posted, receipt in results.intake.receipts:
                posted.receipt.set_result(receipt)
            if results.intake.acks:
                self._wiring.on_acks(results.intake.acks)
            if results.intake.noted:
                self._wiring.on_feedback(results.intake.noted)
            if results.intake.refusals:
                self._wiring.on_refusals(results.intake.refusals)
        if results.link is not None:
            failpoint("c13_generation_committed")
            self._wiring.on_generation(results.link.generation)
        for future, value, error in results.answers:
            answer(future, value, error)
        if results.rows:
            self._inbox.handed(len(results.rows))
            self._wiring.on_rows(results.rows)
        self._capacity.succeed(items=bool(group.items))
        self._capacity.measure()
        if results.intake is not None and results.intake.texts:
            self._wiring.on_texts(results.intake.texts)

    def _report_clocks(self) -> None:
        """Log each fault of a device's clock once, and show those that last."""
        self._stats.clocks = self._clocks.faults()
        for one in self._clocks.take_reports():
            found = FAULTS[one.fault]
            self._wiring.log(
                found.event, level="warning", device=one.device, off_s=round(one.off_s), remedy=found.remedy
            )

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
        trouble = JournalStorageError(f"journal: cannot write to {self._path}: {error}")
        refuse(optional, trouble)
        for posted in group.items:
            if isinstance(posted, Posted):  # its sender sends it again
                answer(posted.receipt, error=trouble)
        items = [item for item in group.items if not isinstance(item, Posted)]
        self._inbox.put_back(Group(items, [job for job in group.jobs if not job.optional]))
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
            self._clocks.commit()
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
        if now >= self._io_at:
            self._io_at = now + _IO_INTERVAL_S
            self._stats.bytes_written = _bytes_written()


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
