"""The attempts of one logical call, each with its own booking, until one succeeds."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agent.ai.budget_guard import BudgetGuard
from agent.ai.profiles import Dialect
from agent.ai.protocols import CallScope, Transport, TransportError
from agent.ai.retry import Retries
from agent.budget.pricing import Pricing
from agent.domain.fault import fault_words
from agent.domain.model_calls import ErrorType, Reply, Request, Retry, Usage
from agent.prompt import Prompt, estimate_tokens

MIN_ATTEMPT_S = 0.05
LEAST_SHARE = 0.25  # of our estimate, which is an upper guess: four times as many bytes per token are not met


@dataclass(slots=True)
class Bill:
    """The cost of a logical call so far, nano-USD."""

    worst: int  # of one attempt
    booking: int  # of the attempt under way
    purpose: str = "review"
    booked: int = 0  # for attempts that are over
    assumed: int = 0  # part of it: reservations kept, because no usage was reported
    open: bool = True  # whether an attempt is under way
    attempts: int = 0
    usage: Usage | None = None  # of all attempts whose usage is known

    def count(self, usage: Usage) -> None:
        """Add the tokens of an attempt."""
        before = self.usage or Usage(0, 0)
        self.usage = Usage(
            before.input + usage.input,
            before.output + usage.output,
            before.cached_input + usage.cached_input,
            before.reasoning + usage.reasoning,
            estimated=before.estimated or usage.estimated,
            cache_write=before.cache_write + usage.cache_write,
            reported=usage.reported or before.reported,
        )

    @property
    def total(self) -> int:
        """The amount spent, a booking under way included."""
        return self.booked + (self.worst if self.open else 0)

    @property
    def total_assumed(self) -> int:
        """The part of the total that is a kept reservation, a booking under way included."""
        return self.assumed + (self.worst if self.open else 0)


class Attempts:
    """Makes attempts through ``transport``, each booked in ``budget``, repeated as ``retries`` allows.

    ``cool`` is called at once when a model limits our rate, so that other calls do not ask it meanwhile.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        budget: BudgetGuard,
        pricing: Pricing,
        retries: Retries,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        cool: Callable[[str, float | None], None],
    ) -> None:
        self._transport = transport
        self._budget = budget
        self._pricing = pricing
        self._retries = retries
        self._clock = clock
        self._sleep = sleep
        self._cool = cool

    async def run(
        self,
        request: Request,
        bill: Bill,
        scope: CallScope,
        *,
        prompt: Prompt,
        dialect: Dialect,
        until: float,
        patient: bool,
    ) -> Reply:
        """Return the first reply; its usage is as the endpoint reports it, estimated where it reports none.

        ``bill`` comes with the booking of the first attempt, and is up to date whatever happens; reported
        tokens are counted there as far as they can be true.

        Args:
            request: of the call; each attempt sends it in the dialect as it is known by then.
            bill: of the call.
            scope: where retries are recorded.
            prompt: rendered for the request, with its size and estimate.
            dialect: of the model.
            until: clock of the deadline.
            patient: whether a failed attempt may be repeated; false for a probe of the breaker.

        Raises:
            TransportError: the last attempt failed, and there is no time, retry or money for another.
        """
        self._retries.count_call()
        retries = 0
        while True:
            bill.attempts += 1
            timeout_s = max(MIN_ATTEMPT_S, until - self._clock())
            sent = replace(dialect.apply(request), timeout_s=timeout_s)
            asked = prompt if sent.plots else prompt.plain
            try:
                reply = await self._attempt(sent, until)
            except TransportError as error:
                if error.error_type is ErrorType.RATE_LIMITED:
                    self._cool(request.model, error.retry_after_s)
                known = None if error.usage is None else believe(error.usage, asked, "")
                if known is not None:
                    bill.count(known)
                await self._settle(bill, self._kept(request.model, bill, error, known))
                learnt = dialect.apply(sent) != sent  # by another call, meanwhile
                if not (error.refused and (learnt or dialect.adapt(error.refused))):
                    if not patient:
                        raise
                    retries += 1
                    await self._pause(error, retries, bill.attempts, scope, until)
                if not await self._book(bill, until):
                    raise
                continue
            estimate = _estimate(asked, reply)
            usage = estimate if reply.usage is None else believe(reply.usage, asked, _text(reply))
            bill.count(usage)
            await self._settle(bill, self._pricing.cost(request.model, usage))
            return replace(reply, usage=reply.usage or estimate)

    async def _attempt(self, request: Request, until: float) -> Reply:
        try:
            async with asyncio.timeout(max(0.0, until - self._clock())):
                return await self._transport.complete(request)
        except TimeoutError:
            raise TransportError(ErrorType.TIMEOUT, "no reply before the deadline") from None
        except TransportError:
            raise
        except Exception as error:
            raise TransportError(ErrorType.INTERNAL, fault_words(error)) from error

    async def _pause(
        self, error: TransportError, retries: int, attempt: int, scope: CallScope, until: float
    ) -> None:
        """Wait before the next attempt; raise ``error`` when there is none."""
        delay_s = self._retries.delay(error, retries, until - self._clock())
        if delay_s is None:
            raise error
        scope.retried(Retry(attempt, error.error_type, delay_s, error.http_status))
        await self._sleep(delay_s)

    def _kept(self, model: str, bill: Bill, error: TransportError, known: Usage | None) -> int:
        """Return the cost of a failed attempt: all that was booked, unless less is known."""
        if known is not None:
            return self._pricing.cost(model, known)
        refused = error.http_status is not None and error.http_status != 200  # noqa: PLR2004 - OK
        if refused or not error.sent:
            return 0
        bill.assumed += bill.worst
        return bill.worst

    async def _settle(self, bill: Bill, actual: int) -> None:
        bill.open = False
        bill.booked += actual
        await self._budget.settle(bill.booking, actual)

    async def _book(self, bill: Bill, until: float) -> bool:
        if until - self._clock() <= 0:
            return False
        try:
            async with asyncio.timeout(until - self._clock()):
                booking = await self._budget.reserve(bill.worst, bill.purpose)
        except TimeoutError:
            return False
        if booking is None:
            return False
        bill.booking, bill.open = booking, True
        return True


def believe(usage: Usage, prompt: Prompt, text: str) -> Usage:
    """Return the reported ``usage`` as far as it can be true for ``prompt`` and the reply ``text``.

    At most the booking: one token per byte, the guess for the plots, and the output limit. Where it is less
    than a quarter of our own estimate of the text, the estimate counts.
    """
    sent = _within(usage.input, prompt.estimated_tokens, prompt.size)
    got = _within(usage.output, estimate_tokens(text), prompt.max_tokens)
    if (sent, got) == (usage.input, usage.output):
        return usage
    return Usage(
        sent,
        got,
        min(usage.cached_input, sent),
        min(usage.reasoning, got),
        estimated=True,
        cache_write=min(usage.cache_write, sent),
        reported=(usage.input, usage.output),
    )


def _within(reported: int, estimate: int, most: int) -> int:
    believed = estimate if reported < LEAST_SHARE * estimate else reported
    return min(believed, most)


def _text(reply: Reply) -> str:
    return (reply.content or "") + (reply.refusal or "")


def _estimate(prompt: Prompt, reply: Reply) -> Usage:
    return Usage(prompt.estimated_tokens + prompt.plot_tokens, estimate_tokens(_text(reply)), estimated=True)
