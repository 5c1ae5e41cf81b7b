"""Which message is one that its publisher has sent before, by the publisher's own id."""

import sqlite3
from collections.abc import Callable
from hashlib import blake2b

KEEP_S = 86_400.0
MAX_IDS = 100_000

_MAX_DELETED = 2_000  # in one transaction: after a pause there are many

# Made when a source first asks for it; other versions leave it alone, so the version stays.
_TABLE = (
    "CREATE TABLE IF NOT EXISTS message_ids("
    "n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, clock REAL NOT NULL)"
)


class MessageIds:
    """Ids of (source, device, publisher's id) over a retention window, oldest first.

    What is noted goes to disk in the transaction of its message, so both are there or neither.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        now: Callable[[], float],
        keep_s: float = KEEP_S,
        max_ids: int = MAX_IDS,
    ) -> None:
        self._connection = connection
        self._now = now
        self._keep_s = keep_s
        self._max_ids = max_ids
        self._made = False
        self._fresh: set[bytes] = set()  # of the open transaction

    def knows(self, digest: bytes) -> bool:
        """Whether a message with this id was journaled within the window; inside a transaction."""
        if digest in self._fresh:
            return True
        if not self._made:
            self._connection.execute(_TABLE)
            self._made = True
        since = self._now() - self._keep_s
        return (
            self._connection.execute(
                "SELECT 1 FROM message_ids WHERE id = ? AND clock > ?", (digest, since)
            ).fetchone()
            is not None
        )

    def note(self, digest: bytes) -> None:
        """Note the id of a message of the open transaction."""
        self._fresh.add(digest)

    def insert(self) -> None:
        """Write what was noted into the open transaction, and delete what the window has passed."""
        if not self._fresh:
            return
        now = self._now()
        self._connection.executemany(
            "INSERT OR REPLACE INTO message_ids(id, clock) VALUES (?, ?)",
            [(digest, now) for digest in self._fresh],
        )
        lowest, highest = self._connection.execute("SELECT min(n), max(n) FROM message_ids").fetchone()
        self._connection.execute(
            "DELETE FROM message_ids WHERE n < ? AND (n <= ? OR clock <= ?)",
            (lowest + _MAX_DELETED, highest - self._max_ids, now - self._keep_s),
        )

    def commit(self) -> None:
        """Forget the open transaction: it is on disk."""
        self._fresh.clear()

    def rollback(self) -> None:
        """Forget the open transaction: it never was."""
        self._fresh.clear()
        self._made = False


def digest_of(source: str, device: str, message_id: str) -> bytes:
    """Return 128 bits that stand for a message of a device, the same in every process."""
    # Neither a source nor a device holds a NUL.
    return blake2b(f"{source}\0{device}\0{message_id}".encode(), digest_size=16).digest()
