"""One logical call of one model, from leave to record."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.ai.admission import Gate, Leave
from agent.ai.attempts import Attempts, Bill, Task
from agent.ai.batch_result import Sheet
from agent.ai.budget_guard import Budget
from agent.ai.call_record import broken_record, failure_of, record_of, start_of, verdicts_of, was_cut
from agent.ai.device_share import Shares
from agent.ai.faults import Faults
from agent.ai.profiles import Dialect
from agent.ai.protocols import (
    CallRecord,
    CallScope,
    CallStart,
    ErrorType,
    Recorder,
    Reply,
    Transcript,
    TransportError,
)
from agent.ai.remedies import remedy
from agent.ai.settings import CallerSettings
from agent.ai.state import CallerStats
from agent.ai.validate import Assessment, judge
from agent.domain.fault import fault_words
from agent.domain.records import Batch, Grounding, Outcome, Reason, Source
from agent.prompt import Prompt

_REASONS = {
    ErrorType.TIMEOUT: Reason.TIMEOUT,
    ErrorType.RATE_LIMITED: Reason.COOLDOWN,
    ErrorType.CONTENT_FILTER: Reason.INVALID,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What every call works with."""

    settings: CallerSettings
    gate: Gate
    attempts: Attempts
    budget: Budget
    shares: Shares
    audits: Shares
    recorder: Recorder
    stats: CallerStats
    faults: Faults
    transcribe: Callable[[Transcript], None]
    render: Callable[..., Prompt]
    clock: Callable[[], float]
    rng: random.Random


