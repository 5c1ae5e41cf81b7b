"""State for start-up: snapshot, open windows, findings, rows to replay."""

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from agent.domain.records import (
    MessageRow,
    Reading,
    Recovered,
    Row,
    SettingsRow,
    TimerKind,
    TimerRow,
    Window,
)
from agent.journal import commands, findings, incidents
from agent.journal.codec import decode_window
from agent.journal.schema import SEALED
from agent.journal.sequence import TABLES

_CHUNK = 500
MAX_CLOSED = 1000  # findings that are over
MAX_TOLD = 1000  # open findings whose last verdict is read
MAX_PENDING = 2000  # windows that are still asked about; some 5 KB each


def recover(connection: sqlite3.Connection) -> Recovered:
    """Read everything except the rows."""
    snapshot = connection.execute("SELECT seq, body, floor, clock FROM snapshots").fetchone()
    seq, floor = (0, 0) if snapshot is None else (int(snapshot[0]), int(snapshot[2]))
    windows, attempts, overdue = _read_pending(connection)
    batches, audits = _read_batches(connection)
    found = findings.read(connection)
    return Recovered(
        snapshot=None if snapshot is None else bytes(snapshot[1]),
        snapshot_seq=seq,
        pending=windows,
        overdue=overdue,
        attempts=attempts,
        batches=batches,
        audits=audits,
        findings=found,
        # From the floor on: what the snapshot still has open may be sealed although no reading came since.
        sealed_to=dict(
            connection.execute("SELECT device, max(hi) FROM windows WHERE hi >= ? GROUP BY device", (floor,))
        ),
        snapshot_clock=_first_clock(connection) if snapshot is None else float(snapshot[3]),
        closed=findings.read(connection, closed=True)[-MAX_CLOSED:],
        commands=commands.read_decided(connection),
        incidents=incidents.read(connection),
        past_incidents=incidents.read_past(connection),
        told=findings.last_verdicts(connection, found[-MAX_TOLD:]),
        settings=_read_settings(connection, seq),
        last_settings=_read_settings(connection, sys.maxsize),
    )


def _read_settings(connection: sqlite3.Connection, seq: int) -> str | None:
    """Return the settings that held at a row; those of the first row of theirs held before it too."""
    row = connection.execute(
        "SELECT body FROM settings WHERE seq <= ? ORDER BY seq DESC LIMIT 1", (seq,)
    ).fetchone()
    row = row or connection.execute("SELECT body FROM settings ORDER BY seq LIMIT 1").fetchone()
    return None if row is None else str(row[0])


def _read_pending(
    connection: sqlite3.Connection,
) -> tuple[tuple[Window, ...], dict[str, int], frozenset[str]]:
    """Return the windows without a verdict, their attempts, and those beyond :data:`MAX_PENDING`.

    An agent that dies again and again seals more windows than it concludes. Their prompt sections are most
    of their memory, so that without a bound it could no longer start under the unit's limit.
    """
    (count,) = connection.execute(
        "SELECT count(*) FROM windows WHERE state = ? AND state < 2", (SEALED,)
    ).fetchone()
    rows = connection.execute(
        "SELECT body, attempts FROM windows WHERE state = ? AND state < 2 ORDER BY n", (SEALED,)
    )
    windows: list[Window] = []
    attempts: dict[str, int] = {}
    overdue: set[str] = set()
    for place, (body, tries) in enumerate(rows):
        window = decode_window(body)
        if count - place > MAX_PENDING:
            window = replace(window, section="")
            overdue.add(window.id)
        windows.append(window)
        if tries:
            attempts[window.id] = tries
    return tuple(windows), attempts, frozenset(overdue)


def _read_batches(connection: sqlite3.Connection) -> tuple[tuple[tuple[str, ...], ...], frozenset[str]]:
    """Return the windows without a verdict that were put together, and which of them were audits."""
    members: dict[str, set[str]] = {}
    for window_id, batch in connection.execute(
        "SELECT id, batch FROM windows WHERE state = ? AND state < 2 AND batch IS NOT NULL", (SEALED,)
    ):
        members.setdefault(batch, set()).add(window_id)
    batches: list[tuple[str, ...]] = []
    audits: set[str] = set()
    for batch, ids in members.items():
        for windows, audit in connection.execute("SELECT windows, audit FROM batches WHERE id = ?", (batch,)):
            batches.append(tuple(one for one in json.loads(windows) if one in ids))
            audits.update(ids.intersection(json.loads(audit)))
    return tuple(batches), frozenset(audits)


