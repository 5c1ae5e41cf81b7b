"""Admission of a call, in this order: cooldown, affordable, breaker, booking."""

import random
from collections.abc import Callable
from dataclasses import replace

from agent.ai.breaker import Breaker, Pass
from agent.ai.budget_guard import BudgetGuard
from agent.ai.protocols import Recorder, TransportError
from agent.domain.model_calls import ErrorType
from agent.domain.records import Reason

COOLDOWN_S = 10.0  # after a 429 that names no time


class Admission:
    """Admits calls to one endpoint. ``provider`` is its label."""

    def __init__(
        self,
        *,
        provider: str,
        budget: BudgetGuard,
        recorder: Recorder,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._budget = budget
        self._clock = clock
        self._cooldowns: dict[str, float] = {}  # model -> clock
        self.breaker = Breaker(
            clock=clock,
            rng=rng,
            changed=lambda state, why, open_s: recorder.breaker_changed(provider, state, why, open_s),
        )

    async def enter(self, model: str, worst: int, purpose: str) -> Pass | Reason:
        """Return a pass for a call that costs at most ``worst`` nano-USD, or the reason against it.

        Affordable is asked before the breaker, so that a probe is not eaten by a refusal; the booking comes
        after it, so that nothing is booked for a call that is not made.
        """
        if self.cooldown_s(model) > 0:
            return Reason.COOLDOWN
        if not await self._budget.can_afford(worst):
            return Reason.BUDGET
        passed = self.breaker.acquire()
        if passed is None:
            return Reason.BREAKER
        try:
            booking = await self._budget.reserve(worst, purpose)
        except BaseException:
            self.breaker.release(passed)
            raise
        if booking is None:
            self.breaker.release(passed)
            return Reason.BUDGET
        return replace(passed, booking=booking)

    async def give_back(self, passed: Pass) -> None:
        """Take back the pass of a call that was not made, with its booking."""
        self.breaker.release(passed)
        await self._budget.settle(passed.booking, 0)

    def cool(self, model: str, retry_after_s: float | None) -> None:
        """Do not ask ``model`` until its Retry-After."""
        self._cooldowns[model] = self._clock() + (COOLDOWN_S if retry_after_s is None else retry_after_s)

    def leave(self, passed: Pass, error: TransportError | None, *, lenient: bool = False) -> None:
        """Take the result of a call; ``lenient`` forgives a timeout."""
        if lenient and error is not None and error.error_type is ErrorType.TIMEOUT:
            self.breaker.release(passed)
        else:
            self.breaker.record(passed, error.error_type if error else None)

    def cooldown_s(self, model: str) -> float:
        """Return the seconds until ``model`` may be asked again after a 429."""
        return max(0.0, self._cooldowns.get(model, 0.0) - self._clock())
