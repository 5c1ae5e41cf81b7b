"""The agent without one of its protections, as the control of a harness.

``python -m tests.faults.weakened NAME run --config FILE``.

Only the running process is patched; the product has no switch for it.
"""

import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from agent.cli import main
from agent.mqtt.receiver import Receiver
from agent.web.http import Response
from agent.web.intake import ReadingsIntake

DUP = 0x08
QOS = 0x06


def acknowledge_at_once() -> None:
    """Acknowledge each message as it arrives, before it is on disk."""
    take = Receiver.take

    def take_and_ack(self: Any, first: int, topic: bytes, mid: int, *rest: Any) -> None:
        take(self, first, topic, mid, *rest)
        if first & QOS:
            self._connection.ack([mid])

    Receiver.take = take_and_ack  # type: ignore[method-assign]
    Receiver.ack = lambda *_: None  # type: ignore[method-assign]


def drop_redelivered() -> None:
    """Take every message with DUP=1 for one that is journaled already."""
    take = Receiver.take

    def take_new(self: Any, first: int, topic: bytes, mid: int, *rest: Any) -> None:
        if first & DUP:
            self._connection.ack([mid])
        else:
            take(self, first, topic, mid, *rest)

    Receiver.take = take_new  # type: ignore[method-assign]


def forget_messages() -> None:
    """Acknowledge nothing, and take every message with DUP=1 for a new one."""
    take = Receiver.take

    def take_as_new(self: Any, first: int, *rest: Any) -> None:
        take(self, first & ~DUP, *rest)

    Receiver.take = take_as_new  # type: ignore[method-assign]
    Receiver.ack = lambda *_: None  # type: ignore[method-assign]


class _Relaxed(sqlite3.Connection):
    """A connection that never waits for the disk at COMMIT."""

    def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
        """Run ``sql``, with the weaker pragma in place of the strong one."""
        return super().execute(sql.replace("synchronous=FULL", "synchronous=NORMAL"), *rest)


def relax_commits() -> None:
    """Open every database with ``synchronous=NORMAL``."""
    sqlite3.connect = partial(sqlite3.connect, factory=_Relaxed)  # type: ignore[assignment]


def accept_at_once() -> None:
    """Answer a posted message with 202 before it is on disk."""

    def receive(self: Any, *rest: Any) -> Response:
        pending = RECEIVE(self, *rest)
        return pending if isinstance(pending, Response) else Response(b'{"status":"accepted"}', 202)

    ReadingsIntake.receive = receive  # type: ignore[method-assign]


RECEIVE = ReadingsIntake.receive
WITHOUT: dict[str, Callable[[], None]] = {
    "memory": forget_messages,
    "late-acks": acknowledge_at_once,
    "redelivery": drop_redelivered,
    "flush": relax_commits,
    "late-202": accept_at_once,
}

if __name__ == "__main__":
    WITHOUT[sys.argv[1]]()
    sys.exit(main(sys.argv[2:]))
