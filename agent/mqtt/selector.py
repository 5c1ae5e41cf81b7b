"""Where the net thread sleeps: one socket to the broker and a bell that any thread may ring."""

import selectors
import socket
from contextlib import suppress
from types import TracebackType
from typing import Self

from agent.mqtt.wire import Wire


class Watcher:
    """A selector over the bell and at most one wire. Only ``ring`` may be called from other threads."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._ear, self._bell = socket.socketpair()
        self._ear.settimeout(0.0)
        self._bell.settimeout(0.0)
        self._selector.register(self._ear, selectors.EVENT_READ)
        self._sock: socket.socket | None = None
        self._mask = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()
        self._ear.close()
        self._bell.close()

    def ring(self) -> None:
        """End the sleep, or the next one."""
        with suppress(OSError):  # full: it rings already; closed: nobody sleeps any more
            self._bell.send(b"\0")

    def watch(self, wire: Wire | None, *, read: bool = True) -> None:
        """Watch ``wire`` for reading, and for writing while bytes wait; None: watch nothing but the bell."""
        mask = 0
        if wire is not None and not wire.closed:
            mask = (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if wire.wants_write else 0)
        sock = None if wire is None or not mask else wire.sock
        if sock is not self._sock:
            if self._sock is not None:
                with suppress(KeyError, ValueError):
                    self._selector.unregister(self._sock)
            self._sock, self._mask = sock, 0
        if sock is None:
            return
        if not self._mask:
            self._selector.register(sock, mask)
        elif mask != self._mask:
            self._selector.modify(sock, mask)
        self._mask = mask

    def sleep(self, timeout_s: float) -> bool:
        """Wait for something to do; return whether the wire can be read."""
        readable = False
        for key, mask in self._selector.select(timeout_s):
            if key.fileobj is self._ear:
                with suppress(BlockingIOError):
                    self._ear.recv(4096)
            else:
                readable = bool(mask & selectors.EVENT_READ)
        return readable
