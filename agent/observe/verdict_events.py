"""Verdicts, findings, feedback and commands as metrics, log lines and spans."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

from agent.domain.records import FindingEvent
from agent.journal.commands import Refusal
from agent.observe.faults import Guard
from agent.observe.metrics import Metrics
from agent.observe.traces import OFF, GuardedSpan, Span, Tracer
from agent.pipeline.events import CommandDecided, FindingChanged, Subscribers, VerdictCommitted
from agent.verdict.feedback import Noted


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictEvents:
    """Subscribes to the pipeline's events, and takes the journal's answers to feedback."""

    metrics: Metrics
    log: Callable[..., None]
    guard: Guard

    def subscribe_to(self, events: Subscribers) -> None:
        """Count each verdict and log each change of a finding."""
        events.subscribe(VerdictCommitted, self._count)
        events.subscribe(FindingChanged, self._log_finding)
        events.subscribe(CommandDecided, self._log_command)

    def _count(self, event: VerdictCommitted) -> None:
        self.metrics.verdict(event.verdict.status, event.verdict.source)
        self.metrics.reading_to_verdict(event.waited_s)
        if event.seen_only_by is not None:
            self.metrics.disagreement(event.seen_only_by)

    def _log_finding(self, event: FindingChanged) -> None:
        verdict = event.verdict
        self.log(
            f"finding_{event.change}",
            level="warning" if event.change is FindingEvent.OPENED else "info",
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

    def _log_command(self, event: CommandDecided) -> None:
        command, outcome = event.row.command, event.outcome
        self.metrics.command(accepted=outcome.accepted)
        self.log(
            "command_done" if outcome.accepted else "command_refused",
            level="info" if outcome.accepted else "warning",
            do=command.do,
            id=command.id or None,
            device=outcome.device or command.device,
            finding_id=outcome.finding_id or command.finding_id,
            reason=outcome.reason,
            why=outcome.detail or None,
            note=command.note or None,
        )

    def on_refusals(self, refusals: Iterable[Refusal]) -> None:
        """Count and log messages that are not commands, or too many. On the journal's thread."""
        for _reply, command_id, reason, detail in refusals:
            with self.guard:
                self.metrics.command(accepted=False)
            self.log("command_refused", level="warning", id=command_id or None, reason=reason, why=detail)

    def on_refused_post(self, status: int) -> None:
        """Count and log a posted command that was refused by its head or form. On the web thread."""
        with self.guard:
            self.metrics.command(accepted=False)
        self.log("web_command_refused", level="warning", status=status, reason=HTTPStatus(status).phrase)

    def on_feedback(self, noted: Iterable[Noted]) -> None:
        """Count and log feedback on verdicts, each verdict and outcome once. On the journal's thread."""
        for one in noted:
            verdict_id = one.verdict_id or one.feedback.verdict_id
            about = {"verdict_id": verdict_id, "outcome": one.feedback.outcome}
            if one.refused:
                self.log("feedback_refused", level="warning", why=one.why, **about)
            elif one.status is None:
                self.log("feedback_ignored", level="debug", why=one.why, **about)
            else:
                with self.guard:
                    self.metrics.feedback(one.status, one.feedback.outcome)
                self.log("feedback_noted", status=one.status, note=one.feedback.note, **about)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishSpans:
    """Starts the span of each publish; a span that is off where the telemetry fails.

    ``protocol`` gives the MQTT version of the link, None before the first connection.
    """

    tracer: Tracer
    guard: Guard
    protocol: Callable[[], str | None]

    def __call__(self, *, trace_id: str | None, destination: str, device: str) -> Span:
        """Return the span of one publish, to be ended when the broker has acknowledged."""
        with self.guard:
            span = self.tracer.publish(
                trace_id=trace_id,
                destination=destination,
                device=device,
                protocol=self.protocol() or "5",
            )
            return span if span is OFF else GuardedSpan(span, self.guard)
        return OFF