class Call:
    """Asks ``model`` about the windows of ``batch`` and puts what comes of it on the ``sheet``.

    ``error`` afterwards says why there was no reply: an error type, or the reason why no call was made.
    """

    def __init__(self, tools: Tools, *, model: str, batch: Batch, dialect: Dialect, sheet: Sheet) -> None:
        self._tools = tools
        self._model = model
        self._batch = batch
        self._dialect = dialect
        self._sheet = sheet
        self._started = tools.clock()
        self._request_id = f"{tools.rng.getrandbits(64):016x}"
        self._prompt = tools.render(
            batch, tools.settings.max_input_tokens, delimiter=f"{tools.rng.getrandbits(64):016x}"
        )
        audit = all(window.id in batch.audit for window in batch.windows)
        self._purpose = "audit" if audit else "review"
        self._charged = False
        self.error: ErrorType | Reason | None = None

    async def make(self, until: float, *, lenient: bool = False) -> None:
        """Make the call if it may be made. ``lenient`` forgives a timeout.

        Raises:
            asyncio.CancelledError: the booking stays spent, and is on the sheet.
        """
        tools, model, start = self._tools, self._model, self._start()
        worst = tools.settings.pricing.worst_case(model, self._prompt.size, self._prompt.max_tokens)
        try:
            async with asyncio.timeout(max(0.0, until - tools.clock())):
                leave = await self._enter(worst)
        except TimeoutError:
            self.give_up("no booking, or no place for the attempt in the journal, before the deadline")
            return
        if isinstance(leave, Reason):
            self._suppress(leave)
            return
        tools.stats.calls += 1
        bill = Bill(worst=worst, booking=leave.booking)
        with tools.recorder.call(start) as scope:
            try:
                try:
                    reply = await tools.attempts.run(
                        self._task(until, patient=not leave.passed.probe), bill, scope
                    )
                except TransportError as error:
                    tools.gate.leave(leave, error, lenient=lenient)
                    self._fail(error, bill, scope)
                else:
                    tools.gate.leave(leave, None)
                    self._take(reply, bill, scope)
            except Exception as error:  # noqa: BLE001 - a fault of ours must not cost the windows their verdicts
                tools.gate.breaker.release(leave.passed)
                self._break(error, bill, scope)
            except BaseException:
                tools.gate.breaker.release(leave.passed)
                self._abandon(bill, scope)
                raise

    async def _enter(self, worst: int) -> Leave | Reason:
        """Return leave for the call once its attempt is on disk, or the reason why it is not made."""
        gate = self._tools.gate
        leave = await gate.enter(self._model, worst, self._purpose)
        if isinstance(leave, Leave):
            try:
                await self._sheet.sending(self._batch.windows)
            except BaseException:
                await gate.give_back(leave)
                raise
        return leave

    def give_up(self, why: str) -> None:
        """Record that the deadline came before anything was sent."""
        self._tools.stats.calls += 1
        with self._tools.recorder.call(self._start()) as scope:
            error = TransportError(ErrorType.TIMEOUT, why, sent=False)
            self._fail(error, Bill(worst=0, booking=0, open=False), scope)

    def _start(self) -> CallStart:
        return start_of(
            self._tools.settings,
            self._batch,
            self._prompt,
            model=self._model,
            dialect=self._dialect,
            request_id=self._request_id,
        )

    def _task(self, until: float, *, patient: bool) -> Task:
        settings = self._tools.settings
        return Task(
            model=self._model,
            prompt=self._prompt,
            dialect=self._dialect,
            purpose=self._purpose,
            request_id=self._request_id,
            temperature=settings.temperature,
            seed=settings.seed,
            moderation_model=settings.moderation_model,
            until=until,
            patient=patient,
        )

    # -------------------------------------------------------------------------------- the five ends

    def _suppress(self, reason: Reason) -> None:
        """No call was made."""
        self.error = reason
        windows = self._batch.windows
        self._sheet.excuse(windows, reason)
        self._tools.recorder.suppressed(reason, len(windows))
        self._tools.stats.suppressed[reason] += len(windows)

    def _take(self, reply: Reply, bill: Bill, scope: CallScope) -> None:
        """A completion came."""
        tools, stats = self._tools, self._tools.stats
        judgement = judge(reply, self._batch)
        self._charge(bill, judgement.sizes)
        latency_s = tools.clock() - self._started
        outcomes = [self._outcome_of(one, latency_s, scope) for one in judgement.assessments]
        for one, outcome in zip(judgement.assessments, outcomes, strict=True):
            self._sheet.put(outcome)
            if one.kept is not None:
                self._sheet.kept[one.window.id] = one.kept
            tools.recorder.grounding_checked(one.grounding, one.checks)
        for stranger in judgement.strangers:
            tools.recorder.grounding_checked(Grounding.UNGROUNDED, (stranger,))
        error_type = judgement.error_type
        if error_type is None and was_cut(tools.settings.provider, reply.usage, self._prompt):
            error_type = ErrorType.TRUNCATED
        record = record_of(
            tools.settings,
            reply,
            judgement,
            bill,
            model=self._model,
            verdicts=verdicts_of(self._batch, outcomes),
            error_type=error_type,
            latency_s=latency_s,
            remaining_usd=tools.budget.remaining_usd(),
        )
        self._transcribe(reply.content or reply.refusal or "", record, scope)
        if record.ok:
            stats.answered(self._model)
        else:
            why = f"the reply is of no use ({error_type or 'invalid'}); take another ai.model"
            stats.failed(self._model, why)
        if error_type is not None:
            stats.errors[error_type] += 1
        scope.finish(record)

    def _outcome_of(self, one: Assessment, latency_s: float, scope: CallScope) -> Outcome:
        """Return what the verdict is made of; a window that was sent as an audit says so."""
        audited = one.reason is Reason.REVIEWED and one.window.id in self._batch.audit
        return Outcome(
            one.window.id,
            Reason.AUDIT if audited else one.reason,
            answer=one.answer,
            grounding=one.grounding,
            checks=one.checks,
            source=Source.AI if one.answer else Source.LOCAL,
            model=self._model,
            prompt_version=self._prompt.version,
            latency_ms=round(1000 * latency_s, 1),
            trace_id=scope.trace_id,
            request_id=self._request_id,
        )

    def _fail(
        self, error: TransportError, bill: Bill, scope: CallScope, *, reason: Reason | None = None
    ) -> None:
        """No completion came, or none that we could judge."""
        tools = self._tools
        self.error = error.error_type
        tools.stats.errors[error.error_type] += 1
        if error.error_type is ErrorType.INTERNAL:
            tools.stats.last_fault = str(error)
            tools.faults.tell(error.__cause__ or error, model=self._model, recorded=True)
        else:
            tools.stats.last_error = f"{error.error_type}: {error}"
            if reason is not Reason.SHUTDOWN:
                what_to_do = remedy(error.error_type, error.http_status)
                tools.stats.failed(self._model, f"{error}; {what_to_do}")
        latency_s = tools.clock() - self._started
        self._charge(bill, ())
        outcomes = [
            Outcome(
                window.id,
                reason or _REASONS.get(error.error_type, Reason.ERROR),
                model=self._model,
                prompt_version=self._prompt.version,
                latency_ms=round(1000 * latency_s, 1),
                trace_id=scope.trace_id,
                request_id=self._request_id,
            )
            for window in self._batch.windows
        ]
        for outcome in outcomes:
            self._sheet.put(outcome)
        stands = [self._sheet.outcome(window) for window in self._batch.windows]
        outcomes = [  # a fault may have come after answers of this call
            kept if kept is not None and kept.request_id == self._request_id else new
            for kept, new in zip(stands, outcomes, strict=True)
        ]
        record = failure_of(
            tools.settings,
            error,
            bill,
            model=self._model,
            verdicts=verdicts_of(self._batch, outcomes),
            latency_s=latency_s,
            remaining_usd=tools.budget.remaining_usd(),
        )
        self._transcribe("", record, scope)
        scope.finish(record)

    def _break(self, fault: Exception, bill: Bill, scope: CallScope) -> None:
        """A fault of ours ended the call: what is booked stays spent, and no answer that came is lost."""
        tools = self._tools
        tools.stats.fault(fault)
        error = TransportError(ErrorType.INTERNAL, fault_words(fault))
        error.__cause__ = fault
        try:
            self._fail(error, bill, scope)
        except Exception as second:  # noqa: BLE001 - the outcomes of all windows are made elsewhere
            tools.faults.note(second, model=self._model, recorded=True)
            scope.finish(broken_record(bill, latency_s=tools.clock() - self._started, why=str(error)))

    def _abandon(self, bill: Bill, scope: CallScope) -> None:
        """The call was cancelled: what is booked stays spent."""
        self._fail(TransportError(ErrorType.OTHER, "cancelled"), bill, scope, reason=Reason.SHUTDOWN)

    def _transcribe(self, reply: str, record: CallRecord, scope: CallScope) -> None:
        try:
            self._tools.transcribe(
                Transcript(
                    batch_id=self._batch.id,
                    request_id=self._request_id,
                    model=self._model,
                    prompt_version=self._prompt.version,
                    prompt_hash=self._prompt.hash,
                    system=self._prompt.system,
                    user=self._prompt.user,
                    reply=reply,
                    error_type=record.error_type,
                    attempts=record.attempts,
                    cost_usd=record.cost_usd or 0.0,
                    windows=tuple(window.id for window in self._batch.windows),
                    error_message=record.error_message,
                    finish_reason=record.finish_reason,
                    usage=record.usage,
                    latency_s=record.latency_s,
                    trace_id=scope.trace_id,
                )
            )
        except Exception as error:  # noqa: BLE001 - what keeps the text must not cost the answer
            self._tools.faults.note(error, model=self._model)

    def _charge(self, bill: Bill, sizes: Sequence[int]) -> None:
        """Share the cost among the windows, once."""
        if self._charged:
            return
        self._charged = True
        tools, windows = self._tools, self._batch.windows
        tools.stats.attempts += bill.attempts
        lines = list(self._prompt.weights)
        answers = list(sizes) or [1] * len(lines)
        shares = self._sheet.charge(windows, bill.total, bill.usage, lines=lines, answers=answers)
        clock = tools.clock()
        for window, share in zip(windows, shares, strict=True):
            tools.shares.add(window.device, share, clock=clock)
            if window.id in self._batch.audit:
                tools.audits.add("", share, clock=clock)
