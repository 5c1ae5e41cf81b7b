"""The pure core of the path: rows in order of ``seq`` to sealed windows.

It reads no clock and writes nothing. The live pipeline feeds it journaled rows in bounded turns, and
``offline.py`` rows of a recording in event time.
"""

from collections import deque
from collections.abc import Callable

from agent.detect import Detector
from agent.domain.records import (
    CommandRow,
    MessageRow,
    Reading,
    Row,
    Score,
    Silence,
    TimerKind,
    TimerRow,
    Trigger,
    Window,
)
from agent.pipeline.coupled import Coupled
from agent.pipeline.judging import Judging
from agent.pipeline.seal import Sealer
from agent.pipeline.window import Draft, Windows, WindowSettings

Judge = Callable[[Reading, float], tuple[Reading, Score]]


class Core:
    """Scores readings, collects them in windows and seals these.

    ``may_ask`` is the sealer's. ``device_seen`` gets a device and the clock of its first row. ``judge`` takes
    the place of the detector's own method, for a caller that wants each score.
    """

    def __init__(
        self,
        *,
        journal: str,
        agent: str,
        detector: Detector,
        window: WindowSettings,
        may_ask: Callable[[str, float, float], bool],
        device_seen: Callable[[str, float], None] = lambda _device, _clock: None,
        judge: Judge | None = None,
    ) -> None:
        self.detector = detector
        self.windows = Windows(window)
        self.sealed_to: dict[str, int] = {}  # device -> highest seq inside a sealed window
        self.last_seq: dict[str, int] = {}  # device -> seq of its newest reading
        #: Cut by the last row. The caller seals all of it before it takes another row.
        self.cut: deque[Draft | Silence] = deque()
        self.coupled = Coupled(detector)
        self._judge = judge or detector.judge
        self._device_seen = device_seen
        self._sealer = Sealer(
            journal=journal,
            agent=agent,
            may_ask=may_ask,
            views=detector.some_views,
            silence=detector.silence_progress,
            absent=detector.absent,
            others=self.coupled.views,
            zone=detector.zone,
        )
        self._timer: TimerRow | None = None  # the last row, if it is one of time

    def take(self, row: Row) -> None:
        """Take the next row: a message, except a seed, a decision of time, link or person, or settings."""
        if isinstance(row, MessageRow):
            self.take_message(row)
        elif isinstance(row, TimerRow):
            self._timer = row
            if row.kind is TimerKind.TICK:
                self.cut.extend(self.windows.tick(row.clock))
            self.cut.extend(pass_timer(self.detector, row))
        elif isinstance(row, CommandRow):
            obey(self.detector, row)
        else:
            self.judge_by(Judging.read(row.body))

    def judge_by(self, judging: Judging) -> None:
        """Judge later readings, and seal later windows, by these settings."""
        self.detector.reconfigure(judging.limits, judging.tuning)
        self.windows.reconfigure(judging.window)

    def take_message(self, row: MessageRow) -> None:
        """Take the next row, which is a message and not a seed."""
        judge, clock, readings = self._judge, row.clock, row.readings
        if len(readings) == 1:
            self._collect(readings[0].device, row, [judge(readings[0], clock)])
        else:
            by_device: dict[str, list[tuple[Reading, Score]]] = {}
            for reading in readings:
                by_device.setdefault(reading.device, []).append(judge(reading, clock))
            for device, scored in by_device.items():
                self._collect(device, row, scored)
        if row.history:
            _hear(self.detector, row)

    def _collect(self, device: str, row: MessageRow, scored: list[tuple[Reading, Score]]) -> None:
        """Put the readings of one device into its window."""
        seq, clock = row.seq, row.clock
        if device not in self.last_seq:
            self._device_seen(device, clock)
        self.detector.note_hour(device, scored[-1][0].at, clock)
        self.last_seq[device] = seq
        if self.sealed_to and seq <= self.sealed_to.get(device, 0):
            return  # replayed: its window is sealed already
        self.cut += self.windows.add(device, seq, clock, scored, row.traceparent)

    def seal_next(self) -> list[Window]:
        """Seal the next window that the last row has cut; a silence seals the device's open one too."""
        cut = self.cut.popleft()
        if isinstance(cut, Draft):
            return [self._seal(cut)]
        row, device = self._timer, cut.device
        if row is None:
            return []
        windows = [self._seal(draft) for draft in self.windows.seal_device(device, row.clock, Trigger.AGE)]
        if row.seq > self.sealed_to.get(device, 0):
            windows.append(self._sealer.seal_silence(cut, row, self.last_seq.get(device, 0)))
            self.sealed_to[device] = row.seq
        return windows

    def identify(self, draft: Draft) -> str:
        """Return the id of the window of a draft."""
        return self._sealer.identify(draft)

    def pass_next(self) -> None:
        """Take the next draft that the last row has cut as sealed, without making its window."""
        draft = self.cut.popleft()
        if isinstance(draft, Draft):
            self.sealed_to[draft.device] = draft.hi

    def _seal(self, draft: Draft) -> Window:
        self.sealed_to[draft.device] = draft.hi
        return self._sealer.seal(draft)

    def next_due(self, until: float) -> float | None:
        """Return the clock at which a window or a silence is due, or None; any later one after ``until``."""
        window, silence = self.windows.next_due(), self.detector.next_due(until)
        if window is None or silence is None:
            return silence if window is None else window
        return min(window, silence)


def pass_timer(detector: Detector, row: TimerRow) -> list[Silence]:
    """Give the detector a decision of time or link; return the silences that it makes."""
    match row.kind:
        case TimerKind.TICK:
            return detector.tick(row.clock)
        case TimerKind.CONNECTED:
            detector.connected(row.clock)
        case TimerKind.DISCONNECTED:
            detector.disconnected(row.clock)
        case TimerKind.HEARD if row.device is not None:
            lack = detector.heard(row.device, row.clock)
            return [] if lack is None else [lack]
        case TimerKind.EXPECTED if row.device is not None and row.seconds is not None:
            detector.expect_interval(row.device, row.seconds)
        case TimerKind.ONLINE | TimerKind.OFFLINE if row.device is not None:
            silence = detector.device_state(row.device, row.kind is TimerKind.ONLINE, row.clock)
            return [] if silence is None else [silence]
    return []


def obey(detector: Detector, row: CommandRow) -> None:
    """Give the detector what a person's command changes in it, which was decided before."""
    outcome = row.outcome
    if outcome is None or outcome.device is None:
        return
    for seen in outcome.allow:
        detector.allow(outcome.device, seen)
    for seen in outcome.judged:
        detector.note_past(outcome.device, outcome.finding_id or "", row.command.do, seen)
    if outcome.silence is not None:
        detector.allow_silence(outcome.device, *outcome.silence)
    if outcome.forget:
        detector.forget(outcome.device)


def teach(detector: Detector, row: Row) -> None:
    """Give a row to the detector alone, as the core does, except for a change of settings."""
    if isinstance(row, CommandRow):
        obey(detector, row)
    elif isinstance(row, TimerRow):
        pass_timer(detector, row)
    elif isinstance(row, MessageRow) and not row.seed:
        for reading in row.readings:
            detector.judge(reading, row.clock)
        for device, at in {one.device: one.at for one in row.readings}.items():
            detector.note_hour(device, at, row.clock)
        if row.history:
            _hear(detector, row)


def _hear(detector: Detector, row: MessageRow) -> None:
    """Count a message that holds nothing but history as a sign of life."""
    for device in {one.device for one in row.history} - {one.device for one in row.readings}:
        detector.heard(device, row.clock)
