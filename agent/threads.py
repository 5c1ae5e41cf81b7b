"""The process's threads: named, and none dies unseen."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Death:
    """A thread that ended by an exception."""

    thread: str
    error: BaseException


class Crew:
    """Starts threads and wakes the main thread when one of them fails."""

    def __init__(self) -> None:
        self.wake = threading.Event()
        self.death: Death | None = None
        self._threads: list[threading.Thread] = []

    def start(self, name: str, body: Callable[[], object]) -> threading.Thread:
        """Run ``body`` in a daemon thread; its exception is kept as the crew's death."""

        def guarded() -> None:
            try:
                body()
            except BaseException as error:  # noqa: BLE001 - whatever it is, the process ends with it
                self.fail(name, error)

        thread = threading.Thread(target=guarded, name=f"edge-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def fail(self, thread: str, error: BaseException) -> None:
        """Note a failure (the first counts) and wake the main thread."""
        if self.death is None:
            self.death = Death(thread, error)
        self.wake.set()

    def join(self, thread: threading.Thread, deadline: float) -> bool:
        """Wait for a thread until ``deadline`` (monotonic); false when it is still alive."""
        thread.join(max(0.0, deadline - time.monotonic()))
        return not thread.is_alive()
