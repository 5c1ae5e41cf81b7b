"""The web thread: a few addresses, bounded clients, none of which can block it."""

import contextlib
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from errno import EMFILE, ENFILE
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

from agent.domain.address import host_bytes
from agent.domain.records import AgentError
from agent.testing.failpoint import failpoint
from agent.web.connection import NOTHING, READ, Connection, Phase
from agent.web.http import BasicAuth, Pending, Request, Response, fit, host_name, plain

MAX_SCRAPES = 8  # clients at once of a server without posts
TIMEOUT_S = 5.0
_TURN_S = 1.0
_GIVE_WAY_S = 1.0
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "ip6-localhost"})


class WebError(AgentError):
    """The port could not be opened."""


class PostRoute(Protocol):
    """The addresses that take a body; all of it is called on the web thread.

    ``guarded``: the rules of host and password hold for them; without it they check who asks themselves.
    """

    @property
    def guarded(self) -> bool: ...

    def takes(self, path: str) -> bool:
        """Return whether ``path`` is one of them."""

    def admit(self, request: Request, *, waiting: int) -> Response | int:
        """Return the size of the body that is to be read, or a refusal; ``waiting`` requests wait."""

    def receive(self, request: Request, body: bytes, wake: Callable[[], None], /) -> Response | Pending:
        """Take head and body; ``wake`` is called from any thread once a pending response is there."""


