"""The journal, which survives a crash: SQLite, one writer, group commit.

Start at ``journal.Journal``. The package offers what others need without SQLite: settings, counts, errors.
"""

from agent.journal.errors import (
    JournalClosedError,
    JournalError,
    JournalInUseError,
    JournalNewerError,
    JournalStorageError,
)
from agent.journal.settings import JournalSettings
from agent.journal.stats import JournalStats

__all__ = [
    "JournalClosedError",
    "JournalError",
    "JournalInUseError",
    "JournalNewerError",
    "JournalSettings",
    "JournalStats",
    "JournalStorageError",
]
