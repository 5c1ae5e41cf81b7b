"""What crosses from the other threads to the analyst's loop, and what the analyst tells of its verdicts."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agent.domain.records import FindingEvent, Row, TimerKind, Verdict
from agent.journal import JournalClosedError
from agent.mqtt import LinkState
from agent.observe.guard import GuardedSpan
from agent.observe.traces import OFF, Span
from agent.verdict.feedback import Noted

if TYPE_CHECKING:
    from agent.app.rooms import Rooms


class Crossings:
    """The analyst's doors. ``on_*`` may be called from any thread; the rest on the analyst's loop."""

    def __init__(
        self, rooms: "Rooms", *, loop: asyncio.AbstractEventLoop, fail: Callable[[BaseException], None]
    ) -> None:
        self._rooms = rooms
        self._loop = loop
        self._fail = fail
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscribed_in = 0  # the generation that CONNECTED was journaled for
        self._filters: tuple[str, ...] = ()

    # ---------------------------------------------------------------------------- from any thread

    def on_rows(self, rows: list[Row]) -> None:
        """Hand committed rows to the pipeline."""
        self.post(self._rooms.pipeline.consume, rows)

    def on_link(self, state: LinkState) -> None:
        """Hand a change of the link to the pipeline."""
        self.post(self._link_changed, state)

    def on_feedback(self, noted: tuple[Noted, ...]) -> None:
        """Count what people said of verdicts, each verdict and outcome once."""
        for one in noted:
            verdict_id = one.verdict_id or one.feedback.verdict_id
            told = {"verdict_id": verdict_id, "outcome": one.feedback.outcome}
            if one.refused:
                self._rooms.logs.log("feedback_refused", level="warning", why=one.why, **told)
            elif one.status is None:
                self._rooms.logs.log("feedback_ignored", level="debug", why=one.why, **told)
            else:
                with self._rooms.recorder.guard:
                    self._rooms.metrics.feedback(one.status, one.feedback.outcome)
                self._rooms.logs.log("feedback_noted", status=one.status, note=one.feedback.note, **told)

    def post(self, work: Callable[..., None], *args: object) -> None:
        """Run ``work`` on the analyst's loop."""
        with suppress(RuntimeError):  # the loop is closed: the process is ending
            self._loop.call_soon_threadsafe(work, *args)

    # ---------------------------------------------------------------------- on the analyst's loop

    def _link_changed(self, state: LinkState) -> None:
        """Let the silence clocks run while subscribed; remember what the session holds."""
        pipeline = self._rooms.pipeline
        if state.subscribed and state.generation != self._subscribed_in:
            self._subscribed_in = state.generation
            pipeline.note(TimerKind.CONNECTED)
        elif self._subscribed_in and not state.connected:
            self._subscribed_in = 0
            pipeline.note(TimerKind.DISCONNECTED)  # the journal's own may have come before CONNECTED
        if state.filters != self._filters:
            self._filters = state.filters
            pipeline.remember_filters(state.filters)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task; what it raises ends the process."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End the process with ``error``, unless it only says that the journal ended."""
        if not isinstance(error, JournalClosedError):
            self._fail(error)

    def trace(self, *, trace_id: str | None, destination: str, device: str) -> Span:
        """Begin the span of a publish; one that is off when the telemetry fails."""
        rooms = self._rooms
        with rooms.recorder.guard:
            protocol = rooms.link.state.protocol or "5"
            span = rooms.tracer.publish(
                trace_id=trace_id, destination=destination, device=device, protocol=protocol
            )
            return span if span is OFF else GuardedSpan(span, rooms.recorder.guard)
        return OFF

    def observe(
        self, verdict: Verdict, event: FindingEvent | None, waited_s: float, alone: str | None
    ) -> None:
        """Count a verdict, and say what a person would want to read in the log."""
        rooms = self._rooms
        with rooms.recorder.guard:
            rooms.metrics.verdict(verdict.status, verdict.source)
            rooms.metrics.reading_to_verdict(waited_s)
            if alone is not None:
                rooms.metrics.disagreement(alone)
        if event is not None:
            rooms.logs.log(
                f"finding_{event}",
                level="warning" if event is FindingEvent.OPENED else "info",
                finding_id=verdict.finding_id,
                verdict_id=verdict.id,
                request_id=verdict.request_id,
                device=verdict.device,
                kind=verdict.kind,
                severity=verdict.severity,
                score=verdict.score,
                source=verdict.source,
                reason=verdict.reason,
                summary=verdict.summary,
            )
