"""The circuit breaker of an endpoint: no calls while it fails, then one probe."""

import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from agent.domain.model_calls import BreakerState, ErrorType

WINDOW = 10  # last calls that count
MAX_FAILURES = 5  # among them
MAX_IN_A_ROW = 3
FIRST_OPEN_S = 30.0
MAX_OPEN_S = 600.0
QUOTA_OPEN_S = 3600.0
JITTER = 0.2

FAILURES = frozenset(
    {ErrorType.TIMEOUT, ErrorType.CONNECTION, ErrorType.SERVER_ERROR, ErrorType.MALFORMED_RESPONSE}
)


@dataclass(frozen=True, slots=True)
class Pass:
    """The right to make one call; given back with its result."""

    epoch: int
    probe: bool
    booking: int = 0  # of the first attempt, in the ledger


class Breaker:
    """Closed, open or half-open. ``changed`` gets each new state, its cause, and for how long it is open.

    It opens on 3 failures in a row or 5 in the last 10 calls: for 30 s, doubling up to 10 minutes while the
    probe fails; for an hour when the quota is used up; until a reload when the key is refused.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        changed: Callable[[BreakerState, str, float], None],
    ) -> None:
        self._clock = clock
        self._rng = rng
        self._changed = changed
        self._state = BreakerState.CLOSED
        self._why = ""
        self._results: deque[bool] = deque(maxlen=WINDOW)  # true: failed
        self._open_until = 0.0
        self._open_s = FIRST_OPEN_S
        self._epoch = 0
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """The state now; an open breaker whose time is over is half-open."""
        if self._state is BreakerState.OPEN and self._clock() >= self._open_until:
            return BreakerState.HALF_OPEN
        return self._state

    @property
    def why(self) -> str:
        """Error type that opened it, or an empty text."""
        return self._why

    @property
    def open_s(self) -> float | None:
        """Seconds until it lets a probe through; None: not before a reload."""
        left = max(0.0, self._open_until - self._clock()) if self._state is BreakerState.OPEN else 0.0
        return left if math.isfinite(left) else None

    def acquire(self) -> Pass | None:
        """Return a pass for one call, or None."""
        if self._state is BreakerState.OPEN and self._clock() >= self._open_until:
            self._turn(BreakerState.HALF_OPEN, self._why, 0.0)
        if self._state is BreakerState.OPEN or (self._state is BreakerState.HALF_OPEN and self._probing):
            return None
        probe = self._state is BreakerState.HALF_OPEN
        self._probing = probe
        return Pass(self._epoch, probe)

    def release(self, passed: Pass) -> None:
        """Take back the pass of a call that was not made, or that shows nothing of the endpoint."""
        if passed.probe and passed.epoch == self._epoch:
            self._probing = False

    def record(self, passed: Pass, error: ErrorType | None) -> None:
        """Take the result of the call: None and errors that are not the endpoint's count as a success."""
        if error is ErrorType.INTERNAL:
            self.release(passed)
            return
        if passed.epoch != self._epoch:
            return  # it was made before the last change of state
        self._probing = False
        if error is ErrorType.AUTH:
            self._open(error, math.inf)
        elif error is ErrorType.QUOTA:
            self._open(error, QUOTA_OPEN_S)
        elif error in FAILURES:
            self._fail(error)
        elif passed.probe:
            self._close()
        else:
            self._results.append(False)

    def _fail(self, error: ErrorType | None) -> None:
        if self._state is BreakerState.HALF_OPEN:
            self._open_s = min(MAX_OPEN_S, 2 * self._open_s)
            self._open(error, self._jittered())
            return
        self._results.append(True)
        last = list(self._results)[-MAX_IN_A_ROW:]
        if sum(self._results) >= MAX_FAILURES or (len(last) == MAX_IN_A_ROW and all(last)):
            self._open(error, self._jittered())

    def _jittered(self) -> float:
        return self._open_s * (1 + self._rng.uniform(-JITTER, JITTER))

    def _open(self, error: ErrorType | None, open_s: float) -> None:
        self._open_until = self._clock() + open_s
        self._turn(BreakerState.OPEN, str(error), open_s)

    def _close(self) -> None:
        self._open_s = FIRST_OPEN_S
        self._results.clear()
        self._turn(BreakerState.CLOSED, "", 0.0)

    def _turn(self, state: BreakerState, why: str, open_s: float) -> None:
        self._state, self._why = state, why
        self._epoch += 1
        self._probing = False
        self._changed(state, why, open_s)
