"""Readings over HTTP: checks of a posted message, and its way to the journal."""

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from http import HTTPStatus

from agent.decode.posted import is_post_path, topic_of
from agent.domain.records import NOTHING_READ, AgentError, DecodeReason, Posted, Receipt
from agent.web.http import Pending, Request, Response
from agent.web.posts import busy, json_of, refuse_head, refused

MAX_BODY_BYTES = 256 * 1024  # what the decoders read
MAX_WAITING = 16
MAX_CONNECTIONS = 24  # scrapes keep the rest
MAX_KEY = 255
_BURST_S = 10.0  # so much of the rate may come at once
_AGAIN = "not accepted, send it again"
_NEW_RETRY_S = 60  # where new devices are limited by the minute

#: Reasons of refusals that nothing is journaled of, as the metric has them.
REFUSED = ("request", "rate", "busy")
_REFUSED_FOR: dict[int, str] = {HTTPStatus.TOO_MANY_REQUESTS: "rate", HTTPStatus.SERVICE_UNAVAILABLE: "busy"}
_REFUSALS = {
    DecodeReason.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    DecodeReason.BAD_UTF8: HTTPStatus.BAD_REQUEST,
    DecodeReason.BAD_JSON: HTTPStatus.BAD_REQUEST,
    DecodeReason.BAD_TOPIC: HTTPStatus.NOT_FOUND,
    "no_source": HTTPStatus.NOT_FOUND,
    DecodeReason.DECODER_FAULT: HTTPStatus.INTERNAL_SERVER_ERROR,
    DecodeReason.NEW_DEVICE_LIMIT: HTTPStatus.TOO_MANY_REQUESTS,
    DecodeReason.NEW_SERIES_LIMIT: HTTPStatus.TOO_MANY_REQUESTS,
}


class ReadingsIntake:
    """The addresses ``/iot/data`` and ``/intake/<path>``, for one web server.

    Args:
        accept: queues a message for the journal; false under pressure.
        per_min: messages a minute, over all clients.
        secure: the server speaks TLS.
        log: reports refusals before the journal.
        wall: Unix seconds.
        mono: monotonic seconds.
    """

    guarded = True

    def __init__(
        self,
        *,
        accept: Callable[[Posted], bool],
        per_min: int,
        secure: bool,
        log: Callable[..., None] = lambda *_args, **_fields: None,
        wall: Callable[[], float] = time.time,
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._accept = accept
        self._scheme = "https" if secure else "http"
        self._rate = per_min / 60
        self._burst = max(1.0, self._rate * _BURST_S)
        self._left, self._filled = self._burst, mono()
        self._log = log
        #: Requests that were refused before they reached the journal, by reason.
        self.refused = dict.fromkeys(REFUSED, 0)
        self._wall = wall
        self._mono = mono

    def takes(self, path: str) -> bool:
        """Return whether readings may be posted to ``path``."""
        return is_post_path(path)

    def admit(self, request: Request, *, waiting: int) -> Response | int:
        """Return the size of the body that is to be read, or the refusal of a request with this head."""
        answer = self._admit(request, waiting)
        if isinstance(answer, Response) and request.method == "POST":
            self._report(answer)
        return answer

    def _admit(self, request: Request, waiting: int) -> Response | int:
        refusal = refuse_head(request, scheme=self._scheme, max_bytes=MAX_BODY_BYTES) or _refuse(request)
        if refusal is not None:
            return refusal
        if waiting >= MAX_WAITING:
            return busy(f"{waiting} requests wait for the disk; {_AGAIN}")
        if not self._spend():
            wait_s = math.ceil((1 - self._left) / self._rate)
            detail = f"at most {60 * self._rate:.0f} messages a minute (web.intake_per_min)"
            return refused(HTTPStatus.TOO_MANY_REQUESTS, "rate", detail, ("Retry-After", str(wait_s)))
        return int(request.headers["content-length"])

    def receive(self, request: Request, body: bytes, wake: Callable[[], None], /) -> Response | Pending:
        """Hand the message to the journal; the response is there once it is on disk."""
        headers = request.headers
        traced = tuple((name, headers[name]) for name in ("traceparent", "tracestate") if name in headers)
        posted = Posted(
            generation=0,
            mid=0,
            qos=0,
            dup=False,
            retain=False,
            topic=topic_of(request.path),
            payload=body,
            received=self._wall(),
            mono=self._mono(),
            properties=traced,
            key=headers.get("idempotency-key"),
        )
        if not self._accept(posted):
            refusal = busy(f"the journal takes no more at present; {_AGAIN}")
            self._report(refusal)
            return refusal
        posted.receipt.add_done_callback(lambda _receipt: wake())
        return _Waiting(posted.receipt)

    def _report(self, refusal: Response) -> None:
        """Count and log a refusal of which nothing reaches the journal; path and body are foreign text."""
        self.refused[_REFUSED_FOR.get(refusal.status, "request")] += 1
        words = HTTPStatus(refusal.status).phrase
        self._log("web_post_refused", level="warning", status=refusal.status, reason=words)

    def _spend(self) -> bool:
        """Take one message from the rate, if there is one left."""
        now = self._mono()
        self._left = min(self._burst, self._left + (now - self._filled) * self._rate)
        self._filled = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class _Waiting:
    """The response to a message that the journal has."""

    def __init__(self, receipt: Future[Receipt]) -> None:
        self._receipt = receipt

    def look(self, *, overdue: bool) -> Response | None:
        """Return the response; a message that waited for too long is taken back, if it can be."""
        receipt = self._receipt
        if overdue and receipt.cancel():
            return busy(f"the journal did not come to it in time; {_AGAIN}")
        if not receipt.done():
            unknown = (
                "the disk is slow, the message may be on it: send it again with the same Idempotency-Key"
            )
            return busy(unknown) if overdue else None
        with suppress(AgentError):
            return _response(receipt.result())
        return busy(f"the journal cannot be written; {_AGAIN}")


def _refuse(request: Request) -> Response | None:
    """Return the refusal of a key or path that no message can have, else None."""
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= MAX_KEY and key.isascii()):
        return refused(HTTPStatus.BAD_REQUEST, "idempotency_key", f"1 to {MAX_KEY} ASCII characters")
    try:
        topic_of(request.path)
    except ValueError as error:
        return refused(HTTPStatus.BAD_REQUEST, str(DecodeReason.BAD_TOPIC), f"the path {error}")
    return None


def _response(receipt: Receipt) -> Response:
    if receipt.reason is None:
        return json_of({"status": "accepted"}, HTTPStatus.ACCEPTED)
    if receipt.reason == NOTHING_READ:  # no fault: a webhook that gets one too often is switched off
        return json_of({"status": receipt.reason, "detail": receipt.detail}, HTTPStatus.OK)
    status = _REFUSALS.get(receipt.reason, HTTPStatus.UNPROCESSABLE_ENTITY)
    limited = status is HTTPStatus.TOO_MANY_REQUESTS
    retry = [("Retry-After", str(_NEW_RETRY_S))] if limited else []
    return refused(status, receipt.reason, receipt.detail, *retry)
