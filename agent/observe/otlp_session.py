"""HTTP session of the OTLP exporters: short replies within a time, no redirects."""

from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPResponse
from io import BufferedReader, RawIOBase
from socket import socket
from time import monotonic
from typing import Any

from requests import Response, Session, TooManyRedirects
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

MAX_REPLY = 4096  # bytes; a collector's is a few


class BoundedSession(Session):
    """Reads no long reply, which would be kept in memory whole, and takes a redirect for a failure.

    The SDK takes any status below 400 for a success: what was sent to an address that moved was lost.

    Args:
        read: gets the body of a reply that takes what was sent, in whole or in part.
    """

    def __init__(self, read: Callable[[bytes], None] = lambda _body: None) -> None:
        super().__init__()
        self._read = read
        self.mount("http://", _Adapter())
        self.mount("https://", _Adapter())

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> Response:
        """Return the reply; of a long one status and headers alone.

        Raises:
            TooManyRedirects: the collector names another address.
        """
        reply = super().request(method, url, *args, **options | {"stream": True})
        body = _body(reply)
        if 300 <= reply.status_code < 400:  # noqa: PLR2004 - redirects
            raise TooManyRedirects(f"HTTP {reply.status_code}: the collector names another address")
        if reply.ok:
            self._read(body)
        return reply


def _body(reply: Response) -> bytes:
    """Return the body of a reply, empty for a long one and one that does not end: its status counts."""
    length = reply.headers.get("Content-Length", "0")
    if length.isdecimal() and int(length[:9]) <= MAX_REPLY:
        with suppress(HTTPError, OSError):
            body: bytes = reply.raw.read(MAX_REPLY + 1, decode_content=True)
            if len(body) <= MAX_REPLY:
                return body
    reply.close()
    return b""


# ------------------------------------------------------------------- one time for the whole of a reply


class _Timely(RawIOBase):
    """Reads of a socket until a time: its own timeout begins again with each byte."""

    def __init__(self, raw: RawIOBase, sock: socket, until: float) -> None:
        self._raw, self._sock, self._until = raw, sock, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        left_s = self._until - monotonic()
        if left_s <= 0.0:
            raise TimeoutError("the reply did not end in time")
        self._sock.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        timeout_s = sock.gettimeout()
        if timeout_s is not None:
            self.fp = BufferedReader(_Timely(self.fp.detach(), sock, monotonic() + timeout_s))


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
