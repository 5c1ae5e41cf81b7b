"""The demo's output: plain lines, or the live view of :mod:`simulator.view`."""

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from simulator.faults import Label
from simulator.text import HEADER, event_line, fault_line, verdict_line
from simulator.truth import Truth

_WIDTH = 12  # of the name before a fact


class Show(Protocol):
    """The demo's output while it runs; every method may be called from any thread."""

    truth: Callable[[], Truth | None]

    def open(self) -> None:
        """Begin."""

    def close(self) -> None:
        """End; closing twice is harmless."""

    def introduce(self, name: str, text: str) -> None:
        """Show a fact that stays: ``scenario``, ``broker``, ``model`` or ``status page``."""

    def phase(self, name: str, text: str) -> None:
        """Show the present step."""

    def verdict(self, body: dict[str, Any]) -> None:
        """Show a verdict."""

    def event(self, body: dict[str, Any]) -> None:
        """Show a change of a finding."""

    def fault(self, label: Label, *, begins: bool) -> None:
        """Show that a true fault begins or ends."""


class Plain:
    """A line for everything that happens, for pipes, logs and simple terminals."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.truth: Callable[[], Truth | None] = lambda: None
        self._write = say
        self._lock = threading.Lock()
        self._headed = False

    def open(self) -> None:
        """Do nothing: lines need no preparation."""

    def close(self) -> None:
        """Do nothing."""

    def introduce(self, name: str, text: str) -> None:
        self._say(f"{name:<{_WIDTH}} {text}")

    def phase(self, name: str, text: str) -> None:
        self._say(f"{name:<{_WIDTH}} {text}{'; Ctrl-C ends it' if name == 'live' else ''}")

    def verdict(self, body: dict[str, Any]) -> None:
        self._row(verdict_line(body, time.time()))

    def event(self, body: dict[str, Any]) -> None:
        self._row(event_line(body, time.time()))

    def fault(self, label: Label, *, begins: bool) -> None:
        self._row(fault_line(label, time.time(), begins=begins))

    def _row(self, text: str) -> None:
        if not self._headed:
            self._headed = True
            self._say(f"\n{HEADER}")
        self._say(text)

    def _say(self, text: str) -> None:
        with self._lock:
            self._write(text)
