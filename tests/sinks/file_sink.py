"""A second sink as an integrator writes it: appends to a file, slow, failing."""

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from agent.domain.messages import Outgoing
from agent.sinks import Answer, Delivered, MessageKind, Refused, Retry, Route

FAILURES = 0.2


class FileSink:
    """Writes one JSON line per message in its own thread.

    ``early`` is the control: it answers as soon as a message is in the buffer of the file.
    """

    name = "file"
    title = "the file"
    pipelined = False

    def __init__(self, path: Path, *, early: bool = False) -> None:
        self._file = path.open("ab")
        if self._file.tell():
            self._file.write(b"\n")  # ends a line that a kill cut
        self._early = early
        self._queue: SimpleQueue[tuple[Outgoing, Callable[[Answer], object]]] = SimpleQueue()
        Thread(target=self._work, daemon=True).start()

    def send(self, message: Outgoing, answer: Callable[[Answer], object]) -> None:
        """Queue a message for the thread."""
        self._queue.put((message, answer))

    def _work(self) -> None:
        dice = random.Random(os.getpid())
        while True:
            message, answer = self._queue.get()
            if dice.random() < FAILURES:
                answer(Retry(after_s=0.02, reason="the file is busy"))
                continue
            time.sleep(dice.uniform(0.0, 0.004))
            self._file.write(json.dumps([message.key, message.payload.decode()]).encode() + b"\n")
            if not self._early:
                self._file.flush()
            answer(Delivered())

    def close(self) -> None:
        """Write the buffer."""
        self._file.close()


class RefusingSink:
    """Rejects every message."""

    name = "refusing"
    title = "the refusing sink"
    pipelined = True

    def send(self, message: Outgoing, answer: Callable[[Answer], object]) -> None:
        """Reject a message at once."""
        answer(Refused(reason=f"no {message.key}", remedy="remove this sink"))


def routes_to(sink: str) -> tuple[Route, ...]:
    """Return the routes of all messages to ``sink``, by device."""
    return tuple(Route(sink=sink, kind=kind, key=lambda device: device) for kind in MessageKind)
