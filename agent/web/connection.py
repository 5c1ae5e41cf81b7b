"""One client of the web server: from handshake to linger, non-blocking."""

import selectors
import socket
from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING

from agent.domain.tls import is_tls_socket, needs_reading, needs_writing
from agent.web.http import BadRequestError, Pending, Request, Response, parse_head, plain, render

if TYPE_CHECKING:
    import ssl

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
NOTHING = 0  # of its socket is waited for
_LINGER_S = 1.0
_CHUNK = 65_536
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Phase(IntEnum):
    """How far a connection is, least valuable first: this is the order in which they give way."""

    LINGERING = 0  # answered; waits for the client to close
    READING = 1  # has not asked yet
    WAITING = 2  # has asked; another thread makes the response
    WRITING = 3
    CLOSED = 4


class Connection:
    """A client's socket as a state machine.

    Args:
        sock: The accepted socket, non-blocking; with ``tls`` its handshake has not begun.
        tls: Server-side context or None.
        answer: Called with the head of the request; its response is sent, or so many bytes of body are read.
        receive: Called with head and body.
        now: Monotonic seconds.
        timeout_s: For the request, again until its response is there, and again for the response.
    """

    def __init__(
        self,
        *,
        sock: socket.socket,
        tls: "ssl.SSLContext | None",
        answer: Callable[[Request], Response | int],
        receive: Callable[[Request, bytes], Response | Pending],
        now: float,
        timeout_s: float,
    ) -> None:
        self.phase = Phase.READING
        self.since = now
        self.deadline = now + timeout_s
        self.wants = READ
        self._timeout_s = timeout_s
        self._answer = answer
        self._receive = receive
        self._data = bytearray()
        self._request: Request | None = None
        self._body_bytes = 0
        self._pending: Pending | None = None
        self._out = memoryview(b"")
        self._shaken = tls is None
        self.sock: socket.socket = (
            sock if tls is None else tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        )

    def turn(self, now: float) -> None:
        """Go as far as the socket allows."""
        try:
            if not self._shaken and is_tls_socket(self.sock):
                self.sock.do_handshake()
                self._shaken = True
            if self.phase is Phase.READING:
                self._read(now)
            if self.phase is Phase.WAITING:
                self._look(now, overdue=False)
            if self.phase is Phase.WRITING:
                self._write(now)
            if self.phase is Phase.LINGERING:
                self._linger()
        except OSError as error:
            if needs_writing(error):
                self.wants = WRITE
            elif needs_reading(error):
                self.wants = WRITE if self.phase is Phase.WRITING else READ
            else:  # reset, not TLS, ...
                self.close()

    def expire(self, now: float) -> None:
        """End what took too long: a request that waits is answered, all else is closed."""
        if self.phase is Phase.WAITING:
            self._look(now, overdue=True)
            self.turn(now)
        else:
            self.close()

    def close(self) -> None:
        """Close at once."""
        self.phase = Phase.CLOSED
        self.sock.close()

    def _read(self, now: float) -> None:
        while self.phase is Phase.READING:
            chunk = self.sock.recv(_CHUNK)
            if not chunk:
                self.close()
                return
            self._data += chunk
            if self._request is None:
                self._take_head(now)
            if self._request is not None and self.phase is Phase.READING:
                self._take_body(self._request, now)

    def _take_head(self, now: float) -> None:
        try:
            request = self._request = parse_head(self._data)
        except BadRequestError as error:
            self._say(plain(error.status), now=now)
            return
        if request is None:
            return
        answer = self._answer(request)
        if isinstance(answer, Response):
            self._say(answer, head_only=request.method == "HEAD", now=now)
            return
        self._body_bytes = answer
        waits = request.headers.get("expect", "").lower() == "100-continue"
        if waits and len(self._data) < request.size + answer:
            self.sock.send(_CONTINUE)

    def _take_body(self, request: Request, now: float) -> None:
        if len(self._data) < request.size + self._body_bytes:
            return
        answer = self._receive(request, bytes(self._data[request.size : request.size + self._body_bytes]))
        if isinstance(answer, Response):
            self._say(answer, now=now)
            return
        self._pending = answer
        self._data = bytearray()
        self.phase, self.since, self.deadline = Phase.WAITING, now, now + self._timeout_s
        self.wants = NOTHING

    def _look(self, now: float, *, overdue: bool) -> None:
        response = None if self._pending is None else self._pending.look(overdue=overdue)
        if response is not None:
            self._say(response, now=now)

    def _say(self, response: Response, *, head_only: bool = False, now: float) -> None:
        self._data = bytearray()
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
        if is_tls_socket(self.sock):
            self.close()
        else:
            # Closing with unread bytes would reset the connection under the response.
            self.sock.shutdown(socket.SHUT_WR)

    def _linger(self) -> None:
        if not self.sock.recv(_CHUNK):  # one read a turn: endless sending must not hold the thread
            self.close()
