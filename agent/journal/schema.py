"""Tables of ``journal.sqlite``, their version, and how the file is opened.

A step is statements that lead from version n - 1 to n. They run in one transaction with the version's number,
so that a process killed in between leaves the older file whole. A new file takes the same steps, from
version 0.
"""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from agent.journal.errors import JournalCorruptError, JournalError, JournalNewerError
from agent.journal.state_dir import sync_directory
from agent.testing.failpoint import failpoint

FIRST = """
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS messages(
  seq INTEGER PRIMARY KEY, generation INTEGER NOT NULL, mid INTEGER NOT NULL, topic TEXT NOT NULL,
  payload BLOB NOT NULL, traceparent TEXT NOT NULL, seed INTEGER NOT NULL, received REAL NOT NULL,
  clock REAL NOT NULL);
CREATE TABLE IF NOT EXISTS series(
  id INTEGER PRIMARY KEY, device TEXT NOT NULL, metric TEXT NOT NULL, unit TEXT);
CREATE INDEX IF NOT EXISTS series_name ON series(device, metric);
CREATE TABLE IF NOT EXISTS readings(
  seq INTEGER NOT NULL, idx INTEGER NOT NULL, series INTEGER NOT NULL, at REAL NOT NULL, value REAL NOT NULL,
  PRIMARY KEY(seq, idx)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS timer_events(
  seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, device TEXT, clock REAL NOT NULL);
CREATE TABLE IF NOT EXISTS redelivery(
  mid INTEGER PRIMARY KEY, generation INTEGER NOT NULL, hash INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS quarantine(
  id INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, size INTEGER NOT NULL,
  reason TEXT NOT NULL, detail TEXT NOT NULL, received REAL NOT NULL, clock REAL NOT NULL);

CREATE TABLE IF NOT EXISTS windows(
  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, device TEXT NOT NULL, lo INTEGER NOT NULL,
  hi INTEGER NOT NULL, count INTEGER NOT NULL, trigger TEXT NOT NULL, state INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, batch TEXT, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS windows_unsettled ON windows(lo) WHERE state < 2;
CREATE INDEX IF NOT EXISTS windows_hi ON windows(hi, device);
CREATE TABLE IF NOT EXISTS batches(
  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, attempts INTEGER NOT NULL, windows TEXT NOT NULL,
  audit TEXT NOT NULL, clock REAL NOT NULL, detail BLOB);
CREATE TABLE IF NOT EXISTS verdicts(
  n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, device TEXT NOT NULL, body BLOB NOT NULL,
  created REAL NOT NULL, clock REAL NOT NULL, acked INTEGER NOT NULL, reviewed INTEGER NOT NULL, detail BLOB);
CREATE INDEX IF NOT EXISTS verdicts_kept ON verdicts(reviewed, n);
CREATE TABLE IF NOT EXISTS findings(
  id TEXT PRIMARY KEY, device TEXT NOT NULL, kind TEXT NOT NULL, severity TEXT NOT NULL, opened REAL NOT NULL,
  last_reviewed REAL NOT NULL, normal_streak INTEGER NOT NULL, verdicts INTEGER NOT NULL,
  cleared INTEGER NOT NULL, clock REAL NOT NULL);
CREATE TABLE IF NOT EXISTS outbox(
  id INTEGER PRIMARY KEY AUTOINCREMENT, verdict TEXT NOT NULL, device TEXT NOT NULL, topic TEXT NOT NULL,
  payload BLOB NOT NULL, retain INTEGER NOT NULL, properties TEXT NOT NULL, clock REAL NOT NULL,
  refused REAL, reason_code INTEGER, given_up INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS outbox_verdict ON outbox(verdict);
CREATE TABLE IF NOT EXISTS snapshots(
  seq INTEGER PRIMARY KEY, floor INTEGER NOT NULL, body BLOB NOT NULL, clock REAL NOT NULL)
"""

#: Undeliverable messages are rare, so counting them should not mean reading every payload of a long outbox.
GIVEN_UP = "CREATE INDEX outbox_given_up ON outbox(id) WHERE given_up = 1"

#: The tail rule of redelivery needs the order of one connection, not the last message of each packet id.
PLACES = """
DROP TABLE redelivery;
CREATE TABLE places(
  slot INTEGER PRIMARY KEY, generation INTEGER NOT NULL, n INTEGER NOT NULL, mid INTEGER NOT NULL,
  hash INTEGER NOT NULL)
"""

#: A row names its sink, and the key that its order belongs to. The dropped indexes were made on demand.
SINKS = """
DROP INDEX IF EXISTS outbox_device;
DROP INDEX IF EXISTS outbox_topic;
ALTER TABLE outbox RENAME COLUMN topic TO key;
ALTER TABLE outbox RENAME COLUMN reason_code TO reason;
UPDATE outbox SET reason = printf('reason code 0x%02x', reason) WHERE reason IS NOT NULL;
ALTER TABLE outbox ADD COLUMN sink TEXT NOT NULL DEFAULT 'mqtt';
ALTER TABLE outbox ADD COLUMN not_before REAL NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN settles INTEGER NOT NULL DEFAULT 1;
CREATE INDEX outbox_waiting ON outbox(sink, id) WHERE NOT given_up
"""

#: No change of a table: timer rows may be of kind `heard`, at which agents before it end with a traceback.
HEARD = ""

