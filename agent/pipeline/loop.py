"""Loop bridge: hand-off from other threads to the analyst's loop, and its tasks."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from agent.domain.records import Row
from agent.journal import JournalClosedError
from agent.mqtt import LinkState
from agent.pipeline.pipeline import Pipeline


class LoopBridge:
    """Passes rows, link changes and the answers of sinks to the pipeline, in the order in which they come.

    :meth:`connect` is called once, before the threads start. ``fail`` ends the process with an error.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, fail: Callable[[BaseException], None]) -> None:
        self._loop = loop
        self._fail = fail
        self._calls: deque[tuple[Callable[..., None], tuple[object, ...]]] = deque()
        self._woken = False  # for all calls that wait
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self, pipeline: Pipeline) -> None:
        """Take the pipeline, which is built after the journal and the link that call the bridge."""
        self._pipeline = pipeline

    # ---------------------------------------------------------------------------- from any thread

    def on_rows(self, rows: list[Row]) -> None:
        """Pass on committed rows."""
        self.post(self._pipeline.consume, rows)

    def on_link(self, state: LinkState) -> None:
        """Pass on a change of the link."""
        self.post(self._pipeline.link_changed, state)

    def post(self, work: Callable[..., None], *args: object) -> None:
        """Run ``work`` on the analyst's loop, after the calls before it; one wake-up serves many."""
        self._calls.append((work, args))
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed: the process is ending
                self._loop.call_soon_threadsafe(self._run_calls)

    # ---------------------------------------------------------------------- on the analyst's loop

    def _run_calls(self) -> None:
        self._woken = False  # first: what is posted from now on wakes again
        for _ in range(len(self._calls)):
            work, args = self._calls.popleft()
            work(*args)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task; an exception of it ends the process."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.fail(error)

    def fail(self, error: BaseException) -> None:
        """End the process with ``error``, except if it only reports a closed journal."""
        if not isinstance(error, JournalClosedError):
            self._fail(error)
