"""The verdict that last spoke of each open finding, kept as long as it is open: for after a restart."""

import json
import sqlite3
from collections.abc import Sequence

from agent.domain.records import Finding

MAX_SEARCHED = 20_000  # verdicts that are looked through for findings of a version that did not keep this
# Made when the first finding opens; other versions leave it alone, so the version stays.
_TABLE = "CREATE TABLE IF NOT EXISTS told(finding TEXT PRIMARY KEY, verdict BLOB NOT NULL) WITHOUT ROWID"


def keep(connection: sqlite3.Connection, finding: Finding, verdict: bytes) -> None:
    """Write down the verdict that speaks of ``finding``, in place of the one before."""
    connection.execute(_TABLE)
    connection.execute("INSERT OR REPLACE INTO told VALUES (?, ?)", (finding.id, verdict))


def drop(connection: sqlite3.Connection, finding: Finding) -> None:
    """Forget what was said of a finding that is cleared."""
    if _exists(connection):
        connection.execute("DELETE FROM told WHERE finding = ?", (finding.id,))


def read(connection: sqlite3.Connection, findings: Sequence[Finding]) -> dict[str, bytes]:
    """Return the verdicts of ``findings`` by finding id, as far as they are known."""
    found: dict[str, bytes] = {}
    if _exists(connection):
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
    rows = connection.execute("SELECT n, device FROM verdicts ORDER BY n DESC LIMIT ?", (MAX_SEARCHED,))
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


def _exists(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'told'").fetchone() is not None
