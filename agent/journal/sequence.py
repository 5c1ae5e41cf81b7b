"""Agent time, and the one counter over messages and timer events."""

import sqlite3
from collections.abc import Callable

from agent.journal.schema import read_meta, write_meta

TABLES = ("messages", "timer_events", "commands", "settings")  # of the rows of the sequence


class AgentClock:
    """Unix seconds at start, at least the last journaled clock, then the monotonic clock's pace.

    A wall clock that steps while the agent runs changes nothing. One that is behind at start (no RTC)
    continues where the journal ended. ``stretch`` makes it pass faster than the monotonic clock in a trial.
    """

    def __init__(
        self,
        *,
        last: float,
        wall: Callable[[], float],
        mono: Callable[[], float],
        stretch: Callable[[float], float] = float,
    ) -> None:
        self._mono = mono
        self._stretch = stretch
        self._offset = max(wall(), last) - stretch(mono())

    def now(self) -> float:
        """Return agent time."""
        return self._offset + self._stretch(self._mono())

    def at(self, mono: float) -> float:
        """Return the agent time of a monotonic time of this process."""
        return self._offset + self._stretch(mono)


class RowSequence:
    """Hands out ``seq``: rising, never used twice, neither after pruning nor after a restart."""

    def __init__(self, *, seq: int, clock_value: float, clock: AgentClock) -> None:
        self.seq = seq
        self.clock_value = clock_value
        self._clock = clock

    def take(self, mono: float | None = None) -> tuple[int, float]:
        """Return the next seq and its clock: the one of ``mono``, or now; never before the last row's."""
        at = self._clock.now() if mono is None else self._clock.at(mono)
        self.seq += 1
        self.clock_value = max(self.clock_value, at)
        return self.seq, self.clock_value

    @property
    def clock(self) -> AgentClock:
        """The clock of the rows."""
        return self._clock

    def now(self) -> float:
        """Return agent time, at least the last row's."""
        return max(self.clock_value, self._clock.now())

    def mark(self) -> tuple[int, float]:
        """Return the position of the sequence."""
        return self.seq, self.clock_value

    def reset(self, mark: tuple[int, float]) -> None:
        """Go back to a mark: what came after it was rolled back."""
        self.seq, self.clock_value = mark

    def save(self, connection: sqlite3.Connection) -> None:
        """Write the position of the sequence, in the transaction that deletes rows."""
        write_meta(connection, "seq", self.seq)
        write_meta(connection, "clock", self.clock_value)


def last_row(connection: sqlite3.Connection) -> tuple[int, float]:
    """Return seq and clock of the last row that was ever committed."""
    found = [(int(read_meta(connection, "seq") or 0), float(read_meta(connection, "clock") or 0.0))]
    for table in TABLES:
        row = connection.execute(f"SELECT seq, clock FROM {table} ORDER BY seq DESC LIMIT 1").fetchone()  # noqa: S608  - our own table names
        if row is not None:
            found.append((int(row[0]), float(row[1])))
    return max(found)
