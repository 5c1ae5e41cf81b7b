"""Journal file for the status: rows that no part of the agent keeps in memory."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.domain.records import Finding, Severity
from agent.journal import JournalError
from agent.journal.reader import NoticesRecord, Reader
from agent.pipeline.outbox_feed import OutboxFeed
from agent.status.schema import MAX_DEVICES, MAX_QUARANTINE, QuarantineView
from agent.verdict.encode import iso

REFRESH_S = 10.0
SEVERITIES = tuple(Severity)  # the worst last


@dataclass(slots=True, kw_only=True)
class JournalView:
    """Reads the file at most every ten seconds; any thread may call :meth:`refresh`.

    ``quoted``: quarantined messages are shown with the decoder's words, which may repeat their text.
    """

    state_dir: Path
    outbox: OutboxFeed
    quoted: bool
    sinks: Sequence[str] = ()  # of notices
    notices: dict[str, NoticesRecord] = field(default_factory=dict)
    outbox_depth: int = 0
    undeliverable: int = 0
    given_up: tuple[str, float] | None = None  # topic and time of the oldest undeliverable row
    refused_since: float | None = None
    quarantine: list[QuarantineView] = field(default_factory=list)
    _refreshed: float | None = None

    def outbox_rows(self) -> int:
        """Return how many messages wait for the broker; reads the file while some are on disk alone."""
        feeds = [feed for name, feed in self.outbox.feeds.items() if name not in self.sinks]
        in_memory = sum(feed.in_memory for feed in feeds)
        if all(feed.complete for feed in feeds):
            return in_memory
        self.refresh()
        return max(self.outbox_depth, in_memory)

    def sinks_of_notices(self) -> dict[str, NoticesRecord]:
        """Return how the notices of each sink go, as of the last ten seconds."""
        if self.sinks:
            self.refresh()
        return self.notices

    def refresh(self) -> None:
        """Read the file again if the last time is ten seconds ago."""
        now = time.monotonic()
        if self._refreshed is not None and now - self._refreshed < REFRESH_S:
            return
        self._refreshed = now
        try:
            with Reader.open(self.state_dir) as reader:
                self._read(reader)
        except JournalError:
            return  # the journal's own thread reports its problem

    def _read(self, reader: Reader) -> None:
        sinks = tuple(self.sinks)
        self.outbox_depth, self.undeliverable = reader.undelivered(sinks)
        self.given_up = reader.given_up(sinks) if self.undeliverable else None
        self.notices = reader.notices(sinks, time.time())
        self.refused_since = self._read_refused(reader)
        self.quarantine = [
            {
                "topic": row.topic[:120],
                "reason": row.reason,
                "detail": row.detail if self.quoted else f"{row.size} bytes",
                "received_at": iso(row.received),
            }
            for row in reader.quarantine(limit=MAX_QUARANTINE)
        ]

    def _read_refused(self, reader: Reader) -> float | None:
        """Return since when a sink has refused the waiting messages, of its first few keys."""
        feeds = [feed for name, feed in self.outbox.feeds.items() if name not in self.sinks]
        rows = [row for feed in feeds for row, _ in list(feed.refused.values())[:MAX_DEVICES]]
        return min((at for row in rows if (at := reader.refused_since(row)) is not None), default=None)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings by severity, those of one severity by their age, the newest first."""
    return sorted(findings, key=lambda one: (-SEVERITIES.index(one.severity), -one.opened, one.id))
