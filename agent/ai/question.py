"""Call for a person's question, outside of any batch, booked in the ledger."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from agent.ai.attempts import Attempts, Bill
from agent.ai.budget_guard import BudgetGuard
from agent.ai.caller import SLOW_START
from agent.ai.collecting_recorder import CollectingRecorder, CollectingScope
from agent.ai.errors import remedy
from agent.ai.profiles import PROFILES, Dialect
from agent.ai.protocols import Ledger, Transport, TransportError
from agent.ai.retry import Retries
from agent.ai.settings import CallerSettings
from agent.ai.stats import CallerStats, Faults
from agent.budget.pricing import usd
from agent.domain.model_calls import ErrorType, Reply, Request, Usage
from agent.prompt import Prompt

PURPOSE = "ask"
#: Errors that every model of the same endpoint would meet.
_FINAL = frozenset({ErrorType.AUTH, ErrorType.QUOTA, ErrorType.CONNECTION, ErrorType.INTERNAL})


@dataclass(frozen=True, slots=True)
class Asked:
    """The end of a question: the text of a reply, or in words the reason why there is none."""

    model: str
    request_id: str
    text: str | None = None
    why: str = ""
    usage: Usage | None = None
    cost_usd: float = 0.0  # of all models that were asked


class Questioner:
    """Asks the models of an endpoint in turn, each attempt booked at its worst case.

    Args:
        settings: endpoint, models and bounds.
        transport: makes one attempt.
        ledger: books money on disk.
        clock: monotonic seconds.
        rng: for jitter and request ids.
        sleep: waits between attempts.
    """

    def __init__(
        self,
        *,
        settings: CallerSettings,
        transport: Transport,
        ledger: Ledger,
        clock: Callable[[], float],
        rng: random.Random,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self.stats = CallerStats()
        recorder = CollectingRecorder()
        faults = Faults(stats=self.stats, recorder=recorder, model=settings.model)
        self._budget = BudgetGuard(ledger=ledger, recorder=recorder, faults=faults)
        self._attempts = Attempts(
            transport=transport,
            budget=self._budget,
            pricing=settings.pricing,
            retries=Retries(max_retries=settings.max_retries, clock=clock, rng=rng),
            clock=clock,
            sleep=sleep,
            cool=lambda _model, _retry_after_s: None,
        )

    async def ask(self, prompt: Prompt) -> Asked:
        """Return the first reply to ``prompt``, at the deadline at the latest; all money is settled then."""
        slow = PROFILES[self._settings.provider].slow_start
        until = self._clock() + self._settings.deadline_s * (SLOW_START if slow else 1.0)
        asked, cost_usd = Asked("", ""), 0.0
        for model in self._settings.models:
            asked, error = await self._ask(model, prompt, until)
            cost_usd += asked.cost_usd
            if error in _FINAL or asked.text is not None or self._clock() >= until:
                break
        await self._budget.settled()
        return replace(asked, cost_usd=cost_usd)

    async def _ask(self, model: str, prompt: Prompt, until: float) -> tuple[Asked, ErrorType | None]:
        request = self._request(model, prompt)
        asked = Asked(model, request.request_id)
        worst = self._settings.pricing.worst_case(model, prompt.size, prompt.max_tokens)
        booking = await self._budget.reserve(worst, PURPOSE) if await self._budget.can_afford(worst) else None
        if booking is None:
            return replace(asked, why=self._unbooked(worst)), None
        bill = Bill(worst=worst, booking=booking, purpose=PURPOSE)
        dialect = Dialect(PROFILES[self._settings.provider])
        try:
            reply = await self._attempts.run(
                request,
                bill,
                CollectingScope([]),
                prompt=prompt,
                dialect=dialect,
                until=until,
                patient=True,
            )
        except TransportError as error:
            what_to_do = remedy(error.error_type, error.http_status)
            words = f"{error.error_type}: {error}; {what_to_do}"
            return replace(asked, why=words, usage=bill.usage, cost_usd=usd(bill.total)), error.error_type
        text, why = _text_of(reply)
        return replace(asked, text=text, why=why, usage=bill.usage, cost_usd=usd(bill.total)), None

    def _unbooked(self, worst: int) -> str:
        if self.stats.last_fault:
            return f"a fault of edge-agent itself: {self.stats.last_fault}"
        return (
            f"the budget has no room for a call of at most {usd(worst):.6f} USD; see edge-agent budget show"
        )

    def _request(self, model: str, prompt: Prompt) -> Request:
        settings = self._settings
        return Request(
            request_id=f"{self._rng.getrandbits(64):016x}",
            provider=settings.provider,
            model=model,
            system=prompt.system,
            user=prompt.user,
            schema=prompt.schema,
            max_tokens=prompt.max_tokens,
            temperature=settings.temperature,
            seed=settings.seed,
            moderation_model=settings.moderation_model,
            prompt_name=prompt.name,
            text_version=prompt.version,
            prompt_hash=prompt.hash,
            server_address=settings.server_address,
            server_port=settings.server_port,
            user_id=settings.agent,
        )


def _text_of(reply: Reply) -> tuple[str | None, str]:
    """Return the text of a whole reply, or in words the reason why it has none."""
    if reply.refusal:
        return None, "the model refused to answer"
    if reply.finish_reason == "content_filter":
        return None, "the provider's content filter took the answer"
    if reply.finish_reason == "length":
        return None, "the answer was cut off at the output limit, as with models that reason first"
    return (reply.content, "") if reply.content else (None, "the reply is empty")
