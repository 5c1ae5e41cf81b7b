"""The status object for other threads: from the analyst's loop, or the last one with its age."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError as FutureTimeoutError
from contextlib import suppress

from agent.status.schema import Status

ANSWER_S = 0.5  # then the last answer is given again: a scrape must not wait


class Freshness:
    """Asks the loop, one question at a time; used by one thread, that of the web server."""

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
        self._taken = mono()
        self._status: Future[Status] | None = None

    def status(self) -> Status | None:
        """Return the status as of now, else the last one marked as stale; None before the first."""
        if self._status is None or self._status.done():  # an answer that came too late is old by now
            self._status = asyncio.run_coroutine_threadsafe(self._take_status(), self._loop)
        with suppress(FutureTimeoutError):  # it stays asked
            self._last = taken = self._status.result(self._answer_s)
            self._taken = self._mono()
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

    async def _take_status(self) -> Status:
        return self._take()
