"""One batch asked of the model, with everything around the call.

The steps, in order:

    cache > share of the device > a free slot > cooldown > affordable > breaker > booking > ``sending``
        > attempts (deadline, retry) > parse > ground > settle > record

Every window gets an outcome; without an answer the local opinion remains.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from agent.ai.admission import Admission
from agent.ai.answer_cache import AnswerCache
from agent.ai.attempts import Attempts
from agent.ai.batch_result import BatchResult
from agent.ai.budget_guard import HARD, OK, BudgetGuard, BudgetState
from agent.ai.call import Call, CallParts
from agent.ai.profiles import PROFILES, Dialect
from agent.ai.protocols import Ledger, Recorder, Transport
from agent.ai.retry import Retries
from agent.ai.settings import CallerSettings
from agent.ai.stats import CallerStats, Faults
from agent.budget.device_share import DAY_S, Shares
from agent.decode.injection import suspicions
from agent.domain.model_calls import BreakerState, BudgetWindow, CallRecord, ErrorType
from agent.domain.records import Answer, Batch, Outcome, Reason, Window
from agent.prompt import (
    SITE_SYSTEM,
    SYSTEM,
    Prompt,
    Shared,
    output_tokens,
    render,
    site_room,
    version_of,
)
from agent.prompt.ground import facts_fit

SLOW_START = 4.0  # times the deadline, for the first call to a server that loads its model on demand
AUDIT_SHARE = 0.1  # of the day's money
MAX_CANCELLED = 64
LOAD_S = 300.0  # limit for importing the SDK from a slow card
KEPT_PER_MODEL, MAX_KEPT = 0.25, 0.5  # of the deadline, kept for the models that come after

#: Errors after which another model of the same endpoint is asked.
_TRY_NEXT = frozenset(
    {
        ErrorType.TIMEOUT,
        ErrorType.SERVER_ERROR,
        ErrorType.RATE_LIMITED,
        ErrorType.BAD_REQUEST,
        ErrorType.MALFORMED_RESPONSE,
        Reason.COOLDOWN,
        Reason.BUDGET,
    }
)


async def _nothing(*_: object) -> None:
    """Do nothing."""


class Caller:
    """Asks the model about batches of windows. One loop owns it.

    Args:
        settings: endpoint, models and bounds.
        transport: makes one attempt.
        ledger: books money on disk.
        recorder: takes the telemetry.
        clock: monotonic seconds.
        rng: for jitter, request ids and delimiters.
        sleep: waits between attempts.
        transcribe: takes the record of each call, for the journal.
        prompt: renders a batch within a number of tokens around a delimiter.
        load: makes the transport ready; no deadline covers it.
    """

    def __init__(
        self,
        *,
        settings: CallerSettings,
        transport: Transport,
        ledger: Ledger,
        recorder: Recorder,
        clock: Callable[[], float],
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        transcribe: Callable[[CallRecord], None] = lambda _record: None,
        prompt: Callable[..., Prompt] = render,
        load: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._recorder = recorder
        self._clock = clock
        self._load = load
        self.stats = CallerStats()
        self._faults = Faults(stats=self.stats, recorder=recorder, model=settings.model)
        self._budget = BudgetGuard(ledger=ledger, recorder=recorder, faults=self._faults)
        self._admission = Admission(
            provider=settings.provider, budget=self._budget, recorder=recorder, clock=clock, rng=rng
        )
        self._shares = Shares(share=settings.device_share)
        self._share_words = (
            f"this device has used up its own share of the hour's money ({settings.device_share:.0%},"
            " ai.device_share); the budget itself is not used up"
        )
        self._audits = Shares(share=AUDIT_SHARE, period_s=DAY_S)
        self._cache = AnswerCache(
            ttl_s=settings.cache_ttl_s,
            max_bytes=settings.max_cache_bytes,
            context=(
                *settings.models,
                settings.provider,
                settings.temperature,
                settings.seed,
                settings.plot_tokens > 0,
            ),
            clock=clock,
            version=version_of(settings.site),
        )
        self._slots = asyncio.Semaphore(settings.max_concurrent)
        profile = PROFILES[settings.provider]
        self._dialects = {model: Dialect(profile) for model in settings.models}
        self._slow_start = profile.slow_start  # the next call may find the model not loaded yet
        self._cancelled: dict[str, list[Outcome]] = {}
        self._in_flight = 0
        self._parts = CallParts(
            settings=settings,
            admission=self._admission,
            attempts=Attempts(
                transport=transport,
                budget=self._budget,
                pricing=settings.pricing,
                retries=Retries(max_retries=settings.max_retries, clock=clock, rng=rng),
                clock=clock,
                sleep=sleep,
                cool=self._admission.cool,
            ),
            budget=self._budget,
            cache=self._cache,
            shares=self._shares,
            audits=self._audits,
            recorder=recorder,
            stats=self.stats,
            faults=self._faults,
            transcribe=transcribe,
            render=prompt,
            clock=clock,
            rng=rng,
        )

    async def ask(
        self, batch: Batch, sending: Callable[[Sequence[Window]], Awaitable[None]] = _nothing
    ) -> list[Outcome]:
        """Return one outcome per window of ``batch``, in order, at the deadline at the latest.

        ``sending`` is awaited when all is ready for a request, with its windows, before its first byte.

        Raises:
            asyncio.CancelledError: what was booked stays spent; :meth:`cancelled` gives the outcomes.
        """
        result = BatchResult(batch, sending)
        self._in_flight += 1
        try:
            await self._ask(batch, result)
        except asyncio.CancelledError:
            while len(self._cancelled) >= MAX_CANCELLED:
                del self._cancelled[next(iter(self._cancelled))]
            self._cancelled[batch.id] = result.cancelled()
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours must not cost the windows their verdicts
            self._faults.note(error)
        finally:
            self._in_flight -= 1
        return result.outcomes(Reason.ERROR)

    def cancelled(self, batch: Batch) -> list[Outcome]:
        """Return the outcomes of a batch whose :meth:`ask` was cancelled, with their cost."""
        outcomes = self._cancelled.pop(batch.id, None)
        return outcomes or [Outcome(window.id, Reason.SHUTDOWN) for window in batch.windows]

    async def _ask(self, batch: Batch, result: BatchResult) -> None:
        if HARD not in self._budget.states().values():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOAD_S):
                    await self._load()
        slow = self._slow_start
        until = self._clock() + self._settings.deadline_s * (SLOW_START if slow else 1.0)
        self._suspect(batch.windows)
        unanswered = [
            window for window in batch.windows if not self._answer_from_cache(window, batch, result)
        ]
        with self._within_shares(unanswered, result) as windows:
            if windows:
                await self._review(replace(batch, windows=tuple(windows)), result, until, lenient=slow)

    def _answer_from_cache(self, window: Window, batch: Batch, result: BatchResult) -> bool:
        """Return whether the cache had an answer for ``window``. Audits are always asked."""
        if not self._cache.on or window.id in batch.audit:
            self._recorder.cache_looked_up("bypass")
            return False
        outcome = self._cache.get(window, self._shared(window))
        if outcome is None:
            self._recorder.cache_looked_up("miss")
            return False
        self._recorder.cache_looked_up("hit")
        self._recorder.suppressed(Reason.CACHED, 1)
        self._recorder.grounding_checked(outcome.grounding, outcome.checks)
        result.put(outcome)
        return True

    async def _review(self, batch: Batch, result: BatchResult, until: float, *, lenient: bool) -> None:
        """Ask the models in turn until one has answered."""
        try:
            async with asyncio.timeout(max(0.0, until - self._clock())):
                await self._slots.acquire()
        except TimeoutError:
            self._call(self._settings.model, batch, result).give_up("no free slot before the deadline")
            return
        try:
            models = self._settings.models
            for behind, model in zip(reversed(range(len(models))), models, strict=True):
                call = self._call(model, batch, result)
                kept_s = min(MAX_KEPT, KEPT_PER_MODEL * behind) * self._settings.deadline_s
                await call.make(max(self._clock(), until - kept_s), lenient=lenient)
                self._note_load(call.error)
                if call.error not in _TRY_NEXT or self._clock() >= until:
                    break
        finally:
            self._slots.release()

    def _note_load(self, error: ErrorType | Reason | None) -> None:
        """Allow a slow start until the model is loaded or has timed out, and after the server was away."""
        if error is ErrorType.CONNECTION:
            self._slow_start = PROFILES[self._settings.provider].slow_start
        elif error is None or error is ErrorType.TIMEOUT:
            self._slow_start = False

    def _call(self, model: str, batch: Batch, result: BatchResult) -> Call:
        return Call(self._parts, model=model, batch=batch, dialect=self._dialects[model], result=result)

    @contextmanager
    def _within_shares(self, windows: Sequence[Window], result: BatchResult) -> Iterator[list[Window]]:
        """Yield the windows whose devices have money left in this hour, and hold it for them meanwhile."""
        limit, clock = self._budget.limit(BudgetWindow.HOUR), self._clock()
        held: list[tuple[str, int]] = []
        allowed: list[Window] = []
        for window in windows:
            amount = self._worst_share(window, len(windows))
            if not self._shares.allows(window.device, amount, limit=limit, clock=clock):
                result.put(Outcome(window.id, Reason.BUDGET, detail=self._share_words))
                self._recorder.share_used_up(window.device)
                continue
            self._shares.hold(window.device, amount)
            held.append((window.device, amount))
            allowed.append(window)
        try:
            yield allowed
        finally:
            for device, amount in held:
                self._shares.hold(device, -amount)

    def facts_fit(self, answer: Answer, window: Window) -> bool:
        """Return whether the facts of an earlier answer fit a later window of the same device."""
        return facts_fit(answer, window, self._shared(window))

    def _shared(self, window: Window) -> Shared:
        """Return name and facts of its device, as in a prompt on this window alone."""
        room = site_room(self._settings.max_input_tokens)
        return self._settings.site.shared([window.device], room)[window.device]

    def _worst_share(self, window: Window, windows: int) -> int:
        """Return the most that a window may cost, nano-USD, its part of the constant text included."""
        facts = self._shared(window).size
        size = len(window.section) + facts + len(SITE_SYSTEM if facts else SYSTEM) // max(1, windows)
        size += self._settings.plot_tokens
        return self._settings.pricing.worst_case(self._settings.model, size, output_tokens(1))

    def _suspect(self, windows: Sequence[Window]) -> None:
        """Count signs of injection in the names that came from devices; such names are not in the prompt."""
        names: dict[str, str] = {}  # with the device that each was seen at first
        for window in windows:
            names.setdefault(window.device, window.device)
            for reading in window.candidates:
                names.setdefault(reading.metric, window.device)
                names.setdefault(reading.unit or "", window.device)
        for name, device in names.items():
            for rule in suspicions(name):
                self._recorder.injection_suspected(rule, device)

    # ---------------------------------------------------------------------------------- for the app

    @property
    def in_flight(self) -> int:
        """Batches under review, those that wait for a slot included."""
        return self._in_flight

    def audits_allowed(self) -> bool:
        """Return whether audits may go on: money is not short, and they cost less than a tenth of it."""
        if any(state != OK for state in self._budget.states().values()):
            return False
        return self._audits.allows("", 1, limit=self._budget.limit(BudgetWindow.DAY), clock=self._clock())

    def spent_devices(self) -> list[str]:
        """Return the devices whose own share of the hour's money is used up."""
        return self._shares.refused(self._clock())

    def blind_models(self) -> list[str]:
        """Return the models that were to get plots and have refused them."""
        wanted = self._dialects.items() if self._settings.plot_tokens else ()
        return [model for model, dialect in wanted if not dialect.sees]

    def budget_state(self, window: BudgetWindow) -> BudgetState:
        """Return ok, soft (80 % is gone) or hard (too little is left for a call) of a period."""
        return self._budget.states()[window]

    @property
    def breaker(self) -> BreakerState:
        """The state of the endpoint's circuit breaker."""
        return self._admission.breaker.state

    async def settled(self) -> None:
        """Wait until every call that ended is settled in the ledger."""
        await self._budget.settled()

    async def aclose(self) -> None:
        """Settle what is left and close the connections."""
        await self.settled()
        await self._transport.aclose()
