"""Read-only access to a journal, with or without its agent, leaving no files.

A journal in WAL mode is three files. With an agent running, or killed, all three are there and a read-only
connection uses them, also for a user who may not write them. After a clean stop only the main file is left;
SQLite would create the other two to read it, so it is opened as immutable. A WAL without its index (a copied
or restored journal) is read from a temporary copy.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import quote

from agent.domain.records import CommandRow, Finding, Incident, MessageRow, Row, Window
from agent.journal import commands, feedback, findings, incidents, samples
from agent.journal.clocks import Faulty, read_faults
from agent.journal.codec import decode_window
from agent.journal.errors import JournalCorruptError, JournalError, is_damage
from agent.journal.opening import NAME
from agent.journal.recovery import read_rows
from agent.journal.schema import APPLICATION_ID, check_version, read_meta
from agent.journal.source_saves import KEY, read_counts
from agent.journal.source_tally import EarlierCounts
from agent.journal.state_dir import refuse_planted


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One AI call as journaled; ``detail`` is what the caller kept of prompt and reply."""

    id: str
    windows: tuple[str, ...]
    audit: tuple[str, ...]
    attempts: int
    clock: float
    detail: bytes | None


@dataclass(frozen=True, slots=True)
class VerdictRecord:
    """One verdict as journaled, with the window it speaks of."""

    id: str
    device: str
    body: bytes
    created: float
    state: str  # waiting | acknowledged | undeliverable
    detail: bytes | None
    window: Window | None
    batch: BatchRecord | None


@dataclass(frozen=True, slots=True)
class WindowRecord:
    """One window and how far it came."""

    window: Window
    state: str  # sealed | concluded | settled
    attempts: int
    batch: str | None


@dataclass(frozen=True, slots=True)
class QuarantineRecord:
    """A message that no reading could be made of."""

    id: int
    topic: str
    payload: bytes  # at most the first 256 KiB
    size: int
    reason: str
    detail: str
    received: float


@dataclass(frozen=True, slots=True)
class OutboxRecord:
    """A message that waits for its sink, or was given up."""

    id: int
    verdict: str
    sink: str
    key: str
    size: int
    reason: str | None  # of the last failed delivery
    given_up: bool


@dataclass(frozen=True, slots=True)
class NoticesRecord:
    """How the notices of one sink go."""

    waiting: int  # held ones included
    held: int  # until their time
    given_up: int
    lost: int  # of these, those of the last day or two
    failing_since: float | None  # agent time
    reason: str | None  # of the last failed delivery


_STATES = ("waiting", "acknowledged", "undeliverable")
_WINDOW_STATES = ("sealed", "concluded", "settled")
_CLOCKS_SINCE = 6
_LOST_S = 2 * 86_400.0  # since the first failure; after the first of them a notice is given up
_PEOPLE_SINCE = 7
_SETTINGS_SINCE = 8
_SAMPLES_SINCE = 9
_MAX_SERIES = 64  # of a device, with samples
_SINKS_SINCE = 4  # version of the tables; an older journal may be read before the agent migrates it
_OUTBOX_BEFORE = (
    "(SELECT id, verdict, 'mqtt' AS sink, topic AS key, payload, clock, refused, given_up,"
    " CASE WHEN reason_code NOTNULL THEN printf('reason code 0x%02x', reason_code) END AS reason"
    " FROM outbox)"
)


class FindingRecord(NamedTuple):
    """A finding with the clock of its end, None while it is open."""

    finding: Finding
    ended: float | None


