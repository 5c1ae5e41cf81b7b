"""What the broker itself says that it dropped, for all its clients together, where we may read it."""

from collections import deque
from contextlib import suppress

#: Mosquitto's count since its start, retained, told when it changes (mosquitto(8), "Broker status").
TOPIC = "$SYS/broker/publish/messages/dropped"
RECENT_S = 600.0
MAX_RISES = 600


class Losses:
    """Follows the broker's count. Written by the net thread, read by any."""

    def __init__(self) -> None:
        self.total: int | None = None  # None: never heard, as where there is no right to read it
        self._rises: deque[tuple[float, int]] = deque(maxlen=MAX_RISES)
        self._untold = 0
        self._told_at = -RECENT_S

    def note(self, payload: bytes, now: float, *, live: bool = False) -> None:
        """Take what the broker says; what is no number is not believed. A restart of it begins at 0.

        Mosquitto forgets the retained count after a minute without a change. So the first one that is heard
        is a rise where it comes ``live``, by one message at least.
        """
        with suppress(ValueError):
            total = int(payload[:20])
            rise = min(total, int(live)) if self.total is None else total - self.total
            self.total = total
            if rise > 0:
                self._rises.append((now, rise))
                self._untold += rise

    def recent(self, now: float) -> int:
        """Return how many were dropped in the last ten minutes."""
        return sum(rise for at, rise in list(self._rises) if now - at <= RECENT_S)

    def untold(self, now: float) -> int:
        """Return what was dropped since this last returned anything; every ten minutes at most."""
        if not self._untold or now - self._told_at < RECENT_S:
            return 0
        told, self._untold, self._told_at = self._untold, 0, now
        return told
