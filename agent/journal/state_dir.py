"""State directory: plain files only, the lock of one agent, the ballast.

A link or a pipe that was planted in the directory is refused, not followed. The ballast is 4 MiB that are
given back to a full disk: at ENOSPC even a DELETE fails, because the WAL has to grow.
"""

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from agent.journal.errors import JournalError, JournalInUseError, JournalStorageError, is_transient

SQLITE_SUFFIXES = ("", "-wal", "-shm", "-journal")


def open_plain(path: Path, flags: int) -> int:
    """Return a descriptor of ``path``, created for this user alone if ``flags`` ask for it.

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
    """Look at a database and its companion files before SQLite, which follows links, opens them.

    Raises:
        JournalError: one of them is there and is not a plain file.
    """
    for suffix in SQLITE_SUFFIXES:
        file = path.with_name(path.name + suffix)
        try:
            mode = file.lstat().st_mode
        except OSError:
            continue  # missing or not readable: opening it raises
        if not stat.S_ISREG(mode):
            raise _refusal(file)


def sync_directory(folder: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _refusal(path: Path) -> JournalError:
    return JournalError(
        f"journal: cannot use {path}: it is a link, a pipe, a device or a directory instead of a file; "
        "remove it, or set agent.state_dir to a directory of the agent's own"
    )


_PID_BYTES = 20
_LOCKS = Path("/proc/locks")


def holder(path: Path) -> int | None:
    """Return the process that holds the lock file at ``path``, None when nobody does; touches nothing.

    The answer is from the kernel's own list: trying the lock could keep an agent from starting.
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
        # Some file systems (btrfs, overlay) have another device here than in stat.
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


class Ballast:
    """A file of real blocks next to the journal."""

    def __init__(self, path: Path, *, size: int = 4 * 1024 * 1024) -> None:
        self.path = path
        self.size = size

    @property
    def present(self) -> bool:
        """Whether the blocks are held."""
        return self.path.is_file() and not self.path.is_symlink()

    def free(self) -> int:
        """Return what this process may still write to the disk, in bytes."""
        found = os.statvfs(self.path.parent)
        return found.f_bavail * found.f_frsize

    def restore(self) -> bool:
        """Hold the blocks again once four times as much is free; return whether they are held."""
        if self.present:
            return True
        if not self.size or self.free() < 4 * self.size:
            return False
        try:
            fd = open_plain(self.path, os.O_WRONLY | os.O_CREAT)
            try:
                os.posix_fallocate(fd, 0, self.size)
            finally:
                os.close(fd)
        except (OSError, JournalError):
            self.drop()
            return False
        return True

    def drop(self) -> bool:
        """Give the blocks back; return whether there were any."""
        try:
            self.path.unlink()
        except OSError:
            return False
        return True
