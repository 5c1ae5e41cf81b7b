"""The agent's path without broker, journal and threads, for benchmarks.

Time is the messages' own, so two weeks of twenty devices take a minute. The model is not asked, as if it
agreed with everything; how often it would be asked is counted.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from agent.config import Config
from agent.config.load import load
from agent.config.settings import of_limits
from agent.decode.registry import Registry
from agent.detect import Detector
from agent.domain.records import (
    DecodeError,
    Finding,
    FindingEvent,
    Reading,
    Reason,
    Score,
    Severity,
    Silence,
    TimerKind,
    TimerRow,
    Trigger,
    Window,
)
from agent.pipeline.seal import Sealer
from agent.pipeline.window import Draft, Windows, WindowSettings
from agent.verdict.finding import advance
from agent.verdict.review_policy import CalmRate, Doubts, ReviewSettings, decide
from simulator.agent_process import demo_config
from simulator.events import Message
from simulator.score import Opening
from tests.benchmarks.detect.contestants import Contestant


@dataclass(slots=True)
class Counts:
    """The events since the history was over."""

    windows: int = 0
    asks: int = 0  # windows that the model would be asked about, without audits
    audits: int = 0


def configure(limits: Mapping[str, Any], sources: Sequence[Mapping[str, Any]] | None) -> Config:
    """Return the configuration with these limits, and the demo's sources unless others are given."""
    if sources is None:
        sources = yaml.safe_load(demo_config().read_text())["sources"]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "agent.yaml"
        path.write_text(yaml.safe_dump({"sources": list(sources), "limits": dict(limits)}))
        return load(path, {})


class LocalAgent:
    """One agent; its findings before ``live_from`` (event time) are not kept. It reads the demo's sources.

    A ``rival`` judges in place of the detector.
    """

    def __init__(
        self,
        *,
        live_from: float = 0.0,
        limits: Mapping[str, Any] | None = None,
        sources: Sequence[Mapping[str, Any]] | None = None,
        rival: Contestant | None = None,
        on_window: Callable[[Window], object] = lambda _window: None,
    ) -> None:
        config = configure(limits or {}, sources)
        self._registry = Registry(sources=config.sources, base_topic="edge-agent/bench")
        self.detector = Detector(limits=of_limits(config))
        self._judge: Contestant = rival or self.detector
        self._windows = Windows(WindowSettings())
        self._sealer = Sealer(
            journal="bench", agent="bench", may_ask=lambda *_: False, views=self._judge.some_views
        )
        self._findings: dict[str, Finding] = {}
        self._calm = CalmRate()
        self._doubts = Doubts()
        self._live_from = live_from
        self._on_window = on_window
        self._seq = 0
        self._last_seq: dict[str, int] = {}
        self._connected = False
        self.counts = Counts()
        self.openings: list[Opening] = []
        self.critical: set[str] = set()  # ids of findings that were critical at some time
        self.why: deque[tuple[Opening, Window]] = deque(maxlen=10_000)  # with the window, to look into

    def hear(self, messages: Iterable[Message]) -> None:
        """Take messages in the order in which they are sent."""
        for message in messages:
            self.pass_time(message.at)
            self._seq += 1
            try:
                decoded = self._registry.decode(message.topic, message.payload, message.at)
            except DecodeError:
                continue
            self._take(decoded.readings, message.at)
            for device in decoded.heard:
                self._judge.heard(device, message.at)

    def pass_time(self, clock: float) -> None:
        """Let windows and silences that are due until ``clock`` come about."""
        if not self._connected:
            self._connected = True
            self._judge.connected(clock)
        while True:
            dues = [due for due in (self._windows.next_due(), self._judge.next_due()) if due is not None]
            if not dues or min(dues) > clock:
                return
            now = min(dues)
            self._seq += 1
            for draft in self._windows.tick(now):
                self._seal(draft)
            for silence in self._judge.tick(now):
                self._silence(silence, now)

    def _take(self, readings: Iterable[Reading], clock: float) -> None:
        by_device: dict[str, list[tuple[Reading, Score]]] = {}
        for reading in readings:
            by_device.setdefault(reading.device, []).append(self._judge.judge(reading, clock))
        for device, scored in by_device.items():
            self._last_seq[device] = self._seq
            for draft in self._windows.add(device, self._seq, clock, scored, None):
                self._seal(draft)

    def _silence(self, silence: Silence, clock: float) -> None:
        for draft in self._windows.seal_device(silence.device, clock, Trigger.AGE):
            self._seal(draft)
        row = TimerRow(self._seq, clock, TimerKind.TICK)
        self._conclude(self._sealer.seal_silence(silence, row, self._last_seq.get(silence.device, 0)))

    def _seal(self, draft: Draft) -> None:
        self._conclude(self._sealer.seal(draft))

    def _conclude(self, window: Window) -> None:
        self._on_window(window)
        before = self._findings.get(window.device)
        decision = decide(
            window,
            before,
            settings=ReviewSettings(),
            audit_share=self._calm.share(24, window.sealed),
            clock=window.sealed,
            settled=self._doubts.settled(window),
        )
        if decision.ask:
            self._doubts.note(window)
        local = window.local
        after, event = advance(
            before,
            device=window.device,
            status=local.status,
            kind=local.kind,
            severity=local.severity,
            verdict_id=window.id,
            clock=window.sealed,
            reviewed=decision.ask,
        )
        if after is None or event is FindingEvent.CLEARED:
            self._findings.pop(window.device, None)
        else:
            self._findings[window.device] = after
        if decision.reason in (Reason.NOT_SUSPICIOUS, Reason.AUDIT):
            self._calm.count(window.sealed)
        if window.end < self._live_from:
            return
        self.counts.windows += 1
        self.counts.asks += decision.ask and not decision.audit
        self.counts.audits += decision.audit
        if event is FindingEvent.UPDATED and after is not None:
            self.openings = [
                replace(one, later=(*one.later, str(after.kind))) if one.finding_id == after.id else one
                for one in self.openings
            ]
        if after is not None and after.severity is Severity.CRITICAL:
            self.critical.add(after.id)
        if event is FindingEvent.OPENED and after is not None:
            opening = Opening(
                finding_id=after.id,
                device=window.device,
                kind=str(local.kind),
                seen=window.end,
                reported=window.sealed,
            )
            self.openings.append(opening)
            self.why.append((opening, window))
