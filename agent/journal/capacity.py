"""Room for the journal: its own cap, and a disk that others fill."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from agent.journal.errors import primary_code
from agent.journal.state_dir import Ballast
from agent.journal.stats import JournalStats

_DEGRADED, _DEGRADED_OVER = 0.80, 0.75
_FULL, _FULL_OVER = 0.95, 0.90
_SNAPSHOT_SHARE = 0.25  # of the cap: bytes of the analyst's state beyond it are not counted
_FREE_PAGES = 512  # in the file: enough to go on although the disk is full
_RESTORE_INTERVAL_S = 30.0
_SHRINK_INTERVAL_S = 60.0
_COUNT = """
SELECT page_size, page_count, freelist_count, (SELECT total(length(body)) FROM snapshots)
FROM pragma_page_size, pragma_page_count, pragma_freelist_count
"""


class Capacity:
    """The journal's state: ok, degraded or full.

    Degraded from 80 % of the cap: rows that are kept for the user are pruned first. Full from 95 %, or if
    the disk takes no more: nothing is acknowledged.
    """

    def __init__(
        self,
        *,
        connection: sqlite3.Connection,
        path: Path,
        max_bytes: int,
        ballast: Ballast,
        stats: JournalStats,
        log: Callable[..., None],
        mono: Callable[[], float],
    ) -> None:
        self.pressed = False  # at 80 % or more: prune before time
        self._connection = connection
        self._wal = path.with_name(path.name + "-wal")
        self._folder = str(path.parent)
        self._max_bytes = max_bytes
        self._ballast = ballast
        self._stats = stats
        self._log = log
        self._mono = mono
        self._over_cap = False
        self._trouble = ""  # the error of the disk
        self._disk_full = False
        self._free_pages = 0
        self._restore_at = 0.0
        self._shrink_at = 0.0

    @property
    def intake(self) -> bool:
        """Whether arrivals may be taken: false means that nothing is acknowledged."""
        if self._over_cap:
            return False
        if self._disk_full:
            # The ballast's room is for pruning and for rows already promised, not for more arrivals.
            return self._free_pages >= _FREE_PAGES or self._ballast.free() >= 2 * self._ballast.size
        return True

    @property
    def troubled(self) -> bool:
        """Whether the disk refused the last attempt."""
        return bool(self._trouble)

    @property
    def strained(self) -> bool:
        """Whether it has to be measured again although nothing is written."""
        return self.pressed or self.troubled

    def measure(self) -> None:
        """Compare used pages and WAL with the cap, after each commit."""
        try:
            used, counted = self._count()
            if used >= _DEGRADED_OVER * self._max_bytes and self._shrink_wal():
                used, counted = self._count()
        except sqlite3.Error as error:
            self.fail(error)
            return
        self._stats.bytes_used = used
        share = counted / self._max_bytes
        self._over_cap = share >= (_FULL_OVER if self._over_cap else _FULL)
        self.pressed = share >= (_DEGRADED_OVER if self.pressed else _DEGRADED)
        self._report()

    def fail(self, error: sqlite3.Error) -> bool:
        """Note that a commit failed; return whether the disk is full, and give it the ballast then."""
        full = primary_code(error) == sqlite3.SQLITE_FULL
        self._disk_full = self._disk_full or full
        if full and self._ballast.drop():
            self._log("journal_ballast_dropped", level="warning", path=str(self._ballast.path))
        self._trouble = str(error)
        self._report()
        return full

    def succeed(self, *, items: bool) -> None:
        """Note that a commit went through; with arrivals in it, the trouble is over."""
        if self._trouble and (items or self.intake):
            self._trouble = ""
            self._disk_full = False
        if self._mono() >= self._restore_at:
            self._restore_at = self._mono() + _RESTORE_INTERVAL_S
            if not self._disk_full:
                self._ballast.restore()

    def _count(self) -> tuple[int, int]:
        """Return the bytes that are used, and those of them that count.

        Of a large snapshot a part does not: pruning could never make up for it.
        """
        page_size, pages, free, snapshot = self._connection.execute(_COUNT).fetchone()
        self._free_pages = free
        used = (pages - free) * page_size + self._wal_bytes()
        return used, used - max(0, int(snapshot - _SNAPSHOT_SHARE * self._max_bytes))

    def _wal_bytes(self) -> int:
        try:
            return self._wal.stat().st_size
        except OSError:
            return 0

    def _shrink_wal(self) -> bool:
        """Write a WAL that is large for the cap back into the file; return whether that was possible."""
        if self._mono() < self._shrink_at or self._wal_bytes() <= self._max_bytes / 32:
            return False
        busy = bool(self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
        if busy:  # a reader holds it, and this has waited for it
            self._shrink_at = self._mono() + _SHRINK_INTERVAL_S
        return not busy

    def _report(self) -> None:
        state, problem = self._judge()
        if state != self._stats.state:
            level = {"ok": "info", "degraded": "warning", "full": "error"}[state]
            self._log(
                "journal_state_changed",
                level=level,
                state=state,
                problem=problem,
                bytes_used=self._stats.bytes_used,
                bytes_max=self._max_bytes,
            )
        self._stats.state, self._stats.problem = state, problem

    def _judge(self) -> tuple[str, str]:
        if self._trouble:
            return "full", (
                f"cannot write to {self._folder}: {self._trouble}; nothing is acknowledged until it can. "
                "Free space on that disk, or check it"
            )
        mib = f"{self._stats.bytes_used / 2**20:.0f} of {self._max_bytes / 2**20:.0f} MiB used"
        if self._over_cap:
            return (
                "full",
                f"{mib}; the broker holds what arrives. Raise journal.max_mib or let verdicts be delivered",
            )
        if self.pressed:
            return (
                "degraded",
                f"{mib}; kept verdicts are pruned early. Raise journal.max_mib or lower journal.keep_days",
            )
        return "ok", ""
