"""One client of the web server: handshake, head, response, linger; non-blocking."""

import selectors
import socket
import ssl
from collections.abc import Callable
from enum import IntEnum

from agent.web.http import BadRequestError, Request, Response, parse_head, plain, render

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_LINGER_S = 1.0
_CHUNK = 65_536


class Phase(IntEnum):
    """How far a connection is, least valuable first: this is the order in which they give way."""

    LINGERING = 0  # answered; waits for the client to close
    READING = 1  # has not asked yet
    WRITING = 2
    CLOSED = 3


class Connection:
    """A client's socket as a state machine.

    Args:
        sock: The accepted socket, non-blocking; with ``tls`` its handshake has not begun.
        tls: Server-side context or None.
        answer: Called with the request; its response is sent.
        now: Monotonic seconds.
        timeout_s: For the head, and again for the response.
    """

    def __init__(
        self,
        *,
        sock: socket.socket,
        tls: ssl.SSLContext | None,
        answer: Callable[[Request], tuple[Response, bool]],
        now: float,
        timeout_s: float,
    ) -> None:
        self.phase = Phase.READING
        self.since = now
        self.deadline = now + timeout_s
        self.wants = READ
        self._timeout_s = timeout_s
        self._answer = answer
        self._data = b""
        self._out = memoryview(b"")
        self._shaken = tls is None
        self.sock: socket.socket = (
            sock if tls is None else tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        )

    def turn(self, now: float) -> None:
        """Go as far as the socket allows."""
        try:
            if not self._shaken and isinstance(self.sock, ssl.SSLSocket):
                self.sock.do_handshake()
                self._shaken = True
            if self.phase is Phase.READING:
                self._read(now)
            if self.phase is Phase.WRITING:
                self._write(now)
            if self.phase is Phase.LINGERING:
                self._linger()
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError):
            self.wants = WRITE if self.phase is Phase.WRITING else READ
        except ssl.SSLWantWriteError:
            self.wants = WRITE
        except OSError:  # reset, not TLS, ...
            self.close()

    def close(self) -> None:
        """Close at once."""
        self.phase = Phase.CLOSED
        self.sock.close()

    def _read(self, now: float) -> None:
        while True:
            chunk = self.sock.recv(_CHUNK)
            if not chunk:
                self.close()
                return
            self._data += chunk
            try:
                request = parse_head(self._data)
            except BadRequestError as error:
                self._say(plain(error.status), head_only=False, now=now)
                return
            if request is not None:
                response, head_only = self._answer(request)
                self._say(response, head_only=head_only, now=now)
                return

    def _say(self, response: Response, *, head_only: bool, now: float) -> None:
        self._data = b""
        self._out = memoryview(render(response, head_only=head_only))
        self.phase = Phase.WRITING
        self.since = now
        self.deadline = now + self._timeout_s
        self.wants = WRITE

    def _write(self, now: float) -> None:
        while self._out:
            self._out = self._out[self.sock.send(self._out) :]
        self.phase = Phase.LINGERING
        self.since = now
        self.deadline = now + min(self._timeout_s, _LINGER_S)
        self.wants = READ
        if isinstance(self.sock, ssl.SSLSocket):
            self.close()
        else:
            # Closing with unread bytes would reset the connection under the response.
            self.sock.shutdown(socket.SHUT_WR)

    def _linger(self) -> None:
        if not self.sock.recv(_CHUNK):  # one read a turn: endless sending must not hold the thread
            self.close()
