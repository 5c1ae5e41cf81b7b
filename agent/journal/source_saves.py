"""Counts by source in the journal's file, for other processes and the next start."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from agent.journal.schema import read_meta, write_meta
from agent.journal.source_tally import EarlierCounts, SourceTally
from agent.journal.stats import JournalStats

KEY: Final = "sources"  # of the meta table
SOON_S: Final = 5.0
SELDOM_S: Final = 60.0  # each save rewrites a page or more: seldom, for the sake of SD cards
MAX_EARLIER: Final = 64  # sources that an earlier run counted


class SourceSaves:
    """Writes the counts within 5 s where something is new, and ever more seldom where they only grow.

    They go into a transaction that is written anyway, or into one of their own. The writer calls it.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        stats: JournalStats,
        wall: Callable[[], float],
        mono: Callable[[], float],
    ) -> None:
        self._stats = stats
        self._wall = wall
        self._mono = mono
        self._since = wall()
        saved = read_counts(read_meta(connection, KEY)).items()
        newest = sorted(saved, key=lambda item: item[1].at, reverse=True)
        self._earlier = stats.earlier = dict(newest[:MAX_EARLIER])
        self._saved = 0  # messages, at the last save
        self._kinds = 0
        self._wait_s = SOON_S
        self._due = mono()
        self._written = False  # in the open transaction

    @property
    def unsaved(self) -> bool:
        """Whether messages have come since the last save."""
        return self._stats.received != self._saved

    def due(self) -> bool:
        """Return whether the counts should be written now."""
        return self.unsaved and self._mono() >= self._due

    def write(self, connection: sqlite3.Connection) -> None:
        """Write the committed counts into the open transaction."""
        write_meta(connection, KEY, self._text())
        self._written = True

    def commit(self) -> None:
        """Decide when the counts that are on disk now are written again; call it before new ones count."""
        if not self._written:
            return
        self._written, self._saved = False, self._stats.received
        sources = self._stats.sources.values()
        kinds = sum(len(one.messages) + len(one.skipped) for one in sources)
        self._wait_s = SOON_S if kinds != self._kinds else min(2 * self._wait_s, SELDOM_S)
        self._kinds, self._due = kinds, self._mono() + self._wait_s

    def rollback(self) -> None:
        """Forget that the counts were written."""
        self._written = False

    def _text(self) -> str:
        at, now = self._wall(), self._mono()
        earlier = {
            source: {**one.counts, "since": one.since, "at": one.at}
            for source, one in self._earlier.items()
            if source not in self._stats.sources
        }
        current = {
            source: {**self._as_json(source, tally, now), "since": self._since, "at": at}
            for source, tally in self._stats.sources.items()
        }
        found = {"since": self._since, "at": at, "sources": earlier | current}
        return json.dumps(found, separators=(",", ":"))

    def _as_json(self, source: str, tally: SourceTally, now: float) -> dict[str, Any]:
        """Return counts with the rhythm of the last run until there is one of this run."""
        counts, earlier = tally.as_json(now), self._earlier.get(source)
        if tally.rhythm is None and earlier is not None:
            counts["rhythm"] = earlier.counts["rhythm"]
        return counts


def read_counts(text: object) -> dict[str, EarlierCounts]:
    """Return the saved counts by source; nothing of a text that is not ours."""
    try:
        found = json.loads(str(text or "{}"))
        every = {
            str(source): EarlierCounts(
                float(one.get("since", found["since"])),
                float(one.get("at", found["at"])),
                SourceTally.of_json(one).as_json(0.0) | {"yields_nothing": bool(one["yields_nothing"])},
            )
            for source, one in found.get("sources", {}).items()
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
    return every
