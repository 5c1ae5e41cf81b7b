"""A limit on how often one event may be said, so that a storm costs lines in proportion to nothing."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

MAX_NAMES = 256


@dataclass(slots=True)
class _Bucket:
    tokens: float
    refilled: float
    suppressed: int = 0


class RateLimit:
    """A token bucket per event name.

    Args:
        burst: Events of one name that pass at once.
        per_s: Events of one name that pass per second after that.
        mono: Monotonic clock, seconds.
    """

    def __init__(self, *, burst: int, per_s: float, mono: Callable[[], float]) -> None:
        self._burst = float(burst)
        self._per_s = per_s
        self._mono = mono
        self._buckets: dict[str, _Bucket] = {}
        self._lock = threading.RLock()  # re-entrant for signal handlers
        self.suppressed = 0

    def allow(self, name: str) -> int | None:
        """Return how many were suppressed since the last that passed, or None to suppress this one."""
        now = self._mono()
        with self._lock:
            bucket = self._buckets.get(name)
            if bucket is None:
                if len(self._buckets) >= MAX_NAMES:
                    name = "other"
                bucket = self._buckets.setdefault(name, _Bucket(self._burst, now))
            bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.refilled) * self._per_s)
            bucket.refilled = now
            if bucket.tokens < 1.0:
                bucket.suppressed += 1
                self.suppressed += 1
                return None
            bucket.tokens -= 1.0
            silent, bucket.suppressed = bucket.suppressed, 0
            return silent

    def collect(self) -> dict[str, int]:
        """Return and forget what was suppressed and not yet said."""
        with self._lock:
            told = {name: bucket.suppressed for name, bucket in self._buckets.items() if bucket.suppressed}
            for name in told:
                self._buckets[name].suppressed = 0
            return told