class Reader:
    """A read-only view of a journal; use it as a context manager."""

    def __init__(self, connection: sqlite3.Connection, cleanup: ExitStack, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._cleanup = cleanup
        self._version = connection.execute("PRAGMA user_version").fetchone()[0]
        self._people = ("commands",) if self._version >= _PEOPLE_SINCE else ()
        self._settings = ("settings",) if self._version >= _SETTINGS_SINCE else ()
        self._outbox = "outbox" if self._version >= _SINKS_SINCE else _OUTBOX_BEFORE

    @classmethod
    def open(cls, state_dir: Path) -> Self:
        """Open the journal of a state directory.

        Raises:
            JournalError: there is none, or this user may not read it.
            JournalNewerError: a newer agent wrote it.
        """
        path = state_dir / NAME
        refuse_planted(path)
        with ExitStack() as stack:
            try:
                connection = _connect(path, stack)
                stack.callback(connection.close)
                _check(connection, path)
            except sqlite3.Error as error:
                raise _explain(path, error) from error
            return cls(connection, stack.pop_all(), path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if isinstance(error, sqlite3.Error):  # a page that cannot be read must not end the agent that looks
            raise _explain(self._path, error) from error

    def close(self) -> None:
        """Close the connection and remove a temporary copy."""
        self._cleanup.close()

    # ---------------------------------------------------------------------------------- the whole

    def meta(self, key: str) -> str | None:
        """Return ``journal_id``, ``agent_id``, ``generation``, ``linked``, ``ids_reused`` or ``filters``."""
        value = read_meta(self._connection, key)
        return None if value is None else str(value)

    def sources(self) -> dict[str, EarlierCounts] | None:
        """Return the counts by source as they were last written, None where they never were."""
        text = self.meta(KEY)
        return None if text is None else read_counts(text)

    def clocks(self) -> list[Faulty]:
        """Return the devices whose clock is wrong or shows local time."""
        return read_faults(self._connection) if self._version >= _CLOCKS_SINCE else []

    def counts(self) -> dict[str, int]:
        """Count the rows of each table that grows."""
        tables = (
            "messages",
            "readings",
            "timer_events",
            *self._people,
            "quarantine",
            "windows",
            "batches",
            "verdicts",
            "outbox",
        )
        return {
            table: int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608  - our own table names
            for table in tables
        }

    def undelivered(self, but: Sequence[str] = ()) -> tuple[int, int]:
        """Count the messages that wait for a sink, and those given up, without the sinks ``but``."""
        every = self._connection.execute("SELECT count(*) FROM outbox").fetchone()[0]
        given_up = self._connection.execute("SELECT count(*) FROM outbox WHERE given_up = 1").fetchone()[0]
        others = self.notices(but)
        waiting = every - given_up - sum(one.waiting for one in others.values())
        return waiting, given_up - sum(one.given_up for one in others.values())

    def given_up(self, but: Sequence[str] = ()) -> tuple[str, float] | None:
        """Return the key of the oldest message that was given up, and since when its delivery failed."""
        row = self._connection.execute(
            f"SELECT key, coalesce(refused, clock) FROM {self._outbox} WHERE given_up = 1"  # noqa: S608 - ours
            f" AND sink NOT IN ({', '.join('?' * len(but))}) ORDER BY id LIMIT 1",
            but,
        ).fetchone()
        return None if row is None else (str(row[0]), float(row[1]))

    def notices(self, sinks: Sequence[str], now: float = 0.0) -> dict[str, NoticesRecord]:
        """Return how the notices of each sink go at agent time ``now``; older journals have none."""
        found = {}
        for sink in sinks if self._version >= _SINKS_SINCE else ():
            waiting, held, since = self._connection.execute(
                "SELECT count(*), count(*) FILTER (WHERE not_before > 0), min(refused) FROM outbox"
                " WHERE sink = ? AND NOT given_up",
                (sink,),
            ).fetchone()
            given_up, lost = self._connection.execute(
                "SELECT count(*), count(*) FILTER (WHERE refused > ?) FROM outbox"
                " WHERE given_up = 1 AND sink = ?",
                (now - _LOST_S, sink),
            ).fetchone()
            reason = self._connection.execute(
                "SELECT reason FROM outbox WHERE sink = ? AND refused NOTNULL ORDER BY id DESC LIMIT 1",
                (sink,),
            ).fetchone()
            why = None if reason is None else reason[0]
            found[sink] = NoticesRecord(waiting, held, given_up, lost, since, why)
        return found

    def refused_since(self, outbox_id: int) -> float | None:
        """Return since when the delivery of a waiting message fails, None if it does not."""
        row = self._connection.execute("SELECT refused FROM outbox WHERE id = ?", (outbox_id,)).fetchone()
        return None if row is None or row[0] is None else float(row[0])

    def devices(self) -> list[str]:
        """Return the devices that have sent a reading, also those without one that is kept."""
        return [
            row[0] for row in self._connection.execute("SELECT DISTINCT device FROM series ORDER BY device")
        ]

    def sources_of_devices(self) -> dict[str, str]:
        """Return the source of each device, as far as it is known."""
        if self._version < _PEOPLE_SINCE:
            return {}
        return dict(self._connection.execute("SELECT device, source FROM devices"))

    def metrics(self, device: str) -> list[str]:
        """Return the metrics of a device, in the order in which they were first received."""
        rows = self._connection.execute("SELECT metric FROM series WHERE device = ? ORDER BY id", (device,))
        return [row[0] for row in rows]

    def damage(self) -> str | None:
        """Return what SQLite's quick check finds wrong with the file, None when it is sound."""
        try:
            found = str(self._connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.Error as error:
            return str(error)
        return None if found == "ok" else found

    def last_clock(self) -> float:
        """Return agent time of the newest row of the sequence, 0.0 without one."""
        tables = ("messages", "timer_events", *self._people)
        return max(_newest(self._connection, table) for table in tables)

    def is_whole(self) -> bool:
        """Return whether the sequence has all its rows since the first one."""
        (first,) = self._connection.execute(
            "SELECT min(seq) FROM (SELECT min(seq) AS seq FROM messages"
            " UNION ALL SELECT min(seq) FROM timer_events)"
        ).fetchone()
        rarely = [table for table in (*self._people, *self._settings) if first is not None]
        before = sum(
            self._connection.execute(f"SELECT count(*) FROM {table} WHERE seq < ?", (first,)).fetchone()[0]  # noqa: S608 - ours
            for table in rarely
        )
        return bool(first == before + 1)

    def snapshot(self) -> tuple[int, bytes] | None:
        """Return seq and body of the last snapshot."""
        row = self._connection.execute("SELECT seq, body FROM snapshots").fetchone()
        return None if row is None else (int(row[0]), bytes(row[1]))

    def rows_after(self, seq: int) -> Iterator[Row]:
        """Yield the rows of the sequence above ``seq``."""
        return read_rows(self._connection, after=seq, upto=2**62)

    # ------------------------------------------------------------------------- windows and verdicts

    def verdict(self, verdict_id: str) -> VerdictRecord | None:
        """Return one verdict by its id, or by a unique beginning of it."""
        found = list(self._verdicts("v.id = ?", (verdict_id,)))
        if not found:
            found = list(self._verdicts("substr(v.id, 1, length(?1)) = ?1 LIMIT 2", (verdict_id,)))
        return found[0] if len(found) == 1 else None

    def feedback(self, verdict_id: str) -> list[dict[str, object]]:
        """Return the feedback on a verdict, oldest first."""
        return feedback.read(self._connection, verdict_id)

    def verdicts(self, *, limit: int, device: str | None = None) -> Iterator[VerdictRecord]:
        """Yield the newest verdicts, newest first."""
        return self._verdicts("?2 IS NULL OR v.device = ?2 ORDER BY v.n DESC LIMIT ?1", (limit, device))

    def windows(self, *, limit: int, device: str | None = None) -> Iterator[WindowRecord]:
        """Yield the newest windows, newest first."""
        for body, state, attempts, batch in self._connection.execute(
            "SELECT body, state, attempts, batch FROM windows WHERE ?2 IS NULL OR device = ?2"
            " ORDER BY n DESC LIMIT ?1",
            (limit, device),
        ):
            yield WindowRecord(decode_window(body), _WINDOW_STATES[state], attempts, batch)

    def readings_of(self, window: Window) -> Iterator[Row]:
        """Yield what is still journaled of a window: its rows, cut to the readings of its device."""
        for row in read_rows(self._connection, after=window.lo - 1, upto=window.hi):
            if isinstance(row, MessageRow) and not row.seed:
                readings = tuple(reading for reading in row.readings if reading.device == window.device)
                if readings:
                    yield MessageRow(row.seq, row.clock, readings, row.traceparent)

    def batches(self, *, limit: int) -> Iterator[BatchRecord]:
        """Yield the newest batches, newest first."""
        for row in self._connection.execute(
            "SELECT id, windows, audit, attempts, clock, detail FROM batches ORDER BY n DESC LIMIT ?",
            (limit,),
        ):
            yield _batch(row)

    def findings(self, *, closed: bool = False) -> tuple[Finding, ...]:
        """Return the open findings, or with ``closed`` those that are kept after their end."""
        return findings.read(self._connection, closed=closed)

    def findings_of(self, device: str, *, limit: int) -> list[FindingRecord]:
        """Return the last findings of a device, open and over, newest first."""
        return [FindingRecord(*row) for row in findings.read_of(self._connection, device, limit=limit)]

    def finding(self, finding_id: str) -> FindingRecord | None:
        """Return one finding, open or over."""
        found = findings.read_one(self._connection, finding_id)
        return None if found is None else FindingRecord(*found)

    def incidents(self) -> tuple[Incident, ...]:
        """Return the open incidents and the last ones that are over, oldest first."""
        if self._version < _PEOPLE_SINCE:
            return ()
        return (*incidents.read_past(self._connection), *incidents.read(self._connection))

    def last_readings(
        self, device: str, *, after: float, before: float, max_rows: int
    ) -> dict[str, list[tuple[float, float]]]:
        """Return times and values of a device by metric, among the last ``max_rows`` rows of all devices."""
        named = dict(self._connection.execute("SELECT id, metric FROM series WHERE device = ?", (device,)))
        newest = self._connection.execute("SELECT max(seq) FROM messages").fetchone()[0] or 0
        found: dict[str, list[tuple[float, float]]] = {}
        marks = ",".join("?" * len(named))
        for series, at, value in self._connection.execute(
            f"SELECT series, at, value FROM readings WHERE seq > ? AND series IN ({marks})"  # noqa: S608 - marks only
            " AND at BETWEEN ? AND ? AND seq NOT IN (SELECT seq FROM messages WHERE seq > ? AND seed)"
            " ORDER BY seq",
            (newest - max_rows, *named, after, before, newest - max_rows),
        ):
            found.setdefault(named[series], []).append((at, value))
        return found

    def samples_of(self, device: str, *, after: float, before: float) -> dict[str, list[samples.Sample]]:
        """Return the samples of a device by metric, made of readings that were pruned."""
        if self._version < _SAMPLES_SINCE:
            return {}
        newest = self._connection.execute(
            "SELECT id, metric FROM series WHERE device = ? ORDER BY id DESC LIMIT ?", (device, _MAX_SERIES)
        )
        return samples.read(self._connection, dict(newest), after=after, before=before)

    def commands(self) -> tuple[CommandRow, ...]:
        """Return the decided commands of people, oldest first."""
        return commands.read_decided(self._connection) if self._people else ()

    def feedback_by_series(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return by device and metric how many findings people called false alarms, and confirmed."""
        of_findings = commands.read_words(self._connection) if self._people else ()
        return feedback.count(chain(feedback.read_words(self._connection), of_findings))

    # -------------------------------------------------------------------------- what did not go on

    def quarantine(self, *, limit: int) -> Iterator[QuarantineRecord]:
        """Yield the newest quarantined messages, newest first."""
        for row in self._connection.execute(
            "SELECT id, topic, payload, size, reason, detail, received FROM quarantine"
            " ORDER BY id DESC LIMIT ?",
            (limit,),
        ):
            yield QuarantineRecord(*row)

    def outbox(self, *, limit: int, verdict: str | None = None) -> Iterator[OutboxRecord]:
        """Yield the messages that wait for a sink or were given up, oldest first."""
        for outbox_id, verdict_id, sink, key, size, reason, given_up in self._connection.execute(
            f"SELECT id, verdict, sink, key, length(payload), reason, given_up FROM {self._outbox}"  # noqa: S608 - ours
            " WHERE ?2 IS NULL OR verdict = ?2 ORDER BY id LIMIT ?1",
            (limit, verdict),
        ):
            yield OutboxRecord(outbox_id, verdict_id, sink, key, size, reason, bool(given_up))

    def _verdicts(self, condition: str, values: tuple[object, ...]) -> Iterator[VerdictRecord]:
        rows = self._connection.execute(
            "SELECT v.id, v.device, v.body, v.created, v.acked, v.detail, w.body, w.batch FROM verdicts v"  # noqa: S608  - our own conditions
            f" LEFT JOIN windows w ON w.id = v.id WHERE {condition}",
            values,
        )
        for verdict_id, device, body, created, acked, detail, window, batch_id in rows:
            batch = self._connection.execute(
                "SELECT id, windows, audit, attempts, clock, detail FROM batches WHERE id = ?", (batch_id,)
            ).fetchone()
            yield VerdictRecord(
                verdict_id,
                device,
                bytes(body),
                created,
                _STATES[acked],
                detail,
                None if window is None else decode_window(window),
                None if batch is None else _batch(batch),
            )


def _newest(connection: sqlite3.Connection, table: str) -> float:
    row = connection.execute(f"SELECT clock FROM {table} ORDER BY seq DESC LIMIT 1").fetchone()  # noqa: S608  - our own table names
    return 0.0 if row is None else float(row[0])


def connect_to_read(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """Open read-only, next to other connections."""
    options = "mode=ro&immutable=1" if immutable else "mode=ro"
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{options}", uri=True, isolation_level=None, timeout=5.0
    )


def _connect(path: Path, stack: ExitStack) -> sqlite3.Connection:
    try:
        path.stat()
        if not os.access(path, os.R_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise _explain(path, error) from error
    wal, index = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if not wal.exists():
        return connect_to_read(path, immutable=True)
    if index.exists():
        return connect_to_read(path)
    import shutil  # noqa: PLC0415 - not for the journal of a running agent
    import tempfile  # noqa: PLC0415

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-agent-")))
    for file in (path, wal):
        shutil.copyfile(file, folder / file.name)
    return connect_to_read(folder / path.name)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    check_version(path, int(connection.execute("PRAGMA user_version").fetchone()[0]))
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise JournalError(f"journal: {path} is not a journal of edge-agent; check agent.state_dir")


def _batch(row: tuple[str, str, str, int, float, bytes | None]) -> BatchRecord:
    batch_id, windows, audit, attempts, clock, detail = row
    return BatchRecord(
        batch_id, tuple(json.loads(windows)), tuple(json.loads(audit)), attempts, clock, detail
    )


def _explain(path: Path, error: OSError | sqlite3.Error) -> JournalError:
    if isinstance(error, FileNotFoundError):
        return JournalError(
            f"journal: there is none at {path}; check agent.state_dir, or run the agent first"
        )
    if is_damage(error):
        return JournalCorruptError(f"journal: {path} is damaged: {error}; the next start moves it aside")
    if isinstance(error, NotADirectoryError):
        return JournalError(f"journal: {path.parent} is not a directory; correct agent.state_dir")
    why = error.strerror if isinstance(error, OSError) else str(error)
    return JournalError(f"journal: cannot read {path}: {why}; run this as the agent's user or as root")
