"""One agent per state directory."""

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from agent.journal.errors import JournalError, JournalInUseError, JournalStorageError, is_transient
from agent.journal.plain_files import open_plain

_PID_BYTES = 20
_LOCKS = Path("/proc/locks")


def holder(path: Path) -> int | None:
    """Return the process that holds the lock file at ``path``, None when nobody does; touches nothing.

    The kernel's own list says so: trying the lock could keep an agent from starting.
    """
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return None
        with path.open("rb") as file:
            noted = file.read(_PID_BYTES).decode("ascii", "replace").strip()
        locks = _LOCKS.read_text().splitlines()
    except OSError:
        return None
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    for line in locks:
        fields = line.split()
        if len(fields) <= 5 or fields[1] != "FLOCK":  # noqa: PLR2004 - see proc_locks(5)
            continue
        where, _, inode = fields[5].rpartition(":")
        # Some file systems (btrfs, overlay) tell another device here than stat does.
        if inode == str(found.st_ino) and (where == device or fields[4] == noted):
            return int(noted) if noted.isdigit() else int(fields[4])
    return None


class StateLock:
    """An flock on ``journal.lock``, held while this object is open; it dies with the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock; raise :class:`JournalInUseError` when another process has it."""
        try:
            fd = open_plain(self.path, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            kind = JournalStorageError if is_transient(error) else JournalError
            raise kind(
                f"journal: cannot write {self.path}: {error.strerror}; make the directory writable for user "
                f"{os.getuid()} or set agent.state_dir"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(fd, _PID_BYTES).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise JournalInUseError(
                f"journal: {self.path.parent} is in use by process {holder}; stop that agent, "
                "or give this one its own agent.state_dir"
            ) from error
        with suppress(OSError):  # for people only, and the disk may be full
            os.pwrite(fd, f"{os.getpid()}\n".ljust(_PID_BYTES).encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Give the lock back."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
