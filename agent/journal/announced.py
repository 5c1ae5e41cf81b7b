"""Announced intervals of devices: the choice of announcements to journal.

A row is journaled with the first announcement after a start and with each other value, once the device has
had a reading: the detector knows nothing of it before. A replay reads the rows.
"""

from collections.abc import Callable, Collection, Iterator

from agent.journal.reversible import Reversible

MAX_DEVICES = 10_000  # beyond it, the devices that announced first are forgotten
MAX_S = 366 * 86_400.0


class Announced:
    """One object for the life of the writer. ``knows``: whether a device has had a reading."""

    def __init__(self, *, knows: Callable[[str], bool]) -> None:
        self._knows = knows
        self._last: Reversible[float] = Reversible(MAX_DEVICES)
        self._waiting: Reversible[float] = Reversible(MAX_DEVICES)  # for a reading of their device

    @property
    def waiting(self) -> Collection[str]:
        """Devices of which an interval waits for the first reading."""
        return self._waiting

    def take(
        self, announced: Collection[tuple[str, float]], measured: Collection[str]
    ) -> Iterator[tuple[str, float]]:
        """Yield the intervals to journal after a message with readings of the ``measured`` devices."""
        for device, seconds in announced:
            if 0.0 < seconds <= MAX_S and self._last.get(device) != seconds:
                self._last.put(device, seconds)
                self._waiting.put(device, seconds)
        if not self._waiting:
            return
        for device in dict.fromkeys((*measured, *(device for device, _ in announced))):
            waiting = self._waiting.get(device)
            if waiting is not None and (device in measured or self._knows(device)):
                self._waiting.put(device, None)
                yield device, waiting

    def commit(self) -> None:
        """Keep what the transaction has journaled."""
        self._last.commit()
        self._waiting.commit()

    def rollback(self) -> None:
        """Take the open transaction back: its messages come again."""
        self._last.rollback()
        self._waiting.rollback()
