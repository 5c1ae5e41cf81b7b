"""The attempts of one logical call: each with its own booking, until one succeeds or none is left."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agent.ai.budget_guard import Budget
from agent.ai.pricing import Pricing
from agent.ai.profiles import Dialect
from agent.ai.protocols import (
    CallScope,
    ErrorType,
    Reply,
    Request,
    Retry,
    Transport,
    TransportError,
    Usage,
)
from agent.ai.retry import Retries
from agent.domain.fault import fault_words
from agent.prompt import Prompt, estimate_tokens

MIN_ATTEMPT_S = 0.05
LEAST_SHARE = 0.25  # of our estimate, which is an upper guess: four times as many bytes per token are not met


@dataclass(slots=True)
class Bill:
    """What a logical call has cost so far, nano-USD; ``open`` is the booking of the attempt under way."""

    worst: int
    booking: int
    booked: int = 0
    assumed: int = 0  # part of what is booked: reservations kept, because no usage was reported
    open: bool = True
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
        """What is spent, a booking under way included."""
        return self.booked + (self.worst if self.open else 0)

    @property
    def total_assumed(self) -> int:
        """What of the total is a kept reservation, a booking under way included."""
        return self.assumed + (self.worst if self.open else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a logical call asks of which model, by when."""

    model: str
    prompt: Prompt
    dialect: Dialect
    purpose: str
    request_id: str
    temperature: float | None
    seed: int | None
    moderation_model: str | None
    until: float  # clock
    patient: bool = True  # false for a probe: it is not repeated

    def request(self, left_s: float) -> Request:
        """Return the request of the next attempt, in the dialect as it is known by now."""
        dialect = self.dialect
        return Request(
            model=self.model,
            system=self.prompt.system,
            user=self.prompt.user,
            schema=self.prompt.schema,
            response_format=dialect.response_format,
            max_tokens=self.prompt.max_tokens,
            max_tokens_field=dialect.max_tokens_field,
            temperature=self.temperature if dialect.temperature else None,
            seed=self.seed if dialect.seed else None,
            timeout_s=left_s,
            request_id=self.request_id,
            moderation_model=self.moderation_model if dialect.moderation else None,
        )


class Attempts:
    """Makes attempts through ``transport``; money goes through ``budget``, patience through ``retries``.

    ``cool`` is told at once when a model limits our rate, so that other calls leave it alone meanwhile.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        budget: Budget,
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

    async def run(self, task: Task, bill: Bill, scope: CallScope) -> Reply:
        """Return the first reply; its usage is as the endpoint reports it, estimated where it reports none.

        ``bill`` comes with the booking of the first attempt, and is up to date whatever happens; what the
        endpoint reports is counted there as far as it can be true.

        Raises:
            TransportError: the last attempt failed, and there is no time, patience or money for another.
        """
        self._retries.count_call()
        retries = 0
        while True:
            bill.attempts += 1
            request = task.request(max(MIN_ATTEMPT_S, task.until - self._clock()))
            try:
                reply = await self._attempt(task, request)
            except TransportError as error:
                if error.error_type is ErrorType.RATE_LIMITED:
                    self._cool(task.model, error.retry_after_s)
                known = None if error.usage is None else believe(error.usage, task.prompt, "")
                if known is not None:
                    bill.count(known)
                await self._settle(bill, self._kept(task, bill, error, known))
                dialect = task.dialect  # a call beside this one may have found the same out meanwhile
                if not (error.refused and (dialect.differs(request) or dialect.adapt(error.refused))):
                    retries += 1
                    await self._pause(task, error, retries, bill.attempts, scope)
                if not await self._book(task, bill):
                    raise
                continue
            estimate = _estimate(task.prompt, reply)
            usage = estimate if reply.usage is None else believe(reply.usage, task.prompt, _text(reply))
            bill.count(usage)
            await self._settle(bill, self._pricing.cost(task.model, usage))
            return replace(reply, usage=reply.usage or estimate)

    async def _attempt(self, task: Task, request: Request) -> Reply:
        try:
            async with asyncio.timeout(max(0.0, task.until - self._clock())):
                return await self._transport.complete(request)
        except TimeoutError:
            raise TransportError(ErrorType.TIMEOUT, "no reply before the deadline") from None
        except TransportError:
            raise
        except Exception as error:
            raise TransportError(ErrorType.INTERNAL, fault_words(error)) from error

    async def _pause(
        self, task: Task, error: TransportError, retries: int, attempt: int, scope: CallScope
    ) -> None:
        """Wait before the next attempt; raise ``error`` when there shall be none."""
        left_s = task.until - self._clock()
        delay_s = self._retries.delay(error, retries, left_s) if task.patient else None
        if delay_s is None:
            raise error
        scope.retried(Retry(attempt, error.error_type, delay_s, error.http_status))
        await self._sleep(delay_s)

    def _kept(self, task: Task, bill: Bill, error: TransportError, known: Usage | None) -> int:
        """Return what a failed attempt is taken to have cost: all of it, unless we know better."""
        if known is not None:
            return self._pricing.cost(task.model, known)
        refused = error.http_status is not None and error.http_status != 200  # noqa: PLR2004 - it says so
        if refused or not error.sent:
            return 0
        bill.assumed += bill.worst
        return bill.worst

    async def _settle(self, bill: Bill, actual: int) -> None:
        bill.open = False
        bill.booked += actual
        await self._budget.settle(bill.booking, actual)

    async def _book(self, task: Task, bill: Bill) -> bool:
        if task.until - self._clock() <= 0:
            return False
        try:
            async with asyncio.timeout(task.until - self._clock()):
                booking = await self._budget.reserve(bill.worst, task.purpose)
        except TimeoutError:
            return False
        if booking is None:
            return False
        bill.booking, bill.open = booking, True
        return True


def believe(usage: Usage, prompt: Prompt, text: str) -> Usage:
    """Return the reported ``usage`` as far as it can be true, for a call of ``prompt`` that brought ``text``.

    No more than was booked: one token per byte, and the output limit. And not less than a quarter of our own
    estimate, which then counts instead.
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
    return Usage(prompt.estimated_tokens, estimate_tokens(_text(reply)), estimated=True)
