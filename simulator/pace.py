"""Event time and wall clock: the event time now, and the wait until another."""

import math
import threading
import time

OPEN_END_S = 3600.0  # real seconds after which a fast run without an end has caught up with the present


def live_start(*, now: float, speed: float, for_s: float | None) -> float:
    """Return the event time (whole Unix seconds) at which a live part that begins ``now`` should start.

    At another speed than 1 it is so far back that the run ends in the present, since readings from the
    future are what agents refuse. Without an end (``for_s`` None) an hour is assumed.
    """
    return float(math.floor(now - max(0.0, speed - 1.0) * (OPEN_END_S if for_s is None else for_s)))


class Pace:
    """Event time ``start`` (Unix seconds) is the moment this is made; it goes on ``speed`` times as fast."""

    def __init__(self, *, start: float, speed: float = 1.0) -> None:
        self._start, self._speed = start, speed
        self._began = time.monotonic()

    def wait(self, at: float, stop: threading.Event) -> bool:
        """Wait until it is event time ``at``; False if ``stop`` came first."""
        left = self._began + (at - self._start) / self._speed - time.monotonic()
        return not (stop.wait(left) if left > 0 else stop.is_set())
