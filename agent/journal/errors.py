"""What can go wrong with the journal, each with one line for the user: what, where, remedy."""

from agent.records import AgentError


class JournalError(AgentError):
    """The journal cannot be opened, or is closed."""


class JournalInUseError(JournalError):
    """Another agent holds this state directory."""


class JournalNewerError(JournalError):
    """The journal was written by a newer version; nothing was touched."""


class JournalCorruptError(JournalError):
    """SQLite says the file is damaged."""
