"""Whether and when a failed attempt is followed by another one."""

import random
from collections import deque
from collections.abc import Callable

from agent.ai.protocols import TransportError
from agent.domain.model_calls import ErrorType

BASE_S = 0.5
CAP_S = 8.0
BUDGET_S = 600.0
BUDGET_SHARE = 0.2  # of the calls in that time
BUDGET_LEAST = 2

#: Error type -> retries at most.
RETRIES = {
    ErrorType.CONNECTION: 2,
    ErrorType.TIMEOUT: 1,
    ErrorType.RATE_LIMITED: 2,
    ErrorType.SERVER_ERROR: 2,
    ErrorType.MALFORMED_RESPONSE: 1,
}


class Retries:
    """Full-jitter backoff under a budget that all calls share, so that an outage is not multiplied."""

    def __init__(self, *, max_retries: int, clock: Callable[[], float], rng: random.Random) -> None:
        self._max = max_retries
        self._clock = clock
        self._rng = rng
        self._calls: deque[float] = deque()
        self._spent: deque[float] = deque()

    def count_call(self) -> None:
        """Count one logical call."""
        self._forget()
        self._calls.append(self._clock())

    def delay(self, error: TransportError, attempt: int, left_s: float) -> float | None:
        """Return the seconds to wait before the next attempt, or None when there is none.

        Args:
            error: why the last attempt failed.
            attempt: its number, from 1.
            left_s: time until the deadline.
        """
        if attempt > min(self._max, RETRIES.get(error.error_type, 0)):
            return None
        delay_s = self._rng.uniform(0, min(CAP_S, BASE_S * 2 ** (attempt - 1)))
        if error.retry_after_s is not None:
            delay_s = max(delay_s, error.retry_after_s)
        elif error.error_type is ErrorType.RATE_LIMITED:
            delay_s += BASE_S
        if delay_s >= left_s or not self._take():
            return None
        return delay_s

    def _forget(self) -> None:
        """Drop entries older than 10 minutes."""
        oldest = self._clock() - BUDGET_S
        for times in (self._calls, self._spent):
            while times and times[0] <= oldest:
                times.popleft()

    def _take(self) -> bool:
        self._forget()
        if len(self._spent) >= max(BUDGET_LEAST, int(BUDGET_SHARE * len(self._calls))):
            return False
        self._spent.append(self._clock())
        return True
