"""Series as small integers; admission of devices and series by token buckets."""

import sqlite3
from collections.abc import Callable, Mapping
from typing import NamedTuple

from agent.domain.records import DecodeError, DecodeReason, Reading

_MAX_CACHED = 20_000

SeriesKey = tuple[str, str, str | None, str | None]  # device, metric, unit, word behind the value


class SeriesTable:
    """Ids of (device, metric, unit, word). With another unit or word comes another id: replay is exact."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ids: dict[SeriesKey, int] = {}
        self._fresh: list[SeriesKey] = []  # inserted in the open transaction

    @property
    def ids(self) -> Mapping[SeriesKey, int]:
        """The ids that are in memory."""
        return self._ids

    def find(self, reading: Reading) -> int | None:
        """Return the id of a reading's series, None when it is new."""
        key = (reading.device, reading.metric, reading.unit, reading.word)
        known = self._ids.get(key)
        return self._read(key) if known is None else known

    def begin(self, reading: Reading) -> int:
        """Insert the series of a reading and return its id."""
        key = (reading.device, reading.metric, reading.unit, reading.word)
        cursor = self._connection.execute(
            "INSERT INTO series(device, metric, unit, word) VALUES (?, ?, ?, ?)", key
        )
        self._fresh.append(key)
        return self._keep(key, int(cursor.lastrowid or 0))

    def commit(self) -> None:
        """Keep the ids of the transaction."""
        self._fresh.clear()

    def rollback(self) -> None:
        """Forget the ids that were rolled back."""
        for key in self._fresh:
            self._ids.pop(key, None)
        self._fresh.clear()

    def forget(self) -> None:
        """Empty the cache: rows were deleted."""
        self._ids.clear()

    def _read(self, key: SeriesKey) -> int | None:
        row = self._connection.execute(
            "SELECT id FROM series WHERE device = ? AND metric = ? AND unit IS ? AND word IS ?", key
        ).fetchone()
        return None if row is None else self._keep(key, int(row[0]))

    def _keep(self, key: SeriesKey, found: int) -> int:
        if len(self._ids) >= _MAX_CACHED:
            self._ids.clear()
        self._ids[key] = found
        return found


BURST = 10_000
PER_MIN = 200
#: New series of a source, as a multiple of its new devices; one device has at most the devices' number.
SERIES_X = 5
_MAX_CACHED = 10_000  # ids in each of the two halves of the cache
_MAX_BUCKETS = 10_000  # of devices; sources have theirs for good


class _Bucket(NamedTuple):
    tokens: float
    at: float  # monotonic time of the last id


_Key = tuple[str, ...]  # (source,): its devices; (source, "series"); (source, device, "series")
_DEVICE_PARTS = 3


class Newcomers:
    """Decides whether readings of a device or a series that is not known may be journaled.

    Known is a device of which the journal has a series, or that ``knows`` answers for (the detector). Series
    are limited for each device too: one that invents names must not use up what the others have.

    Args:
        connection: the writer's.
        knows: whether a device is known elsewhere.
        per_min: source to new ids a minute, once the burst is used up; 200 for those not in it.
        burst: new ids at once.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        knows: Callable[[str], bool] = lambda _device: False,
        per_min: Mapping[str, int] | None = None,
        burst: int = BURST,
    ) -> None:
        self._connection = connection
        self._knows = knows
        self._per_min = dict(per_min or {})
        self._burst = burst
        self._young: dict[str, None] = {}
        self._old: dict[str, None] = {}  # what was young before
        self._buckets: dict[_Key, _Bucket] = {}
        self._before: dict[_Key, _Bucket | None] = {}  # as they were before the open transaction
        self._fresh: list[str] = []  # admitted in it

    def admit(self, source: str, readings: tuple[Reading, ...], mono: float) -> tuple[Reading, ...]:
        """Return the readings whose devices are known or admitted now; inside a transaction.

        Raises:
            DecodeError: none of them is.
        """
        young, refused = self._young, set()
        for reading in readings:
            device = reading.device
            if device not in young and device not in refused and not self._take(source, device, mono):
                refused.add(device)
        if not refused:
            return readings
        admitted = tuple(reading for reading in readings if reading.device not in refused)
        if not admitted:
            limit = self._per_min.get(source, PER_MIN)
            raise DecodeError(DecodeReason.NEW_DEVICE_LIMIT, f"more than {limit} new devices a minute")
        return admitted

    def admit_series(self, source: str, device: str, mono: float) -> bool:
        """Return whether a device may begin one more series; inside a transaction."""
        per_min = self._per_min.get(source, PER_MIN)
        if len(self._buckets) >= _MAX_BUCKETS:
            self._buckets = {key: bucket for key, bucket in self._buckets.items() if len(key) < _DEVICE_PARTS}
        return self._pay((source, device, "series"), mono, self._burst, per_min) and self._pay(
            (source, "series"), mono, SERIES_X * self._burst, SERIES_X * per_min
        )

    def commit(self) -> None:
        """Keep what was admitted: its series are on disk."""
        self._before.clear()
        self._fresh.clear()

    def rollback(self) -> None:
        """Take the admissions of the open transaction back."""
        for device in self._fresh:
            self._young.pop(device, None)
            self._old.pop(device, None)
        for key, bucket in self._before.items():
            if bucket is None:
                self._buckets.pop(key, None)
            else:
                self._buckets[key] = bucket
        self.commit()

    def _take(self, source: str, device: str, mono: float) -> bool:
        if device not in self._old and not self._is_known(device):
            if not self._pay((source,), mono, self._burst, self._per_min.get(source, PER_MIN)):
                return False
            self._fresh.append(device)
        if len(self._young) >= _MAX_CACHED:
            self._old, self._young = self._young, {}
        self._young[device] = None
        return True

    def _is_known(self, device: str) -> bool:
        if self._knows(device):
            return True
        found = self._connection.execute("SELECT 1 FROM series WHERE device = ? LIMIT 1", (device,))
        return found.fetchone() is not None

    def _pay(self, key: _Key, mono: float, burst: int, per_min: int) -> bool:
        """Take a token from a bucket, if there is one."""
        bucket = self._buckets.get(key)
        self._before.setdefault(key, bucket)
        if bucket is None:
            bucket = _Bucket(float(burst), mono)
        gained = max(0.0, mono - bucket.at) * per_min / 60.0
        tokens = min(float(burst), bucket.tokens + gained)
        paid = tokens >= 1.0
        self._buckets[key] = _Bucket(tokens - paid, max(mono, bucket.at))
        return paid
