"""Errors of the journal, each with one line for the user: problem, place, remedy."""

import errno
import sqlite3

from agent.domain.records import AgentError

_DAMAGE_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_STORAGE_CODES = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_NOMEM,
)

_TRANSIENT = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


class JournalError(AgentError):
    """The journal cannot be opened, or is closed."""


class JournalClosedError(JournalError):
    """The journal has ended, so a write was not done; its own thread reports why it ended."""


class JournalInUseError(JournalError):
    """Another agent holds this state directory."""


class JournalNewerError(JournalError):
    """The journal was written by a newer version; nothing was touched."""


class JournalCorruptError(JournalError):
    """SQLite reports that the file is damaged."""


class JournalStorageError(JournalError):
    """The disk does not take the journal now (full, read-only, failing); a later try may succeed."""


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, 0 for an error of the Python side."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def is_damage(error: BaseException) -> bool:
    """Whether SQLite reports that the file itself is damaged."""
    return isinstance(error, sqlite3.Error) and primary_code(error) in _DAMAGE_CODES


def is_storage(error: BaseException) -> bool:
    """Whether the disk refused, which it may stop doing."""
    return isinstance(error, sqlite3.Error) and primary_code(error) in _STORAGE_CODES


def is_transient(error: BaseException) -> bool:
    """Whether the system refused for lack of room or because a disk failed or went read-only."""
    return isinstance(error, OSError) and error.errno in _TRANSIENT
