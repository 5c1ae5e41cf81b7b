"""Names of series as small integers."""

import sqlite3

from agent.domain.records import Reading

_MAX_CACHED = 20_000

SeriesKey = tuple[str, str, str | None]  # device, metric, unit


class SeriesTable:
    """Ids of (device, metric, unit). A metric that changes its unit gets another id: replay is exact."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ids: dict[SeriesKey, int] = {}
        self._fresh: list[SeriesKey] = []  # inserted in the open transaction

    def find(self, reading: Reading) -> int | None:
        """Return the id of a reading's series, None when it is new."""
        key = (reading.device, reading.metric, reading.unit)
        known = self._ids.get(key)
        return self._read(key) if known is None else known

    def begin(self, reading: Reading) -> int:
        """Insert the series of a reading and return its id."""
        key = (reading.device, reading.metric, reading.unit)
        cursor = self._connection.execute("INSERT INTO series(device, metric, unit) VALUES (?, ?, ?)", key)
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
            "SELECT id FROM series WHERE device = ? AND metric = ? AND unit IS ?", key
        ).fetchone()
        return None if row is None else self._keep(key, int(row[0]))

    def _keep(self, key: SeriesKey, found: int) -> int:
        if len(self._ids) >= _MAX_CACHED:
            self._ids.clear()
        self._ids[key] = found
        return found
