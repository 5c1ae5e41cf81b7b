"""Watchdog of the threads: a failed one ends the process, a hung one is found.

The age of a heartbeat grows only with the time that the process got to run. The lateness of the ticker is
left out (the process was stopped, or the machine suspended), and so is the threads' waiting for a core.
"""

import os
import select
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

BEAT_S = 0.5  # how often the main thread looks at the others
MAX_OWED_S = 60.0  # run-queue wait that is still to be left out of later turns
LOOPS = ("net", "journal", "analyst")  # without their turns no reading becomes a verdict
_TASKS = Path("/proc/self/task")


class Watchdog:
    """Ages of heartbeats. :meth:`look` is the ticker, called every ``beat_s`` by one thread."""

    def __init__(self, *, beat_s: float) -> None:
        self._beat_s = beat_s
        self._looked: float | None = None
        self._waits: dict[int, float] = {}
        self._owed_s = 0.0
        self._beats: dict[str, float] = {}
        self._ages: dict[str, float] = {}

    def look(self, now: float, waits: Mapping[int, float], beats: Mapping[str, float]) -> None:
        """Age every heartbeat that has not changed since the last look.

        Args:
            now: monotonic time, seconds.
            waits: thread id to the seconds it has waited for a core since it began; empty where unknown.
            beats: loop to any number that changes with each of its turns.
        """
        granted_s = self._grant(now, waits)
        for name, beat in beats.items():
            same = beat == self._beats.get(name)
            self._ages[name] = self._ages.get(name, 0.0) + granted_s if same else 0.0
            self._beats[name] = beat

    def age(self, name: str) -> float:
        """Return how long, in time that the process got to run, a loop has made no turn."""
        return self._ages.get(name, 0.0)

    def stuck(self, limit_s: float, names: Iterable[str] = LOOPS) -> str | None:
        """Return the first of ``names`` that made no turn for longer than ``limit_s``, or None."""
        return next((name for name in names if self.age(name) > limit_s), None)

    def _grant(self, now: float, waits: Mapping[int, float]) -> float:
        """Return how much of the time since the last look the process got to run."""
        elapsed = 0.0 if self._looked is None else max(0.0, now - self._looked)
        known = self._waits
        waited = max((wait - known.get(thread, wait) for thread, wait in waits.items()), default=0.0)
        self._looked, self._waits = now, dict(waits)
        on_time = min(elapsed, self._beat_s)
        # A late ticker was itself waiting, so its lateness pays for the wait before anything else does.
        owed = min(MAX_OWED_S, max(0.0, self._owed_s + waited - (elapsed - on_time)))
        self._owed_s = max(0.0, owed - on_time)
        return max(0.0, on_time - owed)


def read_waits(tasks: Path = _TASKS) -> dict[int, float]:
    """Return the run-queue wait of this process's threads, seconds; empty where the kernel keeps none.

    The second number of ``schedstat``: https://docs.kernel.org/scheduler/sched-stats.html
    """
    waits: dict[int, float] = {}
    with suppress(OSError):  # no descriptor is left
        for task in tasks.iterdir():
            with suppress(OSError, ValueError, IndexError):  # a thread that just ended, or no such file here
                waits[int(task.name)] = int((task / "schedstat").read_bytes().split()[1]) / 1e9
    return waits


@dataclass(frozen=True, slots=True)
class Fatal:
    """The failure that ends the process, and its thread."""

    thread: str
    error: BaseException


class WakeUp:
    """Wakes the main thread. A pipe, because a signal handler that takes a lock may wait for itself."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._poll = select.poll()
        self._poll.register(self._reader, select.POLLIN)

    def wake(self) -> None:
        """End :meth:`wait`, from any thread or signal handler."""
        with suppress(BlockingIOError):  # full: the main thread wakes up anyway
            os.write(self._writer, b"!")

    def wait(self, timeout_s: float) -> None:
        """Wait for a call of :meth:`wake`, or ``timeout_s``; earlier calls count."""
        self._poll.poll(timeout_s * 1000)
        with suppress(BlockingIOError):
            os.read(self._reader, 4096)


class Threads:
    """Starts threads and wakes the main thread when one of them fails or ends too early."""

    def __init__(self, wake_up: WakeUp) -> None:
        self._wake_up = wake_up
        self.fatal: Fatal | None = None
        self.ending = False  # from now on threads may end

    def start(self, name: str, body: Callable[[], object]) -> threading.Thread:
        """Run ``body`` in a daemon thread; its exception, or its return, is fatal."""

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
        """Take the uncaught exceptions of all other threads too: the log's, the libraries' workers'."""
        threading.excepthook = self._caught

    def _caught(self, args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else "unknown"
        self.fail(name, args.exc_value or RuntimeError(args.exc_type.__name__))

    def fail(self, thread: str, error: BaseException) -> None:
        """Note a failure (the first counts) and wake the main thread."""
        if self.fatal is None:
            self.fatal = Fatal(thread, error)
        self._wake_up.wake()
