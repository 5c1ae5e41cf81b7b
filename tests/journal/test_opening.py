"""Opening at start-up: new, old, foreign and damaged files."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from agent.journal import JournalError, JournalInUseError, JournalNewerError, JournalSettings, recovery
from agent.journal.opening import SUSPECT
from agent.journal.reader import Reader
from agent.journal.schema import VERSION, connect, create
from tests.journal.rig import Rig, arrival, link_up, sealing, window

NAME = "journal.sqlite"


def fill(folder: Path, messages: int = 50) -> None:
    """Leave a journal behind."""
    with Rig(folder) as rig:
        rig.offer([link_up(1), *(arrival(number) for number in range(messages))])
        rig.settle()


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder but the lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "journal.lock"}


def test_a_new_journal_has_an_id_that_stays(tmp_path: Path) -> None:
    """The directory is created for the agent alone, and so is the pragma that the guarantee depends on."""
    folder = tmp_path / "state" / "agent"
    with Rig(folder) as first:
        assert (first.journal.generation, first.journal.filters) == (0, ())
        assert first.journal._connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert first.journal._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with Rig(folder) as again:
        assert first.journal.journal_id == again.journal.journal_id
    assert folder.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in folder.iterdir()) == ["journal.lock", NAME]


def test_creating_again_changes_nothing(tmp_path: Path) -> None:
    """The tables are created in one transaction that may be repeated."""
    path = tmp_path / NAME
    connection = connect(path)
    for _ in range(2):
        create(connection, path)
    connection.close()
    fill(tmp_path)


def test_a_second_agent_is_refused(tmp_path: Path) -> None:
    """The error names the owner of the directory, and the first goes on undisturbed."""
    with Rig(tmp_path) as first:
        with pytest.raises(JournalInUseError, match=f"is in use by process {os.getpid()}; stop that agent"):
            Rig(tmp_path).open()
        first.offer([link_up(1), arrival(1)])
        first.settle()
        assert len(first.rows) == 1


@pytest.mark.process
def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """The lock holds between processes too, and is free once the first is gone."""
    code = (
        "import sys; from pathlib import Path; from tests.journal.rig import Rig\n"
        "try: Rig(Path(sys.argv[1])).open()\n"
        "except Exception as error: print(type(error).__name__)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    with Rig(tmp_path):
        out = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    assert out.strip() == "JournalInUseError"
    assert subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout == ""


def test_a_newer_journal_is_not_touched(tmp_path: Path) -> None:
    """Not one byte of it changes, and the line names the remedy."""
    fill(tmp_path)
    connection = sqlite3.connect(tmp_path / NAME)
    connection.execute(f"PRAGMA user_version={VERSION + 1}")
    connection.close()
    before = contents(tmp_path)
    with pytest.raises(JournalNewerError, match=r"nothing was touched\. Install the newer agent"):
        Rig(tmp_path).open()
    with pytest.raises(JournalNewerError):
        Reader.open(tmp_path)
    assert before == contents(tmp_path)


def test_another_database_is_refused(tmp_path: Path) -> None:
    """A file of the same name that is not ours keeps its tables."""
    connection = sqlite3.connect(tmp_path / NAME)
    connection.execute("CREATE TABLE messages(something)")
    connection.close()
    with pytest.raises(JournalError, match="is not a journal of edge-agent"):
        Rig(tmp_path).open()
    with pytest.raises(JournalError, match="is not a journal of edge-agent"):
        Reader.open(tmp_path)


@pytest.mark.parametrize("damage", ["header", "garbage", "short", "page"])
def test_a_damaged_journal_is_moved_aside(tmp_path: Path, damage: str) -> None:
    """A clean one is begun, and an error names the old one's new path."""
    fill(tmp_path, messages=2000)
    path = tmp_path / NAME
    data = bytearray(path.read_bytes())
    if damage == "header":
        data[:16] = b"\0" * 16
    elif damage == "garbage":
        data = bytearray(b"not a database at all" * 1000)
    elif damage == "short":
        data = data[:50]
    else:
        data[8192:40960] = os.urandom(32768)
    path.write_bytes(data)
    with Rig(tmp_path) as rig:
        rig.offer([link_up(1), arrival(1)])
        rig.settle()
        assert len(rig.rows) == 1
    (event, values) = rig.reports[0]
    assert event == "journal_moved_aside"
    assert values["level"] == "error"
    assert bytes(data) == Path(values["path"]).read_bytes()


