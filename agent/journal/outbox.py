"""PUBLISHes that the broker has not acknowledged yet."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from agent.domain.records import Outgoing, Window
from agent.journal.codec import decode_properties, encode_properties
from agent.journal.schema import ACKED, SETTLED, UNDELIVERABLE

_UNDELIVERABLE_S = 24 * 3600.0
_MAX_PASSED = 2_000
_MAX_GIVEN_UP = 500  # rows in one transaction
# Made when they are needed; other versions keep them up to date unknowingly, so the version stays.
_BY_DEVICE = "CREATE INDEX IF NOT EXISTS outbox_device ON outbox(device, id)"
_BY_TOPIC = "CREATE INDEX IF NOT EXISTS outbox_topic ON outbox(topic, id)"


def add(
    connection: sqlite3.Connection, window: Window, messages: Sequence[Outgoing], clock: float
) -> list[Outgoing]:
    """Queue the messages of a window's verdict; return them with their ids."""
    added = []
    for message in messages:
        cursor = connection.execute(
            "INSERT INTO outbox(verdict, device, topic, payload, retain, properties, clock)"
            " VALUES (?,?,?,?,?,?,?)",
            (
                window.id,
                window.device,
                message.topic,
                message.payload,
                message.retain,
                encode_properties(message.properties),
                clock,
            ),
        )
        added.append(replace(message, outbox_id=int(cursor.lastrowid or 0)))
    return added


def pending(
    connection: sqlite3.Connection, *, after: int, limit: int, skip: Collection[str] = ()
) -> tuple[list[Outgoing], int]:
    """Return waiting rows in the order they were queued, ids above ``after``, without the topics to ``skip``.

    Beside them the id up to which was read, 0 when nothing was left. A call passes over 2,000 rows at most,
    for a day's rows of refused topics must not hold up the journal.
    """
    read_to, found = 0, []
    for row, topic in connection.execute(
        "SELECT id, topic FROM outbox WHERE id > ? AND NOT given_up ORDER BY id LIMIT ?",
        (after, _MAX_PASSED if skip else limit),
    ).fetchall():
        read_to = row
        if topic not in skip:
            found.append(row)
            if len(found) == limit:
                break
    rows = [
        connection.execute(
            "SELECT id, topic, payload, retain, properties FROM outbox WHERE id = ?", (row,)
        ).fetchone()
        for row in found
    ]
    return [
        Outgoing(outbox_id, topic, payload, bool(retain), decode_properties(properties))
        for outbox_id, topic, payload, retain, properties in rows
    ], read_to


def of_devices(
    connection: sqlite3.Connection, devices: Iterable[str], *, limit: int, skip: Collection[str] = ()
) -> dict[str, list[Outgoing]]:
    """Return the oldest waiting rows of each device, at most so many, without the topics to ``skip``."""
    connection.execute(_BY_DEVICE)
    return {
        device: [
            Outgoing(outbox_id, topic, payload, bool(retain), decode_properties(properties))
            for outbox_id, topic, payload, retain, properties in connection.execute(
                "SELECT id, topic, payload, retain, properties FROM outbox"
                " WHERE device = ? AND NOT given_up ORDER BY id LIMIT ?",
                (device, limit),
            )
            if topic not in skip
        ]
        for device in devices
    }


def finish(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Delete acknowledged rows; a verdict is acknowledged with its last one."""
    for outbox_id in ids:
        gone = connection.execute(
            "DELETE FROM outbox WHERE id = ? RETURNING verdict", (outbox_id,)
        ).fetchall()
        for (verdict_id,) in gone:
            settle(connection, verdict_id)


def refuse(connection: sqlite3.Connection, outbox_id: int, reason_code: int, now: float) -> bool:
    """Note a refusal; a row that was refused for 24 h stays for the user to see and holds nothing back.

    Nor do those of its topic that waited behind it as long: they come faster than a refused topic is tried.
    """
    row = connection.execute(
        "UPDATE outbox SET reason_code = ?, refused = coalesce(refused, ?) WHERE id = ?"
        " RETURNING topic, refused",
        (reason_code, now, outbox_id),
    ).fetchall()
    if not row or now - row[0][1] < _UNDELIVERABLE_S:
        return False
    connection.execute(_BY_TOPIC)
    behind = connection.execute(
        "UPDATE outbox SET given_up = 1, reason_code = :code, refused = coalesce(refused, clock) WHERE id IN"
        " (SELECT id FROM outbox WHERE topic = :topic AND NOT given_up AND clock <= :old"
        " ORDER BY id LIMIT :limit) RETURNING verdict",
        {"code": reason_code, "topic": row[0][0], "old": now - _UNDELIVERABLE_S, "limit": _MAX_GIVEN_UP},
    ).fetchall()
    for (verdict_id,) in behind:
        settle(connection, verdict_id)
    return True


def supersede(connection: sqlite3.Connection, topic: str, outbox_id: int) -> None:
    """Let what a topic still waits to say below ``outbox_id`` not replace what the broker retains."""
    connection.execute("UPDATE outbox SET retain = 0 WHERE topic = ? AND id < ?", (topic, outbox_id))


def settle(connection: sqlite3.Connection, verdict_id: str) -> None:
    """Close a verdict that waits for nothing any more."""
    waiting, given_up = connection.execute(
        "SELECT count(*) FILTER (WHERE NOT given_up), total(given_up) FROM outbox WHERE verdict = ?",
        (verdict_id,),
    ).fetchone()
    if not waiting:
        state = UNDELIVERABLE if given_up else ACKED
        connection.execute("UPDATE verdicts SET acked = ? WHERE id = ?", (state, verdict_id))
        connection.execute("UPDATE windows SET state = ? WHERE id = ?", (SETTLED, verdict_id))
