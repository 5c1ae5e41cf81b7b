"""Migration: a journal that an older agent left (``old/``) is taken over whole."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agent.domain.records import FindingState, MessageRow
from agent.journal import JournalError, JournalSettings
from agent.journal.reader import Reader
from agent.journal.schema import APPLICATION_ID, STEPS, VERSION
from agent.testing.failpoint import MARKER, VARIABLE
from tests.journal.rig import Rig, arrival, link_up

OLD = sorted((Path(__file__).parent / "old").glob("journal-*.sql"))
NAME = "journal.sqlite"
WIDTHS = {"series": 5, "timer_events": 5}  # columns that were added at the end are empty
NEW_TABLES = ("history", "clocks", "commands", "incidents", "devices", "settings", "samples")
STATELESS = 10  # columns of a finding before it had a state
ROW_OF_THREE = 11  # columns of the outbox before a row named its sink
KEEPING = JournalSettings(commit_ms=5, ballast_bytes=0, prune=False)
OPEN = """
import sys
from pathlib import Path
from agent.testing.failpoint import arm
from tests.journal.rig import Rig
arm(Path(sys.argv[1]))
Rig(Path(sys.argv[1])).open()
"""
Tables = dict[str, list[tuple[object, ...]]]


def put_back(text: Path, folder: Path) -> Path:
    """Make the file that the text was taken from."""
    path = folder / NAME
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(text.read_text())
    return path


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def rows_of(path: Path) -> Tables:
    """Return all rows of all tables, except the owner of the file and the new key of answer links."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        out = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in sorted(names)}
    out["meta"] = [row for row in out["meta"] if row[0] not in ("opened_by", "answer_key")]
    return out


def assert_kept(before: Tables, after: Tables) -> None:
    """A start adds one row: that the link of the process before is down. Redelivery begins without places."""
    before = {name: rows for name, rows in before.items() if name not in ("redelivery", "places")}
    after = {name: rows for name, rows in after.items() if name != "places"}
    before["outbox"] = [
        (*row[:9], None if row[9] is None else f"reason code 0x{row[9]:02x}", row[10], "mqtt", 0.0, 1)
        if len(row) == ROW_OF_THREE
        else row
        for row in before["outbox"]
    ]
    before["findings"] = [  # all of them are open, on a broken limit
        (*row, "open", '{"limit":true}') if len(row) == STATELESS else row for row in before["findings"]
    ]
    for name, width in WIDTHS.items():
        before[name] = [(*row, *[None] * (width - len(row))) for row in before[name]]
    after["timer_events"] = [row for row in after["timer_events"] if row in before["timer_events"]]
    assert {name: [] for name in NEW_TABLES} | before == after


def test_there_is_a_file_of_every_older_version() -> None:
    """So none of them is forgotten when a step is added."""
    assert [int(path.stem.removeprefix("journal-")) for path in OLD] == list(range(1, VERSION))
    assert sorted(STEPS) == list(range(1, VERSION + 1))


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)
def test_an_older_journal_is_taken_over_whole(old: Path, tmp_path: Path) -> None:
    """Every row is there, the open window is still open, and the journal goes on where it was."""
    path = put_back(old, tmp_path)
    before = rows_of(path)
    assert before["messages"]
    with Reader.open(tmp_path) as reader:  # an operator may look before the new agent has started
        assert reader.undelivered() == (len(before["outbox"]), 0)
        waiting = list(reader.outbox(limit=9))
        assert reader.given_up() is None
        assert sum(isinstance(row, MessageRow) for row in reader.rows_after(0)) == len(before["messages"])
        assert reader.clocks() == []
        assert [one.state for one in reader.findings()] == [FindingState.OPEN]
        assert len(reader.commands()) == len(before.get("commands", ()))  # all of them decided
        assert reader.samples_of("oven", after=0.0, before=2e9) == {}
    with Rig(tmp_path, settings=KEEPING) as rig:
        told = {"path": str(path), "found": version_of_name(old), "now": VERSION}
        assert rig.reports == [("journal_migrated", told)]
    assert version_of(path) == VERSION
    assert_kept(before, rows_of(path))
    with Reader.open(tmp_path) as reader:
        assert list(reader.outbox(limit=9)) == waiting
    with Rig(tmp_path, settings=KEEPING) as again:
        assert again.reports == []
        pending, _ = again.write(lambda store: store.outbox.pending("mqtt", after=0, limit=9))
        assert [item.outbox_id for item in pending] == [row.id for row in waiting]
        assert again.journal.generation == 1
        assert len(again.journal.recovered.findings) == 1
        open_rows = [row for row in again.journal.rows_after(0) if isinstance(row, MessageRow)]
        assert len(open_rows) == len(before["messages"])
        again.offer([link_up(2), arrival(1, generation=2)])
        again.settle()
    assert len(rows_of(path)["messages"]) == len(before["messages"]) + 1


def version_of_name(old: Path) -> int:
    return int(old.stem.removeprefix("journal-"))


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)
def test_a_migrated_journal_is_like_a_new_one(old: Path, tmp_path: Path) -> None:
    """The tables and indexes of both are the same, except those that are made when first needed."""
    (tmp_path / "old").mkdir()
    put_back(old, tmp_path / "old")
    shapes = []
    for folder in (tmp_path / "old", tmp_path / "new"):
        with Rig(folder, settings=KEEPING):
            pass
        with closing(sqlite3.connect(folder / NAME)) as connection:
            shapes.append(
                set(
                    connection.execute(
                        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
                        " AND name NOT IN ('feedback', 'message_ids', 'family_tables', 'told')"
                    )
                )
            )
    assert shapes[0] == shapes[1]


@pytest.mark.process
@pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)
def test_killed_amid_a_migration(old: Path, tmp_path: Path) -> None:
    """The older file is whole, and the next start takes it over."""
    path = put_back(old, tmp_path)
    before = rows_of(path)
    (tmp_path / MARKER).touch()
    argv = [sys.executable, "-c", OPEN, str(tmp_path)]
    killed = subprocess.run(argv, env={**os.environ, VARIABLE: "c12_schema"}, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert version_of(path) == version_of_name(old)
    assert rows_of(path) == before
    with Rig(tmp_path, settings=KEEPING):
        pass
    assert version_of(path) == VERSION
    assert_kept(before, rows_of(path))


def test_a_stranger_with_an_older_number_is_refused(tmp_path: Path) -> None:
    """Another program's database of version 1 is not migrated."""
    with closing(sqlite3.connect(tmp_path / NAME)) as connection:
        connection.executescript("CREATE TABLE outbox(id, given_up); PRAGMA user_version=1")
        assert connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,)
    with pytest.raises(JournalError, match="is not a journal of edge-agent"):
        Rig(tmp_path).open()
    assert version_of(tmp_path / NAME) == 1
