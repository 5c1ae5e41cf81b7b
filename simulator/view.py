"""The live view of the demo on a terminal's alternate screen."""

import contextlib
import os
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from simulator import scrape
from simulator.faults import Label
from simulator.view_frame import frame
from simulator.view_state import Board

if TYPE_CHECKING:
    from simulator.truth import Truth

FRAMES_PER_S = 4
LOOK_EVERY_S = 1.0


def fits(stream: Any) -> bool:
    """Return whether a stream is a terminal that can show the view."""
    encoding = str(getattr(stream, "encoding", "")).lower().replace("-", "")
    return (
        bool(stream.isatty())
        and os.environ.get("TERM", "dumb") not in {"dumb", "unknown", ""}
        and encoding == "utf8"
    )


class View:
    """Shows the demo as it runs. Keys typed meanwhile are neither echoed nor kept."""

    def __init__(self, *, console: Console | None = None) -> None:
        self.console = Console(markup=False, highlight=False) if console is None else console
        self.board = Board()
        self.truth: Callable[[], Truth | None] = lambda: None
        self._done = threading.Event()
        self._stack = contextlib.ExitStack()

    def open(self) -> None:
        """Take the screen."""
        self._stack.enter_context(_silent_keys())
        live = Live(
            console=self.console,
            screen=True,
            get_renderable=self.frame,
            refresh_per_second=FRAMES_PER_S,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._stack.enter_context(live)
        thread = threading.Thread(target=self._look, name="look", daemon=True)
        thread.start()
        self._stack.callback(self._done.set)

    def close(self) -> None:
        """Give the screen back; closing twice is harmless."""
        self._stack.close()

    def frame(self) -> Text:
        """Return what is to be seen now."""
        board = self.board
        board.truth = self.truth()
        return frame(board.snapshot(), width=self.console.width, height=self.console.height)

    def introduce(self, name: str, text: str) -> None:
        """Take one of the facts that do not change."""
        match name:
            case "scenario":
                self.board.title = text
            case "broker":
                self.board.broker = text
            case "model":
                self.board.model = text
            case _:
                self.board.web = text

    def phase(self, name: str, text: str) -> None:
        """Show the present step."""
        self.board.phase = f"{name}: {text}"

    def verdict(self, body: dict[str, Any]) -> None:
        """Show a verdict."""
        self.board.take_verdict(body, time.time())

    def event(self, body: dict[str, Any]) -> None:
        """Show a change of a finding."""
        self.board.take_event(body, time.time())

    def fault(self, label: Label, *, begins: bool) -> None:
        """Do nothing: the truth is asked for with each frame."""

    def _look(self) -> None:
        while not self._done.is_set():
            if self.board.web:
                self.board.take_status(scrape.get(f"{self.board.web}status.json", 2.0))
                self.board.metrics = scrape.metrics(self.board.web.rstrip("/"), 2.0)
            self._done.wait(LOOK_EVERY_S)


@contextlib.contextmanager
def _silent_keys() -> Iterator[None]:
    """Switch the echo of the terminal off: an Enter would scroll the view away. Ctrl-C goes on to work."""
    try:
        number = sys.stdin.fileno()
        ours = os.tcgetpgrp(number) == os.getpgrp()  # in the background we would be stopped
        before = termios.tcgetattr(number)
    except (OSError, ValueError, AttributeError, termios.error):
        ours = False
    if not ours:
        yield
        return
    silent = [*before]
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(number, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(number, termios.TCSAFLUSH, before)
