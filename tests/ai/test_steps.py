"""The steps of a call, each alone: breaker, retry, classification, reply, profile."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agent.ai.breaker import Breaker
from agent.ai.errors import classify
from agent.ai.openai_reply import read_reply
from agent.ai.profiles import PROFILES, Dialect, body_of
from agent.ai.protocols import TransportError
from agent.ai.retry import Retries
from agent.domain.model_calls import BreakerState, ErrorType, Request, Usage
from tests.ai.kit import Clock

# ------------------------------------------------------------------------------------------ breaker


class Switch:
    """A breaker on a clock of the test."""

    def __init__(self) -> None:
        self.clock = Clock(0.0)
        self.changes: list[tuple[str, str]] = []
        self.breaker = Breaker(
            clock=self.clock,
            rng=random.Random(1),
            changed=lambda state, why, _open_s: self.changes.append((state, why)),
        )

    def call(self, error: ErrorType | None = None) -> bool:
        leave = self.breaker.acquire()
        if leave is None:
            return False
        self.breaker.record(leave, error)
        return True


def test_three_failures_in_a_row_open_it() -> None:
    """And the fourth call is not made."""
    switch = Switch()
    for _ in range(3):
        assert switch.call(ErrorType.SERVER_ERROR)
    assert not switch.call()
    assert switch.changes == [("open", "server_error")]


def test_five_failures_in_ten_open_it() -> None:
    """Successes between them do not hide a failing endpoint."""
    switch = Switch()
    for error in [None, ErrorType.TIMEOUT, ErrorType.CONNECTION] * 2:
        switch.call(error)
    assert switch.changes == []
    switch.call(ErrorType.MALFORMED_RESPONSE)
    assert switch.breaker.state is BreakerState.OPEN


@pytest.mark.parametrize(
    "error",
    [ErrorType.RATE_LIMITED, ErrorType.BAD_REQUEST, ErrorType.TRUNCATED, ErrorType.CONTENT_FILTER, None],
)
def test_what_is_not_the_endpoints_fault_does_not_count(error: ErrorType | None) -> None:
    """A 429, our own bad request or a filter never opens it."""
    switch = Switch()
    for _ in range(20):
        assert switch.call(error)


def test_a_probe_closes_it() -> None:
    """After about 30 s one call goes through, alone; its success closes."""
    switch = Switch()
    for _ in range(3):
        switch.call(ErrorType.TIMEOUT)
    switch.clock.now += 40
    probe = switch.breaker.acquire()
    assert probe is not None
    assert probe.probe
    assert switch.breaker.acquire() is None
    switch.breaker.record(probe, None)
    assert switch.breaker.state is BreakerState.CLOSED
    assert [state for state, _ in switch.changes] == ["open", "half_open", "closed"]
    switch.call(ErrorType.TIMEOUT)
    assert switch.breaker.state is BreakerState.CLOSED  # the count began again


def test_a_failing_probe_doubles_the_time() -> None:
    """30 s, 60 s, ... up to 10 minutes, each with a fifth of jitter."""
    switch = Switch()
    for _ in range(3):
        switch.call(ErrorType.CONNECTION)
    waits = []
    for _ in range(8):
        open_s = switch.breaker.open_s
        assert open_s is not None
        waits.append(open_s)
        switch.clock.now += open_s
        assert switch.call(ErrorType.CONNECTION)
    for wait, base in zip(waits, [30, 60, 120, 240, 480, 600, 600, 600], strict=True):
        assert 0.8 * base <= wait <= 1.2 * base


def test_a_probe_that_was_not_made_is_given_back() -> None:
    """A cancelled probe lets the next one through."""
    switch = Switch()
    for _ in range(3):
        switch.call(ErrorType.TIMEOUT)
    switch.clock.now += 40
    probe = switch.breaker.acquire()
    assert probe is not None
    switch.breaker.release(probe)
    assert switch.call(None)
    assert switch.breaker.state is BreakerState.CLOSED


def test_late_results_of_an_earlier_state_do_not_count() -> None:
    """A call that was under way when it opened neither closes nor prolongs it."""
    switch = Switch()
    early = switch.breaker.acquire()
    assert early is not None
    for _ in range(3):
        switch.call(ErrorType.TIMEOUT)
    switch.breaker.record(early, None)
    assert switch.breaker.state is BreakerState.OPEN


def test_quota_opens_for_an_hour_and_a_refused_key_for_good() -> None:
    """One such answer is enough."""
    quota, auth = Switch(), Switch()
    quota.call(ErrorType.QUOTA)
    auth.call(ErrorType.AUTH)
    assert quota.breaker.open_s == 3600
    assert auth.breaker.open_s is None
    quota.clock.now = auth.clock.now = 3600
    assert quota.call()
    auth.clock.now = 1e9
    assert not auth.call()


# -------------------------------------------------------------------------------------------- retry


def retries(clock: Clock) -> Retries:
    return Retries(max_retries=2, clock=clock, rng=random.Random(1))


@pytest.mark.parametrize(
    ("error_type", "allowed"),
    [
        (ErrorType.CONNECTION, 2),
        (ErrorType.SERVER_ERROR, 2),
        (ErrorType.RATE_LIMITED, 2),
        (ErrorType.TIMEOUT, 1),
        (ErrorType.MALFORMED_RESPONSE, 1),
        (ErrorType.QUOTA, 0),
        (ErrorType.AUTH, 0),
        (ErrorType.BAD_REQUEST, 0),
        (ErrorType.CONTENT_FILTER, 0),
        (ErrorType.OTHER, 0),
    ],
)
def test_each_error_has_its_retries(error_type: ErrorType, allowed: int) -> None:
    """By the table of retries."""
    policy = retries(Clock())
    error = TransportError(error_type, "")
    delays = [policy.delay(error, attempt, 100.0) for attempt in range(1, 4)]
    assert [delay is not None for delay in delays] == [place < allowed for place in range(3)]


def test_backoff_is_fully_jittered() -> None:
    """Between 0 and twice as much each time."""
    delays = [
        Retries(max_retries=2, clock=Clock(), rng=random.Random(seed)).delay(
            TransportError(ErrorType.SERVER_ERROR, ""), 2, 100.0
        )
        for seed in range(200)
    ]
    found = [delay for delay in delays if delay is not None]
    assert min(found) < 0.1
    assert 0.9 < max(found) <= 1.0


def test_retry_after_is_obeyed_if_it_fits() -> None:
    """Not at all if the deadline comes first."""
    error = TransportError(ErrorType.RATE_LIMITED, "", retry_after_s=5.0)
    assert retries(Clock()).delay(error, 1, 10.0) == 5.0
    assert retries(Clock()).delay(error, 1, 4.0) is None


def test_retries_have_a_budget() -> None:
    """A fifth of the calls of the last 10 minutes, at least 2: an outage is not multiplied."""
    clock = Clock()
    policy = retries(clock)
    error = TransportError(ErrorType.SERVER_ERROR, "")
    for _ in range(50):
        policy.count_call()
    assert sum(policy.delay(error, 1, 100.0) is not None for _ in range(30)) == 10
    clock.now += 601
    policy.count_call()
    assert len(policy._calls) == 1
    assert sum(policy.delay(error, 1, 100.0) is not None for _ in range(30)) == 2


# --------------------------------------------------------------------------------------- classify


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, {}, ErrorType.BAD_REQUEST),
        (400, {"code": "content_filter"}, ErrorType.CONTENT_FILTER),
        (401, {}, ErrorType.AUTH),
        (402, {}, ErrorType.QUOTA),
        (403, {}, ErrorType.AUTH),
        (404, {}, ErrorType.BAD_REQUEST),
        (408, {}, ErrorType.SERVER_ERROR),
        (409, {}, ErrorType.SERVER_ERROR),
        (422, {}, ErrorType.BAD_REQUEST),
        (429, {}, ErrorType.RATE_LIMITED),
        (429, {"code": "insufficient_quota"}, ErrorType.QUOTA),
        (429, {"type": "insufficient_quota"}, ErrorType.QUOTA),
        (429, {"code": "billing_hard_limit_reached"}, ErrorType.QUOTA),
        (500, {}, ErrorType.SERVER_ERROR),
        (529, {}, ErrorType.SERVER_ERROR),
        (302, {}, ErrorType.MALFORMED_RESPONSE),
    ],
)
def test_each_status_has_its_type(status: int, error: dict[str, Any], expected: ErrorType) -> None:
    """By the classification table."""
    assert classify(status, {"error": error}, {}).error_type is expected


def test_no_word_of_the_provider_is_passed_on() -> None:
    """Providers quote keys and prompts in their messages."""
    body = {
        "error": {"message": "Incorrect API key provided: sk-secret", "code": "sk secret", "type": "x" * 99}
    }
    assert str(classify(401, body, {})) == "HTTP 401"
    assert str(classify(500, "sk-secret <html>", {})) == "HTTP 500"
    assert (
        str(classify(429, {"error": {"code": "rate_limit_exceeded"}}, {})) == "HTTP 429 rate_limit_exceeded"
    )


_LATER = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "99999999"}, 3600.0),
        ({"retry-after": _LATER}, None),
        ({"retry-after": _LATER, "date": "Wed, 21 Oct 2026 07:27:30 GMT"}, 30.0),
        ({"retry-after": _LATER, "date": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": _LATER, "date": "Mon, 21 Oct 2013 07:28:30 GMT"}, 3600.0),
        ({"retry-after": _LATER, "date": "2026-10-21"}, None),
        ({"retry-after": _LATER, "date": "Wed, 21 Oct 2026 07:27:30"}, None),
        ({"retry-after": "Wed, 99 Foo 2026 99:99:99 GMT", "date": _LATER}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    """In seconds or milliseconds; bounded."""
    assert classify(429, {}, headers).retry_after_s == seconds


@pytest.mark.parametrize(
    ("error", "field"),
    [
        ({"param": "response_format"}, "response_format"),
        (
            {"message": "'response_format' of type 'json_schema' is not supported with this model."},
            "response_format",
        ),
        (
            {"param": "max_tokens", "message": "Unsupported parameter: use max_completion_tokens"},
            "max_tokens",
        ),
        ({"message": "Unrecognized request argument supplied: seed"}, "seed"),
        ({"message": "temperature does not support 0 with this model"}, "temperature"),
        ({"message": "maximum context length is 4096 tokens, reduce max_tokens"}, None),
        ({"message": "no"}, None),
    ],
)
def test_a_refused_field_is_recognised(error: dict[str, Any], field: str | None) -> None:
    """So that the request can do without it."""
    assert classify(400, {"error": error}, {}).refused == field


@given(st.integers(300, 599), st.recursive(st.none() | st.text() | st.integers(), st.lists), st.text())
def test_any_body_is_classified(status: int, body: Any, text: str) -> None:
    """Whatever the endpoint sends, the message stays a short machine word."""
    error = classify(status, {"error": {"message": body, "code": body, "type": text, "param": body}}, {})
    assert len(str(error)) < 120


# ------------------------------------------------------------------------------------------- shape


def completion(**changes: Any) -> bytes:
    body: dict[str, Any] = {
        "id": "c1",
        "model": "m-2026",
        "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2},
    }
    return json.dumps({**body, **changes}).encode()


def test_a_completion_is_read() -> None:
    """Content, finish reason, usage with its details, and the names that go on the span."""
    reply = read_reply(
        completion(
            usage={
                "prompt_tokens": 10,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
            service_tier="default",
            system_fingerprint="fp",
            moderation={"input": {"results": [{"categories": {"violence": True, "hate": False}}]}},
        )
    )
    assert reply.content == "hi"
    assert reply.usage == Usage(10, 2, 4, 1, cache_write=3)
    assert (reply.response_id, reply.response_model, reply.service_tier) == ("c1", "m-2026", "default")
    assert reply.safety_categories == ("violence",)


def test_what_azures_filter_found_is_a_safety_category() -> None:
    """In the prompt or the reply, filtered or detected; what was only looked for is not."""
    found = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": True}}
    reply = read_reply(
        completion(
            choices=[
                {
                    "message": {"content": "hi"},
                    "finish_reason": "stop",
                    "content_filter_results": {"protected_material_text": {"detected": True}, "odd": 1},
                }
            ],
            prompt_filter_results=[{"prompt_index": 0, "content_filter_results": found}, None],
        )
    )
    assert reply.safety_categories == ("protected_material_text", "violence")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html>",
        b"[]",
        b'"text"',
        b"[" * 100_000,
        b'{"error": {"message": "loading"}}',
        completion(choices=[]),
        completion(choices=None),
        completion(choices="abc"),
        completion(choices=[None]),
        completion(choices=[{"message": None}]),
        completion(choices=[{"message": {"content": None}, "finish_reason": "stop"}]),
        completion(choices=[{"message": {"content": 5}, "finish_reason": "stop"}]),
    ],
)
def test_what_is_no_completion_is_malformed(body: bytes) -> None:
    """With status 200, whatever it is."""
    with pytest.raises(TransportError) as caught:
        read_reply(body)
    assert caught.value.error_type is ErrorType.MALFORMED_RESPONSE


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_reason_to_stop_is_an_answer_without_content(finish: str) -> None:
    """The reply is empty, for a known reason."""
    body = completion(choices=[{"message": {"content": None}, "finish_reason": finish}])
    assert read_reply(body).finish_reason == finish


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        "12",
        {"prompt_tokens": -1, "completion_tokens": 2},
        {"prompt_tokens": 0, "completion_tokens": 2},
        {"prompt_tokens": 10**9, "completion_tokens": 2},
        {"prompt_tokens": "10", "completion_tokens": 2},
        {"prompt_tokens": True, "completion_tokens": 2},
    ],
)
def test_usage_that_cannot_be_is_missing(usage: Any) -> None:
    """Then we estimate."""
    assert read_reply(completion(usage=usage)).usage is None


def test_content_in_parts_is_joined() -> None:
    """As some servers send it."""
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    assert read_reply(completion(choices=[{"message": {"content": parts}}])).content == "ab"


# ----------------------------------------------------------------------------------------- profile


def test_a_refused_format_steps_down_and_is_remembered() -> None:
    """json_schema, json_object, none; then nothing is left."""
    dialect = Dialect(PROFILES["vllm"])
    seen = [dialect.response_format]
    while dialect.adapt("response_format"):
        seen.append(dialect.response_format)
    assert seen == ["json_schema", "json_object", "none"]


def test_other_fields_are_dropped_once() -> None:
    """A second complaint about the same field changes nothing any more."""
    dialect = Dialect(PROFILES["openai"])
    for field in ("temperature", "seed", "max_tokens", "moderation"):
        assert dialect.adapt(field)
        assert not dialect.adapt(field)
    wished = Request(
        request_id="r",
        provider="openai",
        model="m",
        system="s",
        user="u",
        schema={},
        max_tokens=9,
        temperature=0.0,
        seed=7,
        moderation_model="omni",
    )
    assert body_of(dialect.apply(wished)).keys() == {"model", "messages", "response_format", "max_tokens"}


@pytest.mark.parametrize("name", ["openai", "azure", "vllm", "llamacpp", "ollama"])
def test_every_profile_starts_with_the_schema(name: str) -> None:
    """All claim to take one; what is refused is found out."""
    assert Dialect(PROFILES[name]).response_format == "json_schema"
