"""One logical call of one model, from admission to record."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agent.ai.admission import Admission
from agent.ai.answer_cache import AnswerCache
from agent.ai.attempts import Attempts, Bill
from agent.ai.batch_result import BatchResult
from agent.ai.breaker import Pass
from agent.ai.budget_guard import BudgetGuard
from agent.ai.call_record import request_of, with_error, with_reply, with_verdicts
from agent.ai.errors import remedy
from agent.ai.profiles import Dialect
from agent.ai.protocols import CallScope, Recorder, TransportError
from agent.ai.settings import CallerSettings
from agent.ai.stats import CallerStats, Faults
from agent.ai.validate import validate
from agent.budget.device_share import Shares
from agent.budget.pricing import usd
from agent.domain.fault import fault_words
from agent.domain.model_calls import CallRecord, ErrorType, Reply
from agent.domain.records import Batch, Grounding, Outcome, Reason
from agent.prompt import ALONE, Prompt

_REASONS = {
    ErrorType.TIMEOUT: Reason.TIMEOUT,
    ErrorType.RATE_LIMITED: Reason.COOLDOWN,
    ErrorType.CONTENT_FILTER: Reason.INVALID,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallParts:
    """The parts of the caller that every call uses."""

    settings: CallerSettings
    admission: Admission
    attempts: Attempts
    budget: BudgetGuard
    cache: AnswerCache
    shares: Shares
    audits: Shares
    recorder: Recorder
    stats: CallerStats
    faults: Faults
    transcribe: Callable[[CallRecord], None]
    render: Callable[..., Prompt]
    clock: Callable[[], float]
    rng: random.Random


class Call:
    """Asks ``model`` about the windows of ``batch`` and puts the outcomes into ``result``.

    ``error`` afterwards is the reason for a missing reply: an error type, or why no call was made.
    """

    def __init__(
        self, parts: CallParts, *, model: str, batch: Batch, dialect: Dialect, result: BatchResult
    ) -> None:
        self._parts = parts
        self._model = model
        self._batch = batch
        self._dialect = dialect
        self._result = result
        self._started = parts.clock()
        request_id, delimiter = (f"{parts.rng.getrandbits(64):016x}" for _ in range(2))
        settings = parts.settings
        self._prompt = parts.render(batch, settings.max_input_tokens, delimiter=delimiter, site=settings.site)
        if settings.plot_tokens and dialect.sees:
            from agent.prompt.plot import illustrate  # noqa: PLC0415 - only where plots are asked for

            self._prompt = replace(self._prompt, plots=illustrate(batch, settings.plot_tokens))
        self._request = request_of(parts.settings, batch, self._prompt, model=model, request_id=request_id)
        audit = all(window.id in batch.audit for window in batch.windows)
        self._purpose = "audit" if audit else "review"
        self._charged = False
        self.error: ErrorType | Reason | None = None

    async def make(self, until: float, *, lenient: bool = False) -> None:
        """Make the call if it may be made. ``lenient`` forgives a timeout.

        Raises:
            asyncio.CancelledError: the booking stays spent, and is in the result.
        """
        parts, model = self._parts, self._model
        worst = parts.settings.pricing.worst_case(model, self._prompt.size, self._prompt.max_tokens)
        try:
            async with asyncio.timeout(max(0.0, until - parts.clock())):
                passed = await self._enter(worst)
        except TimeoutError:
            self.give_up("no booking, or no place for the attempt in the journal, before the deadline")
            return
        if isinstance(passed, Reason):
            self._suppress(passed)
            return
        parts.stats.calls += 1
        bill = Bill(worst=worst, booking=passed.booking, purpose=self._purpose)
        with parts.recorder.call(self._dialect.apply(self._request)) as scope:
            try:
                try:
                    reply = await parts.attempts.run(
                        self._request,
                        bill,
                        scope,
                        prompt=self._prompt,
                        dialect=self._dialect,
                        until=until,
                        patient=not passed.probe,
                    )
                except TransportError as error:
                    parts.admission.leave(passed, error, lenient=lenient)
                    self._fail(error, bill, scope)
                else:
                    parts.admission.leave(passed, None)
                    self._take(reply, bill, scope)
            except Exception as error:  # noqa: BLE001 - a fault of ours must not cost the windows their verdicts
                parts.admission.breaker.release(passed)
                self._break(error, bill, scope)
            except BaseException:
                parts.admission.breaker.release(passed)
                self._abandon(bill, scope)
                raise

    async def _enter(self, worst: int) -> Pass | Reason:
        """Return a pass for the call once its attempt is on disk, or the reason against the call."""
        admission = self._parts.admission
        passed = await admission.enter(self._model, worst, self._purpose)
        if isinstance(passed, Pass):
            try:
                await self._result.sending(self._batch.windows)
            except BaseException:
                await admission.give_back(passed)
                raise
        return passed

    def give_up(self, why: str) -> None:
        """Record that the deadline came before anything was sent."""
        self._parts.stats.calls += 1
        with self._parts.recorder.call(self._dialect.apply(self._request)) as scope:
            error = TransportError(ErrorType.TIMEOUT, why, sent=False)
            self._fail(error, Bill(worst=0, booking=0, open=False), scope)

    # -------------------------------------------------------------------------------- the five ends

    def _suppress(self, reason: Reason) -> None:
        """End without a call."""
        self.error = reason
        windows = self._batch.windows
        self._result.excuse(windows, reason)
        self._parts.recorder.suppressed(reason, len(windows))

    def _take(self, reply: Reply, bill: Bill, scope: CallScope) -> None:
        """End with a completion."""
        parts = self._parts
        validation = validate(reply, self._batch, self._prompt.shared)
        self._charge(bill, validation.sizes)
        record = self._record(bill, scope)
        outcomes = [self._of_this_call(outcome, record) for outcome in validation.outcomes]
        for outcome in outcomes:
            self._result.put(outcome)
            parts.recorder.grounding_checked(outcome.grounding, outcome.checks)
        for stranger in validation.strangers:
            parts.recorder.grounding_checked(Grounding.UNGROUNDED, (stranger,))
        for window, outcome in zip(self._batch.windows, outcomes, strict=True):
            if outcome.reason is Reason.REVIEWED:
                shared = self._prompt.shared.get(window.device, ALONE)
                parts.cache.put(
                    window,
                    validation.answers[window.id],
                    self._model,
                    shared,
                    version=record.request.prompt_version,
                )
        record = with_reply(record, reply, validation, self._prompt, parts.settings)
        error_type = record.error_type
        if record.ok:
            parts.stats.answered(self._model)
        else:
            why = f"the reply is of no use ({error_type or 'invalid'}); take another ai.model"
            parts.stats.failed(self._model, why)
        self._finish(record, outcomes, scope)

    def _fail(
        self, error: TransportError, bill: Bill, scope: CallScope, *, reason: Reason | None = None
    ) -> None:
        """End without a completion, or without one that we could validate."""
        parts = self._parts
        self.error = error.error_type
        if error.error_type is ErrorType.INTERNAL:
            parts.stats.last_fault = str(error)
            parts.faults.report(error.__cause__ or error, model=self._model, recorded=True)
        else:
            parts.stats.last_error = f"{error.error_type}: {error}"
            if reason is not Reason.SHUTDOWN:
                what_to_do = remedy(error.error_type, error.http_status)
                parts.stats.failed(self._model, f"{error}; {what_to_do}")
        self._charge(bill, ())
        record = self._record(bill, scope)
        reason = reason or _REASONS.get(error.error_type, Reason.ERROR)
        outcomes = []
        for window in self._batch.windows:
            new = self._of_this_call(Outcome(window.id, reason), record)
            self._result.put(new)
            stored = self._result.outcome(window)  # a fault may have come after answers of this call
            answered = stored is not None and stored.request_id == self._request.request_id
            outcomes.append(stored if stored is not None and answered else new)
        self._finish(with_error(record, error), outcomes, scope)

    def _break(self, fault: Exception, bill: Bill, scope: CallScope) -> None:
        """End with a fault of ours: the booking stays spent, and no answer that came is lost."""
        parts = self._parts
        parts.stats.fault(fault)
        error = TransportError(ErrorType.INTERNAL, fault_words(fault))
        error.__cause__ = fault
        try:
            self._fail(error, bill, scope)
        except Exception as second:  # noqa: BLE001 - the outcomes of all windows are made elsewhere
            parts.faults.note(second, model=self._model, recorded=True)
            scope.finish(with_error(self._record(bill, scope), error))

    def _abandon(self, bill: Bill, scope: CallScope) -> None:
        """End with a cancellation: the booking stays spent."""
        self._fail(TransportError(ErrorType.OTHER, "cancelled"), bill, scope, reason=Reason.SHUTDOWN)

    # ------------------------------------------------------------------------------ what they share

    def _record(self, bill: Bill, scope: CallScope) -> CallRecord:
        """Return the record as far as it does not depend on the end."""
        parts = self._parts
        return CallRecord(
            request=self._dialect.apply(self._request),
            latency_s=parts.clock() - self._started,
            attempts=bill.attempts,
            usage=bill.usage,
            cost_usd=usd(bill.total),
            cost_assumed_usd=usd(bill.total_assumed),
            priced=parts.settings.pricing.knows(self._model),
            trace_id=scope.trace_id,
        )

    def _of_this_call(self, outcome: Outcome, record: CallRecord) -> Outcome:
        """Return ``outcome`` with the names of this call; a window that was sent as an audit is marked."""
        audited = outcome.reason is Reason.REVIEWED and outcome.window_id in self._batch.audit
        return replace(
            outcome,
            reason=Reason.AUDIT if audited else outcome.reason,
            model=self._model,
            prompt_version=record.request.prompt_version,
            latency_ms=round(1000 * record.latency_s, 1),
            trace_id=record.trace_id,
            request_id=self._request.request_id,
        )

    def _finish(self, record: CallRecord, outcomes: Sequence[Outcome], scope: CallScope) -> None:
        record = with_verdicts(record, self._batch, outcomes)
        record = replace(record, budget_remaining_usd=self._parts.budget.remaining_usd())
        try:
            self._parts.transcribe(record)
        except Exception as error:  # noqa: BLE001 - a transcript that fails must not cost the answer
            self._parts.faults.note(error, model=self._model)
        scope.finish(record)

    def _charge(self, bill: Bill, sizes: Sequence[int]) -> None:
        """Share the cost among the windows, once."""
        if self._charged:
            return
        self._charged = True
        parts, windows = self._parts, self._batch.windows
        lines = (self._prompt if self._dialect.sees else self._prompt.plain).shares
        answers = list(sizes) or [1] * len(lines)
        shares = self._result.charge(windows, bill.total, bill.usage, lines=lines, answers=answers)
        clock = parts.clock()
        for window, share in zip(windows, shares, strict=True):
            parts.shares.add(window.device, share, clock=clock)
            if window.id in self._batch.audit:
                parts.audits.add("", share, clock=clock)
