"""The results of jobs, given to their callers only when they are on disk."""

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from agent.journal.errors import JournalClosedError, JournalError
from agent.journal.inbox import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one job came to."""

    future: Future[Any]
    value: Any = None
    error: Exception | None = None

    def give(self) -> bool:
        """Resolve the future; return whether the job failed."""
        if self.future.set_running_or_notify_cancel():
            if self.error is None:
                self.future.set_result(self.value)
            else:
                self.future.set_exception(self.error)
        return self.error is not None


def refuse(jobs: Iterable[Job], error: JournalError | None = None) -> None:
    """Answer jobs that nobody will run any more, because the journal is closed or with ``error``."""
    for job in jobs:
        Answer(future=job.future, error=error or JournalClosedError("journal: closed")).give()
