"""The outbox: messages that their sinks have not taken yet, in their order."""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from agent.domain.records import Outgoing
from agent.journal.codec import decode_properties, encode_properties
from agent.journal.notices import NoticeRows
from agent.journal.schema import ACKED, SETTLED, UNDELIVERABLE
from agent.testing.failpoint import failpoint

_UNDELIVERABLE_S = 24 * 3600.0
_MAX_PASSED = 2_000
_MAX_GIVEN_UP = 500  # rows in one transaction
_COLUMNS = "id, sink, key, payload, retain, properties, not_before, settles"
# Made when they are needed; other versions keep them up to date unknowingly, so the version stays.
_BY_DEVICE = "CREATE INDEX IF NOT EXISTS outbox_by_device ON outbox(sink, device, id)"
_BY_KEY = "CREATE INDEX IF NOT EXISTS outbox_by_key ON outbox(sink, key, id)"


class Outbox:
    """The outbox inside one transaction of the writer; ``now`` gives agent time."""

    def __init__(self, connection: sqlite3.Connection, now: Callable[[], float]) -> None:
        self._connection = connection
        self._now = now
        self.notices = NoticeRows(connection, now)

    def add(self, messages: Sequence[Outgoing], *, device: str, verdict: str = "") -> list[Outgoing]:
        """Queue messages of a verdict, or of none, about a device; return them, with ids where not held."""
        added, clock = [], self._now()
        for message in messages:
            if message.not_before:
                self.notices.hold(message, verdict=verdict, device=device)
                added.append(message)
                continue
            cursor = self._connection.execute(
                "INSERT INTO outbox(verdict, device, sink, key, payload, retain, properties, not_before,"
                " settles, clock) VALUES (?,?,?,?,?,?,?,?,?,?)",
                (
                    verdict,
                    device,
                    message.sink,
                    message.key,
                    message.payload,
                    message.retain,
                    encode_properties(message.properties),
                    message.not_before,
                    message.settles,
                    clock,
                ),
            )
            added.append(replace(message, outbox_id=int(cursor.lastrowid or 0)))
        return added

    def pending(
        self, sink: str, *, after: int, limit: int, skip: Collection[str] = ()
    ) -> tuple[list[Outgoing], int]:
        """Return waiting rows of a sink in their order, ids above ``after``, without the keys to ``skip``.

        Rows that are held are not among them.
        The second value is the id up to which was read, 0 if nothing was left. A call passes over 2,000 rows
        at most, because a day's rows of refused keys must not hold up the journal.
        """
        read_to, found = 0, []
        for row, key in self._connection.execute(
            "SELECT id, key FROM outbox WHERE sink = ? AND id > ? AND NOT given_up AND NOT not_before"
            " ORDER BY id LIMIT ?",
            (sink, after, _MAX_PASSED if skip else limit),
        ).fetchall():
            read_to = row
            if key not in skip:
                found.append(row)
                if len(found) == limit:
                    break
        rows = [
            self._connection.execute(f"SELECT {_COLUMNS} FROM outbox WHERE id = ?", (row,)).fetchone()  # noqa: S608 - ours
            for row in found
        ]
        return [_message(row) for row in rows], read_to

    def of_devices(
        self,
        sink: str,
        devices: Sequence[str],
        *,
        limit: int,
        skip: Collection[str] = (),
    ) -> dict[str, list[Outgoing]]:
        """Return a sink's oldest waiting rows of each device, ``limit`` at most, without the keys to skip."""
        found: dict[str, list[Outgoing]] = {}
        if devices:
            self._connection.execute(_BY_DEVICE)
        for device in devices:
            rows = self._connection.execute(
                f"SELECT {_COLUMNS} FROM outbox"  # noqa: S608 - our own column names
                " WHERE sink = ? AND device = ? AND NOT given_up AND NOT not_before ORDER BY id LIMIT ?",
                (sink, device, limit),
            )
            found[device] = [message for row in rows if (message := _message(row)).key not in skip]
        return found

    def finish(self, ids: Iterable[int]) -> None:
        """Delete delivered rows; a verdict is acknowledged with the last one that it waits for."""
        failpoint("c10_before_outbox_done")
        for outbox_id in ids:
            gone = self._connection.execute(
                "DELETE FROM outbox WHERE id = ? RETURNING verdict, sink, key, properties", (outbox_id,)
            ).fetchall()
            for verdict_id, sink, key, properties in gone:
                self.settle(verdict_id)
                self.notices.count(sink, key, decode_properties(properties))

    def fail(self, outbox_id: int, reason: str) -> bool:
        """Note a failed delivery; a row that has failed for 24 h is given up, and true is returned.

        It stays for the user to see. The rows of its key that have waited as long are given up with it,
        because they come faster than a failing key is tried.
        """
        now = self._now()
        row = self._connection.execute(
            "UPDATE outbox SET reason = ?, refused = coalesce(refused, ?) WHERE id = ?"
            " RETURNING sink, key, refused",
            (reason, now, outbox_id),
        ).fetchall()
        if not row or now - row[0][2] < _UNDELIVERABLE_S:
            return False
        sink, key, _ = row[0]
        self._connection.execute(_BY_KEY)
        self._give_up("sink = ? AND key = ?", (sink, key), reason)
        return True

    def orphans(self, sinks: Collection[str]) -> dict[str, int]:
        """Count the waiting rows of each sink that is not among ``sinks``; give up those older than 24 h."""
        found: dict[str, int] = {}
        for sink in self._sinks():
            if sink not in sinks:
                (found[sink],) = self._connection.execute(
                    "SELECT count(*) FROM outbox WHERE sink = ? AND NOT given_up", (sink,)
                ).fetchone()
                self._give_up("sink = ?", (sink,), "the sink is not configured")
        return found

    def _sinks(self) -> list[str]:
        """Return the sinks with waiting rows, each found by one step in the index."""
        found = [""]
        while row := self._connection.execute(
            "SELECT sink FROM outbox WHERE sink > ? AND NOT given_up ORDER BY sink LIMIT 1", (found[-1],)
        ).fetchone():
            found.append(row[0])
        return found[1:]

    def _give_up(self, condition: str, values: Sequence[str], reason: str) -> None:
        """Give up the rows that have waited for 24 h under a condition of ours, some in one transaction."""
        gone = self._connection.execute(
            "UPDATE outbox SET given_up = 1, reason = ?, refused = coalesce(refused, clock) WHERE id IN"  # noqa: S608 - ours
            f" (SELECT id FROM outbox WHERE {condition} AND NOT given_up AND clock <= ? ORDER BY id LIMIT ?)"
            " RETURNING verdict",
            (reason, *values, self._now() - _UNDELIVERABLE_S, _MAX_GIVEN_UP),
        ).fetchall()
        for (verdict_id,) in gone:
            self.settle(verdict_id)

    def supersede(self, sink: str, key: str, outbox_id: int) -> None:
        """Clear the retain flag of the key's rows below ``outbox_id``: the receiver has a newer message."""
        self._connection.execute(
            "UPDATE outbox SET retain = 0 WHERE sink = ? AND id < ? AND NOT given_up AND key = ?",
            (sink, outbox_id, key),
        )

    def settle(self, verdict_id: str) -> None:
        """Close a verdict that waits for no delivery any more; a message of none closes nothing."""
        if not verdict_id:
            return
        waiting, given_up = self._connection.execute(
            "SELECT count(*) FILTER (WHERE NOT given_up), total(given_up) FROM outbox"
            " WHERE verdict = ? AND settles",
            (verdict_id,),
        ).fetchone()
        if not waiting:
            state = UNDELIVERABLE if given_up else ACKED
            self._connection.execute("UPDATE verdicts SET acked = ? WHERE id = ?", (state, verdict_id))
            self._connection.execute("UPDATE windows SET state = ? WHERE id = ?", (SETTLED, verdict_id))


def _message(row: tuple[Any, ...]) -> Outgoing:
    outbox_id, sink, key, payload, retain, properties, not_before, settles = row
    return Outgoing(
        outbox_id, sink, key, payload, bool(retain), decode_properties(properties), not_before, bool(settles)
    )
