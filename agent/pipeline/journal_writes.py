"""Journal writes of the analyst: transactions out, results back on the loop."""

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from agent.domain.records import Batch
from agent.journal import JournalClosedError, JournalStorageError
from agent.journal.errors import is_damage, is_storage
from agent.journal.journal import Journal
from agent.journal.store import Store

T = TypeVar("T")


class Writes(Protocol):
    """Hands a closed transaction to the journal; ``then`` gets its result on the analyst's loop."""

    def __call__(self, job: Callable[[Store], Any], then: Callable[[Any], None] | None = None) -> None:
        """Queue ``job``."""


class JournalWrites:
    """Hands transactions to the journal's thread; the error of a refused one goes to ``fail``.

    ``post`` runs a callable on the analyst's loop, from any thread.

    Behind one that failed no other is run, although the process lives on for a moment: a snapshot without the
    window that was sealed before it would pass readings that are in no window.
    """

    def __init__(
        self, journal: Journal, *, post: Callable[..., object], fail: Callable[[BaseException], None]
    ) -> None:
        self._journal = journal
        self._post = post
        self._fail = fail
        self._failed: set[object] = set()  # touched by the journal's thread only

    def write(self, job: Callable[[Store], T], then: Callable[[T], None] | None = None) -> None:
        """Have ``job`` run in a transaction; ``then`` gets its result on the analyst's loop."""
        written = self._journal.write(self._in_order(job))
        written.add_done_callback(lambda future: self._post(self._written, future, then))

    def try_to_write(self, job: Callable[[Store], None], then: Callable[[bool], None]) -> None:
        """Have ``job`` run once; ``then`` gets on the analyst's loop whether it is on disk."""
        tried = self._journal.write(self._in_order(job), optional=True)
        tried.add_done_callback(lambda future: self._post(self._tried, future, then))

    def _in_order(self, job: Callable[[Store], T]) -> Callable[[Store], T]:
        mark = object()  # a function that names itself would keep its window until a collection

        def run(store: Store) -> T:
            if self._failed and mark not in self._failed:
                raise JournalClosedError("journal: not written, for a transaction before it failed")
            try:
                result = job(store)
            except Exception as error:
                if not (is_storage(error) or is_damage(error)):
                    self._failed.add(mark)
                raise
            self._failed.discard(mark)  # its transaction was rolled back for another reason, and tried again
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


class BatchWrites:
    """Writes for the review queue which windows are asked together, and which the model may have seen."""

    def __init__(self, journal: Journal, writes: JournalWrites) -> None:
        self._journal = journal
        self._writes = writes

    async def plan(self, batch: Batch) -> None:
        """Commit which windows are asked together, so that the next process asks them together."""
        await asyncio.wrap_future(self._journal.write(lambda store: store.plan_batch(batch)))

    async def count(self, batch: Batch, windows: Collection[str]) -> None:
        """Commit an attempt for those windows of the batch that the next request holds."""
        ids = tuple(windows)
        await asyncio.wrap_future(
            self._journal.write(lambda store: store.start_batch(batch, ids), urgent=True)
        )

    def take_back(self, batch: Batch, windows: Collection[str]) -> None:
        """Uncount it: the process stops in good order, which is not a crash."""
        ids = tuple(windows)
        self._writes.write(lambda store: store.release_batch(batch.id, ids))
