"""Four MiB that are given back to a full disk: at ENOSPC even a DELETE fails, because the WAL has to grow."""

import os
from pathlib import Path

from agent.journal.errors import JournalError
from agent.journal.plain_files import open_plain


class Ballast:
    """A file of real blocks beside the journal."""

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
