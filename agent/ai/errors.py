"""Error types of HTTP answers, and what to do about each.

Pure. No text of the provider's message is passed on.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from agent.ai.profiles import NO_IMAGES, PROFILES, REFUSALS, Profile
from agent.ai.protocols import TransportError
from agent.domain.model_calls import ErrorType
from agent.domain.secret_forms import holds

MAX_RETRY_AFTER_S = 3600.0
MAX_HEADER = 64  # characters of a number or a date
MAX_MESSAGE = 500
_QUOTA = re.compile(r"insufficient_quota|billing_|quota_exceeded|insufficient_balance")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_COMPLAINT = re.compile(
    r"support|unrecogni|unknown|unexpected|not (?:allowed|permitted|available)|extra input|invalid param",
    re.IGNORECASE,
)

_REMEDIES = {
    ErrorType.AUTH: "correct ai.api_key_file or OPENAI_API_KEY",
    ErrorType.QUOTA: "pay the provider's bill, or take another ai.base_url",
    ErrorType.RATE_LIMITED: "try again later, or raise the limit with the provider",
    ErrorType.CONNECTION: "check ai.base_url, the network and the firewall",
    ErrorType.TIMEOUT: "check ai.base_url and the network; a local model may still be loading",
    ErrorType.BAD_REQUEST: "check ai.model and ai.profile",
    ErrorType.MALFORMED_RESPONSE: "check that ai.base_url is an OpenAI-compatible endpoint, usually with /v1",
    ErrorType.INTERNAL: "report it with the log line ai_internal_fault: it is a fault of edge-agent",
}
_NAMES_PARAMETERS = frozenset({400, 422})
#: Errors that an image may be the reason of: llama.cpp answers 500, a router 404.
_BLIND = frozenset({ErrorType.BAD_REQUEST, ErrorType.SERVER_ERROR})
#: No such path, or a redirect to another: the model's name is unknown, or the address is incomplete.
_NOT_THERE = frozenset({404, 405})
_NOT_THERE_REMEDY = "check ai.model, and that ai.base_url ends as the server wants it, usually in /v1"


def classify(
    status: int,
    body: Any,
    headers: Mapping[str, str],
    *,
    secret: Sequence[str] = (),
    profile: Profile = PROFILES["openai"],
    plots: bool = False,
) -> TransportError:
    """Return the error for an HTTP status of 300 and above.

    Args:
        status: of the response.
        body: its JSON value or its text, as far as it could be read.
        headers: of the response, names in lower case.
        secret: the forms of the API key; a word of the endpoint that holds one is not repeated.
        profile: of the endpoint.
        plots: whether the request had images.
    """
    detail = _error_object(body)
    code, kind = _name(detail.get("code")), _name(detail.get("type"))
    word = next((word for word in (code, kind) if word and not holds(word, secret)), "")
    message = f"HTTP {status} {word}".rstrip()
    retry_after_s = _retry_after(headers)
    error_type = profile.errors.get(code) or profile.errors.get(kind) or _type_of(status, code, kind)
    named = error_type is ErrorType.BAD_REQUEST and status in _NAMES_PARAMETERS
    refused = _refused(detail, plots=plots) if named else None
    if plots and not refused and error_type in _BLIND and _mentions_images(detail):
        refused = "plots"
    if refused:
        message += f", {refused} refused"
    return TransportError(
        error_type, message, http_status=status, retry_after_s=retry_after_s, refused=refused
    )


def _type_of(status: int, code: str, kind: str) -> ErrorType:
    if status < HTTPStatus.BAD_REQUEST:
        return ErrorType.MALFORMED_RESPONSE  # a redirect: the prompt goes to the configured host only
    if status == HTTPStatus.TOO_MANY_REQUESTS and not (_QUOTA.search(code) or _QUOTA.search(kind)):
        return ErrorType.RATE_LIMITED
    if status in {HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.TOO_MANY_REQUESTS}:
        return ErrorType.QUOTA
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return ErrorType.AUTH
    if (
        status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT}
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ):
        return ErrorType.SERVER_ERROR
    if code == "content_filter" or kind == "content_filter":
        return ErrorType.CONTENT_FILTER
    return ErrorType.BAD_REQUEST


def _error_object(body: Any) -> Mapping[str, Any]:
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping):
            return inner
        return {"message": inner if isinstance(inner, str) else ""}
    return {"message": body if isinstance(body, str) else ""}


def _name(value: Any) -> str:
    """Return a machine word as it is; anything else, a sentence or a secret, is dropped."""
    text = str(value) if isinstance(value, str | int) else ""
    return text if _NAME.fullmatch(text) else ""


def _text(value: Any) -> str:
    """Return the beginning of a text; anything else may be large, or too deep to be printed."""
    return value[:MAX_MESSAGE] if isinstance(value, str) else ""


def _refused(detail: Mapping[str, Any], *, plots: bool) -> str | None:
    """Return the parameter that the endpoint complains about.

    Images are given up at any complaint that names nothing else: the text holds the same numbers.
    """
    param, message = (_text(detail.get(name)) for name in ("param", "message"))
    if named := _parameter(param):
        return named
    if plots and _mentions_images(detail):
        return "plots"
    named = _parameter(message) if _COMPLAINT.search(message) else None
    return named or ("plots" if plots else None)


def _parameter(text: str) -> str | None:
    return next((field for field, pattern in REFUSALS.items() if pattern.search(text)), None)


def _mentions_images(detail: Mapping[str, Any]) -> bool:
    return any(NO_IMAGES.search(_text(detail.get(name))) for name in ("param", "message"))


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return ``retry-after-ms`` or ``Retry-After`` in seconds (RFC 9110, section 10.2.3).

    A date counts from the response's own ``Date``: the clock here may be wrong.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")[:MAX_HEADER]) * unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return min(seconds, MAX_RETRY_AFTER_S)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - an endpoint seldom gives a date

    try:
        until, sent = (
            parsedate_to_datetime(headers.get(name, "")[:MAX_HEADER]) for name in ("retry-after", "date")
        )
        seconds = (until - sent).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(seconds, MAX_RETRY_AFTER_S) if seconds >= 0 else None


def remedy(error: ErrorType | None, http_status: int | None = None) -> str:
    """Return what to change, or where to look."""
    if error is ErrorType.BAD_REQUEST and http_status in _NOT_THERE:
        return _NOT_THERE_REMEDY
    return _REMEDIES.get(error or ErrorType.OTHER, "look at the endpoint's log")
