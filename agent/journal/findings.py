"""Findings, and the last anomaly verdict of each open one, for a restart."""

import json
import sqlite3
from collections.abc import Sequence

from agent.domain.records import Finding, Kind, Severity

_MAX_SEARCHED = 20_000  # verdicts that are searched for findings of a version without the table
# Made when the first finding opens; other versions leave it alone, so the version stays.
_LAST_VERDICTS = (
    "CREATE TABLE IF NOT EXISTS told(finding TEXT PRIMARY KEY, verdict BLOB NOT NULL) WITHOUT ROWID"
)


def write(
    connection: sqlite3.Connection,
    finding: Finding,
    *,
    cleared: bool,
    verdict: bytes | None,
    clock: float,
) -> None:
    """Write a finding as it is now; keep a ``verdict`` that calls it an anomaly until it is cleared."""
    connection.execute(
        "INSERT OR REPLACE INTO findings VALUES (?,?,?,?,?,?,?,?,?,?)",
        (
            finding.id,
            finding.device,
            finding.kind.value,
            finding.severity.value,
            finding.opened,
            finding.last_reviewed,
            finding.normal_streak,
            finding.verdicts,
            cleared,
            clock,
        ),
    )
    if cleared:
        if _has_last_verdicts(connection):
            connection.execute("DELETE FROM told WHERE finding = ?", (finding.id,))
    elif verdict is not None:
        connection.execute(_LAST_VERDICTS)
        connection.execute("INSERT OR REPLACE INTO told VALUES (?, ?)", (finding.id, verdict))


def read(connection: sqlite3.Connection, *, cleared: bool = False) -> tuple[Finding, ...]:
    """Return the open or the cleared findings, oldest first."""
    rows = connection.execute(
        "SELECT id, device, kind, severity, opened, last_reviewed, normal_streak, verdicts FROM findings"
        " WHERE cleared = ? ORDER BY opened, id",
        (cleared,),
    )
    return tuple(
        Finding(finding_id, device, Kind(kind), Severity(severity), *rest)
        for finding_id, device, kind, severity, *rest in rows
    )


def last_verdicts(connection: sqlite3.Connection, findings: Sequence[Finding]) -> dict[str, bytes]:
    """Return the verdicts of ``findings`` by finding id, as far as they are known."""
    found: dict[str, bytes] = {}
    if _has_last_verdicts(connection):
        for one in findings:
            row = connection.execute("SELECT verdict FROM told WHERE finding = ?", (one.id,)).fetchone()
            if row is not None:
                found[one.id] = bytes(row[0])
    missing = {one.device: one.id for one in findings if one.id not in found}
    if missing:
        found |= _search(connection, missing)
    return found


def _search(connection: sqlite3.Connection, missing: dict[str, str]) -> dict[str, bytes]:
    """Look through the kept verdicts, newest first; ``missing`` is finding ids by device."""
    found: dict[str, bytes] = {}
    rows = connection.execute("SELECT n, device FROM verdicts ORDER BY n DESC LIMIT ?", (_MAX_SEARCHED,))
    for n, device in rows.fetchall():
        if device not in missing:
            continue
        body = bytes(connection.execute("SELECT body FROM verdicts WHERE n = ?", (n,)).fetchone()[0])
        verdict = json.loads(body)
        if verdict["finding_id"] == missing[device] and verdict["status"] == "anomaly":
            found[missing.pop(device)] = body
            if not missing:
                break
    return found


def _has_last_verdicts(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'told'").fetchone() is not None
