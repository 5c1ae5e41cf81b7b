"""The order of the questions before money is spent: cooldown, affordable, breaker, booking."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from agent.ai.breaker import Breaker, Pass
from agent.ai.budget_guard import Budget
from agent.ai.protocols import ErrorType, Recorder, TransportError
from agent.domain.records import Reason

COOLDOWN_S = 10.0  # after a 429 that names no time


@dataclass(frozen=True, slots=True)
class Leave:
    """Leave to make one logical call: its place at the breaker and its booking."""

    passed: Pass
    booking: int


class Gate:
    """Guards one endpoint. ``provider`` is its label."""

    def __init__(
        self,
        *,
        provider: str,
        budget: Budget,
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

    async def enter(self, model: str, worst: int, purpose: str) -> Leave | Reason:
        """Return leave for a call that costs at most ``worst`` nano-USD, or the reason why not.

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
        return Leave(passed, booking)

    async def give_back(self, leave: Leave) -> None:
        """Take back leave for a call that was not made, with its booking."""
        self.breaker.release(leave.passed)
        await self._budget.settle(leave.booking, 0)

    def cool(self, model: str, retry_after_s: float | None) -> None:
        """Leave ``model`` alone until its Retry-After."""
        self._cooldowns[model] = self._clock() + (COOLDOWN_S if retry_after_s is None else retry_after_s)

    def leave(self, leave: Leave, error: TransportError | None, *, lenient: bool = False) -> None:
        """Take note of how the call went; ``lenient`` forgives a timeout."""
        if lenient and error is not None and error.error_type is ErrorType.TIMEOUT:
            self.breaker.release(leave.passed)
        else:
            self.breaker.record(leave.passed, error.error_type if error else None)

    def cooldown_s(self, model: str) -> float:
        """Return the seconds until ``model`` may be asked again after a 429."""
        return max(0.0, self._cooldowns.get(model, 0.0) - self._clock())
