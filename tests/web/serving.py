"""A web server in a thread, and clients that speak to it in bytes."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from agent.web.http import Response
from agent.web.server import WebServer

ROUTES = {"/metrics": lambda _request: Response(b"up 1\n"), "/healthz": lambda _request: Response(b"ok\n")}


@contextlib.contextmanager
def serving(routes: Mapping[str, Any] = ROUTES, **options: Any) -> Iterator[WebServer]:
    """Serve on a free loopback port until the block ends."""
    server = WebServer(host="127.0.0.1", port=0, routes=routes, **options)
    thread = threading.Thread(target=server.run, name="web")
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(60)
        assert not thread.is_alive()


def connect(server: WebServer) -> socket.socket:
    """Open a plain connection that sends nothing yet."""
    return socket.create_connection((server.host, server.port), 60)


def ask(
    server: WebServer, request: str | bytes, *, tls: ssl.SSLContext | None = None
) -> tuple[int, str, bytes]:
    """Send ``request`` and return status, head and body of the whole response."""
    with connect(server) as plain:
        sock = plain if tls is None else tls.wrap_socket(plain, server_hostname="localhost")
        with sock:
            sock.sendall(request.encode("latin-1") if isinstance(request, str) else request)
            return split(read_all(sock))


def get(server: WebServer, path: str, *headers: str, **options: Any) -> tuple[int, str, bytes]:
    """GET ``path``."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
    return ask(server, "\r\n".join(lines), **options)


def read_all(sock: socket.socket) -> bytes:
    """Read until the server closes."""
    chunks = []
    while chunk := sock.recv(65_536):
        chunks.append(chunk)
    return b"".join(chunks)


def split(answer: bytes) -> tuple[int, str, bytes]:
    """Return status, head and body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode("latin-1"), body