def test_only_two_damaged_files_are_kept(tmp_path: Path) -> None:
    """So that damage does not fill the disk."""
    for _ in range(4):
        (tmp_path / NAME).write_bytes(b"garbage" * 100)
        with Rig(tmp_path):
            pass
    assert len(list(tmp_path.glob("journal.corrupt-*"))) == 2


def test_damage_that_shows_while_running_is_checked_at_the_next_start(tmp_path: Path) -> None:
    """An index that contradicts its table passes the quick check, but not the thorough one."""
    fill(tmp_path)
    connection = sqlite3.connect(tmp_path / NAME)
    root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'series_name'").fetchone()[0]
    connection.close()
    path = tmp_path / NAME
    data = bytearray(path.read_bytes())
    page = data[(root - 1) * 4096 : root * 4096]
    data[(root - 1) * 4096 : root * 4096] = page.replace(b"temperature", b"temperaturf")
    path.write_bytes(data)
    with Rig(tmp_path) as rig:
        assert rig.reports == []
    (tmp_path / SUSPECT).touch()
    with Rig(tmp_path) as rig:
        assert [event for event, _ in rig.reports] == ["journal_moved_aside"]
    assert not (tmp_path / SUSPECT).exists()


def test_a_place_that_cannot_be_used_is_explained(tmp_path: Path) -> None:
    """One line with fault, place and remedy."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=r"/file is not a directory; correct agent\.state_dir"):
        Rig(tmp_path / "file").open()
    (tmp_path / "state" / NAME).mkdir(parents=True)
    with pytest.raises(JournalError, match="cannot use"):
        Rig(tmp_path / "state").open()


def test_failpoints_are_refused_outside_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A production state directory never runs with one."""
    monkeypatch.setenv("EDGE_AGENT_FAILPOINT", "c3_committed")
    with pytest.raises(JournalError, match=r"unset it, only a test's state directory"):
        Rig(tmp_path).open()
    (tmp_path / ".test-state").touch()
    monkeypatch.setenv("EDGE_AGENT_FAILPOINT", "c99_unknown")
    with pytest.raises(JournalError, match="expected name"):
        Rig(tmp_path).open()


def test_the_ballast_is_held_and_may_be_switched_off(tmp_path: Path) -> None:
    """Its blocks are real."""
    settings = JournalSettings(commit_ms=5, ballast_bytes=1 << 20)
    with Rig(tmp_path, settings=settings):
        held = (tmp_path / "journal.ballast").stat()
        assert held.st_blocks * 512 >= 1 << 20


def test_damage_while_running_ends_the_process(tmp_path: Path) -> None:
    """Nothing more is acknowledged; the next start checks thoroughly and moves the file aside."""
    fill(tmp_path)
    rig = Rig(tmp_path).start()
    connection = rig.journal._connection
    root = rig.write(
        lambda _: connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'quarantine'"
        ).fetchone()
    )[0]
    rig.write(lambda _: connection.execute("PRAGMA shrink_memory").fetchone())
    with (tmp_path / NAME).open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(os.urandom(4096))
    rig.offer([arrival(1, payload=b"{")])
    rig.thread.join(60)
    assert "is damaged" in str(rig.error)
    assert rig.acks == []
    with Rig(tmp_path) as again:
        assert [event for event, _ in again.reports] == ["journal_moved_aside"]
        again.offer([link_up(1), arrival(1)])
        again.settle()
        assert len(again.rows) == 1


def test_only_the_newest_pending_windows_keep_their_sections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of a series of crashes does not need more memory at each start; no window is left out."""
    monkeypatch.setattr(recovery, "MAX_PENDING", 3)
    with Rig(tmp_path) as rig:
        for number in range(5):
            rig.write(sealing(window(f"w{number}", lo=number + 1, hi=number + 1)))
    recovered = Rig(tmp_path).open().recovered
    assert [one.id for one in recovered.pending] == ["w0", "w1", "w2", "w3", "w4"]
    assert recovered.overdue == {"w0", "w1"}
    assert [bool(one.section) for one in recovered.pending] == [False, False, True, True, True]