class WebServer:
    """Serves GET of ``routes``, and POST to the addresses of ``posts`` if there are any.

    All sockets are non-blocking, TLS handshakes too, so an idle or slow client costs a slot and never a
    scrape: when every slot is taken, the connection that has asked for nothing for the longest gives way.

    Args:
        host: Address to bind.
        port: Port to bind; 0 takes a free one, see `port`.
        routes: Path to a function from a request to the response; it must not take long.
        posts: The addresses that take a body.
        tls: Server-side TLS context, or None.
        auth: The user who may read, or None for everybody.
        max_connections: Clients at once.
        timeout_s: For a request, again until its response is there, and again to send it.
        log: reports a route that failed.

    Raises:
        WebError: The address is taken, or may not be bound.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        routes: Mapping[str, Callable[[Request], Response]],
        posts: Sequence[PostRoute] = (),
        tls: "ssl.SSLContext | None" = None,
        auth: BasicAuth | None = None,
        max_connections: int = MAX_SCRAPES,
        timeout_s: float = TIMEOUT_S,
        log: Callable[..., None] = lambda *_args, **_fields: None,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._routes = dict(routes)
        self._posts = posts
        self._tls = tls
        self._auth = auth
        self._max = max_connections
        self._timeout_s = timeout_s
        self._log = log
        self._mono = mono
        self._connections: set[Connection] = set()
        self._stopping = False
        self._accepting = True
        self.heartbeat = mono()
        self._listener = _listen(host, port)
        self.host, self.port = self._listener.getsockname()[:2]
        # A page elsewhere could point its own name at this address and read it through a browser.
        self._names = _LOCAL_NAMES if ip_address(self.host).is_loopback else None
        self._wake, self._woken = socket.socketpair()
        self._wake.settimeout(0.0)
        self._woken.settimeout(0.0)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, READ)
        self._selector.register(self._woken, READ)

    @property
    def connections(self) -> int:
        """Clients connected now."""
        return len(self._connections)

    def run(self) -> None:
        """Serve until `stop`; the body of the thread."""
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._close()

    def stop(self) -> None:
        """End `run`, from any thread."""
        self._stopping = True
        self._wake_up()

    def _wake_up(self) -> None:
        """End the wait of a turn, from any thread."""
        with contextlib.suppress(OSError):  # full: it wakes up anyway; or closed
            self._wake.send(b"x")

    def _turn(self) -> None:
        ready = self._selector.select(self._wait())
        now = self.heartbeat = self._mono()
        failpoint("web_turn")
        for key, _events in ready:
            if isinstance(key.data, Connection):
                self._advance(key.data, now)
            elif key.fileobj is self._woken:
                self._woken.recv(4096)
                self._answer_waiting(now)
        for connection in [item for item in self._connections if item.deadline <= now]:
            self._advance(connection, now, overdue=True)
        self._listen_again()
        for key, _events in ready:
            if key.fileobj is self._listener:
                self._accept(now)

    def _wait(self) -> float:
        soonest = min((item.deadline for item in self._connections), default=self._mono() + _TURN_S)
        longest = _TURN_S if self._accepting else _GIVE_WAY_S / 4
        return max(0.0, min(longest, soonest - self._mono()))

    def _accept(self, now: float) -> None:
        for _ in range(self._max):
            if len(self._connections) >= self._max and not self._make_room(now):
                self._pause()
                return
            try:
                sock, _address = self._listener.accept()
            except OSError as error:
                if error.errno in (EMFILE, ENFILE):  # no descriptor left: it would be ready again at once
                    self._pause()
                return  # or the client is gone again
            sock.settimeout(0.0)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                connection = Connection(
                    sock=sock,
                    tls=self._tls,
                    answer=self._answer,
                    receive=self._receive,
                    now=now,
                    timeout_s=self._timeout_s,
                )
            except OSError:
                sock.close()
                continue
            self._connections.add(connection)
            self._selector.register(connection.sock, connection.wants, connection)
            self._advance(connection, now)

    def _make_room(self, now: float) -> bool:
        """Close the connection that can best be spared; false while all are being answered."""
        spare = min(self._connections, key=lambda item: (item.phase, item.since))
        if spare.phase is Phase.WAITING or (spare.phase is Phase.WRITING and now - spare.since < _GIVE_WAY_S):
            return False
        spare.close()
        self._forget(spare)
        return True

    def _advance(self, connection: Connection, now: float, *, overdue: bool = False) -> None:
        wanted = connection.wants
        if overdue:
            connection.expire(now)
        else:
            connection.turn(now)
        if connection.phase is Phase.CLOSED:
            self._forget(connection)
        elif connection.wants != wanted:
            self._watch(connection, wanted)

    def _watch(self, connection: Connection, before: int) -> None:
        """Follow a change of the awaited events; a socket without any is not watched."""
        if connection.wants == NOTHING:
            self._selector.unregister(connection.sock)
        elif before == NOTHING:
            self._selector.register(connection.sock, connection.wants, connection)
        else:
            self._selector.modify(connection.sock, connection.wants, connection)

    def _answer_waiting(self, now: float) -> None:
        for connection in [item for item in self._connections if item.phase is Phase.WAITING]:
            self._advance(connection, now)

    def _forget(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            # The descriptor may be closed already, which the selector can only find by looking for it.
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(connection.sock)

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            self._selector.unregister(self._listener)

    def _listen_again(self) -> None:
        if not self._accepting:
            self._accepting = True
            self._selector.register(self._listener, READ)

    def _answer(self, request: Request) -> Response | int:
        posts = self._taking(request.path)
        if posts is None or posts.guarded:
            refusal = self._keep_out(request)
            if refusal is not None:
                return refusal
        if posts is not None:
            waiting = sum(item.phase is Phase.WAITING for item in self._connections)
            return posts.admit(request, waiting=waiting)
        route = self._routes.get(request.path)
        if route is None:
            return plain(HTTPStatus.NOT_FOUND)
        if request.method != "GET":
            return plain(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET"))
        try:
            return fit(route(request), request.headers)
        except Exception as error:  # noqa: BLE001 -- one address that fails must not end the others
            self._log("web_request_failed", level="error", path=request.path, exc_info=error)
            return plain(HTTPStatus.INTERNAL_SERVER_ERROR)

    def _keep_out(self, request: Request) -> Response | None:
        """Return the refusal of a request under a foreign name or without the password."""
        host = request.headers.get("host")
        if self._names is not None and host is not None and host_name(host) not in self._names:
            return plain(HTTPStatus.MISDIRECTED_REQUEST)
        if self._auth is not None and not self._auth.allows(request.headers.get("authorization", "")):
            challenge = ("WWW-Authenticate", 'Basic realm="edge-agent", charset="UTF-8"')
            return plain(HTTPStatus.UNAUTHORIZED, challenge)
        return None

    def _receive(self, request: Request, body: bytes) -> Response | Pending:
        posts = self._taking(request.path)
        if posts is None:
            return plain(HTTPStatus.NOT_FOUND)
        return posts.receive(request, body, self._wake_up)

    def _taking(self, path: str) -> PostRoute | None:
        return next((one for one in self._posts if one.takes(path)), None)

    def _close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._selector.close()
        for sock in (self._listener, self._wake, self._woken):
            sock.close()


def server_tls(*, cert_file: str | Path, key_file: str | Path) -> "ssl.SSLContext":
    """Return a server-side context of TLS 1.2 or newer.

    Raises:
        WebError: A file is missing, or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert_file, key_file)
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or str(error)
        raise WebError(
            f"web TLS: {cert_file} and {key_file} are not a certificate and its key: {why}"
        ) from error
    return context


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, number, _name, address = socket.getaddrinfo(
            host_bytes(host), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, number)
    except OSError as error:
        raise WebError(f"web.listen {host}:{port} cannot be opened: {error.strerror or error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(64)
        listener.settimeout(0.0)
    except OSError as error:
        listener.close()
        raise WebError(
            f"web.listen {host}:{port} cannot be opened: {error.strerror}; free it or choose another port"
        ) from error
    return listener
