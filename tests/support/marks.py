"""Marks of tests: which processes a test may start.

A test that starts a process without the mark for it fails, alone and in every run, so that ``make unit``
selects by marks and still starts nothing.
"""

import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Fixtures of the conftest files, and what they start.
FIXTURES = {
    "broker": ("broker",),
    "own_broker": ("broker",),
    "authority": ("process",),
    "hung": ("broker", "process"),
    "start": ("broker", "process"),
}
_STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.system"}
_BROWSERS = ("chromium", "google-chrome", "node")  # node drives the browser
_ASKED_BY_LIBRARIES = {"uname"}  # by the platform module of the standard library, once


class ProcessStartError(AssertionError):
    """A test started a process that none of its marks announces."""


class ProcessGuard:
    """Refuses processes while a test runs that lacks the mark; seen by an audit hook of the interpreter."""

    def __init__(self) -> None:
        self._marks: Collection[str] | None = None
        self._refused: list[str] = []
        self._pid = os.getpid()
        sys.addaudithook(self._audit)

    @contextmanager
    def allowing(self, marks: Collection[str]) -> Iterator[None]:
        """Let the block start what ``marks`` announce.

        Raises:
            ProcessStartError: it tried more, even if the product caught the first error.
        """
        self._marks = marks
        self._refused.clear()
        try:
            yield
        finally:
            self._marks = None
        if self._refused:
            raise ProcessStartError(self._refused[0])

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _STARTS or self._marks is None or os.getpid() != self._pid:
            return
        program = _program(event, arguments)
        mark = needed_mark(program)
        if mark is not None and mark not in self._marks:
            message = f"the test starts {program}: mark it with pytest.mark.{mark}"
            self._refused.append(message)
            raise ProcessStartError(message)


def needed_mark(program: str) -> str | None:
    """Return the mark that a test needs to start ``program``, None for none."""
    if program in _ASKED_BY_LIBRARIES:
        return None
    if program.startswith("mosquitto"):
        return "broker"
    return "browser" if program.startswith(_BROWSERS) else "process"


def _program(event: str, arguments: tuple[Any, ...]) -> str:
    """Return the file name of the program that an audit event starts, or the event's own name."""
    if event == "os.fork" or not arguments:
        return event
    found = arguments[0]
    if found is None:  # Popen without an executable of its own
        argv = arguments[1]
        found = argv if isinstance(argv, str | bytes) else argv[0]
    return Path(os.fsdecode(found)).name
