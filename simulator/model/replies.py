"""The endpoint's replies: status, headers and body for each behaviour."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulator.model.asked import answer_to_question
from simulator.model.behaviours import Behaviour, Knobs
from simulator.model.judge import answer

BYTES_PER_TOKEN = 3.2


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def completion(behaviour: Behaviour, request: dict[str, Any], knobs: Knobs, number: int) -> Response:
    """Return the response to the chat completion ``request``; ``number`` counts the calls."""
    failure = _failure(behaviour, request, knobs)
    if failure is not None:
        return failure
    prompt = prompt_of(request)
    forced = _forced(request) if behaviour is Behaviour.FINE else None
    content = forced or _content(behaviour, prompt)
    refusal = "I cannot help with that." if behaviour is Behaviour.REFUSAL else None
    finish = {Behaviour.TRUNCATED: "length", Behaviour.CONTENT_FILTER: "content_filter"}.get(
        behaviour, "stop"
    )
    body: dict[str, Any] = {
        "id": f"chatcmpl-sim-{number}",
        "object": "chat.completion",
        "created": 0,
        "model": str(request.get("model", "simulator")),
        "system_fingerprint": "fp_simulator",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, "refusal": refusal},
                "logprobs": None,
                "finish_reason": finish,
            }
        ],
        "usage": usage(prompt, content or refusal or ""),
    }
    if behaviour is Behaviour.EMPTY_CHOICES:
        body["choices"] = []
    if behaviour is Behaviour.MODERATED:
        flags = {"results": [{"categories": {"violence": True, "harassment": False}}]}
        body["moderation"] = {"input": flags, "output": {"results": []}}
    if behaviour is Behaviour.NO_USAGE:
        del body["usage"]
    return _json(200, body, ("x-request-id", f"req-sim-{number}"))


def prompt_of(request: dict[str, Any]) -> str:
    """Return the text of all messages of a request."""
    out = []
    for message in request.get("messages", ()):
        content = message.get("content") if isinstance(message, dict) else None
        parts = content if isinstance(content, list) else [{"text": content}]
        out += [
            part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
        ]
    return "\n".join(out)


def usage(prompt: str, reply: str) -> dict[str, Any]:
    """Return token counts as a provider would report them."""
    sent = math.ceil(len(prompt.encode()) / BYTES_PER_TOKEN)
    got = math.ceil(len(reply.encode()) / BYTES_PER_TOKEN)
    return {
        "prompt_tokens": sent,
        "completion_tokens": got,
        "total_tokens": sent + got,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def refusal(status: int, message: str, *, kind: str, code: str | None = None) -> Response:
    """Return an error as the provider words it."""
    return _json(status, {"error": {"message": message, "type": kind, "param": None, "code": code}})


def _failure(behaviour: Behaviour, request: dict[str, Any], knobs: Knobs) -> Response | None:
    match behaviour:
        case Behaviour.RATE_LIMITED:
            limited = refusal(429, "Rate limit reached.", kind="requests", code="rate_limit_exceeded")
            return Response(429, limited.body, headers=(("Retry-After", f"{knobs.retry_after_s:g}"),))
        case Behaviour.QUOTA:
            return refusal(
                429, "You exceeded your current quota.", kind="insufficient_quota", code="insufficient_quota"
            )
        case Behaviour.SERVER_ERROR:
            return refusal(500, "The server had an error.", kind="server_error")
        case Behaviour.UNAUTHORIZED:
            return refusal(401, "Incorrect API key.", kind="invalid_request_error", code="invalid_api_key")
        case Behaviour.BAD_REQUEST:
            return refusal(400, "The request is not valid.", kind="invalid_request_error")
        case Behaviour.NO_SCHEMA if "response_format" in request:
            text = "Invalid parameter: 'response_format' of this type is not supported with this model."
            return refusal(400, text, kind="invalid_request_error")
        case Behaviour.HTML:
            return Response(
                200, b"<!doctype html><title>Sign in</title><p>Welcome to the Wi-Fi.", "text/html"
            )
        case Behaviour.ERROR_BODY:
            return refusal(200, "model is loading", kind="server_error")
        case _:
            return None


def _forced(request: dict[str, Any]) -> str | None:
    """Return the reply that a schema of enumerations allows: a server that enforces it ignores the prompt."""
    try:
        properties = request["response_format"]["json_schema"]["schema"]["properties"]
        said = {name: told["enum"][0] for name, told in properties.items()}
    except (KeyError, TypeError, AttributeError, IndexError):
        return None
    return json.dumps(said) if said else None


def _content(behaviour: Behaviour, prompt: str) -> str | None:
    if behaviour in {Behaviour.REFUSAL, Behaviour.EMPTY_CONTENT}:
        return None
    if behaviour is Behaviour.CONTENT_FILTER:
        return ""
    good = answer_to_question(prompt) or answer(prompt)
    spoil = _SPOILERS.get(behaviour)
    if spoil is not None:
        for window in good.get("windows", ()):
            spoil(window)
    if behaviour is Behaviour.MISSING_WINDOW:
        good["windows"] = good.get("windows", [])[:-1]
    if behaviour is Behaviour.WRONG_SCHEMA:
        return json.dumps({"verdicts": [{"window": one["w"], "ok": True} for one in good.get("windows", ())]})
    text = json.dumps(good, separators=(",", ":"))
    if behaviour is Behaviour.FENCED_JSON:
        return f"Here is the answer:\n```json\n{text}\n```\n"
    if behaviour is Behaviour.BAD_JSON:
        return text.replace('"', "'", 3) + " and so on"
    if behaviour is Behaviour.TRUNCATED:
        return text[: max(1, len(text) * 2 // 3)]
    return text


def _cite_a_stranger(window: dict[str, Any]) -> None:
    window.update(status="anomaly", kind=_kind(window), severity="critical", evidence=["r9999"])


def _invent_a_number(window: dict[str, Any]) -> None:
    window["summary"] = "The value reached 98765.4 and keeps rising."


def _name_a_stranger(window: dict[str, Any]) -> None:
    window["summary"] = "dev_99 is the cause of these values."


def _say_normal(window: dict[str, Any]) -> None:
    window.update(status="normal", kind="none", severity="info", summary="All readings are normal.")


def _say_anomaly(window: dict[str, Any]) -> None:
    window.update(status="anomaly", kind=_kind(window), severity="critical", summary="This is an anomaly.")


def _kind(window: dict[str, Any]) -> str:
    return "spike" if window["kind"] == "none" else str(window["kind"])


_SPOILERS: dict[Behaviour, Callable[[dict[str, Any]], None]] = {
    Behaviour.WRONG_READING: _cite_a_stranger,
    Behaviour.WRONG_NUMBER: _invent_a_number,
    Behaviour.UNKNOWN_DEVICE: _name_a_stranger,
    Behaviour.ALL_NORMAL: _say_normal,
    Behaviour.ALL_ANOMALY: _say_anomaly,
}


def _json(status: int, body: Any, *headers: tuple[str, str]) -> Response:
    return Response(status, json.dumps(body, separators=(",", ":")).encode(), headers=headers)
