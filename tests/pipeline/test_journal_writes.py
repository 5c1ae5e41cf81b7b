"""Transactions of the analyst."""

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, cast

from agent.journal import JournalClosedError
from agent.journal.store import Store
from agent.pipeline.journal_writes import JournalWrites

Work = Callable[[Store], Any]


class Scripted:
    """A journal whose transactions are run one by one."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Work, Future[Any]]] = []

    def write(self, job: Work, *, urgent: bool = False, optional: bool = False) -> Future[Any]:
        """Take a job."""
        del urgent, optional
        future: Future[Any] = Future()
        self.waiting.append((job, future))
        return future

    def run(self) -> None:
        """Run the oldest job."""
        job, future = self.waiting.pop(0)
        try:
            result = job(cast("Store", None))
        except Exception as error:  # noqa: BLE001 - as the journal does
            future.set_exception(error)
        else:
            future.set_result(result)


class _Window:
    """Something large that a job holds."""


def _holding(window: _Window) -> Work:
    return lambda _store: window is not None


def test_what_a_job_holds_is_free_once_it_is_written() -> None:
    """Without the collector of cycles, which looks once for thousands of windows."""
    journal, errors = Scripted(), list[BaseException]()
    writes = JournalWrites(cast("Any", journal), post=lambda run, *args: run(*args), fail=errors.append)
    window = _Window()
    held = weakref.ref(window)
    written: list[bool] = []
    writes.write(_holding(window), written.append)
    gc.disable()
    try:
        del window
        assert held() is not None
        journal.run()
        assert (errors, written, held()) == ([], [True], None)
    finally:
        gc.enable()


def test_a_job_that_failed_may_run_again_and_no_other() -> None:
    """Its transaction was rolled back; the same job a second time is not held up by itself."""
    journal, errors = Scripted(), list[BaseException]()
    writes = JournalWrites(cast("Any", journal), post=lambda run, *args: run(*args), fail=errors.append)
    lives: list[int] = []

    def fails_once(_store: Store) -> int:
        lives.append(1)
        if len(lives) == 1:
            raise KeyError
        return len(lives)

    writes.write(fails_once)
    writes.write(lambda _store: 7)
    first = journal.waiting[0][0]
    journal.run()
    journal.run()
    assert [type(error) for error in errors] == [KeyError, JournalClosedError]
    assert first(cast("Store", None)) == 2
    writes.write(lambda _store: 7, lives.append)
    journal.run()
    assert lives == [1, 1, 7]
