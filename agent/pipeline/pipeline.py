"""The path of a reading, from the journal to the verdict. Read this first.

    stage          file               called here             what it does
    detect         agent/detect       Detector.judge, tick    scores a reading, finds a silent device
    window         window.py          Windows.add, tick       collects the readings of a device
    seal           seal.py            Sealer.seal             fixes a window: id, opinion, prompt section
    review         review_queue.py    ReviewQueue.submit      asks the model about it, or not
    conclude       conclude.py        Conclusions.conclude    commits verdict, finding and outbox rows
    send           outbox_feed.py     OutboxFeed.add, turn    sends the rows until their sinks answer

``core.py`` joins the first three, purely. Further files: ``events.py`` reports devices, verdicts and
findings, ``journal_writes.py`` hands transactions to the journal, ``snapshot.py`` saves detector and windows,
``retained.py`` keeps retained values, ``usual.py`` journals usual ranges for charts, ``epochs.py`` lets one
of two agents publish, ``loop.py`` is the way in from other threads, and ``offline.py`` runs the stages
without journal and model, in the time of the readings.

Rows come from the journal strictly by ``seq``. Decisions of time (age, settling, silence) are requested as
timer rows and acted on only when such a row comes back, so scores, windows and findings are a function of the
sequence and the configuration. Everything here runs on the analyst's loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from agent.detect import Detector, Limit, Tuning
from agent.domain.records import (
    CommandRow,
    MessageRow,
    Reason,
    Recovered,
    Row,
    TimerKind,
    TimerRow,
    Trigger,
    Window,
)
from agent.journal.journal import Journal
from agent.mqtt import LinkState
from agent.pipeline import snapshot
from agent.pipeline.causes import surroundings
from agent.pipeline.conclude import Conclusions, Trace
from agent.pipeline.core import Core
from agent.pipeline.epochs import Epochs
from agent.pipeline.events import DeviceSeen, Subscribers
from agent.pipeline.journal_writes import BatchWrites, JournalWrites
from agent.pipeline.judging import Judging
from agent.pipeline.notices import Notices, Receiver
from agent.pipeline.outbox_feed import OutboxFeed
from agent.pipeline.retained import RetainedValues
from agent.pipeline.review_queue import Asks, BatchSettings, ReviewQueue, Spawn
from agent.pipeline.snapshot import Dump, SnapshotDue
from agent.pipeline.usual import UsualRanges
from agent.pipeline.window import WindowSettings
from agent.sinks import Route, Sink
from agent.testing.failpoint import failpoint
from agent.verdict.notice import NoticeRules
from agent.verdict.people import People
from agent.verdict.review_policy import ReviewSettings

TURN_S = 0.2
# One turn of the loop: then it beats, and verdicts, calls and timers have theirs.
MAX_TURN_ROWS = 256
MAX_TURN_READINGS = 4096
MAX_TURN_WINDOWS = 200
# Each window makes two jobs of some kilobytes: while so many wait for the journal, no row is worked on.
MAX_JOBS = 1024
HELD_S = 0.01


@dataclass(frozen=True, slots=True)
class PipelineSettings:
    """The pipeline's part of the configuration."""

    agent: str
    routes: Sequence[Route]
    review: ReviewSettings
    window: WindowSettings
    batch: BatchSettings
    limits: Sequence[Limit] = ()
    tuning: Sequence[Tuning] = ()
    receivers: Sequence[Receiver] = ()
    rules: NoticeRules = field(default_factory=NoticeRules)
    link: str | None = None  # to the status page, for people
    coupled: Sequence[str] = ()  # globs of devices that are shown side by side in prompts

    @property
    def judging(self) -> Judging:
        """Those that scores and windows follow from."""
        return Judging(self.window, tuple(self.limits), tuple(self.tuning))


@dataclass(slots=True)
class PipelineStats:
    """Counters of this process, read by the metrics at scrape."""

    readings: int = 0
    snapshots: int = 0
    windows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(Trigger, 0))


