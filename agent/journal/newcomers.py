"""Admission of new device ids, by a token bucket for each source; known devices are never held up."""

import sqlite3
from collections.abc import Callable, Mapping
from typing import NamedTuple

from agent.records import DecodeError, DecodeReason, Reading

BURST = 10_000
PER_MIN = 200
_MAX_CACHED = 10_000  # ids in each of the two halves of the cache


class _Bucket(NamedTuple):
    tokens: float
    at: float  # monotonic time of the last id


class Newcomers:
    """Decides whether readings of a device that is not known may be journaled.

    Known is a device of which the journal has a series, or that ``knows`` answers for (the detector).

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
        self._buckets: dict[str, _Bucket] = {}
        self._before: dict[str, _Bucket | None] = {}  # as they were before the open transaction
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

    def commit(self) -> None:
        """Keep what was admitted: its series are on disk."""
        self._before.clear()
        self._fresh.clear()

    def rollback(self) -> None:
        """Take the admissions of the open transaction back."""
        for device in self._fresh:
            self._young.pop(device, None)
            self._old.pop(device, None)
        for source, bucket in self._before.items():
            if bucket is None:
                self._buckets.pop(source, None)
            else:
                self._buckets[source] = bucket
        self.commit()

    def _take(self, source: str, device: str, mono: float) -> bool:
        if device not in self._old and not self._is_known(device):
            if not self._pay(source, mono):
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

    def _pay(self, source: str, mono: float) -> bool:
        """Take a token from the source's bucket, if there is one."""
        bucket = self._buckets.get(source)
        self._before.setdefault(source, bucket)
        if bucket is None:
            bucket = _Bucket(float(self._burst), mono)
        gained = max(0.0, mono - bucket.at) * self._per_min.get(source, PER_MIN) / 60.0
        tokens = min(float(self._burst), bucket.tokens + gained)
        paid = tokens >= 1.0
        self._buckets[source] = _Bucket(tokens - paid, max(mono, bucket.at))
        return paid
