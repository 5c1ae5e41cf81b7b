"""A session with a mail server, bounded in time and in the size of its replies."""

import smtplib
import time
from socket import socket
from typing import Any

TIMEOUT_S = 20.0  # of one step
TOTAL_S = 90.0
ANSWER_S = 300.0  # to a message: a server may look through it first, and a repeat is a second mail
MAX_REPLIES = 65_536  # bytes of a session


class _Replies:
    """The lines of a server, in place of the file that smtplib reads: it waits for each byte of a line."""

    def __init__(self, sock: socket, *, until: float) -> None:
        self._sock = sock
        self._until = until
        self._step_s = TIMEOUT_S
        self._left = MAX_REPLIES
        self._file = sock.makefile("rb")

    def readline(self, limit: int) -> bytes:
        """Return one line.

        Raises:
            TimeoutError: the session has lasted for too long.
            OSError: the replies are too long.
        """
        line = bytearray()
        while not line.endswith(b"\n") and len(line) < limit:
            left_s = self._until - time.monotonic()
            if left_s <= 0.0:
                raise TimeoutError
            self._sock.settimeout(min(self._step_s, left_s))
            ready = self._file.peek(1)  # one read of the socket at most
            part = self._file.read((ready.find(b"\n") + 1) or len(ready))
            if not part:
                break
            line += part
            self._left -= len(part)
            if self._left < 0:
                raise OSError(0, "the replies are too long")
        return bytes(line)

    def be_patient(self, wait_s: float) -> None:
        """Wait so long for the replies that follow."""
        self._until, self._step_s = time.monotonic() + wait_s, wait_s

    def close(self) -> None:
        """Leave the connection to its owner."""
        self._file.close()


class _Bounded(smtplib.SMTP):
    """Ends a session with a server that answers byte by byte, or without end."""

    _until: float | None = None

    def getreply(self) -> tuple[int, bytes]:
        """Return the next reply."""
        if self._until is None:
            self._until = time.monotonic() + TOTAL_S
        if self.file is None and self.sock is not None:
            self.file = _Replies(self.sock, until=self._until)
        return super().getreply()

    def data(self, msg: Any) -> tuple[int, bytes]:
        """Send a message and return the reply."""
        if isinstance(self.file, _Replies):
            self.file.be_patient(ANSWER_S)
        return super().data(msg)


class Session(_Bounded):
    """Plain, until STARTTLS."""


class TlsSession(_Bounded, smtplib.SMTP_SSL):
    """With TLS from the start."""
