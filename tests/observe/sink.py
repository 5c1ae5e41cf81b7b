"""A log whose lines a test reads as data."""

import contextlib
import io
import json
from collections.abc import Iterator
from typing import Any

from agent.observe.logs import LogWriter


class Log:
    """A `LogWriter` over memory."""

    def __init__(self, **options: Any) -> None:
        self.stream = io.BytesIO()
        self.writer = LogWriter(stream=self.stream, **options)
        self.log = self.writer.log

    def lines(self) -> list[dict[str, Any]]:
        """Close the log and return its lines."""
        assert self.writer.close(5)
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def events(self) -> list[str]:
        """Close the log and return the names of its events."""
        return [line["event"] for line in self.lines()]


@contextlib.contextmanager
def logging_to(**options: Any) -> Iterator[Log]:
    """Give a log and close it at the end."""
    log = Log(**options)
    try:
        yield log
    finally:
        log.writer.close(5)
