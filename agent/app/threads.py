"""The process's threads: named, and none dies unseen."""

import os
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Death:
    """A thread that ended by an exception."""

    thread: str
    error: BaseException


class Bell:
    """Wakes the main thread. A pipe, because a signal handler that takes a lock may wait for itself."""

    def __init__(self) -> None:
        self._ear, self._mouth = os.pipe()
        os.set_blocking(self._ear, False)
        os.set_blocking(self._mouth, False)
        self._poll = select.poll()
        self._poll.register(self._ear, select.POLLIN)

    def ring(self) -> None:
        """Wake :meth:`wait`, from any thread or signal handler."""
        with suppress(BlockingIOError):  # full of rings that nobody heard yet
            os.write(self._mouth, b"!")

    def wait(self, timeout_s: float) -> None:
        """Wait for a ring, or ``timeout_s``; rings that came before count."""
        self._poll.poll(timeout_s * 1000)
        with suppress(BlockingIOError):
            os.read(self._ear, 4096)


class Crew:
    """Starts threads and wakes the main thread when one of them fails or ends too early."""

    def __init__(self) -> None:
        self.bell = Bell()
        self.death: Death | None = None
        self.ending = False  # from now on threads may end

    def start(self, name: str, body: Callable[[], object]) -> threading.Thread:
        """Run ``body`` in a daemon thread; its exception, or its return, is kept as the crew's death."""

        def guarded() -> None:
            try:
                body()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the process ends with it
                self.fail(name, error)
            else:
                if not self.ending:
                    self.fail(name, RuntimeError("the thread returned"))

        thread = threading.Thread(target=guarded, name=f"edge-{name}", daemon=True)
        thread.start()
        return thread

    def guard(self) -> None:
        """Keep the uncaught exceptions of all other threads too: the log's, the libraries' workers'."""
        threading.excepthook = self._caught

    def _caught(self, args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else "unknown"
        self.fail(name, args.exc_value or RuntimeError(args.exc_type.__name__))

    def fail(self, thread: str, error: BaseException) -> None:
        """Note a failure (the first counts) and wake the main thread."""
        if self.death is None:
            self.death = Death(thread, error)
        self.bell.ring()
