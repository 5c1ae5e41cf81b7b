"""Provider profiles: the differences between endpoints, one row for each kind.

A quirk of a provider is a field of its row, or a new field of `Profile` with the code that applies it here.
"""

import re
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agent.domain.model_calls import ErrorType, Request

#: Name of a response format -> the part of the body that asks for it.
FORMATS: Mapping[str, Callable[[Request], dict[str, Any]]] = {
    "json_schema": lambda request: {"response_format": _json_schema(request)},
    "json_object": lambda _request: {"response_format": {"type": "json_object"}},
    "none": lambda _request: {},
}
#: Parameter -> the field of a `Request` that is empty where an endpoint does not take it.
OPTIONAL = {
    "temperature": "temperature",
    "seed": "seed",
    "moderation": "moderation_model",
    "plots": "plots",
}
#: Parameter -> a provider's words when it does not take it.
REFUSALS = {
    "response_format": re.compile(
        r"response[_ ]format|json_schema|json_object|grammar|structured output", re.IGNORECASE
    ),
    "max_tokens": re.compile(r"max_tokens|max_completion_tokens", re.IGNORECASE),
    "temperature": re.compile(r"temperature", re.IGNORECASE),
    "seed": re.compile(r"\bseed\b", re.IGNORECASE),
    "moderation": re.compile(r"moderation", re.IGNORECASE),
}
#: Words of an endpoint or a model that takes no images, where the request has some. Some want plain text.
NO_IMAGES = re.compile(
    r"\bimages?(?:\b|_)|\bvision\b|multi-?modal|mmproj|content[ _](?:part|type)|content.{0,40}\bstring\b"
    r"|valid string|expected (?:a )?string",
    re.IGNORECASE,
)
#: Field of `Usage` -> its place in the ``usage`` object of a reply.
USAGE = {
    "input": "prompt_tokens",
    "output": "completion_tokens",
    "cached_input": "prompt_tokens_details.cached_tokens",
    "cache_write": "prompt_tokens_details.cache_write_tokens",
    "reasoning": "completion_tokens_details.reasoning_tokens",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """The properties of a kind of endpoint."""

    name: str
    formats: tuple[str, ...] = ("json_schema", "json_object", "none")  # in the order in which they are tried
    max_tokens_field: str = "max_tokens"
    without: frozenset[str] = frozenset({"moderation"})  # parameters that it does not take
    extra: Mapping[str, Any] = field(default_factory=dict)  # further fields of the body
    usage: Mapping[str, str] = field(default_factory=lambda: USAGE)
    errors: Mapping[str, ErrorType] = field(default_factory=dict)  # its code or type of an error -> ours
    slow_start: bool = False  # loads the model on the first call: a longer deadline once, no breaker failure
    counts_after_cut: bool = False  # reports prompt tokens after silently cutting a long prompt


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("openai", max_tokens_field="max_completion_tokens", without=frozenset()),
        Profile("azure", max_tokens_field="max_completion_tokens"),
        Profile("vllm"),
        Profile("llamacpp", slow_start=True),
        Profile("ollama", slow_start=True, counts_after_cut=True),
    )
}


def profile_names() -> tuple[str, ...]:
    """Return the names for ``ai.profile``, the default first."""
    return tuple(PROFILES)


def body_of(request: Request) -> dict[str, Any]:
    """Return the body of a chat completion."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [
            {"role": "system", "content": request.system},
            {"role": "user", "content": _user_content(request)},
        ],
        request.max_tokens_field: request.max_tokens,
        **FORMATS[request.response_format](request),
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.seed is not None:
        body["seed"] = request.seed
    if request.moderation_model is not None:
        body["moderation"] = {"model": request.moderation_model}
    return {**body, **PROFILES[request.provider].extra}


def _user_content(request: Request) -> str | list[dict[str, Any]]:
    """Return the text, the same with and without plots: a provider caches its beginning."""
    if request.plots is None:
        return request.user
    text = [{"type": "text", "text": words} for words in (request.user, request.plots.legend)]
    return text + [_image(image) for image in request.plots.images.values()]


def _image(png: bytes) -> dict[str, Any]:
    url = f"data:image/png;base64,{b2a_base64(png, newline=False).decode()}"
    return {"type": "image_url", "image_url": {"url": url, "detail": "low"}}  # one price whatever its size


def _json_schema(request: Request) -> dict[str, Any]:
    schema = {"name": request.prompt_name or "edge_verdicts", "strict": True, "schema": request.schema}
    return {"type": "json_schema", "json_schema": schema}


class Dialect:
    """The parameters that one model of an endpoint takes; a refusal is remembered."""

    def __init__(self, profile: Profile) -> None:
        self._formats = profile.formats
        self._changes: dict[str, Any] = {
            "response_format": profile.formats[0],
            "max_tokens_field": profile.max_tokens_field,
        }
        self._refused: set[str] = set()
        for parameter in profile.without:
            self.adapt(parameter)

    @property
    def response_format(self) -> str:
        """The format that is asked for now."""
        return str(self._changes["response_format"])

    @property
    def sees(self) -> bool:
        """Whether plots are sent: no image was refused."""
        return "plots" not in self._refused

    def apply(self, request: Request) -> Request:
        """Return ``request`` in this dialect."""
        return replace(request, **self._changes)

    def adapt(self, refused: str) -> bool:
        """Do without a refused parameter; return whether that changes the next request."""
        if refused == "response_format":
            return self._step_down()
        if refused in self._refused:
            return False
        self._refused.add(refused)
        if refused == "max_tokens":
            other = self._changes["max_tokens_field"] == "max_tokens"
            self._changes["max_tokens_field"] = "max_completion_tokens" if other else "max_tokens"
        else:
            self._changes[OPTIONAL[refused]] = None
        return True

    def _step_down(self) -> bool:
        place = self._formats.index(self.response_format) + 1
        if place >= len(self._formats):
            return False
        self._changes["response_format"] = self._formats[place]
        return True
