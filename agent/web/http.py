"""The subset of HTTP/1.1 for a few addresses: request heads and whole responses."""

import base64
import gzip
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from http import HTTPStatus
from typing import Protocol

MAX_HEAD_BYTES = 8192
MAX_LINE_BYTES = 2048
MIN_GZIP_BYTES = 1024
_GZIP_LEVEL = 5
_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", re.IGNORECASE)

_END = b"\r\n\r\n"
_TARGET = re.compile(r"/[!-~]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
#: Fields of which a request has one: a proxy and this server could each believe another of two.
_ONCE = frozenset({"host", "content-length", "content-type", "authorization", "origin", "idempotency-key"})

SECURITY_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response; ``headers`` are added to the ones that every response has."""

    body: bytes = b""
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    tag: bytes | None = None  # responses with equal ones are the same; None: not known


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request of ``size`` bytes; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    size: int


class Pending(Protocol):
    """A response that another thread makes."""

    def look(self, *, overdue: bool) -> Response | None:
        """Return the response, or None while it is not there; ``overdue``: one is needed now."""


class BadRequestError(Exception):
    """A head that is answered with ``status`` and nothing else."""

    def __init__(self, status: HTTPStatus) -> None:
        self.status = status
        super().__init__(status.phrase)


@dataclass(frozen=True, slots=True)
class BasicAuth:
    """The one user who may read; the password stays out of ``repr``."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"BasicAuth(user={self.user!r})"

    def allows(self, header: str) -> bool:
        """Return whether ``header`` (the Authorization field) names user and password, in constant time."""
        expected = base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
        return hmac.compare_digest(header.encode("utf-8", "replace"), f"Basic {expected}".encode())


def parse_head(data: bytes | bytearray) -> Request | None:
    """Return the request whose head ``data`` begins with, or None while it is incomplete.

    Raises:
        BadRequestError: The head is too large, not HTTP/1.x, or can be read in two ways.
    """
    end = data.find(_END)
    line = data[: end if end >= 0 else len(data)].split(b"\r\n", 1)[0]
    if len(line) > MAX_LINE_BYTES:
        raise BadRequestError(HTTPStatus.REQUEST_URI_TOO_LONG)
    if end < 0:
        if len(data) > MAX_HEAD_BYTES:
            raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        return None
    if end > MAX_HEAD_BYTES:
        raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
    first, *rest = data[:end].decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] not in {"HTTP/1.1", "HTTP/1.0"} or not _TARGET.fullmatch(words[1]):  # noqa: PLR2004 -- method, target, version
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    headers = _fields(rest)
    if words[2] == "HTTP/1.1" and "host" not in headers:
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    path, _, query = words[1].partition("?")
    return Request(words[0], path, query, headers, end + len(_END))


def _fields(lines: list[str]) -> dict[str, str]:
    """Return the header fields; refuse what two readers could take for two different requests."""
    headers: dict[str, str] = {}
    for field in lines:
        name, colon, value = field.partition(":")
        name, value = name.lower(), value.strip(" \t")
        doubled = name in _ONCE and name in headers
        if not colon or doubled or not _TOKEN.fullmatch(name) or _FORBIDDEN.search(value):
            raise BadRequestError(HTTPStatus.BAD_REQUEST)
        headers[name] = value
    sizes = headers.get("content-length", "0")
    if not _HOST.fullmatch(headers.get("host", "localhost")) or not (sizes.isascii() and sizes.isdigit()):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    if "transfer-encoding" in headers:
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    return headers


def host_name(value: str) -> str:
    """Return the name or address in a Host field, without its port."""
    if value.startswith("["):
        return value[1:].partition("]")[0].lower()
    return value.rpartition(":")[0].lower() if ":" in value else value.lower()


def fit(response: Response, headers: Mapping[str, str]) -> Response:
    """Return a good response for its client: empty if the client has it already, compressed if it may be."""
    if response.status != HTTPStatus.OK:
        return response
    more = response.headers
    if response.tag is not None:
        tag = f'W/"{blake2b(response.tag, digest_size=12).hexdigest()}"'
        more = (*more, ("ETag", tag))
        if tag in headers.get("if-none-match", ""):
            return replace(response, body=b"", status=HTTPStatus.NOT_MODIFIED.value, headers=more)
    if len(response.body) < MIN_GZIP_BYTES:
        return replace(response, headers=more)
    more = (*more, ("Vary", "Accept-Encoding"))
    if not _GZIP.search(headers.get("accept-encoding", "")):
        return replace(response, headers=more)
    body = gzip.compress(response.body, _GZIP_LEVEL, mtime=0)
    return replace(response, body=body, headers=(*more, ("Content-Encoding", "gzip")))


def render(response: Response, *, head_only: bool = False) -> bytes:
    """Return the bytes of ``response``; the connection ends after it."""
    try:
        phrase = HTTPStatus(response.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [
        f"HTTP/1.1 {response.status} {phrase}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in (*SECURITY_HEADERS, *response.headers)),
    ]
    head = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n"
    return head if head_only else head + response.body


def plain(status: HTTPStatus, *headers: tuple[str, str]) -> Response:
    """Return a response that holds its status only."""
    return Response(f"{status.value} {status.phrase}\n".encode(), status.value, headers=headers)
