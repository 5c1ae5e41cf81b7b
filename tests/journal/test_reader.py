"""Reading next to an agent without leaving a trace."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.domain.records import MessageRow
from agent.journal import JournalError, JournalSettings
from agent.journal.reader import Reader
from tests.journal.rig import Rig, arrival, concluding, link_up, sealing, window

CHILD = """
import sys, time
from pathlib import Path
from tests.journal.rig import Rig, arrival, link_up
rig = Rig(Path(sys.argv[1])).start()
rig.offer([link_up(1), *(arrival(number) for number in range(100))])
rig.settle()
print("ready", flush=True)
time.sleep(60)
"""

AS_NOBODY = """
import os, sys
from pathlib import Path
from agent.journal.reader import Reader
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
with Reader.open(Path(sys.argv[1])) as reader:
    print(reader.counts()["messages"])
"""


def state(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return owner, size and change time of every file."""
    return {
        path.name: (found.st_uid, found.st_size, found.st_mtime_ns if path.suffix == ".sqlite" else 0)
        for path in folder.iterdir()
        for found in [path.stat()]
    }


@contextmanager
def agent(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds a journal of 100 messages, not yet checkpointed."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "ready"
            yield process
        finally:
            process.kill()


def count(folder: Path) -> int:
    """Open, read and close."""
    with Reader.open(folder) as reader:
        return reader.counts()["messages"]


@pytest.mark.process
def test_beside_a_running_agent(tmp_path: Path) -> None:
    """It sees what is committed, the files stay as they are, and the agent goes on."""
    with agent(tmp_path):
        before = state(tmp_path)
        assert {"journal.sqlite-wal", "journal.sqlite-shm"} <= set(before)
        assert count(tmp_path) == 100
        assert before == state(tmp_path)


def test_after_a_clean_stop(tmp_path: Path) -> None:
    """Only the main file is there, and stays alone."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1)])
        rig.settle()
    before = state(tmp_path)
    assert count(tmp_path) == 1
    assert before == state(tmp_path)


@pytest.mark.process
def test_after_a_kill(tmp_path: Path) -> None:
    """The WAL that was left is read, and left."""
    with agent(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    before = state(tmp_path)
    assert count(tmp_path) == 100
    assert before == state(tmp_path)


@pytest.mark.process
def test_a_wal_without_its_index(tmp_path: Path) -> None:
    """A copied journal is read from a temporary copy that goes with the reader."""
    with agent(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    (tmp_path / "journal.sqlite-shm").unlink()
    before = state(tmp_path)
    assert count(tmp_path) == 100
    assert before == state(tmp_path)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter; those of pytest are closed again by a parallel run."""
    with tempfile.TemporaryDirectory(prefix="edge-read-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.process
@pytest.mark.root
@pytest.mark.parametrize("when", ["running", "killed", "stopped"])
def test_a_user_who_may_only_read(open_folder: Path, when: str) -> None:
    """All three states can be read without any right to write."""
    folder = open_folder / "state"
    folder.mkdir(0o755)
    with agent(folder) as process:
        if when == "running":
            process.send_signal(signal.SIGSTOP)  # so that nobody but the reader could change a file
        else:
            process.send_signal(signal.SIGKILL)
            process.wait(60)
        if when == "stopped":
            with Rig(folder):
                pass
        for path in [*folder.iterdir()]:
            path.chmod(0o644)
        before = state(folder)
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(folder)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.stdout.strip() == "100", done.stderr
        assert before == state(folder)


def test_no_journal_is_explained(tmp_path: Path) -> None:
    """The line names the searched path."""
    with pytest.raises(JournalError, match=r"there is none at .*journal.sqlite; check agent.state_dir"):
        Reader.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_windows_with_their_readings(tmp_path: Path) -> None:
    """The readings of a window are those of its device between its ends, seeds left out."""
    with Rig(tmp_path, settings=JournalSettings(commit_ms=5, prune=False, ballast_bytes=0)) as rig:
        rig.offer([link_up(1), arrival(1, retain=True), *(arrival(number) for number in range(30))])
        rig.settle()
        one = window("abc123", "d1", 1, 15)
        rig.write(sealing(one))
        with Reader.open(tmp_path) as reader:
            rows = [row for row in reader.readings_of(one) if isinstance(row, MessageRow)]
            (record,) = reader.windows(limit=5, device="d1")
            assert list(reader.windows(limit=5, device="d2")) == []
            assert reader.meta("journal_id") == rig.journal.journal_id
    assert [(row.readings[0].device, row.readings[0].value) for row in rows] == [("d1", 21.0), ("d1", 31.0)]
    assert (one, "sealed", 0, None) == (record.window, record.state, record.attempts, record.batch)


def test_a_verdict_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    """As long as no other begins like it."""
    with Rig(tmp_path) as rig:
        for name in ("abc1", "abd2", "abd"):
            rig.write(concluding(window(name)))
        with Reader.open(tmp_path) as reader:
            found = {text: reader.verdict(text) for text in ("abc", "ab", "abd", "x", "%")}
    assert {text: record and record.id for text, record in found.items()} == {
        "abc": "abc1",
        "ab": None,
        "abd": "abd",
        "x": None,
        "%": None,
    }


def test_a_page_that_cannot_be_read_is_told_in_words(tmp_path: Path) -> None:
    """The agent looks into its journal each minute; that must not end it."""
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), *(arrival(number, payload=b"{bad") for number in range(10))])
        rig.settle()
    with Reader.open(tmp_path) as reader:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'quarantine'"
        root = reader._connection.execute(query).fetchone()[0]
    path = tmp_path / "journal.sqlite"
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    with pytest.raises(JournalError, match="damaged"), Reader.open(tmp_path) as reader:
        list(reader.quarantine(limit=5))
