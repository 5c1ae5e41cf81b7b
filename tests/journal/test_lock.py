"""Who holds a state directory."""

import os
from pathlib import Path

import pytest

from agent.journal import JournalInUseError
from agent.journal.lock import StateLock, holder


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
