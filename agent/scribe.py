"""The analyst's hand in the journal: closed transactions out, their results back on the loop."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from agent.journal import Journal, JournalStorageError, Store

T = TypeVar("T")


class Scribe:
    """Hands transactions to the journal's thread; one that is refused goes to ``fail``."""

    def __init__(self, journal: Journal, *, fail: Callable[[BaseException], None]) -> None:
        self._journal = journal
        self._fail = fail

    def write(self, job: Callable[[Store], T], then: Callable[[T], None] | None = None) -> None:
        """Have ``job`` run in a transaction; ``then`` gets its result on this loop."""
        loop = asyncio.get_running_loop()

        def done(future: Future[T]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
                loop.call_soon_threadsafe(self._written, future, then)

        self._journal.write(job).add_done_callback(done)

    def try_to_write(self, job: Callable[[Store], None], then: Callable[[bool], None]) -> None:
        """Have ``job`` run once; ``then`` hears on this loop whether it is on disk."""
        loop = asyncio.get_running_loop()

        def done(future: Future[None]) -> None:
            with contextlib.suppress(RuntimeError):  # as above
                loop.call_soon_threadsafe(self._tried, future, then)

        self._journal.write(job, optional=True).add_done_callback(done)

    def _tried(self, future: Future[None], then: Callable[[bool], None]) -> None:
        if isinstance(future.exception(), JournalStorageError):
            then(False)  # noqa: FBT003 - the answer
        else:
            self._written(future, lambda _none: then(True))  # noqa: FBT003 - as above

    def _written(self, future: Future[T], then: Callable[[T], None] | None) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            self._fail(error)
        elif then is not None:
            then(future.result())
