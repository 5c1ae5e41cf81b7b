"""Which message is one that its publisher has sent before, by the publisher's own id."""

import sqlite3
from collections import deque
from collections.abc import Callable
from hashlib import blake2b

KEEP_S = 86_400.0
MAX_IDS = 100_000

_SIZE = 15  # one byte more would take 16 more in memory
_MAX_DELETED = 500  # rows in one transaction: after a pause there are many
# Made when a source first asks for it; other versions leave it alone, so the version stays.
_TABLE = (
    "CREATE TABLE IF NOT EXISTS message_ids(n INTEGER PRIMARY KEY, clock REAL NOT NULL, ids BLOB NOT NULL)"
)


class MessageIds:
    """Ids of (source, device, publisher's id) over a retention window.

    What is noted goes to disk in the transaction of its messages, so both are there or neither. A row holds
    the ids of one transaction, and memory holds all: an index on disk would rewrite a page for each message.
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
        self._loaded = False
        self._making = False  # the table is made in the open transaction
        self._known: set[bytes] = set()
        self._rows: deque[tuple[int, float, bytes]] = deque()  # n, clock, ids; oldest first
        self._passed = 0  # rows up to here are out of the window
        self._fresh: dict[bytes, None] = {}  # of the open transaction, in order
        self._row: tuple[int, float, bytes] | None = None  # what the open transaction inserted

    def knows(self, digest: bytes) -> bool:
        """Whether a message with this id was journaled within the window; inside a transaction."""
        if not self._loaded:
            self._load()
        self._forget()
        return digest in self._known or digest in self._fresh

    def note(self, digest: bytes) -> None:
        """Note the id of a message of the open transaction."""
        self._fresh[digest] = None

    def insert(self) -> None:
        """Write what was noted into the open transaction, and delete what the window has passed."""
        if not self._fresh:
            return
        clock, ids = self._now(), b"".join(self._fresh)
        execute = self._connection.execute
        cursor = execute("INSERT INTO message_ids(clock, ids) VALUES (?, ?)", (clock, ids))
        self._row = (int(cursor.lastrowid or 0), clock, ids)
        if self._passed:
            execute(
                "DELETE FROM message_ids WHERE n <= ? AND n < (SELECT min(n) FROM message_ids) + ?",
                (self._passed, _MAX_DELETED),
            )

    def commit(self) -> None:
        """Keep what was noted: it is on disk."""
        self._making = False
        if self._row is not None:
            self._rows.append(self._row)
            self._known.update(self._fresh)
            self._row = None
            self._fresh.clear()

    def rollback(self) -> None:
        """Forget the open transaction: it never was."""
        self._loaded = self._loaded and not self._making
        self._making = False
        self._row = None
        self._fresh.clear()

    def _load(self) -> None:
        self._connection.execute(_TABLE)
        self._loaded = self._making = True
        self._known.clear()
        self._rows = deque(self._connection.execute("SELECT n, clock, ids FROM message_ids ORDER BY n"))
        for _, _, ids in self._rows:
            self._known.update(_split(ids))

    def _forget(self) -> None:
        """Let go of what is too old or too much."""
        rows, since = self._rows, self._now() - self._keep_s
        while rows and (rows[0][1] <= since or len(self._known) > self._max_ids):
            self._passed, _, ids = rows.popleft()
            self._known.difference_update(_split(ids))


def digest_of(source: str, device: str, message_id: str) -> bytes:
    """Return 120 bits that stand for a message of a device, the same in every process."""
    # Neither a source nor a device holds a NUL.
    return blake2b(f"{source}\0{device}\0{message_id}".encode(), digest_size=_SIZE).digest()


def _split(ids: bytes) -> list[bytes]:
    return [ids[at : at + _SIZE] for at in range(0, len(ids), _SIZE)]
