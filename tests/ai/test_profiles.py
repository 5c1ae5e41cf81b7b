"""The request body of each provider profile, and an endpoint that repeats the key."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from agent.ai.openai_chat import OpenAIChat
from agent.ai.profiles import PROFILES
from agent.ai.protocols import TransportError
from agent.domain.model_calls import CallRecord, Request
from agent.prompt import SCHEMA
from tests.ai.kit import batch, kit, window
from tests.support import model_endpoint
from tests.support.model_endpoint import ModelEndpoint, answer_of, windows_of

STRICT = {"type": "json_schema", "json_schema": {"name": "edge_verdicts", "strict": True, "schema": SCHEMA}}
COMMON = {"model": "m", "response_format": STRICT, "temperature": 0.0, "seed": 7}
MODERATION = {"moderation": {"model": "omni-moderation-latest"}}
#: Profile -> all of the body but the messages.
BODIES: dict[str, dict[str, Any]] = {
    "openai": {**COMMON, **MODERATION, "max_completion_tokens": 180},
    "azure": {**COMMON, "max_completion_tokens": 180},
    "vllm": {**COMMON, "max_tokens": 180},
    "llamacpp": {**COMMON, "max_tokens": 180},
    "ollama": {**COMMON, "max_tokens": 180},
}


def test_every_profile_has_its_body() -> None:
    """No profile is without an expectation."""
    assert BODIES.keys() == PROFILES.keys()


@pytest.mark.parametrize("name", BODIES)
def test_the_body_of_a_profile(name: str) -> None:
    """Only what this kind of endpoint knows is sent; the schema is in the prompt as well."""
    with ModelEndpoint() as endpoint:

        async def story() -> None:
            parts = kit(endpoint.url, provider=name, moderation_model="omni-moderation-latest")
            await parts.caller.ask(batch(window()))
            await parts.caller.aclose()

        asyncio.run(story())
        (body,), (headers,) = endpoint.requests, endpoint.headers
    messages = body.pop("messages")
    assert body == BODIES[name]
    assert [message["role"] for message in messages] == ["system", "user"]
    assert '"status":"normal|anomaly|uncertain"' in messages[0]["content"]
    assert headers["authorization"] == "Bearer sk-canary-key"
    assert headers["x-client-request-id"]


def test_an_endpoint_that_repeats_our_key_spreads_it_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither as an error's code and type, nor in a field of a reply: records and counters stay clean."""
    key, words = "sk-canary-key", list[CallRecord]()
    error = {"code": key, "type": f"bad_{key}", "param": key, "message": key}
    monkeypatch.setitem(model_endpoint._ERRORS, "echo", (401, error))

    def told(request: dict[str, Any]) -> str:
        answers = [{**answer_of(one), "summary": key, "evidence": [key]} for one in windows_of(request)]
        return json.dumps({"windows": answers, key: key})

    with ModelEndpoint("echo", default=told) as endpoint:
        endpoint.request_id = key

        async def story(ask: int) -> list[object]:
            parts = kit(endpoint.url, transcribe=words.append)
            outcomes = await parts.caller.ask(batch(window(f"w{ask}")))
            await parts.caller.aclose()
            return [outcomes, parts.notes.record, parts.caller.stats, parts.notes.grounding]

        sinks = [asyncio.run(story(place)) for place in range(2)]
    assert len(words) == 2
    assert "HTTP 401" in str(sinks[0])
    assert "[redacted]" in words[1].reply.text
    assert key not in str([*sinks, *words])


@pytest.mark.parametrize(
    "spell",
    [
        lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
        lambda key: base64.b64encode(key.encode()).decode(),
        lambda key: base64.b64encode(f"user:{key}!".encode()).decode(),
        lambda key: json.dumps(key)[1:-1],
        lambda key: quote(key, safe=""),
    ],
)
def test_an_endpoint_that_encodes_our_key_spreads_it_nowhere(spell: Callable[[str], str]) -> None:
    """Code points of JSON, base64 (alone or behind a user), escapes and percent signs."""
    key, words = 'sk-"canary"/key', list[CallRecord]()

    def told(request: dict[str, Any]) -> str:
        answers = [{**answer_of(one), "summary": "PLACE"} for one in windows_of(request)]
        return json.dumps({"windows": answers}).replace("PLACE", spell(key))

    with ModelEndpoint(default=told) as endpoint:

        async def story() -> list[object]:
            parts = kit(OpenAIChat(base_url=endpoint.url, api_key=key), transcribe=words.append)
            outcomes = await parts.caller.ask(batch(window("w0")))
            await parts.caller.aclose()
            return [outcomes, parts.notes.record, parts.caller.stats]

        sinks = asyncio.run(story())
    assert "[redacted]" in words[0].reply.text
    assert not any(form in str([*sinks, *words]) for form in (key, spell(key)))


def test_the_providers_name_for_a_request_is_kept_unless_it_is_our_key() -> None:
    """It is what a provider asks for in a complaint; an endpoint that repeats the key there is not quoted."""
    request = Request(
        request_id="r",
        provider="vllm",
        model="m",
        system="s",
        user="{}",
        schema={},
        response_format="none",
        max_tokens=9,
        timeout_s=5.0,
    )

    async def ask(endpoint: ModelEndpoint, name: str) -> str | None:
        endpoint.request_id = name
        chat = OpenAIChat(base_url=endpoint.url, api_key="sk-canary-key")
        try:
            return (await chat.complete(request)).provider_request_id
        except TransportError as error:
            return error.provider_request_id
        finally:
            await chat.aclose()

    for script in (lambda _request: json.dumps({"windows": []}), "500", "empty_choices"):
        with ModelEndpoint(default=script) as endpoint:
            assert asyncio.run(ask(endpoint, "req_0123456789")) == "req_0123456789"
            assert asyncio.run(ask(endpoint, "a sk-canary-key")) is None
            assert asyncio.run(ask(endpoint, "sk-canary-key")) is None
