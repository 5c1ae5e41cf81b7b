"""Patience with a collector: two attempts each, and pauses while it is down."""

import math
import random
import threading
import time
from collections.abc import Callable

from agent.domain.fault import fault_words

ATTEMPTS = 2  # of each export: a collector that restarts costs nothing
_FIRST_PAUSE_S = 5.0
_MAX_PAUSE_S = 300.0
_PARTIAL_AGAIN_S = 300.0  # a collector may refuse something of each export


class Pausing:
    """Tries each export twice, and leaves a collector that is down alone, 5 s at first and up to 5 min.

    It waits on the thread of the export, whose queue keeps the rest meanwhile.

    Args:
        event: First words of the log events ``.._failed``, ``.._recovered`` and ``.._partial``.
        log: Called once per change of the collector's state, and at most every 5 min for refused things.
        mono: Monotonic clock, seconds.
        wait: Waits so many seconds; without it until `hurry` at most.
        refused: Returns how many things the last good reply refused, and why.
    """

    def __init__(
        self,
        *,
        event: str,
        log: Callable[..., None],
        mono: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
        refused: Callable[[], tuple[int, str]] = lambda: (0, ""),
    ) -> None:
        self._event = event
        self._log = log
        self._mono = mono
        self.ending = threading.Event()
        self._wait = wait or self.ending.wait
        self._refused = refused
        self._failures = 0
        self._until = 0.0
        self._partial_again = -math.inf
        self.lost = 0
        self.delivered = 0

    def hurry(self) -> None:
        """Wait for nothing from now on: the rest is tried once."""
        self.ending.set()

    def run(self, export: Callable[[], bool], count: int) -> bool:
        """Export ``count`` things, or lose and count them; raises nothing."""
        for _ in range(ATTEMPTS):
            pause = self._until - self._mono()
            if pause > 0.0:
                self._wait(pause)
            if self._try(export):
                self._deliver(count)
                return True
            if self.ending.is_set():
                break
        self.lost += count
        return False

    def _deliver(self, count: int) -> None:
        """Count what the collector took; what it refused is lost, because it would refuse it again."""
        refused, reason = self._refused()
        refused = min(refused, count)
        self.lost += refused
        self.delivered += count - refused
        now = self._mono()
        if (refused or reason) and now >= self._partial_again:
            self._partial_again = now + _PARTIAL_AGAIN_S
            self._log(
                f"{self._event}_partial", level="warning", refused=refused, lost=self.lost, reason=reason
            )

    def _try(self, export: Callable[[], bool]) -> bool:
        raised = None
        try:
            good = export()
        except Exception as error:  # noqa: BLE001 -- whatever the exporter's libraries raise: it is reported
            good, raised = False, fault_words(error)
        if not good:
            self._failed(raised)
        elif self._failures:
            self._failures = 0
            self._log(f"{self._event}_recovered", lost=self.lost)
        return good

    def _failed(self, raised: str | None) -> None:
        self._failures += 1
        pause = min(_MAX_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._failures - 1, 10))
        self._until = self._mono() + pause * random.uniform(0.8, 1.2)  # noqa: S311 -- jitter
        if self._failures == 1:
            about = {} if raised is None else {"error": raised}
            self._log(f"{self._event}_failed", level="warning", pause_s=pause, **about)
