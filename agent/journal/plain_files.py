"""Files of the state directory are plain files: a link or a pipe planted there is refused, not followed."""

import errno
import os
import stat
from pathlib import Path

from agent.journal.errors import JournalError

SQLITE_SUFFIXES = ("", "-wal", "-shm", "-journal")


def open_plain(path: Path, flags: int) -> int:
    """Return a descriptor of ``path``, created for this user alone where ``flags`` say so.

    Raises:
        JournalError: it is a link, a pipe, a device or a directory.
        OSError: it cannot be opened.
    """
    try:
        fd = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO, errno.EISDIR}:
            raise _refusal(path) from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _refusal(path)
    return fd


def refuse_planted(path: Path) -> None:
    """Look at a database and the files beside it before SQLite, which follows links, opens them.

    Raises:
        JournalError: one of them is there and is not a plain file.
    """
    for suffix in SQLITE_SUFFIXES:
        file = path.with_name(path.name + suffix)
        try:
            mode = file.lstat().st_mode
        except OSError:
            continue  # missing, or not ours to look at: opening it says so
        if not stat.S_ISREG(mode):
            raise _refusal(file)


def _refusal(path: Path) -> JournalError:
    return JournalError(
        f"journal: cannot use {path}: it is a link, a pipe, a device or a directory instead of a file; "
        "remove it, or set agent.state_dir to a directory of the agent's own"
    )
