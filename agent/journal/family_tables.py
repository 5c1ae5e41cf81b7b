"""State of device families over a restart, in the journal."""

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Protocol

MAX_ROWS = 2048
MAX_BYTES = 16 * 1024 * 1024

# Made when first needed: few sites have such a family, and an older agent passes the table over.
_CREATE = """CREATE TABLE IF NOT EXISTS family_tables(
  family TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY(family, name))"""

Key = tuple[str, str]  # family, and the family's own key


class Families(Protocol):
    """The families with such state (``agent.decode.Registry``)."""

    def take_changes(self) -> Mapping[Key, bytes | None]:
        """Return the rows that changed since the last call; None for one that is gone."""

    def restore(self, rows: Mapping[Key, bytes]) -> None:
        """Take the rows that an earlier process kept."""


class FamilyTables:
    """Writes changed rows in the transaction of the messages that changed them."""

    def __init__(self, connection: sqlite3.Connection, families: Families | None) -> None:
        self._families = families
        self._sizes: dict[Key, int] = {}
        self._waiting: dict[Key, bytes | None] = {}  # not committed yet
        if families is not None:
            rows = {key: body for key, body in _read(connection) if self._take(key, body)}
            families.restore(rows)

    def insert(self, connection: sqlite3.Connection) -> None:
        """Write into the open transaction what the messages of the group have changed."""
        if self._families is None:
            return
        self._waiting.update(self._families.take_changes())
        if self._waiting:
            connection.execute(_CREATE)
        for key, body in self._waiting.items():
            if self._take(key, body):
                connection.execute("INSERT OR REPLACE INTO family_tables VALUES (?, ?, ?)", (*key, body))
            else:
                connection.execute("DELETE FROM family_tables WHERE family = ? AND name = ?", key)

    def commit(self) -> None:
        """Forget what is on disk now."""
        self._waiting.clear()

    def rollback(self) -> None:
        """Keep the changes: the families do not give them again."""

    def _take(self, key: Key, body: bytes | None) -> bool:
        """Return whether the row may be kept, within the limits of all rows together."""
        self._sizes.pop(key, None)
        if body is None or len(self._sizes) >= MAX_ROWS or sum(self._sizes.values()) + len(body) > MAX_BYTES:
            return False
        self._sizes[key] = len(body)
        return True


def _read(connection: sqlite3.Connection) -> Iterator[tuple[Key, bytes]]:
    there = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'family_tables'"
    if connection.execute(there).fetchone() is None:
        return
    for family, name, body in connection.execute("SELECT family, name, body FROM family_tables"):
        yield (str(family), str(name)), bytes(body)
