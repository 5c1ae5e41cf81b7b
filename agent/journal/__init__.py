"""The journal, which survives a crash: SQLite, one writer, group commit."""

from agent.journal.errors import (
    JournalClosedError,
    JournalError,
    JournalInUseError,
    JournalNewerError,
    JournalStorageError,
)
from agent.journal.inbox import Inbox
from agent.journal.journal import Journal
from agent.journal.reader import Reader
from agent.journal.stats import JournalStats
from agent.journal.store import Store
from agent.journal.writer import JournalSettings, Wiring

__all__ = [
    "Inbox",
    "Journal",
    "JournalClosedError",
    "JournalError",
    "JournalInUseError",
    "JournalNewerError",
    "JournalSettings",
    "JournalStats",
    "JournalStorageError",
    "Reader",
    "Store",
    "Wiring",
]
