"""What the journal holds of batches: who is in one, and which of its windows the model may have seen."""

import asyncio
from collections.abc import Collection

from agent.domain.records import Batch
from agent.journal import Journal
from agent.pipeline.journal_writes import Scribe


class BatchLog:
    """Writes batches for the desk. All on the analyst's loop."""

    def __init__(self, journal: Journal, scribe: Scribe) -> None:
        self._journal = journal
        self._scribe = scribe

    async def plan(self, batch: Batch) -> None:
        """Put the batch together on disk, so that the next process asks the same windows together."""
        await asyncio.wrap_future(self._journal.write(lambda store: store.plan_batch(batch)))

    async def count(self, batch: Batch, windows: Collection[str]) -> None:
        """Count an attempt on disk for those windows of the batch that the next request holds."""
        ids = tuple(windows)
        await asyncio.wrap_future(
            self._journal.write(lambda store: store.start_batch(batch, ids), urgent=True)
        )

    def take_back(self, batch: Batch, windows: Collection[str]) -> None:
        """Uncount it: the process stops in good order, so what comes is no crash."""
        ids = tuple(windows)
        self._scribe.write(lambda store: store.release_batch(batch.id, ids))
