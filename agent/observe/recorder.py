"""Calls of the model as log events, metrics and spans."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from agent.ai.errors import remedy
from agent.domain.model_calls import BreakerState, BudgetWindow, CallRecord, ErrorType, Request, Retry
from agent.domain.records import Check, Grounding, Reason
from agent.observe.call_telemetry import (
    DETAILS_EVENT,
    EVALUATION_EVENT,
    call_fields,
    count_call,
    describe_spans,
    details,
    end_fields,
    evaluation_attributes,
    failed_checks,
    request_attributes,
    start_fields,
)
from agent.observe.faults import FaultLog, Guard
from agent.observe.logs import LogWriter, bind_ids, reset_ids
from agent.observe.metrics import Metrics
from agent.observe.push import Push
from agent.observe.redact import MAX_DEVICES
from agent.observe.registry import SHARE
from agent.observe.traces import Span, Tracer


class TelemetryRecorder:
    """The caller's ``Recorder``. Nothing that goes wrong in here reaches the caller.

    Args:
        logs: The log of the agent.
        metrics: Its metrics.
        tracer: Its tracer, live or off.
        push: Its push of metrics and log lines, None where it is off.
        mono: Monotonic clock, seconds.
    """

    def __init__(
        self,
        *,
        logs: LogWriter,
        metrics: Metrics,
        tracer: Tracer,
        push: Push | None = None,
        mono: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.logs = logs
        self.metrics = metrics
        self.tracer = tracer
        self.push = push
        self.mono = mono
        self.fault_log = FaultLog(log=logs.log, count=metrics.internal_fault)
        self.guard = Guard(note=lambda error: self.fault_log.note("telemetry", error))
        logs.on_fault = self.guard.take

    def call(self, request: Request) -> "RecordedCall":
        """Return the scope of one call; entering it opens the spans."""
        return RecordedCall(recorder=self, request=request)

    def suppressed(self, reason: Reason, windows: int) -> None:
        """Count windows that no call was made for; only what an operator can act on is also logged."""
        with self.guard:
            self.metrics.suppressed(reason, windows)
            quiet = reason in {
                Reason.NOT_SUSPICIOUS,
                Reason.REVIEW_OFF,
                Reason.NO_ENDPOINT,
                Reason.OPEN_FINDING,
                Reason.CACHED,
                Reason.NO_READINGS,
            }
            level = "debug" if quiet else "info"
            self.logs.log("ai_call_suppressed", level, reason=reason.value, windows=windows)

    def share_used_up(self, device: str) -> None:
        """Count a window of a device that has used up its own share of the money, not the budget."""
        with self.guard:
            self.metrics.suppressed(SHARE, 1)
            self.logs.log(
                "ai_call_suppressed",
                reason=SHARE,
                windows=1,
                device=device,
                remedy="look at the device's messages, or raise ai.device_share",
            )

    def cache_looked_up(self, result: str) -> None:
        """Count a look-up: ``hit``, ``miss`` or ``bypass``."""
        with self.guard:
            self.metrics.count("ai_cache_requests_total", result)

    def grounding_checked(self, result: Grounding, checks: tuple[Check, ...]) -> None:
        """Count the answer of one window by whether its claims held, and log the claims that did not."""
        with self.guard:
            self.metrics.count("ai_grounding_checks_total", result)
            if result is Grounding.UNGROUNDED:
                self.logs.log(
                    "ai_ungrounded", "warning", failed=failed_checks(checks, in_words=self.shows_content)
                )

    def breaker_changed(self, provider: str, state: BreakerState, why: str, open_s: float) -> None:
        """Show and count a change of the breaker."""
        with self.guard:
            self.metrics.breaker(provider, state.value)
            level = "warning" if state is BreakerState.OPEN else "info"
            self.logs.log(
                "ai_breaker_change", level, provider=provider, state=state.value, why=why, open_s=open_s
            )

    def budget_changed(self, window: BudgetWindow, state: str, spent: float, limit: float) -> None:
        """Log that a period's budget is ``ok``, ``soft`` (80 %) or ``hard`` (used up)."""
        with self.guard:
            level = "info" if state == "ok" else "warning"
            self.logs.log(
                "ai_budget_change", level, window=window.value, state=state, spent_usd=spent, limit_usd=limit
            )

    def injection_suspected(self, rule: str, origin: str) -> None:
        """Count and log a text from ``origin`` (a topic or a device) that looks like instructions to a model.

        The payload's text itself is never logged.
        """
        with self.guard:
            self.metrics.injection(rule)
            self.logs.log(
                "ai_injection_suspected",
                "warning",
                rule=rule,
                origin=origin,
                remedy="find who publishes it; no model sees the text",
            )

    def faulted(self, error: BaseException, *, model: str, recorded: bool) -> None:
        """Log and count a fault of the caller's own code; ``recorded``: its call's record counts it."""
        self.fault_log.note("caller", error, model=model, counted=recorded)

    def decoder_faulted(self, error: BaseException, topic: str) -> None:
        """Log a fault of our own code in a decoder; the quarantine counts it."""
        self.fault_log.note("decoder", error, counted=True, topic=topic)

    def telemetry_faulted(self, error: BaseException) -> None:
        """Log and count a fault of the telemetry."""
        self.fault_log.note("telemetry", error)

    def dropped(self) -> dict[str, int]:
        """Return how many log lines, spans and pushes of metrics were lost."""
        pushed = {} if self.push is None else self.push.dropped()
        return {
            "logs": self.logs.dropped + pushed.get("logs", 0),
            "traces": self.tracer.dropped,
            "metrics": pushed.get("metrics", 0),
        }

    @property
    def shows_content(self) -> bool:
        """Whether the log may show words of a model's reply."""
        return self.logs.content in {"redacted", "full"}


