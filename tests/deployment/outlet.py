"""An HTTP proxy from the booted machine's network to the package registries.

It listens on the loopback interface of the machine's network namespace and connects from ours, so the booted
machine has all ports to itself.
"""

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Self
from urllib.parse import urlsplit

PORT = 3128
MAX_HEAD = 65_536
CLONE_NEWNET = 0x4000_0000
_BLOCK = 65_536


def listen_in(pid: int) -> socket.socket:
    """Return a listening socket in the network namespace of a process. Needs root."""
    found: list[socket.socket] = []
    libc = ctypes.CDLL(None, use_errno=True)

    def enter() -> None:
        descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        try:  # a namespace is a thread's own, and this thread ends here
            if libc.setns(descriptor, CLONE_NEWNET) == 0:
                found.append(socket.create_server(("127.0.0.1", PORT)))
        finally:
            os.close(descriptor)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if not found:
        raise OSError(f"the network of process {pid} cannot be entered")
    return found[0]


class Outlet:
    """The proxy for one machine; a context manager."""

    def __init__(self, pid: int) -> None:
        self._listener = listen_in(pid)

    def __enter__(self) -> Self:
        _in_background(self._serve)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            _in_background(partial(_answer, client))


def _in_background(action: Callable[[], None]) -> None:
    threading.Thread(target=action, daemon=True).start()


def _answer(client: socket.socket) -> None:
    """Serve one connection: CONNECT is a tunnel, everything else one request."""
    with client, suppress(OSError, ValueError):
        head = b""
        while b"\r\n\r\n" not in head and len(head) < MAX_HEAD:
            block = client.recv(_BLOCK)
            if not block:
                return
            head += block
        line, _, rest = head.partition(b"\r\n")
        method, target, _ = line.decode().split(" ", 2)
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        port = parts.port or (443 if method == "CONNECT" else 80)
        with socket.create_connection((parts.hostname, port), timeout=60) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:  # one request for each connection
                path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
                server.sendall(f"{method} {path} HTTP/1.1\r\nConnection: close\r\n".encode() + rest)
            _in_background(lambda: _copy(client, server))
            _copy(server, client)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(_BLOCK):
            sink.sendall(block)
        sink.shutdown(socket.SHUT_WR)
