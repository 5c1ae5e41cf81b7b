"""State directory: planted links and pipes are refused; one agent holds the lock."""

import os
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

import pytest

from agent.budget.ledger import BudgetLedger
from agent.budget.periods import Anchor
from agent.budget.reader import read_budget
from agent.budget.store import SENTINEL
from agent.domain.model_calls import BudgetWindow
from agent.journal import JournalError, JournalInUseError
from agent.journal.opening import SUSPECT, mark_suspect, open_database
from agent.journal.reader import Reader
from agent.journal.state_dir import Ballast, StateLock, holder

LIMITS = dict.fromkeys(BudgetWindow, 1.0)


def link(path: Path) -> Path:
    """Plant a link to a file that is not there yet; return that file."""
    target = path.parent / "elsewhere" / path.name
    target.parent.mkdir(exist_ok=True)
    path.symlink_to(target)
    return target


def open_ledger(folder: Path) -> None:
    """Open and close the ledger of a folder."""
    BudgetLedger(
        folder / "budget.sqlite", limits=LIMITS, zone=UTC, wall=lambda: 1e9, mono=lambda: 1.0
    ).close()


def read_ledger(folder: Path) -> None:
    """Read the ledger of a folder."""
    read_budget(folder / "budget.sqlite", limits=LIMITS, zone=UTC, now=Anchor(1e9, 1.0, "b"))


OPENERS: list[tuple[str, Callable[[Path], object]]] = [
    (
        "journal.sqlite",
        lambda folder: open_database(folder / "journal.sqlite", log=lambda *_a, **_k: None),
    ),
    (
        "journal.sqlite-wal",
        lambda folder: open_database(folder / "journal.sqlite", log=lambda *_a, **_k: None),
    ),
    ("journal.sqlite", Reader.open),
    ("journal.lock", lambda folder: StateLock(folder / "journal.lock").acquire()),
    ("budget.sqlite", open_ledger),
    ("budget.sqlite-journal", open_ledger),
    ("budget.sqlite", read_ledger),
]


@pytest.mark.parametrize("plant", [link, os.mkfifo, Path.mkdir], ids=["link", "pipe", "directory"])
@pytest.mark.parametrize(("name", "open_it"), OPENERS)
def test_what_is_no_plain_file_is_refused(
    tmp_path: Path, name: str, open_it: Callable[[Path], object], plant: Callable[[Path], object]
) -> None:
    """The line names the file and what to do; the file behind a link is not made."""
    target = plant(tmp_path / name)
    with pytest.raises(JournalError, match=f"cannot use .*{name}: it is a link, .*; remove it"):
        open_it(tmp_path)
    assert not isinstance(target, Path) or not target.exists()


def test_marks_and_ballast_do_not_follow_links(tmp_path: Path) -> None:
    """The mark of a damaged journal and the ballast are made here or not at all."""
    targets = [link(tmp_path / name) for name in (SUSPECT, "journal.ballast", SENTINEL)]
    with pytest.raises(JournalError, match=f"cannot use .*{SENTINEL}: it is a link"):
        open_ledger(tmp_path)
    mark_suspect(tmp_path / "journal.sqlite")
    ballast = Ballast(tmp_path / "journal.ballast", size=4096)
    assert not ballast.present
    assert not ballast.restore()
    assert ballast.restore()  # the link is gone by now
    assert [target.exists() for target in targets] == [False] * 3
    assert (tmp_path / "journal.ballast").lstat().st_mode & 0o777 == 0o600


def test_a_pipe_for_a_lock_is_not_waited_for(tmp_path: Path) -> None:
    """Nobody holds it, as far as a look can find."""
    os.mkfifo(tmp_path / "journal.lock")
    assert holder(tmp_path / "journal.lock") is None


def test_the_holder_is_told_without_touching_the_lock(tmp_path: Path) -> None:
    """Nobody, then this process, then nobody again; a lock that is looked at can still be taken."""
    path = tmp_path / "journal.lock"
    assert holder(path) is None
    assert not path.exists()
    lock = StateLock(path)
    lock.acquire()
    assert holder(path) == os.getpid()
    with pytest.raises(JournalInUseError):
        StateLock(path).acquire()
    lock.release()
    assert path.read_text().strip() == str(os.getpid())
    assert holder(path) is None
