"""Prompt and reply of each AI call, journaled for ``show`` and ``replay``."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from agent.domain.fault import fault_words
from agent.domain.model_calls import CallRecord
from agent.journal import JournalError
from agent.journal.store import Store
from agent.verdict.encode import encode

MAX_BATCHES = 32  # with further calls possible: fallback models, in the order asked
MAX_REPLY = 65_536  # characters


class Transcripts:
    """Journals prompts and replies; a batch keeps one entry for each model that was asked.

    ``write`` hands a transaction to the journal. A transcript that cannot be written is reported; the answer
    is valid all the same.
    """

    def __init__(
        self, *, write: Callable[[Callable[[Store], None]], Future[None]], log: Callable[..., None]
    ) -> None:
        self._write = write
        self._log = log
        self._calls: dict[str, list[dict[str, Any]]] = {}

    def add(self, record: CallRecord) -> None:
        """Journal one call with the earlier calls of its batch."""
        from agent.ai.call_record import transcript_of  # noqa: PLC0415 - loaded with the first call

        batch_id = record.request.batch_id
        while batch_id not in self._calls and len(self._calls) >= MAX_BATCHES:
            del self._calls[next(iter(self._calls))]
        calls = self._calls.setdefault(batch_id, [])
        call = transcript_of(record)
        calls.append({**call, "reply": call["reply"][:MAX_REPLY]})
        detail = encode({"calls": calls})
        self._write(lambda store: store.finish_batch(batch_id, detail)).add_done_callback(self._written)

    def _written(self, future: Future[None]) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None and not isinstance(error, JournalError):  # closed: the process is ending
            self._log("transcript_lost", level="warning", error=fault_words(error))
