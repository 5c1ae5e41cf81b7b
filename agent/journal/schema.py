"""The version of ``journal.sqlite``, and how the file is opened."""

import os
import sqlite3
from pathlib import Path

from agent.journal.errors import JournalCorruptError, JournalError, JournalNewerError
from agent.journal.migrations import VERSION, migrate

APPLICATION_ID = 0x45444745  # "EDGE"
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 72
_USER_VERSION = slice(60, 64)

#: Window states: sealed, verdict committed, verdict acknowledged (or given up).
SEALED, CONCLUDED, SETTLED = 0, 1, 2
#: Verdict states: waiting for the broker, acknowledged, given up.
WAITING, ACKED, UNDELIVERABLE = 0, 1, 2


def check_header(path: Path) -> None:
    """Raise on a file that a newer agent wrote or that is not SQLite, from its first bytes alone.

    Opening it would already touch the files beside it.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return
    if not header:
        return
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise JournalCorruptError(f"journal: {path} is not an SQLite file")
    check_version(path, int.from_bytes(header[_USER_VERSION], "big"))


def check_version(path: Path, version: int) -> None:
    """Raise :class:`JournalNewerError` on a version that this agent does not know."""
    if version > VERSION:
        raise JournalNewerError(
            f"journal: {path} has schema {version}, this agent knows up to {VERSION}; nothing was touched. "
            "Install the newer agent again, or give this one another agent.state_dir"
        )


def connect(path: Path) -> sqlite3.Connection:
    """Open for writing with the pragmas that the guarantee stands on; the caller owns transactions."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=1000")
        connection.execute(f"PRAGMA journal_size_limit={16 * 1024 * 1024}").fetchone()
        connection.execute("PRAGMA temp_store=MEMORY")
    except sqlite3.Error:
        connection.close()
        raise
    if mode != "wal":
        connection.close()
        raise JournalError(
            f"journal: the file system of {path} cannot hold a write-ahead log; "
            "set agent.state_dir to a local disk"
        )
    return connection


def create(connection: sqlite3.Connection, path: Path) -> int:
    """Create or migrate the tables, in one transaction; safe to run on every start.

    Return the version that was found, 0 for a new file.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    check_version(path, version)
    if version == VERSION:
        return version
    ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not ours and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise JournalError(f"journal: {path} is not a journal of edge-agent; set another agent.state_dir")
    connection.execute("BEGIN IMMEDIATE")
    try:
        migrate(connection, version=version)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    # Into the main file, where check_header looks.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    sync_directory(path.parent)
    return version


def sync_directory(folder: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_meta(connection: sqlite3.Connection, key: str) -> str | int | float | None:
    """Return one value of the meta table."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]


def write_meta(connection: sqlite3.Connection, key: str, value: str | float) -> None:
    """Set one value of the meta table."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
