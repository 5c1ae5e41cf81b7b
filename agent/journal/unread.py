"""Devices that send messages without a value, and the values that they lost.

A row records the message of a known device, so that it is not silent. At most one is journaled for a device
and :data:`HEARD_S`; which messages get one is decided here, and a replay reads the rows.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from agent.domain.records import Reading

HEARD_S = 5.0  # half of the shortest silence that is ever reported
MESSAGE = "message"  # is for all values of a message in quarantine
MAX_DEVICES = 256  # with missing values that are kept
MAX_NAMES = 16  # of a device
_MAX_HEARD = 10_000  # devices whose last row is known
_KEPT_S = 86_400.0


class Missing(NamedTuple):
    """A value that a device did not send, or that could not be read."""

    name: str
    why: str
    at: float  # receipt, Unix seconds


class Unread:
    """One object for the life of the writer; other threads only call :meth:`missing`."""

    def __init__(self, *, knows: Callable[[str], bool]) -> None:
        self._knows = knows
        self._rows: dict[str, float] = {}  # device -> time.monotonic() of its last row, oldest first
        self._fresh: dict[str, float] = {}  # of the open transaction
        self._missing: dict[str, dict[str, Missing]] = {}  # by device, by name; the newest device last

    def wants_row(self, device: str, mono: float) -> bool:
        """Return whether a row should record that ``device`` was received; asked once for each row."""
        last = self._fresh.get(device, self._rows.get(device))
        if (last is not None and 0.0 <= mono - last < HEARD_S) or not self._knows(device):
            return False
        self._fresh[device] = mono
        return True

    def commit(self) -> None:
        """Keep the rows of the transaction."""
        for device, mono in self._fresh.items():
            self._rows.pop(device, None)
            if len(self._rows) >= _MAX_HEARD:
                del self._rows[next(iter(self._rows))]
            self._rows[device] = mono
        self._fresh.clear()

    def rollback(self) -> None:
        """Forget the rows of the transaction: its messages come again."""
        self._fresh.clear()

    def note(self, device: str, name: str, why: str, at: float) -> None:
        """Keep that a value is missing."""
        names = self._missing.pop(device, None)
        if names is None:
            names = {}
            if len(self._missing) >= MAX_DEVICES:
                del self._missing[next(iter(self._missing))]
        if name in names or len(names) < MAX_NAMES:
            names[name] = Missing(name, why, at)
        self._missing[device] = names

    @property
    def any(self) -> bool:
        """Whether a value is missing."""
        return bool(self._missing)

    def clear(self, readings: Iterable[Reading]) -> None:
        """Forget the missing values that have come."""
        if not self._missing:
            return
        for reading in readings:
            names = self._missing.get(reading.device)
            if names is not None:
                names.pop(MESSAGE, None)
                names.pop(reading.metric, None)
                if not names:
                    del self._missing[reading.device]

    def missing(self, now: float) -> dict[str, list[Missing]]:
        """Return the missing values of the last day by device, the newest device first.

        ``now`` is Unix time in seconds.
        """
        found = {}
        for device, names in reversed(list(self._missing.items())):
            kept = [one for one in list(names.values()) if now - one.at < _KEPT_S]
            if kept:
                found[device] = kept
        return found
