"""Down-sampled readings: lowest and highest value of each series in five minutes.

They are made of the rows that are pruned, in the transaction that deletes these, so that a reading is in one
table or in the other. After six hours six of them become one. Around the opening of a finding that is kept
they stay as they are.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple

SLOT_S: Final = 300
GROUP: Final = 6  # slots that become one, at the first of them
FINE_S: Final = 6 * 3600.0  # as long before they do
BEFORE_S: Final = 12 * 3600.0  # the opening of a finding
AFTER_S: Final = 6 * 3600.0
PRESSED_S: Final = 86_400.0  # kept in a journal that is short of room
USUAL_S: Final = 3600.0  # from one usual range of a series to the next
MAX_FINDINGS: Final = 500  # the newest, with samples of their own
ROW_BYTES: Final = 48  # about, with its share of the page
SHARE: Final = 0.1  # of the journal's cap, for all of them

_AHEAD_S = 86_400.0  # a reading's time may be so far in the future
_MAX_SLOTS = 288  # looked through in one step
_COUNT_INTERVAL_S = 6 * 3600.0

_TAKE = """
INSERT INTO samples(slot, series, low, high)
SELECT CASE WHEN at < :fine THEN CAST(at / :coarse_s AS INTEGER) * :group
  ELSE CAST(at / :slot_s AS INTEGER) END AS place, series, min(value), max(value)
FROM (SELECT seq, series, at, value FROM readings WHERE seq <= :last
  UNION ALL SELECT seq, series, at, value FROM history WHERE seq <= :last)
WHERE at >= :oldest AND at < :newest AND seq NOT IN (SELECT seq FROM messages WHERE seq <= :last AND seed)
GROUP BY place, series
"""
_MERGE = """
ON CONFLICT(slot, series) DO UPDATE SET low = min(coalesce(low, excluded.low), coalesce(excluded.low, low)),
  high = max(coalesce(high, excluded.high), coalesce(excluded.high, high)),
  usual_low = coalesce(excluded.usual_low, usual_low), usual_high = coalesce(excluded.usual_high, usual_high)
"""
_KEPT = """
WITH kept(series, first, last) AS MATERIALIZED (
  SELECT s.id, CAST((f.opened - :before) / :slot_s AS INTEGER), CAST((f.opened + :after) / :slot_s AS INTEGER)
  FROM (SELECT device, opened FROM findings ORDER BY opened DESC LIMIT :findings) f
  JOIN series s ON s.device = f.device)
"""
_FREE = """
slot >= :begin AND slot < :end AND NOT EXISTS (SELECT 1 FROM kept k
  WHERE k.series = samples.series AND samples.slot BETWEEN k.first AND k.last)
