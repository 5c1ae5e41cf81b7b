"""Feedback on verdicts in the journal: each verdict and outcome once."""

import json
import sqlite3
from collections.abc import Sequence

from agent.feedback import Feedback, Noted

# Made when the first feedback comes; other versions leave it alone, so the version stays.
_TABLE = (
    "CREATE TABLE IF NOT EXISTS feedback("
    "verdict TEXT NOT NULL, outcome TEXT NOT NULL, note TEXT NOT NULL, received REAL NOT NULL,"
    " PRIMARY KEY(verdict, outcome)) WITHOUT ROWID"
)


def keep(connection: sqlite3.Connection, arrived: Sequence[tuple[Feedback, float]]) -> tuple[Noted, ...]:
    """Write feedback with its time of receipt into the open transaction; return what became of each.

    What was said of verdicts that are pruned goes with them.
    """
    if not arrived:
        return ()
    connection.execute(_TABLE)
    connection.execute("DELETE FROM feedback WHERE verdict NOT IN (SELECT id FROM verdicts)")
    return tuple(_keep(connection, feedback, received) for feedback, received in arrived)


def _keep(connection: sqlite3.Connection, feedback: Feedback, received: float) -> Noted:
    row = connection.execute("SELECT body FROM verdicts WHERE id = ?", (feedback.verdict_id,)).fetchone()
    if row is None:
        return Noted(feedback, None, "unknown_verdict")
    added = connection.execute(
        "INSERT OR IGNORE INTO feedback VALUES (?,?,?,?)",
        (feedback.verdict_id, feedback.outcome, feedback.note, received),
    ).rowcount
    return Noted(feedback, str(json.loads(row[0])["status"])) if added else Noted(feedback, None, "repeat")


def read(connection: sqlite3.Connection, verdict_id: str) -> list[dict[str, object]]:
    """Return what people said of a verdict, oldest first; times of receipt are Unix seconds."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'feedback'").fetchone() is None:
        return []
    rows = connection.execute(
        "SELECT outcome, note, received FROM feedback WHERE verdict = ? ORDER BY received", (verdict_id,)
    )
    return [{"outcome": outcome, "note": note, "received": received} for outcome, note, received in rows]