#: Readings at old times, clocks of devices, words behind numbers, announced intervals.
TIMES = """
CREATE TABLE history(
  seq INTEGER NOT NULL, idx INTEGER NOT NULL, series INTEGER NOT NULL, at REAL NOT NULL, value REAL NOT NULL,
  PRIMARY KEY(seq, idx)) WITHOUT ROWID;
CREATE TABLE clocks(
  device TEXT PRIMARY KEY, newest REAL NOT NULL, fault TEXT NOT NULL, off_s REAL NOT NULL,
  noted TEXT NOT NULL, first REAL, received REAL, last REAL, messages INTEGER NOT NULL) WITHOUT ROWID;
ALTER TABLE series ADD COLUMN word TEXT;
ALTER TABLE timer_events ADD COLUMN seconds REAL
"""

#: Commands of people, states of findings, incidents, and the source and link of each device.
PEOPLE = """
CREATE TABLE commands(
  seq INTEGER PRIMARY KEY, clock REAL NOT NULL, received REAL NOT NULL, needed_to REAL NOT NULL,
  body TEXT NOT NULL, outcome TEXT);
ALTER TABLE findings ADD COLUMN state TEXT NOT NULL DEFAULT 'open';
ALTER TABLE findings ADD COLUMN life TEXT NOT NULL DEFAULT '{}';
UPDATE findings SET state = 'cleared' WHERE cleared;
UPDATE findings SET life = '{"limit":true}' WHERE kind = 'out_of_range';
CREATE TABLE incidents(
  id TEXT PRIMARY KEY, body TEXT NOT NULL, closed INTEGER NOT NULL, clock REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX incidents_open ON incidents(closed, clock);
CREATE TABLE devices(device TEXT PRIMARY KEY, source TEXT NOT NULL, link TEXT) WITHOUT ROWID
"""

#: Changes of the settings that readings are judged by.
SETTINGS = """
CREATE TABLE settings(seq INTEGER PRIMARY KEY, clock REAL NOT NULL, body TEXT NOT NULL)
"""

#: Down-sampled readings, for charts of days.
SAMPLES = """
CREATE TABLE samples(
  slot INTEGER NOT NULL, series INTEGER NOT NULL, low REAL, high REAL, usual_low REAL, usual_high REAL,
  PRIMARY KEY(slot, series)) WITHOUT ROWID
"""

STEPS: Final[Mapping[int, str]] = {
    1: FIRST,
    2: GIVEN_UP,
    3: PLACES,
    4: SINKS,
    5: HEARD,
    6: TIMES,
    7: PEOPLE,
    8: SETTINGS,
    9: SAMPLES,
}
VERSION: Final = max(STEPS)


def migrate(connection: sqlite3.Connection, *, version: int) -> None:
    """Lead the tables from ``version`` (0: none) to :data:`VERSION`, inside the caller's transaction."""
    for step in range(version + 1, VERSION + 1):
        for statement in STEPS[step].split(";"):
            connection.execute(statement)
            failpoint("c12_schema")
    connection.execute(f"PRAGMA user_version={VERSION}")


APPLICATION_ID = 0x45444745  # "EDGE"
CACHE_KIB = 512  # of pages in memory; the kernel has the others
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 72
_USER_VERSION = slice(60, 64)

#: Window states: sealed, verdict committed, verdict acknowledged (or given up).
SEALED, CONCLUDED, SETTLED = 0, 1, 2
#: Verdict states: waiting for the broker, acknowledged, given up.
WAITING, ACKED, UNDELIVERABLE = 0, 1, 2


def check_header(path: Path) -> None:
    """Raise on a file that a newer agent wrote or that is not SQLite, from its first bytes alone.

    Opening it would already touch its WAL and shared-memory files.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        return
    if not header:
        return
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise JournalCorruptError(f"journal: {path} is not an SQLite file")
    check_version(path, int.from_bytes(header[_USER_VERSION], "big"))


def check_version(path: Path, version: int) -> None:
    """Raise :class:`JournalNewerError` on a version that this agent does not know."""
    if version > VERSION:
        raise JournalNewerError(
            f"journal: {path} has schema {version}, this agent knows up to {VERSION}; nothing was touched. "
            "Install the newer agent again, or give this one another agent.state_dir"
        )


def connect(path: Path) -> sqlite3.Connection:
    """Open for writing with the pragmas that the guarantee needs; the caller owns transactions."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=1000")
        connection.execute(f"PRAGMA journal_size_limit={16 * 1024 * 1024}").fetchone()
        connection.execute("PRAGMA temp_store=MEMORY")
        # Rows go to the ends of their tables: more pages than those of a transaction are of no use.
        connection.execute(f"PRAGMA cache_size={-CACHE_KIB}")
    except sqlite3.Error:
        connection.close()
        raise
    if mode != "wal":
        connection.close()
        raise JournalError(
            f"journal: the file system of {path} cannot hold a write-ahead log; "
            "set agent.state_dir to a local disk"
        )
    return connection


def create(connection: sqlite3.Connection, path: Path) -> int:
    """Create or migrate the tables, in one transaction; safe to run on every start.

    Return the version that was found, 0 for a new file.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    check_version(path, version)
    if version == VERSION:
        return version
    ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not ours and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise JournalError(f"journal: {path} is not a journal of edge-agent; set another agent.state_dir")
    connection.execute("BEGIN IMMEDIATE")
    try:
        migrate(connection, version=version)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    # Into the main file, where check_header looks.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    sync_directory(path.parent)
    return version


def read_meta(connection: sqlite3.Connection, key: str) -> str | int | float | None:
    """Return one value of the meta table."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]


def write_meta(connection: sqlite3.Connection, key: str, value: str | float) -> None:
    """Set one value of the meta table."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
