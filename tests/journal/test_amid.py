"""Kills within an open transaction: a migration's step, a chunk of pruning."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.journal.reader import Reader
from agent.journal.schema import VERSION
from agent.testing.failpoint import MARKER, VARIABLE
from tests.journal.rig import Rig, arrival, link_up
from tests.journal.test_migrations import KEEPING, NAME, OLD, put_back, rows_of, version_of

pytestmark = pytest.mark.process

MAX_STEPS = 100
HOLD = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
import agent.testing.failpoint
from tests.journal.rig import Rig

class Held:
    def wait(self):
        print("held", flush=True)
        time.sleep(600)

agent.testing.failpoint.threading = SimpleNamespace(Event=Held)
rig = Rig(Path(sys.argv[1]))
rig.open()
if sys.argv[2] == "prune":
    rig.start_thread()
    rig.write(lambda store: store.prune())
print("done", flush=True)
"""


@contextmanager
def held(folder: Path, point: str, deed: str) -> Iterator[bool]:
    """Run a process up to a failpoint and kill it with -9; return whether it came there."""
    (folder / MARKER).touch()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), deed],
        env={**os.environ, VARIABLE: f"hang:{point}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().strip()
            assert said in {"held", "done"}
            yield said == "held"
        finally:
            process.kill()


def is_being_written(path: Path) -> bool:
    """Return whether a transaction that writes is open."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            return "locked" in str(error)
        connection.execute("ROLLBACK")
        return False


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)
def test_killed_at_each_statement_of_a_migration(old: Path, tmp_path: Path) -> None:
    """The transaction is open; after the kill the file is the older one, whole, and can be taken over."""
    before = rows_of(put_back(old, tmp_path))
    version = version_of(tmp_path / NAME)
    for nth in range(1, MAX_STEPS):
        folder = tmp_path / str(nth)
        folder.mkdir()
        path = put_back(old, folder)
        with held(folder, f"c12_schema:{nth}", "open") as amid:
            if not amid:
                break
            assert is_being_written(path)
        assert version_of(path) == version
        assert rows_of(path) == before
        with Rig(folder, settings=KEEPING):
            pass
        assert version_of(path) == VERSION
    assert nth > 1


def test_killed_amid_pruning(tmp_path: Path) -> None:
    """The rows are deleted, not committed: a reader still sees them, and so does the next process."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *(arrival(number) for number in range(500))])
        rig.settle()
        rig.write(lambda store: store.snapshot(500, b""))
    with held(tmp_path, "c11_pruning", "prune") as amid:
        assert amid
        assert is_being_written(tmp_path / NAME)
        with Reader.open(tmp_path) as reader:
            assert reader.counts()["messages"] == 500
    with Reader.open(tmp_path) as reader:
        assert reader.counts()["messages"] == 500
    with Rig(tmp_path) as again:
        while again.write(lambda store: store.prune()):
            pass
        with Reader.open(tmp_path) as reader:
            assert reader.counts()["messages"] == 0
        again.offer([link_up(2), arrival(1, generation=2)])
        again.settle()
        assert again.rows[-1].seq > 500
