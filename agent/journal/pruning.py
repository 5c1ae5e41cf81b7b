"""Pruning: deletion of rows in chunks that never hold up a commit for long."""

import sqlite3
from collections.abc import Callable

from agent.journal import commands
from agent.journal.clocks import Clocks
from agent.journal.samples import Samples
from agent.journal.schema import CONCLUDED, SEALED
from agent.journal.sequence import RowSequence
from agent.journal.series import SeriesTable
from agent.journal.stats import JournalStats
from agent.testing.failpoint import failpoint

_MAX_ROWS = 2_000  # rows of the sequence in one step
_MAX_KEPT = 500  # verdicts, batches or quarantine rows in one step
_LOCAL_VERDICTS = 1_000  # acknowledged local verdicts that stay, for the status page and `show`
_MAX_SERIES = 50_000
_SERIES_INTERVAL_S = 3600.0
_SERIES_PRESSED_S = 60.0  # a look at all readings: not at each step


class Pruner:
    """Deletes rows below the low watermark, and what is kept for the user after its time.

    A row of the sequence goes when the snapshot has passed it, no open window covers it and no window from it
    on waits for its acknowledgement. In a full journal it is enough that the snapshot has passed it.
    """

    def __init__(
        self,
        *,
        sequence: RowSequence,
        series: SeriesTable,
        clocks: Clocks,
        samples: Samples,
        now: Callable[[], float],
        keep_s: float,
        stats: JournalStats,
        enabled: bool = True,
    ) -> None:
        self.enabled = enabled
        self.more = False  # the last step did not get to the end
        self._sequence = sequence
        self._series = series
        self._clocks = clocks
        self._samples = samples
        self._now = now
        self._keep_s = keep_s
        self._stats = stats
        self._series_at = 0.0

    def step(self, connection: sqlite3.Connection, *, early: bool = False, full: bool = False) -> int:
        """Delete one chunk inside the open transaction.

        ``early`` takes kept rows before their time too; ``full`` leaves no row that a restart does not need.
        """
        if not self.enabled:
            return 0
        floor, watermark = find_watermark(connection, early=early, full=full)
        cutoff = self._now() - self._keep_s
        rows, self.more = self._drop_rows(connection, watermark, sample=not full)
        verdicts = self._drop_verdicts(connection, floor, cutoff, early=early)
        batches = self._drop_batches(connection, cutoff, early=early)
        aside = self._drop_quarantine(connection, cutoff, early=early and not verdicts + batches)
        findings = connection.execute("DELETE FROM findings WHERE cleared AND clock < ?", (cutoff,)).rowcount
        self._samples.prune(connection, self._now(), early=early, findings_gone=findings > 0)
        connection.execute("DELETE FROM incidents WHERE closed AND clock < ?", (cutoff,))
        connection.execute("DELETE FROM outbox WHERE verdict = '' AND given_up AND clock < ?", (cutoff,))
        commands.prune(connection, watermark=watermark, cutoff=cutoff, now=self._now(), early=early)
        connection.execute(
            "DELETE FROM settings WHERE seq < (SELECT max(seq) FROM settings WHERE seq <= ?)", (watermark,)
        )
        series = self._drop_series(connection, early=early)
        gone = rows + verdicts + batches + aside + series
        if gone:
            self._sequence.save(connection)
            failpoint("c11_pruning")
        if early:
            self._stats.pruned_early += verdicts + batches + aside
        self.more = self.more or max(verdicts, batches, aside) >= _MAX_KEPT
        return gone

    def _drop_rows(self, connection: sqlite3.Connection, watermark: int, *, sample: bool) -> tuple[int, bool]:
        first = connection.execute(
            "SELECT min(seq) FROM (SELECT min(seq) AS seq FROM messages"
            " UNION SELECT min(seq) FROM timer_events)"
        ).fetchone()[0]
        if first is None or first > watermark:
            return 0, False
        last = min(watermark, first + _MAX_ROWS - 1)
        self._clocks.save(connection, self._sequence.seq)
        if sample:
            self._samples.take(connection, last, self._now())
        messages = connection.execute("DELETE FROM messages WHERE seq <= ?", (last,)).rowcount
        connection.execute("DELETE FROM readings WHERE seq <= ?", (last,))
        connection.execute("DELETE FROM history WHERE seq <= ?", (last,))
        timers = connection.execute("DELETE FROM timer_events WHERE seq <= ?", (last,)).rowcount
        self._stats.pruned_rows += messages + timers
        return messages + timers, last < watermark

    def _drop_verdicts(
        self, connection: sqlite3.Connection, floor: int, cutoff: float, *, early: bool
    ) -> int:
        """Delete acknowledged verdicts with their windows, except those that the snapshot may have open.

        A verdict with a message that another sink has not taken yet stays as well.
        """
        edge = connection.execute(
            "SELECT n FROM verdicts WHERE reviewed = 0 ORDER BY n DESC LIMIT 1 OFFSET ?", (_LOCAL_VERDICTS,)
        ).fetchone()
        found = connection.execute(
            "SELECT v.n, v.id FROM verdicts v LEFT JOIN windows w ON w.id = v.id"
            " WHERE v.acked > 0 AND (w.hi IS NULL OR w.hi < :floor)"
            " AND (:early OR v.clock < :cutoff OR (v.reviewed = 0 AND v.n <= :edge AND v.acked = 1))"
            " AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.verdict = v.id AND NOT o.given_up)"
            " ORDER BY v.n LIMIT :limit",
            {
                "floor": floor,
                "early": early,
                "cutoff": cutoff,
                "edge": -1 if edge is None else edge[0],
                "limit": _MAX_KEPT,
            },
        ).fetchall()
        connection.executemany("DELETE FROM verdicts WHERE n = ?", [(n,) for n, _ in found])
        connection.executemany("DELETE FROM windows WHERE id = ?", [(verdict_id,) for _, verdict_id in found])
        connection.executemany(
            "DELETE FROM outbox WHERE verdict = ?", [(verdict_id,) for _, verdict_id in found]
        )
        return len(found)

    def _drop_batches(self, connection: sqlite3.Connection, cutoff: float, *, early: bool) -> int:
        return connection.execute(
            "DELETE FROM batches WHERE n IN (SELECT n FROM batches WHERE (:early OR clock < :cutoff)"
            " AND id NOT IN (SELECT batch FROM windows WHERE state < 2 AND batch IS NOT NULL)"
            " ORDER BY n LIMIT :limit)",
            {"early": early, "cutoff": cutoff, "limit": _MAX_KEPT},
        ).rowcount

    def _drop_quarantine(self, connection: sqlite3.Connection, cutoff: float, *, early: bool) -> int:
        return connection.execute(
            "DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine WHERE :early OR clock < :cutoff"
            " ORDER BY id LIMIT :limit)",
            {"early": early, "cutoff": cutoff, "limit": _MAX_KEPT},
        ).rowcount

    def _drop_series(self, connection: sqlite3.Connection, *, early: bool) -> int:
        now = self._now()
        if now < (self._series_at - _SERIES_INTERVAL_S + _SERIES_PRESSED_S if early else self._series_at):
            return 0
        self._series_at = now + _SERIES_INTERVAL_S
        if connection.execute("SELECT count(*) FROM series").fetchone()[0] <= _MAX_SERIES:
            return 0
        gone = connection.execute(
            "DELETE FROM series WHERE id NOT IN (SELECT series FROM readings)"
            " AND id NOT IN (SELECT series FROM history)"
        ).rowcount
        # An id may be given to another series.
        connection.execute("DELETE FROM samples WHERE series NOT IN (SELECT id FROM series)")
        self._series.forget()
        return gone


def find_watermark(
    connection: sqlite3.Connection, *, early: bool = False, full: bool = False
) -> tuple[int, int]:
    """Return the lowest seq that the snapshot has not passed for good, and the last that nobody needs.

    With ``early`` a window holds its rows only until its verdict is committed, not until the broker has it:
    one device whose verdicts are refused must not stop the acks of all. With ``full`` no window holds any:
    a sealed one is on disk with all that its verdict needs, an open one is in the snapshot with its readings.
    """
    snapshot = connection.execute("SELECT seq, floor FROM snapshots").fetchone()
    if snapshot is None:
        return 0, 0
    seq, floor = int(snapshot[0]), int(snapshot[1])
    if full:
        return min(seq + 1, floor), seq
    holding = SEALED if early else CONCLUDED
    lowest = connection.execute(
        "SELECT min(lo) FROM windows WHERE state < 2 AND state <= ?", (holding,)
    ).fetchone()[0]
    return min(seq + 1, floor), min(seq, floor - 1, seq if lowest is None else lowest - 1)
