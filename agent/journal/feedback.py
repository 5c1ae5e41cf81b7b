"""Feedback on verdicts in the journal: each verdict and outcome once."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agent.domain.records import Kind, Seen, Status
from agent.verdict.feedback import REPEAT, Feedback, Noted

# Made when the first feedback comes; other versions leave it alone, so the version stays.
_TABLE = (
    "CREATE TABLE IF NOT EXISTS feedback("
    "verdict TEXT NOT NULL, outcome TEXT NOT NULL, note TEXT NOT NULL, received REAL NOT NULL,"
    " PRIMARY KEY(verdict, outcome)) WITHOUT ROWID"
)


def keep(connection: sqlite3.Connection, arrived: Sequence[tuple[Feedback, float]]) -> tuple[Noted, ...]:
    """Write feedback with its time of receipt into the open transaction; return the result of each.

    Feedback on pruned verdicts is deleted.
    """
    if not arrived:
        return ()
    connection.execute(_TABLE)
    connection.execute("DELETE FROM feedback WHERE verdict NOT IN (SELECT id FROM verdicts)")
    return tuple(_keep(connection, feedback, received) for feedback, received in arrived)


def _keep(connection: sqlite3.Connection, feedback: Feedback, received: float) -> Noted:
    # A range of the index on ids; "g" comes after every hexadecimal digit.
    found = connection.execute(
        "SELECT id, body FROM verdicts WHERE id >= ?1 AND id < ?1 || 'g' ORDER BY id LIMIT 2",
        (feedback.verdict_id,),
    ).fetchall()
    if not found:
        why = "no verdict that is kept has this id; copy it from a verdict, with all its characters"
        return Noted(feedback, None, f"{_short(feedback)}: {why}")
    if len(found) > 1 and found[0][0] != feedback.verdict_id:
        return Noted(feedback, None, f"{_short(feedback)}: several verdicts begin so; send more of the id")
    verdict_id, body = found[0]
    added = connection.execute(
        "INSERT OR IGNORE INTO feedback VALUES (?,?,?,?)",
        (verdict_id, feedback.outcome, feedback.note, received),
    ).rowcount
    if not added:
        return Noted(feedback, None, REPEAT, verdict_id)
    verdict = json.loads(body)
    return Noted(
        feedback,
        str(verdict["status"]),
        verdict_id=verdict_id,
        device=verdict["device"],
        finding_id=verdict["finding_id"] or verdict_id,
        judged=tuple(_cited(verdict)) if verdict["status"] == Status.ANOMALY else (),
    )


def _cited(verdict: dict[str, Any]) -> Iterator[Seen]:
    """Yield the lowest and the highest value of each metric that an anomaly cites."""
    values: dict[str, list[float]] = {}
    for reading in verdict["evidence"]:
        if isinstance(reading["value"], int | float):  # not that of a number that is not finite
            values.setdefault(reading["metric"], []).append(reading["value"])
    if verdict["kind"] != Kind.SILENCE:
        for metric, cited in values.items():
            yield Seen(metric, Kind(verdict["kind"]), min(cited), max(cited))


def _short(feedback: Feedback) -> str:
    return f"feedback on {feedback.verdict_id[:64]}"


Word = tuple[str, str, str, str]  # device, metric, finding, outcome


def read_words(connection: sqlite3.Connection) -> Iterator[Word]:
    """Yield the feedback on the first reading that each verdict cites, oldest first."""
    if not _has_table(connection):
        return
    rows = connection.execute(
        "SELECT f.outcome, v.body FROM feedback f JOIN verdicts v ON v.id = f.verdict ORDER BY f.received"
    )
    for outcome, body in rows:
        verdict = json.loads(body)
        for reading in verdict["evidence"][:1]:
            about = verdict["finding_id"] or verdict["id"]
            yield verdict["device"], reading["metric"], about, outcome


def count(words: Iterable[Word]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return by device and metric how many findings are false alarms, and how many are confirmed.

    The last word on a finding counts.
    """
    said: dict[tuple[str, str], dict[str, str]] = {}
    for device, metric, finding, outcome in words:
        said.setdefault((device, metric), {})[finding] = outcome
    return {
        series: (list(last.values()).count("false_alarm"), list(last.values()).count("confirmed"))
        for series, last in said.items()
    }


def read(connection: sqlite3.Connection, verdict_id: str) -> list[dict[str, object]]:
    """Return the feedback on a verdict, oldest first; times of receipt are Unix seconds."""
    if not _has_table(connection):
        return []
    rows = connection.execute(
        "SELECT outcome, note, received FROM feedback WHERE verdict = ? ORDER BY received", (verdict_id,)
    )
    return [{"outcome": outcome, "note": note, "received": received} for outcome, note, received in rows]


def _has_table(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'feedback'").fetchone() is not None
