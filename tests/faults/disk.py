"""File systems for an agent's state: they can be cut, and they can be filled."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults.rig import Rig, RigSettings
from tests.support.agent_process import AgentProcess, merge

PIECE = 1 << 16


def why_not() -> str | None:
    """Return why nothing can be mounted here; None where it can be."""
    if os.getuid() != 0:
        return "mounting needs root"
    missing = [name for name in ("mount", "umount", "mkfs.ext4") if _path(name) is None]
    if missing:
        return f"{', '.join(missing)} is not installed"
    if not Path("/dev/loop-control").exists():
        return "there are no loop devices here"
    return None


def _path(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def _run(*argv: str) -> None:
    done = subprocess.run([_path(argv[0]) or argv[0], *argv[1:]], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip()}")


class Mount:
    """A file system that is mounted from entering to leaving; ``folder`` is where."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mounted = False

    def mount(self, *options: str) -> None:
        """Mount it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _run("mount", *options, str(self.folder))
        self._mounted = True

    def unmount(self) -> None:
        """Unmount it, if it is mounted; what is in memory is written before."""
        if self._mounted:
            _run("umount", str(self.folder))
            self._mounted = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self.unmount()


class ImageDisk(Mount):
    """ext4 in a file over a loop device. A copy of the file holds what a power cut would leave.

    ext4 commits once in 300 s of its own accord, so that what is on the device is what was flushed.
    """

    OPTIONS: Sequence[str] = ("-t", "ext4", "-o", "loop,commit=300")

    def __init__(self, folder: Path, *, size_mib: int) -> None:
        super().__init__(folder / "disk")
        self._images = folder / "images"
        self._size = size_mib << 20
        self._number = 0

    @property
    def _image(self) -> Path:
        return self._images / f"{self._number}.ext4"

    def __enter__(self) -> Self:
        self._images.mkdir(parents=True)
        with self._image.open("wb") as file:
            file.truncate(self._size)
        _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self._image))
        self.mount(*self.OPTIONS, str(self._image))
        return self

    def cut(self) -> Path:
        """Copy what has reached the device; :meth:`restore` goes on with it."""
        copy = self._images / f"{self._number + 1}.ext4"
        _run("cp", "--sparse=always", str(self._image), str(copy))
        return copy

    def restore(self) -> None:
        """Mount the newest copy in place of the file system it was taken from."""
        self.unmount()
        self._image.unlink()
        self._number += 1
        self.mount(*self.OPTIONS, str(self._image))


class SmallDisk(Mount):
    """A file system in memory that others fill."""

    def __init__(self, folder: Path, *, size_mib: int) -> None:
        super().__init__(folder / "disk")
        self._size_mib = size_mib

    def __enter__(self) -> Self:
        self.mount("-t", "tmpfs", "-o", f"size={self._size_mib}m", "tmpfs")
        return self

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def fill(self) -> None:
        """Take all that is left; again and again, until nothing fits."""
        with self._filler.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(PIECE))
        with self._filler.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(512))

    def free(self) -> None:
        """Give it back."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def loaded_rig(settings: RigSettings, disk: Mount, *, size_mib: int) -> Iterator[tuple[Rig, AgentProcess]]:
    """Run an agent with its state on ``disk`` under load."""
    state = {"agent": {"state_dir": str(disk.folder / "state")}, "journal": {"max_mib": size_mib}}
    with Rig(replace(settings, overrides=merge(settings.overrides or {}, state))) as rig, rig.load:
        assert isinstance(rig.agent, AgentProcess)
        yield rig, rig.agent
