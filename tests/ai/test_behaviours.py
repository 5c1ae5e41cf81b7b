"""Behaviours of an endpoint that the simulator does not have."""

import asyncio
from dataclasses import dataclass

import pytest

from agent.domain.model_calls import BreakerState, ErrorType
from agent.domain.records import Grounding, Outcome, Reason, Source
from simulator.model import Director, ModelEndpoint as SimulatedEndpoint
from tests.ai.kit import Kit, kit, two_windows
from tests.support.model_endpoint import ModelEndpoint, refused_port

R, A = Reason, Source.AI
OK = (R.REVIEWED, R.REVIEWED)
ERROR = (R.ERROR, R.ERROR)


@dataclass(frozen=True)
class Row:
    """The expectation for two windows when every request is treated as ``behaviour``."""

    behaviour: str
    reasons: tuple[Reason, Reason]
    ok: bool
    error: ErrorType | None = None
    attempts: int = 1
    money: str = "actual"  # actual | none | kept: the worst case of each attempt is spent
    invalid: bool = False
    safety: tuple[str, ...] = ()
    breaker: str = "ok"  # ok | counts | opens


TABLE = [
    Row("odd_finish", OK, ok=True),
    Row("extra_window", OK, ok=True),
    Row("bad_window", (R.INVALID, R.REVIEWED), ok=True, invalid=True),
    Row(
        "filtered_prompt",
        (R.INVALID, R.INVALID),
        ok=False,
        error=ErrorType.CONTENT_FILTER,
        money="none",
        safety=("content_filter",),
    ),
    Row("no_room", (R.MODEL_OMITTED,) * 2, ok=False, error=ErrorType.TRUNCATED),
    Row("billing", ERROR, ok=False, error=ErrorType.QUOTA, money="none", breaker="opens"),
    Row("403", ERROR, ok=False, error=ErrorType.AUTH, money="none", breaker="opens"),
    Row("404", ERROR, ok=False, error=ErrorType.BAD_REQUEST, money="none"),
    Row("503", ERROR, ok=False, error=ErrorType.SERVER_ERROR, attempts=3, money="none", breaker="counts"),
    Row(
        "redirect",
        ERROR,
        ok=False,
        error=ErrorType.MALFORMED_RESPONSE,
        attempts=2,
        money="none",
        breaker="counts",
    ),
    Row(
        "gzip",
        ERROR,
        ok=False,
        error=ErrorType.MALFORMED_RESPONSE,
        attempts=2,
        money="kept",
        breaker="counts",
    ),
    Row("reset", ERROR, ok=False, error=ErrorType.CONNECTION, attempts=3, money="kept", breaker="counts"),
]


async def ask(endpoint: ModelEndpoint, *, deadline_s: float) -> tuple[list[Outcome], Kit]:
    parts = kit(endpoint.url, hasty=True, deadline_s=deadline_s, moderation_model="omni-moderation-latest")
    outcomes = await parts.caller.ask(two_windows())
    await parts.caller.aclose()
    return outcomes, parts