"""
_THIN = f"""{_KEPT}
INSERT INTO samples
SELECT slot / :group * :group AS place, series, min(low), max(high), max(usual_low), max(usual_high)
FROM samples WHERE {_FREE} AND slot % :group GROUP BY place, series {_MERGE}
"""  # noqa: S608 - ours, as below
_USUAL = f"""
INSERT INTO samples SELECT ?, max(id), NULL, NULL, ?, ? FROM series WHERE device = ? AND metric = ?
GROUP BY device {_MERGE}
"""  # noqa: S608
_READ = """
WITH RECURSIVE slots(place) AS (VALUES(?) UNION ALL SELECT place + 1 FROM slots WHERE place < ?)
SELECT slot, series, low, high, usual_low, usual_high FROM slots CROSS JOIN samples
ON slot = place AND series IN ({})
"""


class Sample(NamedTuple):
    """One series in one slot; there may be a usual range without values."""

    at: float
    low: float | None
    high: float | None
    usual: tuple[float, float] | None


Usual = tuple[str, float, float]  # metric, lowest and highest usual value


class Samples:
    """Makes samples and prunes them; the writer's."""

    def __init__(self, *, keep_s: float, max_bytes: int) -> None:
        self._keep_s = keep_s
        self._most = int(SHARE * max_bytes / ROW_BYTES)
        self._thinned = self._expired = 0  # slots before them are done
        self._edge = 0  # those before it are too many
        self._counted = 0.0

    def take(self, connection: sqlite3.Connection, last: int, now: float) -> None:
        """Add the readings up to the row ``last``, which are deleted in this transaction."""
        connection.execute(
            f"{_TAKE} {_MERGE}",
            {
                "last": last,
                "fine": _fine(now) * SLOT_S,
                "oldest": max(now - self._keep_s, self._expired * SLOT_S),
                "newest": now + _AHEAD_S,
                "slot_s": SLOT_S,
                "coarse_s": SLOT_S * GROUP,
                "group": GROUP,
            },
        )

    def prune(self, connection: sqlite3.Connection, now: float, *, early: bool, findings_gone: bool) -> None:
        """Merge those that are hours old, and delete those past their time, a chunk of both."""
        if findings_gone:
            self._thinned = self._expired = 0
        keep_s = min(self._keep_s, PRESSED_S) if early else self._keep_s
        self._count(connection, now)
        gone = max(int((now - keep_s) / SLOT_S), self._edge)
        self._expired, span = _chunk(connection, self._expired, gone)
        if span is not None:
            connection.execute(f"{_KEPT} DELETE FROM samples WHERE {_FREE}", span)  # noqa: S608 - ours
        self._thinned, span = _chunk(connection, max(self._thinned, self._expired), _fine(now))
        if span is not None:
            connection.execute(_THIN, span)
            connection.execute(f"{_KEPT} DELETE FROM samples WHERE {_FREE} AND slot % :group", span)  # noqa: S608

    def _count(self, connection: sqlite3.Connection, now: float) -> None:
        """Find the oldest slot within the bound of all rows, a few times a day: it reads the whole table."""
        if now < self._counted + _COUNT_INTERVAL_S:
            return
        self._counted = now
        edge = connection.execute(
            "SELECT slot FROM samples ORDER BY slot DESC, series DESC LIMIT 1 OFFSET ?", (self._most,)
        ).fetchone()
        if edge is not None:
            self._edge = int(edge[0]) + 1


def _fine(now: float) -> int:
    """Return the first slot that stays as it is."""
    return int((now - FINE_S) / SLOT_S) // GROUP * GROUP


def _chunk(connection: sqlite3.Connection, begin: int, end: int) -> tuple[int, dict[str, float] | None]:
    """Return the next place to begin at, and the slots before it that are to be done now, if any."""
    first = connection.execute(
        "SELECT slot FROM samples WHERE slot >= ? AND slot < ? ORDER BY slot LIMIT 1", (begin, end)
    ).fetchone()
    if first is None:
        return max(begin, end), None
    begin = int(first[0]) // GROUP * GROUP
    end = min(end, begin + _MAX_SLOTS)
    around = {"before": BEFORE_S, "after": AFTER_S, "findings": MAX_FINDINGS}
    return end, {"begin": begin, "end": end, "slot_s": SLOT_S, "group": GROUP, **around}


def note_usual(connection: sqlite3.Connection, device: str, at: float, usual: Iterable[Usual]) -> None:
    """Keep what is usual of the series of a device at a time."""
    slot = int(at / SLOT_S) // GROUP * GROUP
    connection.executemany(
        _USUAL,
        [(slot, low, high, device, metric) for metric, low, high in usual],
    )


def read(
    connection: sqlite3.Connection, metrics: dict[int, str], *, after: float, before: float
) -> dict[str, list[Sample]]:
    """Return the samples of series by metric, in order; ``metrics`` are the series by id."""
    rows = connection.execute(
        _READ.format(",".join("?" * len(metrics))), (int(after / SLOT_S), int(before / SLOT_S), *metrics)
    )
    found: dict[str, dict[int, Sample]] = {}
    for slot, series, low, high, usual_low, usual_high in rows:
        usual = None if usual_low is None else (usual_low, usual_high)
        here = found.setdefault(metrics[series], {})
        one = Sample((slot + 0.5) * SLOT_S, low, high, usual)
        here[slot] = one if slot not in here else _joined(here[slot], one)
    return {metric: [here[slot] for slot in sorted(here)] for metric, here in found.items()}


def _joined(one: Sample, other: Sample) -> Sample:
    """Return a sample of two series that differ in unit or word."""
    lows = [low for low in (one.low, other.low) if low is not None]
    highs = [high for high in (one.high, other.high) if high is not None]
    return Sample(one.at, min(lows, default=None), max(highs, default=None), one.usual or other.usual)