class Pipeline:
    """Joins the stages. A failed task of ``spawn`` ends the process, and so does a refused transaction."""

    def __init__(
        self,
        *,
        settings: PipelineSettings,
        journal: Journal,
        detector: Detector,
        caller: Asks | None,
        sinks: Sequence[Sink],
        post: Callable[..., object],
        trace: Trace,
        events: Subscribers,
        suppressed: Callable[[Reason], None],
        audits_allowed: Callable[[], bool],
        clock: Callable[[], float],
        wall: Callable[[], float],
        turn_s: float = TURN_S,
        log: Callable[..., None],
        spawn: Spawn,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._turn_s = turn_s
        self._log = log
        writes = JournalWrites(journal, post=post, fail=fail)
        self._write, self._try_to_write = writes.write, writes.try_to_write
        self.detector = detector
        self.outbox = OutboxFeed(
            sinks,
            write=self._write,
            settled=lambda row: self.conclusions.settled(row),  # noqa: PLW0108 - made below
            post=post,
            seniority=detector.seniority,
            clock=clock,
            log=log,
        )
        self.notices = Notices(
            agent=settings.agent,
            receivers=settings.receivers,
            rules=settings.rules,
            link=settings.link,
            write=self._write,
            wake=self.outbox.wake,
            clock=clock,
            wall=wall,
        )
        self.conclusions = Conclusions(
            agent=settings.agent,
            routes=settings.routes,
            people=People(knows=detector.knows, devices=detector.devices),
            surroundings=lambda window: surroundings(window, self._journal.places, self.detector),
            write=self._write,
            publish=self.outbox.add,
            trace=trace,
            publish_event=events.publish,
            notices=self.notices,
            clock=clock,
            wall=wall,
        )
        self.review_queue = ReviewQueue(
            review=settings.review,
            batch=settings.batch,
            caller=caller,
            finding=self.conclusions.finding,
            shared=self.conclusions.shared,
            batches=BatchWrites(journal, writes),
            conclude=self.conclusions.conclude,
            waits=self.conclusions.warn,
            suppressed=suppressed,
            audits_allowed=audits_allowed,
            paused=lambda clock: self.conclusions.people.paused_to(clock) is not None,
            spawn=spawn,
        )
        self._core = Core(
            journal=journal.journal_id,
            agent=settings.agent,
            detector=detector,
            window=settings.window,
            may_ask=self.review_queue.may_ask,
            device_seen=lambda device, clock: events.publish(DeviceSeen(device, clock)),
        )
        self._core.coupled.reconfigure(settings.coupled)
        self.windows = self._core.windows
        self._rows: deque[Row] = deque()  # committed, not yet taken
        self._row: Row | None = None  # taken, while its windows are not all sealed
        self._turn_asked = False
        self._snapshot_asked = False  # in the middle of a row
        self._dump: Dump | None = None  # under way: no row is taken
        self._dump_s = 0.0  # time of its slices so far
        self.retained = RetainedValues()
        self._usual = UsualRanges(detector)
        self._epochs: Epochs | None = None
        self.seq = 0
        self._snapshots = SnapshotDue(clock=clock())
        self._judging: str | None = None  # text of the last settings that were journaled
        self._tick_asked = self._closing = False
        self._subscribed_in = 0  # the generation that CONNECTED was journaled for
        self._filters: tuple[str, ...] = ()
        self.stats = PipelineStats()
        self.heartbeat = clock()

    def follow(self, epochs: Epochs, elsewhere: Callable[[str], str]) -> None:
        """Publish only as the epochs of the partition allow. At build only.

        ``elsewhere`` returns in words which other partition has a device.
        """
        self._epochs = epochs
        self.conclusions.people.elsewhere = elsewhere
        self.review_queue.gate = epochs.gate
        self.conclusions.active = self.notices.active = lambda: epochs.active

    def keep_epochs(self, own: int, known: int, then: Callable[[], None]) -> None:
        """Store the epochs of the partition."""
        self._write(lambda store: store.set_epochs(own, known), lambda _none: then())

    def forget_others(self, has: Callable[[str], bool]) -> None:
        """Forget the devices of other partitions, which a copied or older state still has."""
        others = [device for device in self.detector.devices() if not has(device)]
        if others:
            self._write(lambda store: store.forget(others))

    def clock(self) -> float:
        """Return agent time."""
        return self._clock()

    # ---------------------------------------------------------------------------- rows, in order

    def consume(self, rows: Sequence[Row]) -> None:
        """Take committed rows, in order of ``seq``, in bounded turns; the first one at once."""
        self._rows.extend(rows)
        if not self._turn_asked:
            self._turn()

    def _turn(self) -> None:
        """Do one turn's work, on the rows or on a snapshot, and ask for another where some is left."""
        self._turn_asked = False
        failpoint("analyst_consume")
        if self._dump is not None or not self._held:
            self._journal.consumed(self._work())
        self.heartbeat = self._clock()
        self._snapshot_if_due()
        self._ask_turn()

    def _ask_turn(self) -> None:
        if self.busy and not self._turn_asked:
            self._turn_asked = True
            loop = asyncio.get_running_loop()
            if self._dump is None and self._held:
                loop.call_later(HELD_S, self._turn)
            else:
                loop.call_soon(self._turn)

    @property
    def _held(self) -> bool:
        return self._journal.inbox.jobs >= MAX_JOBS

    @property
    def busy(self) -> bool:
        """Whether rows wait, or windows of the last one, or slices of a snapshot."""
        return bool(self._rows) or self._row is not None or self._dump is not None

    def _work(self) -> int:
        """Take rows and seal their windows, up to the bounds of a turn; return how many were finished.

        A turn may end between the windows of a row. The next row waits until all are sealed, so where a turn
        ends decides nothing. While a snapshot is under way a turn is one slice of it, and no row is taken.
        """
        if (dump := self._dump) is not None:
            self._go_on_with(dump)
            return 0
        rows = windows = 0
        stats, cut, waiting = self.stats, self._core.cut, self._rows
        readings = stats.readings + MAX_TURN_READINGS
        while rows < MAX_TURN_ROWS and windows < MAX_TURN_WINDOWS and stats.readings < readings:
            if self._dump is not None:  # requested within the last row
                break
            if cut:
                windows += self._seal()
            elif (row := self._row) is not None:
                self._finish(row)
                rows += 1
            elif waiting:
                self._row = row = waiting.popleft()
                self._take(row)
                if not cut:
                    self._finish(row)
                    rows += 1
            else:
                break
        return rows

    def _finish(self, row: Row) -> None:
        """Note that all windows of a row are sealed."""
        self._row = None
        self.seq = row.seq
        if self._snapshot_asked:
            self.snapshot()

    def _take(self, row: Row) -> None:
        if isinstance(row, MessageRow):
            if row.seed:
                self.retained.take(row.readings)
            else:
                self._take_message(row)
        elif isinstance(row, TimerRow):
            if row.kind is TimerKind.TICK:
                self._tick_asked = False
                self.conclusions.pass_time(row.clock)
            self._core.take(row)
        elif isinstance(row, CommandRow):
            self._obey(row)
        else:
            self._core.take(row)

    def _obey(self, row: CommandRow) -> None:
        """Obey a person's command; one that an earlier process decided changes the detector alone."""
        if row.outcome is None:
            row = self.conclusions.decide(row)
        self._core.take(row)
        if row.outcome is not None and row.outcome.forget and row.outcome.device is not None:
            self.retained.forget(row.outcome.device)

    def _take_message(self, row: MessageRow) -> None:
        self._core.take_message(row)
        self.stats.readings += len(row.readings)
        while self.detector.unit_changes:
            change = self.detector.unit_changes.popleft()
            names = {"device": change.device, "metric": change.metric}
            self._log("series_unit_changed", level="warning", **names, was=change.was, unit=change.unit)

    # ----------------------------------------------------------------------------------- sealing

    def _seal(self) -> int:
        """Seal the next window that the current row has cut; return how many windows it makes."""
        windows = self._core.seal_next()
        for window in windows:
            self._keep(window)
        return max(1, len(windows))

    def _keep(self, window: Window) -> None:
        """Journal a sealed window and submit it for review; the journal keeps this order."""
        self.stats.windows[window.trigger] += 1
        usual = self._usual.take(window)
        self._write(lambda store: store.seal(window, usual))
        self.review_queue.submit(window)

    # --------------------------------------------------------------------------------------- time

    async def run_timers(self) -> None:
        """Request a timer row when something is due, feed the outbox, take snapshots."""
        while not self._closing:
            clock = self._clock()
            self.heartbeat = clock
            failpoint("analyst_timers")
            dues = (self._core.next_due(clock), self.conclusions.next_change())
            if not self._tick_asked and any(due is not None and due <= clock for due in dues):
                self._tick_asked = True
                self.note(TimerKind.TICK)
            self.notices.turn(clock)
            self.outbox.turn(clock)
            self._snapshot_if_due()
            if self._epochs is not None:
                self._epochs.turn()
            await asyncio.sleep(self._turn_s)

    def note(self, kind: TimerKind) -> None:
        """Journal a decision of time or link, at its place in the sequence."""
        self._write(lambda store: store.timer(kind, None))

    # --------------------------------------------------------------------------------------- link

    def link_changed(self, state: LinkState) -> None:
        """Let the silence clocks run while subscribed; journal the filters that the session may hold."""
        if state.subscribed and state.generation != self._subscribed_in:
            self._subscribed_in = state.generation
            self.note(TimerKind.CONNECTED)
        elif self._subscribed_in and not state.connected:
            self._subscribed_in = 0
            self.note(TimerKind.DISCONNECTED)  # the journal's own may have come before CONNECTED
        if state.filters != self._filters:
            self._filters = state.filters
            self._write(lambda store: store.set_filters(state.filters))
        if self._epochs is not None:
            self._epochs.link_changed(state)

    # ------------------------------------------------------------------------------------ restart

    async def restore(self, recovered: Recovered) -> None:
        """Take back the last snapshot, the open findings and the windows that wait for a verdict."""
        if recovered.settings is not None:
            self._core.judge_by(Judging.read(recovered.settings))
        self._judging = recovered.last_settings
        self._core.sealed_to.update(recovered.sealed_to)
        self.conclusions.restore(recovered)
        self.seq = recovered.snapshot_seq
        self._snapshots.restore(recovered.snapshot_seq, recovered.snapshot_clock)
        if recovered.snapshot is not None:
            problem = snapshot.load(
                recovered.snapshot,
                self.detector,
                self.windows,
                self.review_queue.calm,
                self._core.last_seq,
                self._core.sealed_to,
            )
            if problem:
                self._log("snapshot_skipped", level="warning", why=problem)
        self.review_queue.resume(recovered)

    async def replay(self, rows: Iterable[Row]) -> None:
        """Take rows that the last process had consumed after its snapshot; its windows are not cut again."""
        self._rows.extend(rows)
        while self.busy:
            self._work()
            self.heartbeat = self._clock()
            await asyncio.sleep(0)

    def snapshot(self) -> None:
        """Journal the state of detector and open windows after the last row, or the one in progress.

        It is made in slices, between which the loop has its turns. One under way is of this very row.
        """
        self._snapshot_asked = self._row is not None
        if self._snapshot_asked or self._dump is not None:
            return
        self._core.sealed_to.clear()  # its rows are behind this snapshot
        self._dump_s = 0.0
        self._dump = Dump(self.detector, self.windows, self.review_queue.calm, self._core.last_seq)
        self._ask_turn()

    def _go_on_with(self, dump: Dump) -> None:
        started = self._clock()
        blob = dump.slice()
        clock = self._clock()
        self._dump_s += clock - started
        if blob is None:
            return
        self._dump = None
        seq, lowest = self.seq, self.windows.lowest_seq()
        floor = seq + 1 if lowest is None else lowest
        self._snapshots.taken(seq, clock, took_s=self._dump_s, pruned=self._journal.stats.pruned_rows)
        self.stats.snapshots += 1
        self._try_to_write(
            lambda store: store.snapshot(seq, blob, floor),
            lambda on_disk: self._snapshots.written(self._clock(), on_disk=on_disk),
        )

    def _snapshot_if_due(self) -> None:
        if self._dump is None and self._snapshots.due(
            self.seq, self._clock(), state=self._journal.stats.state
        ):
            self.snapshot()

    async def last_snapshot(self) -> None:
        """Note the deliveries up to the end, and take a snapshot; one under way is the last."""
        self.outbox.note_delivered()
        self.snapshot()
        while self._snapshot_asked or self._dump is not None:
            self._journal.consumed(self._work())
            self.heartbeat = self._clock()
            await asyncio.sleep(0)

    def close(self) -> None:
        """Ask neither the model nor the clock any more; nothing is sealed."""
        self._closing = True
        self.review_queue.close()

    def reconfigure(self, settings: PipelineSettings, caller: Asks | None) -> None:
        """Take reloaded settings of review, batches and notices for later rows."""
        self.notices.reconfigure(settings.rules, settings.link)
        self.review_queue.reconfigure(settings.review, settings.batch, caller)
        self._core.coupled.reconfigure(settings.coupled)

    def judge_by(self, judging: Judging, written: Callable[[], None] = lambda: None) -> None:
        """Journal the settings of scores and windows if they are others; they hold from their row on."""
        text = judging.text()
        if text == self._judging:
            written()
            return
        self._judging = text
        self._write(lambda store: store.settings(text), lambda _row: written())
