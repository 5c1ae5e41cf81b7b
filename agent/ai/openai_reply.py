"""A chat completion, read from the bytes of a response. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from agent.ai.profiles import PROFILES, Profile
from agent.ai.protocols import TransportError
from agent.domain.model_calls import ErrorType, Reply, Usage

MAX_TOKENS = 10_000_000
MAX_TEXT = 262_144
MAX_LABEL = 100
MAX_CATEGORIES = 16


def read_reply(body: bytes, profile: Profile = PROFILES["openai"]) -> Reply:
    """Return the completion in ``body``, from an endpoint of ``profile``.

    Raises:
        TransportError: it is not JSON, an error object, without choices, or without content; with the usage
            if one was reported.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise _malformed("the body is not JSON") from None
    if not isinstance(value, dict):
        raise _malformed("the body is not an object")
    if value.get("error") and not value.get("choices"):
        raise _malformed("an error with status 200")
    usage = _usage(value.get("usage"), profile.usage)
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise _malformed("no choices", usage)
    reply = Reply(
        content=_text(message.get("content")),
        refusal=_text(message.get("refusal")) or None,
        finish_reason=_label(choice.get("finish_reason")),
        usage=usage,
        response_id=_label(value.get("id")),
        response_model=_label(value.get("model")),
        service_tier=_label(value.get("service_tier")),
        system_fingerprint=_label(value.get("system_fingerprint")),
        safety_categories=tuple(
            dict.fromkeys((*_categories(value.get("moderation")), *_filtered(value, choice)))
        )[:MAX_CATEGORIES],
    )
    if not (reply.content or reply.refusal or reply.finish_reason in {"length", "content_filter"}):
        raise _malformed("no content", usage)
    return reply


def _malformed(message: str, usage: Usage | None = None) -> TransportError:
    return TransportError(ErrorType.MALFORMED_RESPONSE, message, http_status=200, usage=usage)


def _text(content: Any) -> str | None:
    """Return the text of a message, which some servers send as a list of parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        return None
    text = content[:MAX_TEXT]
    # Half of a surrogate pair can be neither journaled nor counted.
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _label(value: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    return "".join(char if char.isprintable() else "?" for char in value[:MAX_LABEL])


def _usage(value: Any, places: Mapping[str, str]) -> Usage | None:
    """Return the reported tokens; None when they are missing, negative, absurd or 0 for a prompt."""
    counts = {name: _count(value, place) for name, place in places.items()}
    sent, got = counts["input"], counts["output"]
    if not sent or got is None:
        return None
    return Usage(
        sent,
        got,
        min(counts["cached_input"] or 0, sent),
        min(counts["reasoning"] or 0, got),
        cache_write=min(counts["cache_write"] or 0, sent),
    )


def _count(value: Any, place: str) -> int | None:
    for step in place.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TOKENS:
        return None
    return value


def _categories(moderation: Any) -> tuple[str, ...]:
    """Return the flagged moderation categories of prompt and reply."""
    if not isinstance(moderation, dict):
        return ()
    found: dict[str, None] = {}
    for side in ("input", "output"):
        part = moderation.get(side)
        results = part.get("results") if isinstance(part, dict) else None
        for result in results[:8] if isinstance(results, list) else ():
            categories = result.get("categories") if isinstance(result, dict) else None
            if isinstance(categories, dict):
                found |= {str(name)[:40]: None for name, hit in categories.items() if hit is True}
    return tuple(found)


def _filtered(body: dict[str, Any], choice: dict[str, Any]) -> Iterator[str]:
    """Yield the categories that Azure's content filter found in prompt or reply."""
    prompts = body.get("prompt_filter_results")
    for part in (choice, *(prompts[:8] if isinstance(prompts, list) else ())):
        results = part.get("content_filter_results") if isinstance(part, dict) else None
        for name, found in results.items() if isinstance(results, dict) else ():
            if isinstance(found, dict) and (found.get("filtered") is True or found.get("detected") is True):
                yield str(name)[:40]
