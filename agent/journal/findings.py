"""Findings, and the last anomaly verdict of each open one, for a restart."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from agent.domain.records import Finding, FindingState, Grounds, Kind, Move, Severity, Way
from agent.journal.commands import decode_seen

_STATES_SINCE = 7  # version of the tables; an older journal may be read before the agent migrates it
# Made when the first finding opens; other versions leave it alone, so the version stays.
_LAST_VERDICTS = (
    "CREATE TABLE IF NOT EXISTS told(finding TEXT PRIMARY KEY, verdict BLOB NOT NULL) WITHOUT ROWID"
)


def write(
    connection: sqlite3.Connection,
    finding: Finding,
    *,
    verdict: bytes | None = None,
    clock: float,
) -> None:
    """Write a finding as it is now; keep a ``verdict`` that calls it an anomaly until it is over."""
    closed = finding.state.closed
    connection.execute(
        "INSERT OR REPLACE INTO findings VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            finding.id,
            finding.device,
            finding.kind.value,
            finding.severity.value,
            finding.opened,
            finding.last_reviewed,
            finding.normal_streak,
            finding.verdicts,
            closed,
            clock,
            finding.state.value,
            _encode_life(finding),
        ),
    )
    if closed:
        if _has_last_verdicts(connection):
            connection.execute("DELETE FROM told WHERE finding = ?", (finding.id,))
    elif verdict is not None:
        connection.execute(_LAST_VERDICTS)
        connection.execute("INSERT OR REPLACE INTO told VALUES (?, ?)", (finding.id, verdict))


def read(connection: sqlite3.Connection, *, closed: bool = False) -> tuple[Finding, ...]:
    """Return the open findings, or those that are over, oldest first."""
    columns, order = _columns(connection), "clock" if closed else "opened"
    rows = connection.execute(
        f"SELECT {columns} FROM findings WHERE cleared = ? ORDER BY {order}, id",  # noqa: S608 - ours
        (closed,),
    )
    return tuple(map(_finding, rows))


def read_of(
    connection: sqlite3.Connection, device: str, *, limit: int
) -> Iterator[tuple[Finding, float | None]]:
    """Yield the last findings of a device with the clock of their end, newest first."""
    return _with_end(connection, "device = ? ORDER BY opened DESC, id LIMIT ?", (device, limit))


def read_one(connection: sqlite3.Connection, finding_id: str) -> tuple[Finding, float | None] | None:
    """Return a finding with the clock of its end."""
    return next(_with_end(connection, "id = ?", (finding_id,)), None)


def _with_end(
    connection: sqlite3.Connection, condition: str, values: tuple[object, ...]
) -> Iterator[tuple[Finding, float | None]]:
    for *row, cleared, clock in connection.execute(
        f"SELECT {_columns(connection)}, cleared, clock FROM findings WHERE {condition}",  # noqa: S608 - ours
        values,
    ):
        yield _finding(row), clock if cleared else None


def _columns(connection: sqlite3.Connection) -> str:
    """Return the columns that :func:`_finding` reads, also where a finding has no state yet."""
    old = connection.execute("PRAGMA user_version").fetchone()[0] < _STATES_SINCE
    states = "CASE WHEN cleared THEN 'cleared' ELSE 'open' END, '{}'" if old else "state, life"
    return f"{states}, id, device, kind, severity, opened, last_reviewed, normal_streak, verdicts"


def _finding(row: Sequence[Any]) -> Finding:
    state, life, finding_id, device, kind, severity, *rest = row
    return Finding(finding_id, device, Kind(kind), Severity(severity), *rest, **_decode_life(state, life))


def _encode_life(finding: Finding) -> str:
    life = {
        "until": finding.until,
        "maintenance": finding.maintenance,
        "limit": finding.limit,
        "seen": finding.seen,
        "silent_since": finding.silent_since,
        "silent_to": finding.silent_to,
        "incident": finding.incident,
        "grounds": finding.grounds,
        "score": finding.score,
        "ended": finding.ended,
        "awaits": finding.awaits,
        "calm_s": finding.calm_s,
        "calm_since": finding.calm_since,
        "absent_since": finding.absent_since,
        "calm": finding.calm,
    }
    return json.dumps({key: value for key, value in life.items() if value}, separators=(",", ":"))


def _decode_life(state: str, text: str) -> dict[str, Any]:
    life: dict[str, Any] = {**json.loads(text), "state": FindingState(state)}
    if "seen" in life:
        life["seen"] = decode_seen(life["seen"])
    if "grounds" in life:
        source, link, interval_s, move = life["grounds"]
        if move is not None:
            metric, way, at, value = move
            move = Move(metric, Way(way), at, value)
        life["grounds"] = Grounds(source, link, interval_s, move)
    return life


def last_verdicts(connection: sqlite3.Connection, findings: Sequence[Finding]) -> dict[str, bytes]:
    """Return the verdicts that are kept of ``findings``, by finding id."""
    if not _has_last_verdicts(connection):
        return {}
    found = {}
    for one in findings:
        row = connection.execute("SELECT verdict FROM told WHERE finding = ?", (one.id,)).fetchone()
        if row is not None:
            found[one.id] = bytes(row[0])
    return found


def _has_last_verdicts(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'told'").fetchone() is not None
