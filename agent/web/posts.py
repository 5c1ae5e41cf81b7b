"""Heads and refusals of posted JSON, for all addresses that take a body."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from agent.domain.records import DecodeReason
from agent.web.http import Request, Response

_RETRY_S = 2  # under pressure


def refuse_head(request: Request, *, scheme: str, max_bytes: int) -> Response | None:
    """Return the refusal of a head that does not announce ``max_bytes`` of JSON from here, else None."""
    headers = request.headers
    if request.method != "POST":
        return refused(HTTPStatus.METHOD_NOT_ALLOWED, "method", "use POST here", ("Allow", "POST"))
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"{scheme}://{headers.get('host', '').lower()}":
        return refused(HTTPStatus.FORBIDDEN, "origin", "a web page from elsewhere may not post here")
    if not _is_json(headers.get("content-type", "")):
        detail = "send the header Content-Type: application/json"
        return refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content_type", detail)
    if headers.get("content-encoding", "identity").lower() != "identity":
        return refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "content_encoding", "send the body as it is")
    if "content-length" not in headers:
        return refused(HTTPStatus.LENGTH_REQUIRED, "length", "send the header Content-Length")
    size = headers["content-length"].lstrip("0")
    if not size:
        return refused(HTTPStatus.BAD_REQUEST, "empty", "the body is empty")
    if len(size) > len(str(max_bytes)) or int(size) > max_bytes:
        detail = f"at most {max_bytes} bytes are read; split the message"
        return refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(DecodeReason.TOO_LARGE), detail)
    return None


def _is_json(content_type: str) -> bool:
    """Return whether it is JSON in UTF-8: a form of a web page cannot send that without being asked."""
    kind, *parameters = (part.strip().lower() for part in content_type.split(";"))
    return kind == "application/json" and all(
        part.replace('"', "") in {"", "charset=utf-8"} for part in parameters
    )


def busy(detail: str) -> Response:
    """Return the refusal of a request that may be sent again in a moment."""
    return refused(HTTPStatus.SERVICE_UNAVAILABLE, "busy", detail, ("Retry-After", str(_RETRY_S)))


def refused(status: HTTPStatus, reason: str, detail: str, *headers: tuple[str, str]) -> Response:
    """Return a refusal with its reason for programs and its detail for people."""
    return json_of({"status": "refused", "reason": reason, "detail": detail}, status, *headers)


def json_of(content: Mapping[str, Any], status: HTTPStatus, *headers: tuple[str, str]) -> Response:
    """Return a response in JSON."""
    body = json.dumps(content, separators=(",", ":")).encode() + b"\n"
    return Response(body, status.value, "application/json", headers)
