"""Rows of families over a restart: written with the messages, bounded."""

import sqlite3
from collections.abc import Iterator, Mapping

import pytest

from agent.decode.registry import Registry, SourceSpec
from agent.journal import family_tables
from agent.journal.family_tables import FamilyTables, Key
from agent.journal.schema import migrate
from tests.decode.sparkplug_wire import payload

NOW = 1_782_475_200.0
BIRTH = {"name": "temp", "alias": 1, "datatype": 10, "double_value": 20.0}
DATA = {"alias": 1, "double_value": 21.5}


class Given:
    """Families that change as a test sets them."""

    def __init__(self) -> None:
        self.changes: dict[Key, bytes | None] = {}
        self.restored: Mapping[Key, bytes] = {}

    def take_changes(self) -> Mapping[Key, bytes | None]:
        taken, self.changes = self.changes, {}
        return taken

    def restore(self, rows: Mapping[Key, bytes]) -> None:
        self.restored = rows


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(":memory:", isolation_level=None)
    migrate(made, version=0)
    yield made
    made.close()


def rows(connection: sqlite3.Connection) -> dict[Key, bytes]:
    given = Given()
    FamilyTables(connection, given)
    return dict(given.restored)


def transact(connection: sqlite3.Connection, tables: FamilyTables, *, end: str = "COMMIT") -> None:
    connection.execute("BEGIN")
    tables.insert(connection)
    connection.execute(end)
    if end == "COMMIT":
        tables.commit()
    else:
        tables.rollback()


def test_changes_are_restored(connection: sqlite3.Connection) -> None:
    """A row is replaced by its key, and deleted when the family forgets it."""
    given = Given()
    tables = FamilyTables(connection, given)
    given.changes = {("a", "x"): b"1", ("a", "y"): b"2", ("b", "x"): b"3"}
    transact(connection, tables)
    given.changes = {("a", "x"): b"4", ("a", "y"): None}
    transact(connection, tables)
    assert rows(connection) == {("a", "x"): b"4", ("b", "x"): b"3"}


def test_a_failed_transaction_loses_no_change(connection: sqlite3.Connection) -> None:
    """The next transaction writes it."""
    given = Given()
    tables = FamilyTables(connection, given)
    given.changes = {("a", "x"): b"1"}
    transact(connection, tables, end="ROLLBACK")
    assert rows(connection) == {}
    transact(connection, tables)
    assert rows(connection) == {("a", "x"): b"1"}


def test_rows_and_bytes_are_bounded(connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limits a row is not kept; a smaller one of the same key is."""
    monkeypatch.setattr(family_tables, "MAX_ROWS", 3)
    monkeypatch.setattr(family_tables, "MAX_BYTES", 10)
    given = Given()
    tables = FamilyTables(connection, given)
    given.changes = {("a", str(one)): b"12" for one in range(5)}
    transact(connection, tables)
    assert set(rows(connection)) == {("a", "0"), ("a", "1"), ("a", "2")}
    given.changes = {("a", "0"): b"1234567"}
    transact(connection, tables)
    assert set(rows(connection)) == {("a", "1"), ("a", "2")}


def test_an_alias_is_known_after_a_restart(connection: sqlite3.Connection) -> None:
    """The birth came before the restart, the data after it."""
    for content, wanted in ((BIRTH, [("temp", 20.0)]), (DATA, [("temp", 21.5)])):
        registry = Registry(sources=[SourceSpec("spBv1.0/#", "sparkplug")], base_topic="edge-agent/gw1")
        tables = FamilyTables(connection, registry)
        kind = "NBIRTH" if content is BIRTH else "NDATA"
        decoded = registry.decode(f"spBv1.0/g/{kind}/n", payload(content, at_ms=int(NOW * 1000)), NOW)
        assert [(one.metric, one.value) for one in decoded.readings] == wanted
        transact(connection, tables)
