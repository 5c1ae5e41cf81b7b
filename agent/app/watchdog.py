"""Find hung threads and leave starved ones alone, by the time that the process got to run.

A heartbeat's age grows only with that time: what the ticker was late is left out (the process was stopped,
or the machine suspended), and so is what its threads waited for a core.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

MAX_OWED_S = 60.0  # run-queue wait that is still to be left out of later turns
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

    def stuck(self, limit_s: float, names: Iterable[str]) -> str | None:
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
