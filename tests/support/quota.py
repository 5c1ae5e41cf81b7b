"""A share of one core for a process, by a CPU control group; needs root."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_for

PERIOD_US = 100_000
ROOT = Path("/sys/fs/cgroup")


class Quota:
    """The group of one process. Entering :func:`quota` makes it, leaving it takes it away."""

    def __init__(self, path: Path, *, v1: bool) -> None:
        self._path = path
        self._v1 = v1

    def set(self, share: float | None) -> None:
        """Let the group run for ``share`` of one core, None for as much as there is."""
        quota_us = None if share is None else int(share * PERIOD_US)
        if self._v1:
            (self._path / "cpu.cfs_quota_us").write_text(str(quota_us or -1))
        else:
            (self._path / "cpu.max").write_text(f"{quota_us or 'max'} {PERIOD_US}")

    def take(self, pid: int) -> None:
        """Put a process with all its threads into the group."""
        (self._path / "cgroup.procs").write_text(str(pid))

    def throttled(self) -> tuple[int, float]:
        """Return in how many periods the group was held back, and for how long, seconds, over all cores."""
        stat = dict(line.split() for line in (self._path / "cpu.stat").read_text().splitlines())
        time_s = int(stat.get("throttled_time", 0)) / 1e9 + int(stat.get("throttled_usec", 0)) / 1e6
        return int(stat["nr_throttled"]), time_s


@contextmanager
def quota() -> Iterator[Quota | None]:
    """Make a control group for CPU time; None where that is not possible."""
    v1 = (ROOT / "cpu").is_dir()
    path = (ROOT / "cpu" if v1 else ROOT) / f"edge-agent-test-{os.getpid()}"
    try:
        path.mkdir()
    except OSError:
        yield None
        return
    made = Quota(path, v1=v1)
    try:
        made.set(None)
    except OSError:  # the kernel or the parent group has no quotas
        path.rmdir()
        yield None
        return
    try:
        yield made
    finally:
        wait_for(lambda: not (path / "cgroup.procs").read_text(), 10, "the group is empty")
        path.rmdir()