def _first_clock(connection: sqlite3.Connection) -> float | None:
    """Return the clock of the first row of the sequence, or None."""
    clocks = [
        row[0]
        for table in TABLES
        for row in connection.execute(f"SELECT clock FROM {table} ORDER BY seq LIMIT 1")  # noqa: S608  - our own table names
    ]
    return min(clocks, default=None)


_PEOPLE_SINCE = 7
_WORDS_SINCE = 6  # version of the tables; an older journal may be read before the agent migrates it


_SETTINGS_SINCE = 8
_PERSON, _SETTINGS = "person", "settings"
_COMMAND_HEADS = (
    " UNION ALL SELECT seq, clock, NULL, 0, 'person', NULL, NULL FROM commands"
    " WHERE seq > :after AND seq <= :upto"
)
_SETTINGS_HEADS = (
    " UNION ALL SELECT seq, clock, NULL, 0, 'settings', body, NULL FROM settings"
    " WHERE seq > :after AND seq <= :upto"
)


def read_rows(connection: sqlite3.Connection, *, after: int, upto: int) -> Iterator[Row]:
    """Yield the rows of the sequence with ``after < seq <= upto``, in order, a chunk in memory at a time."""
    names = _SeriesNames(connection)
    while after < upto:
        rows = _read_chunk(connection, names, after, upto)
        yield from rows
        if len(rows) < _CHUNK:
            return
        after = rows[-1].seq


class _SeriesNames:
    """Device, metric, unit and word by series id, each text held once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._names: dict[int, tuple[str, str, str | None, str | None]] = {}
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        self.old, self.without_people = version < _WORDS_SINCE, version < _PEOPLE_SINCE
        people = "" if self.without_people else _COMMAND_HEADS
        self.more_heads = people + ("" if version < _SETTINGS_SINCE else _SETTINGS_HEADS)

    def __getitem__(self, series: int) -> tuple[str, str, str | None, str | None]:
        found = self._names.get(series)
        if found is None:
            word = "NULL" if self.old else "word"
            found = self._connection.execute(
                f"SELECT device, metric, unit, {word} FROM series WHERE id = ?",  # noqa: S608 - ours
                (series,),
            ).fetchone()
            self._names[series] = found
        return found

    def readings(self, table: str, first: int, last: int) -> dict[int, tuple[Reading, ...]]:
        """Return the readings of a table by their row, from ``first`` to ``last``."""
        readings: dict[int, list[Reading]] = {}
        with closing(
            self._connection.execute(
                f"SELECT seq, series, at, value FROM {table} WHERE seq >= ? AND seq <= ? ORDER BY seq, idx",  # noqa: S608 - ours
                (first, last),
            )
        ) as cursor:
            for seq, series, at, value in cursor:
                device, metric, unit, word = self[series]
                readings.setdefault(seq, []).append(Reading(device, metric, at, value, unit, word))
        return {seq: tuple(found) for seq, found in readings.items()}


def _read_chunk(connection: sqlite3.Connection, names: _SeriesNames, after: int, upto: int) -> list[Row]:
    seconds = "NULL" if names.old else "seconds"
    heads = connection.execute(
        "SELECT seq, clock, nullif(traceparent, ''), seed, NULL, NULL, NULL FROM messages"  # noqa: S608 - ours
        " WHERE seq > :after AND seq <= :upto"
        f" UNION ALL SELECT seq, clock, NULL, 0, kind, device, {seconds} FROM timer_events"
        f" WHERE seq > :after AND seq <= :upto{names.more_heads}"
        " ORDER BY seq LIMIT :limit",
        {"after": after, "upto": upto, "limit": _CHUNK},
    ).fetchall()
    if not heads:
        return []
    span = heads[0][0], heads[-1][0]
    readings = names.readings("readings", *span)
    history = {} if names.old else names.readings("history", *span)
    said = {} if names.without_people else commands.read(connection, after=span[0] - 1, upto=span[1])
    return [
        MessageRow(seq, clock, readings.get(seq, ()), traceparent, bool(seed), history.get(seq, ()))
        if kind is None
        else said[seq]
        if kind == _PERSON
        else SettingsRow(seq, clock, name)
        if kind == _SETTINGS
        else TimerRow(seq, clock, TimerKind(kind), name, announced)
        for seq, clock, traceparent, seed, kind, name, announced in heads
    ]