def worst_case(endpoint: ModelEndpoint) -> float:
    request = endpoint.requests[0]
    text = sum(len(message["content"].encode()) for message in request["messages"])
    schema = request["response_format"]["json_schema"]["schema"]
    text += len(str(schema).replace("'", '"').replace(" ", "").replace("False", "false"))
    return float(text * 1.0 + request["max_completion_tokens"] * 4.0) / 1e6


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.behaviour)
def test_every_behaviour(row: Row) -> None:
    """Outcomes, record, money and breaker are as specified."""
    with ModelEndpoint(default=row.behaviour) as endpoint:
        endpoint.retry_after = "60"
        outcomes, parts = asyncio.run(ask(endpoint, deadline_s=10.0))
        worst = worst_case(endpoint)

    assert parts.caller.stats.faults == 0, parts.caller.stats.last_fault
    assert tuple(outcome.reason for outcome in outcomes) == row.reasons
    assert [outcome.window_id for outcome in outcomes] == ["w1", "w2"]
    answered = [outcome.answer is not None for outcome in outcomes]
    assert [outcome.source is A for outcome in outcomes] == answered

    record = parts.notes.record
    assert (record.ok, record.error_type, record.attempts) == (row.ok, row.error, row.attempts)
    assert record.validation_failed == row.invalid
    assert record.safety_categories == row.safety
    assert len(parts.notes.scopes[0].retries) == row.attempts - 1
    assert "canary" not in record.error_message
    assert sum(record.statuses.values()) == sum(answered)

    assert parts.purse.open == {}
    assert record.cost_usd == pytest.approx(parts.purse.spent, abs=1e-12)
    expected = {
        "none": 0.0,
        "kept": row.attempts * worst,
        "actual": sum((0.75 * sent + 0.25 * sent // 2 + 4 * got) for sent, got in endpoint.billed) / 1e6,
    }[row.money]
    assert parts.purse.spent == pytest.approx(expected, rel=0.01)
    assert 0 <= parts.purse.spent <= row.attempts * worst * 1.0001
    assert sum(outcome.cost_usd or 0.0 for outcome in outcomes) == pytest.approx(parts.purse.spent, abs=1e-12)
    if record.usage is not None and row.attempts == 1:
        assert not record.usage.estimated
        shares = [outcome.tokens for outcome in outcomes]
        assert sum(one.input for one in shares if one) == record.usage.input
        assert sum(one.output for one in shares if one) == record.usage.output

    assert parts.caller.breaker == (BreakerState.OPEN if row.breaker == "opens" else BreakerState.CLOSED)
    results = list(parts.caller._admission.breaker._results)
    if row.breaker != "opens":
        assert results == [row.breaker == "counts"]
    grounding = [result for result, _ in parts.notes.grounding]
    if row.behaviour == "extra_window":
        assert grounding == [Grounding.GROUNDED] * 2 + [Grounding.UNGROUNDED]


def test_nobody_listens() -> None:
    """A refused connection costs nothing, is tried three times and counts at the breaker."""

    async def story() -> tuple[list[Outcome], Kit]:
        parts = kit(f"http://127.0.0.1:{refused_port()}/v1", hasty=True, deadline_s=10.0)
        outcomes = await parts.caller.ask(two_windows())
        await parts.caller.aclose()
        return outcomes, parts

    outcomes, parts = asyncio.run(story())
    assert tuple(outcome.reason for outcome in outcomes) == ERROR
    assert (parts.notes.record.error_type, parts.notes.record.attempts) == (ErrorType.CONNECTION, 3)
    assert parts.notes.record.error_message == "connection refused"
    assert (parts.purse.spent, parts.purse.open) == (0.0, {})


@pytest.mark.slow
def test_a_dripping_endpoint_does_not_hold_us() -> None:
    """One byte per 50 ms: the deadline holds within half a second (a promised limit)."""

    async def story(endpoint: ModelEndpoint) -> float:
        parts = kit(endpoint.url, deadline_s=1.0)
        await parts.caller.ask(two_windows())  # loads the SDK
        loop = asyncio.get_running_loop()
        start = loop.time()
        await parts.caller.ask(two_windows())
        took_s = loop.time() - start
        await parts.caller.aclose()
        return took_s

    with ModelEndpoint(default="drip") as endpoint:
        assert asyncio.run(story(endpoint)) < 1.5


def test_it_recovers_by_itself() -> None:
    """A failed attempt is followed by a good one inside the deadline."""
    for behaviour in ("500", "reset", "html", "empty_choices", "429"):
        with ModelEndpoint(behaviour) as endpoint:
            endpoint.retry_after = "0.1"
            outcomes, parts = asyncio.run(ask(endpoint, deadline_s=20.0))
        assert tuple(outcome.reason for outcome in outcomes) == OK
        assert (parts.notes.record.ok, parts.notes.record.attempts) == (True, 2)


@pytest.mark.parametrize(
    ("behaviour", "wanted", "counted"),
    [
        ("moderated", None, ("violence",)),
        ("moderated", {"violence"}, ("violence",)),
        ("moderated", {"harassment"}, ()),
        ("refusal", {"harassment"}, ("refusal",)),
        ("content_filter", set(), ("content_filter",)),
    ],
)
def test_the_categories_that_count_are_configured(
    behaviour: str, wanted: set[str] | None, counted: tuple[str, ...]
) -> None:
    """Of the provider's moderation; a refusal and its filter always count."""
    director = Director()
    director.behave(behaviour)
    with SimulatedEndpoint(director=director) as endpoint:

        async def story() -> Kit:
            parts = kit(endpoint.url, safety_categories=None if wanted is None else frozenset(wanted))
            await parts.caller.ask(two_windows())
            await parts.caller.aclose()
            return parts

        assert asyncio.run(story()).notes.record.safety_categories == counted
