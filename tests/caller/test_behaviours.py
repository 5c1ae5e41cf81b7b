"""Each way in which an endpoint can behave, and all that must follow from it."""

import asyncio
from dataclasses import dataclass

import pytest

from agent.caller.protocols import BreakerState, ErrorType
from agent.records import Grounding, Outcome, Reason, Source
from tests.caller.kit import Kit, kit, two_windows
from tests.support.model_endpoint import ModelEndpoint, refused_port

R, A = Reason, Source.AI
OK = (R.REVIEWED, R.REVIEWED)
ERROR, TIMEOUT, COOLDOWN = (R.ERROR,) * 2, (R.TIMEOUT,) * 2, (R.COOLDOWN,) * 2
INVALID, OMITTED, UNGROUNDED = (R.INVALID,) * 2, (R.MODEL_OMITTED,) * 2, (R.UNGROUNDED,) * 2


@dataclass(frozen=True)
class Row:
    """What is expected of two windows when every request is treated as ``behaviour``."""

    behaviour: str
    reasons: tuple[Reason, Reason]
    ok: bool
    error: ErrorType | None = None
    attempts: int = 1
    money: str = "actual"  # actual | none | kept: of how many attempts the worst case is spent
    invalid: bool = False
    repaired: bool | None = None
    safety: tuple[str, ...] = ()
    breaker: str = "ok"  # ok | counts | opens


TABLE = [
    Row("fine", OK, ok=True),
    Row("odd_finish", OK, ok=True),
    Row("no_usage", OK, ok=True, money="estimated"),
    Row("fenced", OK, ok=True, repaired=True),
    Row("moderated", OK, ok=True, safety=("violence",)),
    Row("extra_window", OK, ok=True),
    Row("missing_window", (R.REVIEWED, R.MODEL_OMITTED), ok=True),
    Row("bad_window", (R.INVALID, R.REVIEWED), ok=True, invalid=True),
    Row("wrong_id", UNGROUNDED, ok=True),
    Row("wrong_number", UNGROUNDED, ok=True),
    Row("unknown_device", UNGROUNDED, ok=True),
    Row("bad_json", INVALID, ok=True, invalid=True, repaired=False),
    Row("wrong_schema", INVALID, ok=True, invalid=True),
    Row("refusal", INVALID, ok=True, safety=("refusal",)),
    Row("content_filter", INVALID, ok=False, error=ErrorType.CONTENT_FILTER, safety=("content_filter",)),
    Row(
        "filtered_prompt",
        INVALID,
        ok=False,
        error=ErrorType.CONTENT_FILTER,
        money="none",
        safety=("content_filter",),
    ),
    Row("truncated", (R.REVIEWED, R.MODEL_OMITTED), ok=True, error=ErrorType.TRUNCATED),
    Row("no_room", OMITTED, ok=False, error=ErrorType.TRUNCATED),
    Row("429", COOLDOWN, ok=False, error=ErrorType.RATE_LIMITED, money="none"),
    Row("quota", ERROR, ok=False, error=ErrorType.QUOTA, money="none", breaker="opens"),
    Row("billing", ERROR, ok=False, error=ErrorType.QUOTA, money="none", breaker="opens"),
    Row("401", ERROR, ok=False, error=ErrorType.AUTH, money="none", breaker="opens"),
    Row("403", ERROR, ok=False, error=ErrorType.AUTH, money="none", breaker="opens"),
    Row("400", ERROR, ok=False, error=ErrorType.BAD_REQUEST, money="none"),
    Row("404", ERROR, ok=False, error=ErrorType.BAD_REQUEST, money="none"),
    Row("500", ERROR, ok=False, error=ErrorType.SERVER_ERROR, attempts=3, money="none", breaker="counts"),
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
    Row("empty_choices", ERROR, ok=False, error=ErrorType.MALFORMED_RESPONSE, attempts=2, breaker="counts"),
    Row("empty_content", ERROR, ok=False, error=ErrorType.MALFORMED_RESPONSE, attempts=2, breaker="counts"),
    *(
        Row(
            behaviour,
            ERROR,
            ok=False,
            error=ErrorType.MALFORMED_RESPONSE,
            attempts=2,
            money="kept",
            breaker="counts",
        )
        for behaviour in ("html", "error_body", "huge", "gzip")
    ),
    Row("reset", ERROR, ok=False, error=ErrorType.CONNECTION, attempts=3, money="kept", breaker="counts"),
    Row("slow", TIMEOUT, ok=False, error=ErrorType.TIMEOUT, money="kept", breaker="counts"),
    Row("hang", TIMEOUT, ok=False, error=ErrorType.TIMEOUT, money="kept", breaker="counts"),
    Row("drip", TIMEOUT, ok=False, error=ErrorType.TIMEOUT, money="kept", breaker="counts"),
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
    """Outcomes, record, money and breaker are as the specification says."""
    deadline_s = 0.6 if row.error is ErrorType.TIMEOUT else 10.0
    with ModelEndpoint(default=row.behaviour) as endpoint:
        endpoint.retry_after = "60"
        outcomes, parts = asyncio.run(ask(endpoint, deadline_s=deadline_s))
        worst = worst_case(endpoint)

    assert parts.caller.stats.faults == 0, parts.caller.stats.last_fault
    assert tuple(outcome.reason for outcome in outcomes) == row.reasons
    assert [outcome.window_id for outcome in outcomes] == ["w1", "w2"]
    answered = [outcome.answer is not None for outcome in outcomes]
    assert [outcome.source is A for outcome in outcomes] == answered

    record = parts.notes.record
    assert (record.ok, record.error_type, record.attempts) == (row.ok, row.error, row.attempts)
    assert (record.validation_failed, record.repaired) == (row.invalid, row.repaired)
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
        "estimated": None,
    }[row.money]
    if expected is not None:
        assert parts.purse.spent == pytest.approx(expected, rel=0.01)
    assert 0 <= parts.purse.spent <= row.attempts * worst * 1.0001
    assert sum(outcome.cost_usd or 0.0 for outcome in outcomes) == pytest.approx(parts.purse.spent, abs=1e-12)
    if record.usage is not None and row.attempts == 1:
        assert record.usage.estimated == (row.money == "estimated")
        shares = [outcome.tokens for outcome in outcomes]
        assert sum(one.input for one in shares if one) == record.usage.input
        assert sum(one.output for one in shares if one) == record.usage.output

    state = parts.caller.state()
    assert state["breaker"] == (BreakerState.OPEN if row.breaker == "opens" else BreakerState.CLOSED)
    results = list(parts.caller._gate.breaker._results)
    if row.breaker != "opens":
        assert results == [row.breaker == "counts"]
    grounding = [result for result, _ in parts.notes.grounding]
    if row.reasons is UNGROUNDED:
        assert grounding == [Grounding.UNGROUNDED] * 2
        assert record.failed_checks
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
