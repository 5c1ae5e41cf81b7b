"""The way from each older version of the journal's tables to the next.

A step is statements that lead from version n - 1 to n. They run in one transaction with the version's number,
so that a process killed amid them leaves the older file whole. A new file goes the same way, from version 0.
"""

import sqlite3
from collections.abc import Mapping
from typing import Final

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

STEPS: Final[Mapping[int, str]] = {1: FIRST, 2: GIVEN_UP, 3: PLACES, 4: SINKS}
VERSION: Final = max(STEPS)


def migrate(connection: sqlite3.Connection, *, version: int) -> None:
    """Lead the tables from ``version`` (0: none) to :data:`VERSION`, inside the caller's transaction."""
    for step in range(version + 1, VERSION + 1):
        for statement in STEPS[step].split(";"):
            connection.execute(statement)
            failpoint("c12_schema")
    connection.execute(f"PRAGMA user_version={VERSION}")
