"""One HTTP POST, bounded in time and size; its status as an answer.

A redirect is not followed: its target was not configured, and would get the token.
"""

import http.client
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from string import punctuation
from threading import Timer
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote

from agent.domain.tls import is_certificate_error, is_tls_error
from agent.sinks.address import context_of, parts_of
from agent.sinks.sink import Answer, Delivered, Refused, Retry
from agent.sinks.worker import ReceiverError

if TYPE_CHECKING:
    import ssl

CONNECT_S, TOTAL_S = 10.0, 60.0
MAX_REPLY = 65_536
_BUSY = frozenset({408, 425, 429})
_REMEDIES = {
    401: "correct the token in token_file, or give one",
    403: "allow this token to send there",
    404: "correct the address",
    405: "correct the address: it takes no POST",
    410: "the receiver is gone: correct the address, or remove this sink",
    413: "the receiver takes no message of this size",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPost:
    """Posts to one address, which is read again for each message.

    ``address`` and ``token`` raise :class:`ReceiverError` where their file cannot be read. User and password
    of the address are sent unless there is a token.
    """

    address: Callable[[], str]
    token: Callable[[], str | None]
    headers: Mapping[str, str]
    ca_file: Path | None

    def post(self, body: bytes, headers: Mapping[str, str], *, path: str | None = None) -> Answer:
        """Post ``body``; ``path`` takes the place of the address's own."""
        try:
            url = self.place()
            right = self._right(url)
            connection = self._connection(url)
        except ReceiverError as error:
            return Refused(reason=str(error), remedy=error.remedy)
        sent = {**self.headers, **headers, **right}
        limit = Timer(TOTAL_S, self._abort, (connection,))
        limit.daemon = True
        limit.start()
        try:
            connection.request("POST", _target(url, path), body, sent)
            connection.sock.settimeout(TOTAL_S)  # a repeat would be a second notice
            reply = connection.getresponse()
            with suppress(OSError, http.client.HTTPException):  # the status has decided
                reply.read(MAX_REPLY)
            return _answer(reply.status, reply.headers.get("Retry-After"))
        except (OSError, http.client.HTTPException) as error:
            if is_certificate_error(error):
                return bad_certificate(error)
            return Retry(after_s=0.0, reason=words(error))
        finally:
            limit.cancel()
            connection.close()

    def probe(self) -> str:
        """Connect, with TLS where the address asks for it, and send nothing."""
        url = self.place()
        self._right(url)
        connection = self._connection(url)
        try:
            connection.connect()
        except OSError as error:
            why, remedy = words(error), "correct the address, or the network"
            if is_certificate_error(error):
                refusal = bad_certificate(error)
                why, remedy = refusal.reason, refusal.remedy
            raise ReceiverError(f"{connection.host}:{connection.port}: {why}", remedy) from None
        finally:
            connection.close()
        return f"{connection.host}:{connection.port} can be reached"

    def place(self) -> SplitResult:
        """Return the parts of the address.

        Raises:
            ReceiverError: it is not one of HTTP.
        """
        return parts_of(self.address(), ("http", "https"), "write https://host/path into url_file")

    def _right(self, url: SplitResult) -> dict[str, str]:
        """Return the header that proves who sends."""
        token = self.token()
        if token is not None:
            if not (token.isascii() and token.isprintable()):
                raise ReceiverError(
                    "the token has signs that no header has", "write it alone into token_file"
                )
            return {"Authorization": f"Bearer {token}"}
        if url.username is None:
            return {}
        pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}

    def _connection(self, url: SplitResult) -> http.client.HTTPConnection:
        host = url.hostname or ""
        if url.scheme == "http":
            return http.client.HTTPConnection(host, url.port, timeout=CONNECT_S)
        context = context_of(self.ca_file)
        return http.client.HTTPSConnection(host, url.port, timeout=CONNECT_S, context=context)

    @staticmethod
    def _abort(connection: http.client.HTTPConnection) -> None:
        """End a connection whose receiver answers byte by byte."""
        with suppress(OSError):
            if connection.sock is not None:
                connection.sock.shutdown(2)


def bad_certificate(error: "ssl.SSLCertVerificationError") -> Refused:
    """Return the refusal of a server that does not prove to be the one of the address."""
    said = error.verify_message
    remedy = "set ca_file to the authority that signed it"
    if "expired" in said or "not yet valid" in said:
        remedy = "check this machine's clock, then have the server's certificate renewed"
    elif "mismatch" in said or "not valid for" in said:
        remedy = "write the host in the address as the certificate has it"
    return Refused(reason=f"the certificate was refused ({said})", remedy=remedy)


def words(error: Exception) -> str:
    """Return an error of the network in words that repeat neither a reply nor an address."""
    if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
        return "no answer in time"
    if is_tls_error(error):
        return f"TLS: {error.reason or 'failed'}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"no valid answer ({type(error).__name__})"


def _target(url: SplitResult, path: str | None) -> str:
    """Return path and query as ASCII."""
    if path is not None:
        return quote(path, punctuation)
    found = quote(url.path or "/", punctuation)
    return f"{found}?{quote(url.query, punctuation)}" if url.query else found


def _answer(status: int, retry_after: str | None) -> Answer:
    if 200 <= status < 300:  # noqa: PLR2004 - of HTTP
        return Delivered()
    with suppress(ValueError):
        said = f"HTTP {status} {HTTPStatus(status).phrase}"
        if status in _BUSY or status >= 500:  # noqa: PLR2004 - of HTTP
            return Retry(after_s=_pause(retry_after), reason=said)
        if 300 <= status < 400:  # noqa: PLR2004 - of HTTP
            return Refused(reason=said, remedy="write the address that it leads to", code=status)
        return Refused(
            reason=said, remedy=_REMEDIES.get(status, "correct the address or the receiver"), code=status
        )
    if status >= 500:  # noqa: PLR2004 - of HTTP
        return Retry(after_s=_pause(retry_after), reason=f"HTTP {status}")
    return Refused(reason=f"HTTP {status}", remedy="correct the address or the receiver", code=status)


def _pause(retry_after: str | None) -> float:
    """Return the seconds of ``Retry-After``, which may be a date; 0 where it has none."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
