"""The log records of libraries (paho, openai, OpenTelemetry), routed into our log."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from agent.observe.line_writer import RateLimit

#: The lowest level of each library that is logged. OpenTelemetry's exporters repeat themselves for every
#: failed export; `otlp` logs each change of state once, and counts.
LEVELS = {
    "openai": logging.WARNING,
    "httpx2": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpcore2": logging.WARNING,
    "urllib3": logging.ERROR,
    "paho": logging.WARNING,
    "asyncio": logging.WARNING,
    "grpc": logging.ERROR,
    "opentelemetry": logging.ERROR,
    "opentelemetry.exporter": logging.CRITICAL,
    "opentelemetry.sdk": logging.CRITICAL,
}
_NAMES = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}


class LibraryHandler(logging.Handler):
    """Turns records of other libraries into ``library_logged`` events, a few per logger and minute."""

    def __init__(self, log: Callable[..., None], *, mono: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._log = log
        self._limit = RateLimit(burst=10, per_s=0.1, mono=mono)
        self._inside = threading.local()
        self.owner: object = None

    @classmethod
    def install(cls, log: Callable[..., None], *, owner: object) -> "LibraryHandler":
        """Route the root logger to ``log`` in place of the handler of an earlier log."""
        handler = cls(log)
        handler.owner = owner
        root = logging.getLogger()
        for old in [item for item in root.handlers if isinstance(item, LibraryHandler)]:
            root.removeHandler(old)
        root.addHandler(handler)
        root.setLevel(logging.WARNING)
        for name, level in LEVELS.items():
            logging.getLogger(name).setLevel(level)
        return handler

    def emit(self, record: logging.LogRecord) -> None:
        # A library that logs while our own log is at work must not come round again.
        if getattr(self._inside, "busy", False):
            return
        self._inside.busy = True
        try:
            silent = self._limit.allow(record.name)
            if silent is None:
                return
            # The first line only: asyncio appends the repr of exceptions, which may hold input.
            message = record.getMessage().partition("\n")[0][:300]
            fields: dict[str, Any] = {"logger": record.name, "message": message}
            if silent:
                fields["held_back"] = silent
            if record.exc_info and record.exc_info[1] is not None:
                fields["exc_info"] = record.exc_info[1]
            self._log("library_logged", level=_NAMES.get(record.levelno // 10 * 10, "info"), **fields)
        except Exception:  # noqa: BLE001 -- a bad format string of theirs is not our fault
            self.handleError(record)
        finally:
            self._inside.busy = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 -- logging's name
        """Print nothing: the default prints the record's arguments to stderr."""


def uninstall(owner: object) -> None:
    """Take the handler of ``owner`` off the root logger, if it is still there."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, LibraryHandler) and handler.owner is owner:
            root.removeHandler(handler)
