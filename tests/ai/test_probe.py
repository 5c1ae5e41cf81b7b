"""The doctor's tiny call."""

import asyncio
import time
from typing import Any

import pytest

from agent.ai.openai_chat import OpenAIChat
from agent.ai.probe import Probe, probe
from agent.domain.model_calls import ErrorType
from simulator.model import Director, ModelEndpoint as SimulatedEndpoint
from tests.support.model_endpoint import ModelEndpoint


def look(endpoint: ModelEndpoint | SimulatedEndpoint, provider: str = "openai") -> Probe:
    async def story() -> Probe:
        chat = OpenAIChat(base_url=endpoint.url, api_key="k")
        try:
            return await probe(chat, model="m", provider=provider, timeout_s=5.0, clock=time.monotonic)
        finally:
            await chat.aclose()

    return asyncio.run(story())


def obedient(_request: dict[str, Any]) -> str:
    return '{"colour":"red"}'


def talked_into(_request: dict[str, Any]) -> str:
    return '{"colour":"purple"}'


def test_a_schema_that_is_enforced_is_seen() -> None:
    """The endpoint could not answer purple."""
    with ModelEndpoint(default=obedient) as endpoint:
        found = look(endpoint)
    assert (found.answered, found.schema_enforced, found.response_format) == (True, True, "json_schema")
    assert found.usage is not None
    assert found.refused == ()


@pytest.mark.parametrize("content", ['{"colour":"purple"}', "purple", "[]"])
def test_a_schema_that_is_ignored_is_seen(content: str) -> None:
    """The endpoint took the schema and answered purple all the same."""
    with ModelEndpoint(default=lambda _request: content) as endpoint:
        assert not look(endpoint, "ollama").schema_enforced


def test_an_endpoint_without_schemas_is_seen() -> None:
    """The refused parameters are named, and the format that is left."""
    with ModelEndpoint("no_schema", "no_temperature", default=obedient) as endpoint:
        found = look(endpoint, "vllm")
    assert (found.answered, found.schema_enforced, found.response_format) == (True, False, "json_object")
    assert found.refused == ("response_format", "temperature")


def test_an_endpoint_that_refuses_everything_ends() -> None:
    """Adaptations are bounded."""
    with ModelEndpoint(default="no_schema") as endpoint:
        found = look(endpoint)
    assert (found.answered, found.error_type) == (False, ErrorType.BAD_REQUEST)
    assert len(endpoint.requests) == 3


def test_a_refused_key_is_told() -> None:
    """By type and status, without the provider's words."""
    with ModelEndpoint(default="401") as endpoint:
        found = look(endpoint)
    assert (found.answered, found.error_type, found.error) == (
        False,
        ErrorType.AUTH,
        "HTTP 401 invalid_api_key",
    )


@pytest.mark.parametrize(
    ("behaviour", "why"), [("refusal", "refused"), ("truncated", "cut off"), ("content_filter", "filter")]
)
def test_an_answer_that_shows_nothing_is_not_held_against_the_endpoint(behaviour: str, why: str) -> None:
    """A refusal, a filter or too little room show nothing of the schema."""
    director = Director()
    director.behave(behaviour)
    with SimulatedEndpoint(director=director) as endpoint:
        found = look(endpoint)
    assert found.answered
    assert not found.schema_enforced
    assert why in found.inconclusive
