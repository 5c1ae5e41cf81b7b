"""The status object for other threads: from the analyst's loop, or the last one with its age."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError as FutureTimeoutError
from typing import TypeVar

from agent.web.status import Status

ANSWER_S = 0.5  # then the last answer is given again: a scrape must not wait

T = TypeVar("T")


class Freshness:
    """Asks the loop, one question of each kind at a time; used by one thread, that of the web server."""

    def __init__(
        self,
        take: Callable[[], Status],
        *,
        loop: asyncio.AbstractEventLoop,
        answer_s: float = ANSWER_S,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._take = take
        self._loop = loop
        self._answer_s = answer_s
        self._mono = mono
        self._last: Status | None = None
        self._taken = self._answered = mono()
        self._status: Future[Status] | None = None
        self._turn: Future[None] | None = None

    def status(self) -> Status | None:
        """Return the status as of now, else the last one marked as stale; None before the first."""
        if self._status is None or self._status.done():  # an answer that came too late is old by now
            self._status = asyncio.run_coroutine_threadsafe(self._take_status(), self._loop)
        taken = self._wait(self._status)
        if taken is not None:
            self._last, self._taken = taken, self._mono()
            return taken
        if self._last is None:
            return None
        age_s = math.ceil(10 * (self._mono() - self._taken)) / 10
        return {
            **self._last,
            "stale": True,
            "age_s": age_s,
            "state": "degraded" if self._last["state"] == "ok" else self._last["state"],
            "problems": [
                f"This status is {age_s:.0f} s old: the analyst is busy; if it hangs, the agent restarts.",
                *self._last["problems"],
            ],
        }

    def stale_s(self) -> float | None:
        """Return for how long the loop has not answered, None when it answers."""
        if self._turn is None or self._turn.done():
            self._turn = asyncio.run_coroutine_threadsafe(_turn(), self._loop)
        self._wait(self._turn)
        return None if self._turn.done() else self._mono() - self._answered

    def _wait(self, asked: Future[T]) -> T | None:
        """Return the answer if it comes in time; a question without one stays asked."""
        try:
            answer = asked.result(self._answer_s)
        except FutureTimeoutError:
            return None
        self._answered = self._mono()
        return answer

    async def _take_status(self) -> Status:
        return self._take()


async def _turn() -> None:
    """Be one turn of the loop."""