class RecordedCall:
    """One call while it runs. Leaving it without ``finish`` counts as a failure of type other."""

    def __init__(self, *, recorder: TelemetryRecorder, request: Request) -> None:
        self.trace_id: str | None = None
        self.span_id: str | None = None
        self._recorder = recorder
        self._start = request
        self._spans: tuple[Span, ...] = ()  # edge.batch, ai_api_call, chat
        self._exported_trace: str | None = None
        self._bound: dict[str, Any] = {}
        self._began = 0.0
        self._finished = False
        self._attempts = 1

    def __enter__(self) -> Self:
        self._began = self._recorder.mono()
        with self._recorder.guard:
            self._recorder.metrics.in_flight(1)
        with self._recorder.guard:
            self._bound |= bind_ids(request_id=self._start.request_id)
        with self._recorder.guard:
            self._open_spans()
        with self._recorder.guard:
            start, logs = self._start, self._recorder.logs
            fields = start_fields(start) | {"trigger": start.trigger, "prompt": logs.show(start.prompt)}
            logs.log("ai_call_start", **{key: value for key, value in fields.items() if value is not None})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            name = "cancelled" if kind is not None and kind.__name__ == "CancelledError" else "not finished"
            latency = self._recorder.mono() - self._began
            why = name if kind is None or name == "cancelled" else kind.__name__
            self.finish(
                CallRecord(
                    request=self._start,
                    latency_s=latency,
                    attempts=self._attempts,
                    error_type=ErrorType.OTHER,
                    error_message=why,
                )
            )
        with self._recorder.guard:
            self._recorder.metrics.in_flight(-1)
        with self._recorder.guard:
            for span in reversed(self._spans):
                span.end()
        with self._recorder.guard:
            bound, self._bound = self._bound, {}
            reset_ids(**bound)

    def retried(self, retry: Retry) -> None:
        """Record an attempt that failed and is followed by another."""
        self._attempts = retry.attempt + 1
        start, recorder = self._start, self._recorder
        with recorder.guard:
            recorder.metrics.retried(start.model, start.provider, retry.error_type)
            recorder.logs.log(
                "ai_retry",
                "warning",
                **call_fields(start),
                attempt=retry.attempt,
                error_type=retry.error_type.value,
                delay_s=round(retry.delay_s, 3),
                http_status=retry.http_status,
            )
            if self._spans:
                self._spans[-1].event(
                    "ai.retry",
                    {
                        "attempt": retry.attempt,
                        "error.type": retry.error_type.value,
                        "delay_s": retry.delay_s,
                        "http.response.status_code": retry.http_status,
                    },
                )

    def finish(self, record: CallRecord) -> None:
        """Record the end of the call, once."""
        if self._finished:
            return
        self._finished = True
        with self._recorder.guard:
            count_call(self._recorder.metrics, self._start, record, trace_id=self._exported_trace)
        with self._recorder.guard:
            self._log_as_conventions(record)
        with self._recorder.guard:
            self._log_end(record)
        if self._spans:
            with self._recorder.guard:
                describe_spans(self._spans, self._start, record, content=self._recorder.tracer.content)

    def _log_as_conventions(self, record: CallRecord) -> None:
        """Log the check of the claims, and the whole call where its words may be shown."""
        logs, start, in_words = self._recorder.logs, self._start, self._recorder.shows_content
        events = {EVALUATION_EVENT: evaluation_attributes(record, in_words=in_words)}
        if in_words:
            events[DETAILS_EVENT] = details(start, record, logs.show_message)
        for event, attributes in events.items():
            if attributes:
                fields = attributes | {"gen_ai.response.id": record.reply.response_id}
                known = {key: value for key, value in fields.items() if value is not None}
                logs.log(event, request_id=start.request_id, **known)

    def _log_end(self, record: CallRecord) -> None:
        logs = self._recorder.logs
        fields = start_fields(self._start) | end_fields(record)
        shown = logs.show(record.reply.text) if record.ok else None
        if shown is not None:
            fields["response"] = shown
        if record.usage is not None and record.usage.reported is not None:
            reported, counted = record.usage.reported, (record.usage.input, record.usage.output)
            logs.log(
                "ai_usage_not_believed",
                "warning",
                request_id=self._start.request_id,
                model=self._start.model,
                reported_tokens=list(reported),
                counted_tokens=list(counted),
                remedy="the endpoint counts what cannot be; compare with its bill, or correct ai.profile",
            )
        if record.ok:
            logs.log("ai_call_success", **fields)
        else:
            if record.error_type is not ErrorType.INTERNAL:  # not a fault of the server
                fields["server"] = f"{self._start.server_address}:{self._start.server_port}"
            what_to_do = remedy(record.error_type, record.http_status)
            logs.log("ai_call_failure", "error", **fields, remedy=what_to_do)

    def _open_spans(self) -> None:
        tracer, start = self._recorder.tracer, self._start
        if not tracer.enabled:
            return
        shared = {
            "openinference.span.kind": "CHAIN",
            "user.id": start.user_id,
            "edge.gateway.id": tracer.gateway or None,
        }
        batch = tracer.start(
            "edge.batch",
            attributes={
                "edge.batch.id": start.batch_id,
                "edge.batch.size": len(start.window_ids),
                "edge.batch.device_count": len(start.devices),
                "edge.batch.devices": start.devices[:MAX_DEVICES],
                "edge.batch.trigger": start.trigger,
                **shared,
            },
            links=start.traceparents,
            remember=True,
        )
        call = tracer.start(
            "ai_api_call",
            parent=batch,
            attributes={
                "ai.model": start.model,
                **shared,
                "ai.request.id": start.request_id,
                "prompt.length": len(start.prompt),
            },
        )
        chat = tracer.start(
            f"chat {start.model}",
            kind="client",
            parent=call,
            attributes=request_attributes(start),
        )
        self._spans = (batch, call, chat)
        self.trace_id, self.span_id = call.trace_id, call.span_id
        self._exported_trace = call.trace_id if call.sampled else None
        self._bound |= bind_ids(trace_id=call.trace_id, span_id=call.span_id)
