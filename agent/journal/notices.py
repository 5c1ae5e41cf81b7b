"""Notices in the outbox: held, released, or folded into a summary.

A notice with ``not_before`` above 0 is held, and was never handed to a sink: a later notice of its key takes
its place. Released, its bytes are fixed until it is delivered or given up. All that decides is in the
journal: the held rows, and in ``meta`` the deliveries of the last hour. So a kill changes nothing.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from agent.domain.records import Outgoing, Severity
from agent.journal.codec import decode_properties, encode_properties
from agent.journal.schema import read_meta, write_meta
from agent.verdict.encode import encode
from agent.verdict.notice import (
    DAY_S,
    DIGEST,
    HOUR_S,
    RANK,
    SUMMARY,
    Notice,
    NoticeRules,
    digest_of,
    item_of,
    summarise,
    worst_of,
)

MAX_WAITING = 10_000  # rows of one sink; beyond it the oldest are given up
MAX_AT_ONCE = 500  # rows that one transaction folds or gives up
AGAIN_S = 60.0
_DAY_KEY = "notices digest"


class Released(NamedTuple):
    """Changes by one look at the held notices of a sink; ``due`` is the time of the next look."""

    rows: int = 0
    folded: int = 0
    given_up: int = 0
    due: float | None = None


class _Held(NamedTuple):
    row: int
    key: str
    severity: Severity
    not_before: float


class NoticeRows:
    """The notices inside one transaction of the writer; ``now`` gives agent time."""

    def __init__(self, connection: sqlite3.Connection, now: Callable[[], float]) -> None:
        self._connection = connection
        self._now = now

    def hold(self, message: Outgoing, *, verdict: str, device: str) -> None:
        """Queue a notice until its time, in place of one of its key that is still held.

        One with the property ``follows`` is of use only in place of another.
        """
        replaced = self._connection.execute(
            "DELETE FROM outbox WHERE sink = ? AND key = ? AND not_before > 0 AND NOT given_up"
            " RETURNING not_before",
            (message.sink, message.key),
        ).fetchall()
        if replaced:
            earliest = min(message.not_before, *(at for (at,) in replaced))
            message = replace(message, not_before=earliest)
        elif self._amend_summary(message) or "follows" in dict(message.properties):
            return
        self._insert(message, verdict=verdict, device=device)

    def withdraw(self, key: str) -> None:
        """Drop what is held of a key, for all sinks: a person knows of it."""
        self._connection.execute(
            "DELETE FROM outbox WHERE key = ? AND not_before > 0 AND NOT given_up", (key,)
        )
        for (sink,) in self._connection.execute(
            "SELECT DISTINCT sink FROM outbox WHERE key = ? AND not_before > 0 AND NOT given_up", (SUMMARY,)
        ).fetchall():
            self._drop_item(sink, key)

    def count(self, sink: str, key: str, properties: Sequence[tuple[str, str]]) -> None:
        """Note the delivery of a row if it is a notice."""
        if "severity" not in dict(properties):
            return
        state, now = self._state(sink), self._now()
        if key == SUMMARY:
            state["summary"] = now
        elif key != DIGEST:
            state["sent"] = [at for at in state["sent"] if now - HOUR_S < at <= now] + [now]
        write_meta(self._connection, f"notices {sink}", json.dumps(state))

    def release(self, sink: str, rules: NoticeRules, *, wall: float) -> Released:
        """Let the notices go whose time has come, as many as the hour allows, and fold the others."""
        now = self._now()
        self._hold_again(sink, rules, now, wall)
        held = self._held(sink)
        given_up = self._give_up(held[:-MAX_WAITING][:MAX_AT_ONCE])
        held = held[given_up:]
        due = [one for one in held if one.not_before <= now]
        dues = [one.not_before for one in held if one.not_before > now]
        out = self._outstanding(sink)
        sent = [at for at in self._state(sink)["sent"] if now - HOUR_S < at <= now]
        free = max(0, rules.max_per_hour - len(sent) - sum(key not in (SUMMARY, DIGEST) for key in out))
        extra = [one for one in due if one.key == DIGEST or (one.key == SUMMARY and SUMMARY not in out)]
        blocked = any(one.key == SUMMARY for one in due) and SUMMARY in out
        mine = sorted(
            (one for one in due if one.key not in (SUMMARY, DIGEST)), key=lambda one: -RANK[one.severity]
        )
        go, rest = [*extra, *mine[:free]], mine[free:][:MAX_AT_ONCE]
        self._connection.executemany(
            "UPDATE outbox SET not_before = 0 WHERE id = ?", [(one.row,) for one in go]
        )
        if rest:
            first = min(sent, default=now)
            dues.append(self._fold(sink, rest, rules, first=first, wall=wall))
        if blocked:
            dues.append(now + AGAIN_S)
        if len(mine) > free + len(rest):
            dues.append(now)
        return Released(len(go), len(rest), given_up, min(dues, default=None))

    def digest(self, sinks: Sequence[str], rules: NoticeRules, *, agent: str, wall: float) -> float | None:
        """Queue the digest of the day once, and return when the next one is due."""
        day = rules.digest_day(wall)
        if day is None:
            return None
        now, last = self._now(), read_meta(self._connection, _DAY_KEY)
        if day != last:
            write_meta(self._connection, _DAY_KEY, day)
        if day != last and last is not None:  # the first one is that of the next day
            notice = self._digest_of(day, rules, agent=agent, now=now, wall=wall)
            wait_s = rules.held_s(wall, Severity(notice["severity"]), wait_s=0.0)
            for sink in sinks:
                self.hold(message_of(notice, sink, DIGEST, not_before=now + wait_s), verdict="", device="")
        wait = rules.next_digest_s(wall)
        return None if wait is None else now + wait

    # ------------------------------------------------------------------------------- single steps

    def _insert(self, message: Outgoing, *, verdict: str, device: str) -> None:
        self._connection.execute(
            "INSERT INTO outbox(verdict, device, sink, key, payload, retain, properties, not_before, settles,"
            " clock) VALUES (?,?,?,?,?,0,?,?,0,?)",
            (
                verdict,
                device,
                message.sink,
                message.key,
                message.payload,
                encode_properties(message.properties),
                message.not_before,
                self._now(),
            ),
        )

    def _state(self, sink: str) -> dict[str, Any]:
        text = read_meta(self._connection, f"notices {sink}")
        state: dict[str, Any] = json.loads(text) if isinstance(text, str) else {"sent": [], "summary": 0.0}
        return state

    def _held(self, sink: str) -> list[_Held]:
        rows = self._connection.execute(
            "SELECT id, key, properties, not_before FROM outbox"
            " WHERE sink = ? AND NOT given_up AND not_before > 0 ORDER BY id",
            (sink,),
        )
        return [
            _Held(row, key, Severity(dict(decode_properties(properties))["severity"]), not_before)
            for row, key, properties, not_before in rows
        ]

    def _outstanding(self, sink: str) -> list[str]:
        """Return the keys of the rows that were released and not delivered."""
        return [
            key
            for (key,) in self._connection.execute(
                "SELECT key FROM outbox WHERE sink = ? AND NOT given_up AND not_before = 0", (sink,)
            )
        ]

    def _hold_again(self, sink: str, rules: NoticeRules, now: float, wall: float) -> None:
        """Hold what failed and is not critical while the hours are quiet."""
        wait_s = rules.held_s(wall, Severity.INFO, wait_s=0.0)
        if not wait_s:
            return
        failing = self._connection.execute(
            "SELECT id, properties FROM outbox"
            " WHERE sink = ? AND NOT given_up AND not_before = 0 AND refused IS NOT NULL",
            (sink,),
        ).fetchall()
        self._connection.executemany(
            "UPDATE outbox SET not_before = ? WHERE id = ?",
            [
                (now + wait_s, row)
                for row, properties in failing
                if dict(decode_properties(properties)).get("severity") != Severity.CRITICAL
            ],
        )

    def _give_up(self, rows: Sequence[_Held]) -> int:
        self._connection.executemany(
            "UPDATE outbox SET given_up = 1, reason = ?, refused = coalesce(refused, ?) WHERE id = ?",
            [(f"more than {MAX_WAITING} notices wait", self._now(), one.row) for one in rows],
        )
        return len(rows)

    # -------------------------------------------------------------------------------- the summary

    def _fold(
        self, sink: str, rows: Sequence[_Held], rules: NoticeRules, *, first: float, wall: float
    ) -> float:
        """Replace rows by one summary an hour after the ``first`` notice of the hour; return its time.

        It comes sooner with the first critical one, unless the last summary is less than an hour old.
        """
        now = self._now()
        not_before, summary = self._summary(sink)
        due = first + HOUR_S if not_before is None else not_before
        items = {} if summary is None else {one["key"]: one for one in summary["notices"]}
        verdict = agent = ""
        for one in rows:
            ((payload, verdict),) = self._connection.execute(
                "DELETE FROM outbox WHERE id = ? RETURNING payload, verdict", (one.row,)
            ).fetchall()
            notice = json.loads(payload)
            agent = notice["agent"]
            items[one.key] = {**item_of(notice), "key": one.key}
            if one.severity is Severity.CRITICAL and now - self._state(sink)["summary"] >= HOUR_S:
                due = min(due, now + rules.settle_s)
        severity = worst_of(item["severity"] for item in items.values())
        due = now + rules.held_s(wall, severity, wait_s=max(0.0, due - now))
        self._write_summary(
            sink, items, 0 if summary is None else summary["more"], agent, verdict=verdict, not_before=due
        )
        return due

    def _summary(self, sink: str) -> tuple[float | None, Notice | None]:
        """Return time and content of the summary that is held."""
        row = self._connection.execute(
            "SELECT not_before, payload FROM outbox"
            " WHERE sink = ? AND key = ? AND not_before > 0 AND NOT given_up",
            (sink, SUMMARY),
        ).fetchone()
        return (None, None) if row is None else (row[0], json.loads(row[1]))

    def _write_summary(
        self,
        sink: str,
        items: Mapping[str, Notice],
        more: int,
        agent: str,
        *,
        verdict: str,
        not_before: float,
    ) -> None:
        self._connection.execute(
            "DELETE FROM outbox WHERE sink = ? AND key = ? AND not_before > 0 AND NOT given_up",
            (sink, SUMMARY),
        )
        if items:
            notice = summarise(sink, list(items.values()), more, agent=agent, at=self._now())
            message = message_of(notice, sink, SUMMARY, not_before=not_before)
            self._insert(message, verdict=verdict, device="")

    def _amend_summary(self, message: Outgoing) -> bool:
        """Note a change in the summary that lists its finding; false if none does, or it is too urgent."""
        not_before, summary = self._summary(message.sink)
        if summary is None or not_before is None:
            return False
        items = {one["key"]: one for one in summary["notices"]}
        if message.key not in items:
            return False
        new = item_of(json.loads(message.payload))
        if RANK[Severity(new["severity"])] > RANK[Severity(items[message.key]["severity"])]:
            self._drop_item(message.sink, message.key)
            return False
        items[message.key] = {**new, "key": message.key}
        self._write_summary(
            message.sink, items, summary["more"], summary["agent"], verdict="", not_before=not_before
        )
        return True

    def _drop_item(self, sink: str, key: str) -> None:
        not_before, summary = self._summary(sink)
        if summary is None or not_before is None:
            return
        items = {one["key"]: one for one in summary["notices"] if one["key"] != key}
        self._write_summary(sink, items, summary["more"], summary["agent"], verdict="", not_before=not_before)

    # --------------------------------------------------------------------------------- the digest

    def _digest_of(self, day: str, rules: NoticeRules, *, agent: str, now: float, wall: float) -> Notice:
        """Return the digest from the journaled findings; their times are agent time."""
        open_now = [
            (device, kind, severity, rules.clock_words(wall - now + opened))
            for device, kind, severity, opened in self._connection.execute(
                "SELECT device, kind, severity, opened FROM findings WHERE NOT cleared ORDER BY opened DESC"
            )
        ]
        opened, cleared = self._connection.execute(
            "SELECT count(*) FILTER (WHERE opened > :since),"
            " count(*) FILTER (WHERE cleared AND clock > :since) FROM findings",
            {"since": now - DAY_S},
        ).fetchone()
        return digest_of(day, open_now, opened=opened, cleared=cleared, agent=agent, at=wall)


def message_of(notice: Notice, sink: str, key: str, *, not_before: float, follows: bool = False) -> Outgoing:
    """Return a notice as a row of the outbox."""
    properties = [("id", notice["id"]), ("severity", str(notice["severity"]))]
    if follows:
        properties.append(("follows", "1"))
    return Outgoing(0, sink, key, encode(notice), properties=tuple(properties), not_before=not_before)
