"""The agent's path without broker, journal and threads, for benchmarks.

Time is the messages' own, so two weeks of twenty devices take a minute. The model is not asked, as if it
agreed with everything; how often it would be asked is counted.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import yaml

from agent.config import Config
from agent.config.load import load
from agent.config.series_rules import of_limits
from agent.decode.registry import Decoded, Registry
from agent.detect import Detector
from agent.domain.records import (
    DecodeError,
    FindingEvent,
    MessageRow,
    Purpose,
    Severity,
    TimerKind,
    TimerRow,
    Window,
)
from agent.pipeline.offline import Concluded, OfflinePath
from agent.pipeline.window import WindowSettings
from agent.verdict.incident import Surroundings
from agent.verdict.review_policy import ReviewSettings
from simulator.agent_process import demo_config
from simulator.events import Message
from simulator.score import Opening
from tests.benchmarks.detect.contestants import Contestant


@dataclass(slots=True)
class Counts:
    """The events since the history was over."""

    windows: int = 0
    asked: Counter[Purpose] = field(default_factory=Counter)  # windows that the model would be asked about

    @property
    def asks(self) -> int:
        """Without audits."""
        return self.asked.total() - self.audits

    @property
    def audits(self) -> int:
        """Calm windows among them."""
        return self.asked[Purpose.AUDIT]


def configure(limits: Mapping[str, Any], sources: Sequence[Mapping[str, Any]] | None) -> Config:
    """Return the configuration with these limits, and the demo's sources unless others are given."""
    if sources is None:
        sources = yaml.safe_load(demo_config().read_text())["sources"]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "agent.yaml"
        path.write_text(yaml.safe_dump({"sources": list(sources), "limits": dict(limits)}))
        return load(path, {})


def states_of(decoded: Decoded) -> tuple[tuple[str, bool], ...]:
    """Return the states in a message, by device."""
    if decoded.online is None or not decoded.device:
        return decoded.states
    return ((decoded.device, decoded.online), *decoded.states)


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
        self._path = OfflinePath(
            detector=cast("Detector", rival or self.detector),
            window=WindowSettings(),
            review=ReviewSettings(),
            concluded=self._conclude,
            around=self._around,
        )
        self._live_from = live_from
        self._on_window = on_window
        self._seq = 0
        self._connected = False
        self.counts = Counts()
        self.openings: list[Opening] = []
        self.critical: set[str] = set()  # ids of findings that were critical at some time
        self.why: deque[tuple[Opening, Window]] = deque(maxlen=10_000)  # with the window, to look into

    def hear(self, messages: Iterable[Message]) -> None:
        """Take messages in the order in which they are sent."""
        for message in messages:
            self.pass_time(message.at)
            try:
                decoded = self._registry.decode(message.topic, message.payload, message.at)
            except DecodeError:
                continue
            self._place(decoded)
            if decoded.readings:
                self._path.take(MessageRow(self._next(), message.at, decoded.readings))
            for device, online in states_of(decoded):
                self._take_state(decoded, device, message.topic, online=online)
                kind = TimerKind.ONLINE if online else TimerKind.OFFLINE
                self._path.take(TimerRow(self._next(), message.at, kind, device))
            for device in decoded.heard:
                self._path.take(TimerRow(self._next(), message.at, TimerKind.HEARD, device))

    def pass_time(self, clock: float) -> None:
        """Let windows and silences that are due until ``clock`` come about."""
        if not self._connected:
            self._connected = True
            self._path.take(TimerRow(self._next(), clock, TimerKind.CONNECTED))
        while (due := self._path.core.next_due(clock)) is not None and due <= clock:
            self._path.take(TimerRow(self._next(), due, TimerKind.TICK))

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _place(self, decoded: Decoded) -> None:
        """Take a message that was read."""

    def _take_state(self, decoded: Decoded, device: str, topic: str, *, online: bool) -> None:
        """Take a state that an availability topic has for a device."""

    def _around(self, _window: Window) -> Surroundings:
        """Return the surroundings of the device of a window: nothing is known of them here."""
        return Surroundings()

    def _conclude(self, one: Concluded) -> None:
        window, decision, after, event = one.window, one.decision, one.finding, one.event
        local = window.local
        self._on_window(window)
        if window.end < self._live_from:
            return
        self.counts.windows += 1
        if decision.purpose is not None:
            self.counts.asked[decision.purpose] += 1
        if event is FindingEvent.UPDATED and after is not None:
            self.openings = [
                replace(each, later=(*each.later, str(after.kind))) if each.finding_id == after.id else each
                for each in self.openings
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
