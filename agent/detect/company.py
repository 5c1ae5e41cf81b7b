"""Series that move together, by their changes from hour to hour.

A series keeps the changes of its residual, which is its value less what is usual at that hour, so that a day
that all series share makes none of them alike. Nothing is compared ahead of time: there is no table of pairs.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from operator import mul
from typing import Any

HOURS = 96  # that are kept
ENOUGH = 36  # hours that two series must both know
ALIKE = 0.5  # correlation from which two series move together
SAME_DAY = 0.8  # correlation of two days
UNIT = 24.0  # of a mean change: the most that is kept is five times the mean
MOST = 127
PACE = 0.1  # of the mean change, at each further one


class Hourly:
    """The last hourly changes of one series, in units of their mean size; 0 is an hour without one."""

    __slots__ = ("changes", "hour", "level", "size")

    def __init__(self, hour: int, level: float, size: float = 0.0, changes: bytes = bytes(HOURS)) -> None:
        self.hour = hour  # of the last change, since 1970
        self.level = level
        self.size = size  # mean size of a change
        self.changes = bytearray(changes)  # at the place of their hour

    def note(self, hour: int, level: float) -> None:
        """Take the level at the begin of a later hour; after a gap there is no change."""
        for skipped in range(max(self.hour + 1, hour - HOURS), hour + 1):
            self.changes[skipped % HOURS] = 0
        if hour == self.hour + 1:
            change = level - self.level
            self.size += (abs(change) - self.size) * (PACE if self.size else 1.0)
            if self.size:
                kept = round(change / self.size * UNIT)
                self.changes[hour % HOURS] = min(max(kept, -MOST), MOST) & 0xFF
        self.hour, self.level = hour, level

    def between(self, first: int, last: int) -> list[int]:
        """Return the changes from one hour to another, both included, all of them kept."""
        oldest = (self.hour + 1) % HOURS
        begin = first - (self.hour - HOURS + 1)
        ordered = memoryview(self.changes[oldest:] + self.changes[:oldest]).cast("b")
        return ordered[begin : begin + last - first + 1].tolist()

    def dump(self) -> list[Any]:
        """Return the state as JSON values."""
        return [self.hour, self.level, self.size, b64encode(self.changes).decode()]


def load(state: Sequence[Any]) -> Hourly | None:
    """Take back what :meth:`Hourly.dump` gave, None if another number of hours was kept."""
    hour, level, size, changes = state
    kept = b64decode(changes)
    return Hourly(hour, level, size, kept) if len(kept) == HOURS else None


def alike(one: Hourly, two: Hourly, *, before: float) -> bool:
    """Return whether two series moved together in the days before an event time."""
    last = min(one.hour, two.hour, int(before // 3600.0) - 1)
    first = max(one.hour, two.hour) - HOURS + 1
    if last - first + 1 < ENOUGH:
        return False
    every = zip(one.between(first, last), two.between(first, last), strict=True)
    pairs = [pair for pair in every if all(pair)]
    if len(pairs) < ENOUGH:
        return False
    ones, twos = zip(*pairs, strict=True)
    both: int = sum(map(mul, ones, twos))
    return both > 0 and both * both >= ALIKE * ALIKE * _square(ones) * _square(twos)


def share_day(one: Sequence[float], two: Sequence[float]) -> bool:
    """Return whether the usual values of two series, by hour of the day, rise and fall together."""
    ones, twos = _centred(one), _centred(two)
    both: float = sum(map(mul, ones, twos))
    return both > 0.0 and both * both >= SAME_DAY * SAME_DAY * _square(ones) * _square(twos)


def _centred(values: Sequence[float]) -> list[float]:
    mean = sum(values) / len(values)
    most = max(abs(value - mean) for value in values) or 1.0
    return [(value - mean) / most for value in values]  # no square of it overflows


def _square(values: Iterable[float]) -> float:
    return sum(value * value for value in values)
