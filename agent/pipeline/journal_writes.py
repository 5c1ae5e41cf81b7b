"""The analyst's hand in the journal: closed transactions out, their results back on the loop."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from agent.journal import Journal, JournalClosedError, JournalStorageError, Store
from agent.journal.errors import is_damage, is_storage

T = TypeVar("T")


class Scribe:
    """Hands transactions to the journal's thread; one that is refused goes to ``fail``.

    Behind one that failed no other is run, although the process lives on for a moment: a snapshot without the
    window that was sealed before it would pass readings that are in no window.
    """

    def __init__(self, journal: Journal, *, fail: Callable[[BaseException], None]) -> None:
        self._journal = journal
        self._fail = fail
        self._failed: set[Callable[[Store], Any]] = set()  # touched by the journal's thread only

    def write(self, job: Callable[[Store], T], then: Callable[[T], None] | None = None) -> None:
        """Have ``job`` run in a transaction; ``then`` gets its result on this loop."""
        loop = asyncio.get_running_loop()

        def done(future: Future[T]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the process is ending
                loop.call_soon_threadsafe(self._written, future, then)

        self._journal.write(self._in_order(job)).add_done_callback(done)

    def try_to_write(self, job: Callable[[Store], None], then: Callable[[bool], None]) -> None:
        """Have ``job`` run once; ``then`` hears on this loop whether it is on disk."""
        loop = asyncio.get_running_loop()

        def done(future: Future[None]) -> None:
            with contextlib.suppress(RuntimeError):  # as above
                loop.call_soon_threadsafe(self._tried, future, then)

        self._journal.write(self._in_order(job), optional=True).add_done_callback(done)

    def _in_order(self, job: Callable[[Store], T]) -> Callable[[Store], T]:
        def run(store: Store) -> T:
            if self._failed and run not in self._failed:
                raise JournalClosedError("journal: not written, for a transaction before it failed")
            try:
                result = job(store)
            except Exception as error:
                if not (is_storage(error) or is_damage(error)):
                    self._failed.add(run)
                raise
            self._failed.discard(run)  # its transaction was rolled back for another reason, and tried again
            return result

        return run

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
