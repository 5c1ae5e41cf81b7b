"""Series that move together, by their changes from hour to hour.

A series keeps the changes of its residual, which is its value less what is usual at that hour, so that a day
that all series share makes none of them alike. Nothing is compared ahead of time: there is no table of pairs.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

HOURS = 96  # that are kept
ENOUGH = 36  # hours that two series must both know
ALIKE = 0.5  # correlation from which two series move together
UNIT = 24.0  # of a mean change: the most that is kept is five times the mean
MOST = 127
PACE = 0.1  # of the mean change, at each further one

Row = Sequence[Any]


class Hourly:
    """The last hourly changes of one series, in units of their mean size; 0 is an hour without one."""

    __slots__ = ("changes", "hour", "level", "size")

    def __init__(self, hour: int, level: float, size: float = 0.0, changes: bytes = bytes(HOURS)) -> None:
        self.hour = hour  # of the last change, since 1970
        self.level = level
        self.size = size  # mean size of a change
        self.changes = bytearray(changes)

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
        signed = memoryview(self.changes).cast("b")
        return [signed[hour % HOURS] for hour in range(first, last + 1)]


class Company:
    """The hourly changes of all series that are judged."""

    def __init__(self) -> None:
        self._series: dict[str, dict[str, Hourly]] = {}  # by device, by metric
        self._hours: dict[str, int] = {}  # by device: the last one that was noted

    def due(self, device: str, at: float) -> int | None:
        """Return the hour of a message, if it is the first of its device in that hour."""
        hour = int(at // 3600.0)
        return hour if hour > self._hours.get(device, -1) else None

    def note(self, device: str, hour: int, levels: Iterable[tuple[str, float]]) -> None:
        """Take the levels of a device's series at the begin of an hour that is due."""
        self._hours[device] = hour
        series = self._series.setdefault(device, {})
        for metric, level in levels:
            known = series.get(metric)
            if known is None:
                series[metric] = Hourly(hour, level)
            elif hour > known.hour:
                known.note(hour, level)

    def alike(self, metric: str, device: str, other: str, *, before: float) -> bool:
        """Return whether a metric of two devices moved together in the days before an event time."""
        one, two = (self._series.get(name, {}).get(metric) for name in (device, other))
        if one is None or two is None:
            return False
        last = min(one.hour, two.hour, int(before // 3600.0) - 1)
        first = max(one.hour, two.hour) - HOURS + 1
        every = zip(one.between(first, last), two.between(first, last), strict=True)
        pairs = [(a, b) for a, b in every if a and b]
        if len(pairs) < ENOUGH:
            return False
        both = sum(a * b for a, b in pairs)
        alone = sum(a * a for a, _ in pairs) * sum(b * b for _, b in pairs)
        return both > 0 and both * both >= ALIKE * ALIKE * alone

    def forget(self, device: str, metric: str | None = None) -> None:
        """Forget a series, or a device with all of its series."""
        if metric is not None:
            self._series.get(device, {}).pop(metric, None)
        if metric is None or not self._series.get(device):
            self._series.pop(device, None)
            self._hours.pop(device, None)

    def dump(self) -> Iterator[Row]:
        """Yield each series as JSON values."""
        for device, metrics in self._series.items():
            for metric, one in metrics.items():
                changes = b64encode(one.changes).decode()
                yield device, self._hours[device], metric, one.hour, one.level, one.size, changes

    def load(self, rows: Iterable[Row]) -> None:
        """Take back what :meth:`dump` gave."""
        self._series, self._hours = {}, {}
        for device, noted, metric, hour, level, size, changes in rows:
            kept = b64decode(changes)
            if len(kept) == HOURS:
                self._hours[device] = noted
                self._series.setdefault(device, {})[metric] = Hourly(hour, level, size, kept)
