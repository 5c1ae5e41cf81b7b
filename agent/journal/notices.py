"""Notices in the outbox: held, released, or folded into a summary.

The key of a notice is its incident. One with ``not_before`` above 0 is held, and was never handed to a sink:
a later notice of its key joins it. Released, its bytes are fixed until it is delivered or given up. All that
decides is in the journal: the held rows, and in ``meta`` the deliveries of the last hour and the incidents
that were notified. So a kill changes nothing.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, NamedTuple

from agent.domain.records import FindingEvent, Outgoing, Severity
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
    joined,
    summarise,
    without,
    worst_of,
)

MAX_WAITING = 10_000  # rows of one sink; beyond it the oldest are given up
MAX_AT_ONCE = 500  # rows that one transaction folds or gives up
MAX_TOLD = 1000  # newest incidents of a sink that were notified
AGAIN_S = 60.0
_OVERFLOW = f"more than {MAX_WAITING} notices wait"
_DAY_KEY = "notices digest"
_HELD = "not_before > 0 AND NOT given_up"
#: Made with the first notice; the rows of the broker are in neither. `+sink` leaves the first one aside.
_INDEXES = (
    f"CREATE INDEX IF NOT EXISTS outbox_held ON outbox(sink, not_before) WHERE {_HELD}",
    f"CREATE INDEX IF NOT EXISTS outbox_held_key ON outbox(key) WHERE {_HELD}",
)


class Released(NamedTuple):
    """Changes by one look at the held notices of a sink; ``due`` is the time of the next look."""

    rows: int = 0
    folded: int = 0
    given_up: int = 0
    due: float | None = None


class Alone(StrEnum):
    """Fate of a notice while no other of its incident is held."""

    NEWS = "news"  # it is held unless the incident was notified, as severe
    AGAIN = "again"  # as above, but once an hour also if it was; what is over before its time is dropped
    HELD = "held"
    DROPPED = "dropped"


class _Held(NamedTuple):
    row: int
    key: str
    severity: Severity
    alone: Alone


class NoticeRows:
    """The notices inside one transaction of the writer; ``now`` gives agent time."""

    def __init__(self, connection: sqlite3.Connection, now: Callable[[], float]) -> None:
        self._connection = connection
        self._now = now

    def hold(self, message: Outgoing, *, verdict: str, device: str) -> None:
        """Queue a notice until its time, together with one of its key that is still held.

        Without one its property ``alone`` decides.
        """
        held = self._take(message.key, message.sink)
        for one, _, _ in held:
            if message.key != DIGEST:
                both = joined(json.loads(one.payload), json.loads(message.payload))
                fate = Alone.HELD if _alone(message) is Alone.HELD else _alone(one)
                if fate is Alone.AGAIN and both["event"] == FindingEvent.CLEARED:
                    return
                message = _with(both, message, fate)
            message = replace(message, not_before=min(message.not_before, one.not_before))
        if not held:
            amended = self._amend_summary(message)
            if amended is None:
                return
            if amended is message:
                fate = self._fate(message)
                if fate is Alone.DROPPED:
                    return
                amended = _with(json.loads(message.payload), message, fate)
            message = amended
        self._insert(message, verdict=verdict, device=device)

    def withdraw(self, key: str, finding_id: str, *, again: bool = False) -> None:
        """Drop what is held of a finding, for all sinks: a person knows of it.

        The person knows of the incident too: only critical findings of it are notified later.
        ``again``: whatever comes later may be notified once more.
        """
        for held, verdict, device in self._take(key):
            left = without(json.loads(held.payload), finding_id)
            if left is not None:
                self._insert(_with(left, held, _alone(held)), verdict=verdict, device=device)
        for sink in self._summarised():
            self._change_items(sink, lambda items: _leave_out(items, key, finding_id))
        for name, state in self._states():
            told = state.get("told", {})
            before = told.get(key)
            if again:
                told.pop(key, None)
            elif before == Severity.CRITICAL:
                told[key] = Severity.WARNING
            if told.get(key) != before:
                write_meta(self._connection, name, json.dumps(state))

    def merge(self, key: str, into: str) -> None:
        """Move what is held of an incident to an older one with its cause."""
        for name, state in self._states():
            told = state.get("told", {})
            if key in told:
                told[into] = worst_of((told.pop(key), told.get(into, Severity.INFO)))
                write_meta(self._connection, name, json.dumps(state))
        for held, verdict, device in self._take(key):
            content = {**json.loads(held.payload), "incident_id": into}
            moved = replace(_with(content, held, _alone(held)), key=into)
            self.hold(moved, verdict=verdict, device=device)
        for sink in self._summarised():
            self._change_items(sink, lambda items: _move(items, key, into))

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
        given_up = self._give_up(sink)
        due = self._due(sink, now)
        dues = self._next(sink, now)
        out = self._outstanding(sink)
        sent = [at for at in self._state(sink)["sent"] if now - HOUR_S < at <= now]
        free = max(0, rules.max_per_hour - len(sent) - sum(key not in (SUMMARY, DIGEST) for key in out))
        extra = [one for one in due if one.key == DIGEST or (one.key == SUMMARY and SUMMARY not in out)]
        blocked = any(one.key == SUMMARY for one in due) and SUMMARY in out
        mine = sorted(
            (one for one in due if one.key not in (SUMMARY, DIGEST)), key=lambda one: -RANK[one.severity]
        )
        go, rest = [*extra, *mine[:free]], mine[free:][:MAX_AT_ONCE]
        self._note_told(sink, [*mine[:free], *rest])
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
        for statement in _INDEXES:
            self._connection.execute(statement)
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

    def _take(self, key: str, sink: str | None = None) -> list[tuple[Outgoing, str, str]]:
        """Delete the held rows of a key, of one sink or all; return each with its verdict and device."""
        rows = self._connection.execute(
            f"DELETE FROM outbox WHERE {'' if sink is None else '+sink = :sink AND'} key = :key AND {_HELD}"  # noqa: S608 - ours
            " RETURNING sink, payload, properties, not_before, verdict, device",
            {"sink": sink, "key": key},
        ).fetchall()
        return [
            (
                Outgoing(0, of, key, payload, properties=decode_properties(properties), not_before=at),
                verdict,
                device,
            )
            for of, payload, properties, at, verdict, device in rows
        ]

    def _fate(self, message: Outgoing) -> Alone:
        """Return what becomes of a notice while no other of its incident is held."""
        alone, state = _alone(message), self._state(message.sink)
        if alone in (Alone.HELD, Alone.DROPPED):
            return alone
        told = state.get("told", {}).get(message.key)
        if told is None or RANK[Severity(dict(message.properties)["severity"])] > RANK[Severity(told)]:
            return Alone.NEWS
        if alone is Alone.AGAIN and self._now() - state.get("again", {}).get(message.key, 0.0) >= HOUR_S:
            return Alone.AGAIN
        return Alone.DROPPED

    def _note_told(self, sink: str, rows: Sequence[_Held]) -> None:
        if not rows:
            return
        state = self._state(sink)
        told, now = state.get("told", {}), self._now()
        again = {key: at for key, at in state.get("again", {}).items() if now - at < HOUR_S}
        for one in rows:
            before = told.pop(one.key, Severity.INFO)
            (payload,) = self._connection.execute(
                "SELECT payload FROM outbox WHERE id = ?", (one.row,)
            ).fetchone()
            if one.alone is Alone.AGAIN:
                again[one.key] = now
            if json.loads(payload)["event"] != FindingEvent.CLEARED:  # after an end, what comes back is news
                told[one.key] = worst_of((one.severity, before))
        state["told"] = dict(list(told.items())[-MAX_TOLD:])
        state["again"] = dict(list(again.items())[-MAX_TOLD:])
        write_meta(self._connection, f"notices {sink}", json.dumps(state))

    def _states(self) -> list[tuple[str, dict[str, Any]]]:
        """Return what is known of the notices of each sink, by its name in ``meta``."""
        return [
            (name, json.loads(text))
            for name, text in self._connection.execute(
                "SELECT key, value FROM meta WHERE key LIKE 'notices %' AND key != ?", (_DAY_KEY,)
            ).fetchall()
        ]

    def _state(self, sink: str) -> dict[str, Any]:
        text = read_meta(self._connection, f"notices {sink}")
        state: dict[str, Any] = json.loads(text) if isinstance(text, str) else {"sent": [], "summary": 0.0}
        return state

    def _due(self, sink: str, now: float) -> list[_Held]:
        rows = self._connection.execute(
            f"SELECT id, key, properties FROM outbox WHERE sink = ? AND {_HELD} AND not_before <= ?"  # noqa: S608 - ours
            " ORDER BY id",
            (sink, now),
        )
        found = ((row, key, dict(decode_properties(properties))) for row, key, properties in rows)
        return [
            _Held(row, key, Severity(words["severity"]), Alone(words.get("alone", Alone.NEWS)))
            for row, key, words in found
        ]

    def _next(self, sink: str, now: float) -> list[float]:
        """Return the time of the next notice that is held, or none."""
        ((at,),) = self._connection.execute(
            f"SELECT min(not_before) FROM outbox WHERE sink = ? AND {_HELD} AND not_before > ?",  # noqa: S608 - ours
            (sink, now),
        ).fetchall()
        return [] if at is None else [at]

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

    def _give_up(self, sink: str) -> int:
        """Give up the oldest ones that are held where too many are; return how many."""
        ((held,),) = self._connection.execute(
            f"SELECT count(*) FROM outbox WHERE sink = ? AND {_HELD}",  # noqa: S608 - ours
            (sink,),
        ).fetchall()
        if held <= MAX_WAITING:
            return 0
        return self._connection.execute(
            "UPDATE outbox SET given_up = 1, reason = ?, refused = coalesce(refused, ?) WHERE id IN"  # noqa: S608 - ours
            f" (SELECT id FROM outbox WHERE sink = ? AND {_HELD} ORDER BY id LIMIT ?)",
            (_OVERFLOW, self._now(), sink, min(held - MAX_WAITING, MAX_AT_ONCE)),
        ).rowcount

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
            f"SELECT not_before, payload FROM outbox WHERE +sink = ? AND key = ? AND {_HELD}",  # noqa: S608 - ours
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
            f"DELETE FROM outbox WHERE +sink = ? AND key = ? AND {_HELD}",  # noqa: S608 - ours
            (sink, SUMMARY),
        )
        if items:
            notice = summarise(sink, list(items.values()), more, agent=agent, at=self._now())
            message = message_of(notice, sink, SUMMARY, not_before=not_before)
            self._insert(message, verdict=verdict, device="")

    def _summarised(self) -> list[str]:
        """Return the sinks of which a summary is held."""
        return [
            sink
            for (sink,) in self._connection.execute(
                f"SELECT DISTINCT sink FROM outbox WHERE key = ? AND {_HELD}",  # noqa: S608 - ours
                (SUMMARY,),
            ).fetchall()
        ]

    def _amend_summary(self, message: Outgoing) -> Outgoing | None:
        """Note a change in the summary that lists its incident, and return None.

        If none does, the message is returned; if it is too severe, joined with its item of the summary.
        """
        summary = self._summary(message.sink)[1]
        old = next((one for one in (summary or {}).get("notices", ()) if one["key"] == message.key), None)
        if old is None:
            return message
        new = joined(old, json.loads(message.payload))
        if RANK[Severity(new["severity"])] > RANK[Severity(old["severity"])]:
            self._change_items(message.sink, lambda items: _put(items, message.key, None))
            return _with(new, message, _alone(message))
        self._change_items(message.sink, lambda items: _put(items, message.key, new))
        return None

    def _change_items(self, sink: str, change: Callable[[dict[str, Notice]], None]) -> None:
        """Change what a held summary lists, by key."""
        not_before, summary = self._summary(sink)
        if summary is None or not_before is None:
            return
        before = {one["key"]: one for one in summary["notices"]}
        after = dict(before)
        change(after)
        if after != before:
            items = {key: {**item_of(one), "key": key} for key, one in after.items()}
            self._write_summary(
                sink, items, summary["more"], summary["agent"], verdict="", not_before=not_before
            )

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


def message_of(
    notice: Notice, sink: str, key: str, *, not_before: float, alone: Alone = Alone.NEWS
) -> Outgoing:
    """Return a notice as a row of the outbox."""
    properties = [("id", notice["id"]), ("severity", str(notice["severity"]))]
    if alone is not Alone.NEWS:
        properties.append(("alone", alone))
    return Outgoing(0, sink, key, encode(notice), properties=tuple(properties), not_before=not_before)


def _alone(message: Outgoing) -> Alone:
    return Alone(dict(message.properties).get("alone", Alone.NEWS))


def _with(notice: Notice, message: Outgoing, alone: Alone) -> Outgoing:
    """Return a message with the content and the fate that it has now."""
    return message_of(notice, message.sink, message.key, not_before=message.not_before, alone=alone)


def _put(items: dict[str, Notice], key: str, new: Notice | None) -> None:
    items.pop(key, None)
    if new is not None:
        items[key] = new


def _leave_out(items: dict[str, Notice], key: str, finding_id: str) -> None:
    if key in items:
        _put(items, key, without(items[key], finding_id))


def _move(items: dict[str, Notice], key: str, into: str) -> None:
    if key in items:
        new = items.pop(key)
        items[into] = joined(items[into], new) if into in items else new
