"""Selector of the net thread: one broker socket, its pace, a wake-up."""

import math
import select
import selectors
import socket
from contextlib import suppress
from types import TracebackType
from typing import Self

from agent.mqtt.wire import Wire

LONG_REST_S = 0.05  # at most, while messages keep coming
LEAD_S = 0.006  # from the last read before a commit to the commit
SHORT_REST_S = 0.01  # where messages come faster than
FAST_PER_S = 2000  # in a long rest of these the broker's window of unacknowledged messages might fill


class ReadPace:
    """When the socket is read: at once after a pause, otherwise at intervals, for all that came meanwhile.

    A wake-up costs more than the messages that it is for, and takes the GIL from the other threads. The
    journal commits ``commit_s`` after the begin of the rest in which its oldest message came, so a whole
    number of rests leads to a read just before the commit, and no message waits longer.
    """

    def __init__(self, commit_s: float) -> None:
        lead_s = min(LEAD_S, commit_s / 2)
        self._long_s = (commit_s - lead_s) / math.ceil((commit_s - lead_s) / LONG_REST_S)
        self._read_at = 0.0
        self._free_at = 0.0  # from then on the socket may be read
        self._fast = False

    def rest_s(self, now: float) -> float:
        """Return how long the socket is left alone."""
        return max(0.0, self._free_at - now)

    def waited_s(self, now: float) -> float:
        """Return how long what is read now may have waited."""
        return now - self._read_at if self._free_at > self._read_at else 0.0

    def note(self, now: float, *, messages: int, more: bool) -> None:
        """Note a read. No rest follows when there is ``more`` to read or nothing had come for a while."""
        busy = messages > 0 and now - self._free_at < self._long_s / 2
        self._fast = messages > FAST_PER_S * (now - self._read_at)
        rest_s = min(self._long_s, SHORT_REST_S) if self._fast else self._long_s
        self._read_at = now
        self._free_at = now + rest_s if busy and not more else now

    def acknowledged(self) -> None:
        """End a short rest: the broker has room for further messages."""
        if self._fast:
            self._free_at = self._read_at


class WireSelector:
    """A selector over a wake-up and at most one wire. Only ``wake`` may be called from other threads."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.settimeout(0.0)
        self._wake_in.settimeout(0.0)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._wakes = select.poll()
        self._wakes.register(self._wake_out, select.POLLIN)
        self._sock: socket.socket | None = None
        self._mask = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()
        self._wake_out.close()
        self._wake_in.close()

    def wake(self) -> None:
        """End the sleep, or the next one."""
        with suppress(OSError):  # full: it wakes already; closed: nobody sleeps any more
            self._wake_in.send(b"\0")

    def watch(self, wire: Wire | None, *, read: bool = True) -> None:
        """Watch ``wire`` for reading, and for writing while bytes wait; None: watch the wake-up only."""
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

    def rest(self, timeout_s: float) -> None:
        """Wait for a wake-up alone."""
        if self._wakes.poll(1000 * timeout_s):
            self._take_wakes()

    def sleep(self, timeout_s: float) -> bool:
        """Wait for the wire or a wake-up; return whether the wire can be read."""
        readable = False
        for key, mask in self._selector.select(timeout_s):
            if key.fileobj is self._wake_out:
                self._take_wakes()
            else:
                readable = bool(mask & selectors.EVENT_READ)
        return readable

    def _take_wakes(self) -> None:
        with suppress(BlockingIOError):
            self._wake_out.recv(4096)
