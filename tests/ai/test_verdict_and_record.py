"""A verdict and the record of its call agree, linked by the request id."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence

import pytest

from agent.ai.protocols import TransportError
from agent.domain.model_calls import ErrorType, Reply, Request, Usage
from agent.domain.records import Batch, Do, Kind, Outcome, Past, Reason, Verdict
from agent.verdict.verdict import conclude
from tests.ai.kit import Clock, Kit, batch, kit, two_windows, window
from tests.ai.test_caller import Behave, Model, good, reply


def verdicts(asked: Batch, outcomes: Sequence[Outcome]) -> list[Verdict]:
    pairs = zip(asked.windows, outcomes, strict=True)
    return [conclude(one, outcome, agent="gw1", created=0.0) for one, outcome in pairs]


def check(parts: Kit, asked: Batch, outcomes: Sequence[Outcome]) -> None:
    """Expect each call's record to agree with the verdicts that have its id."""
    made = verdicts(asked, outcomes)
    by_request = {scope.request.request_id: scope.record for scope in parts.notes.scopes}
    for request in {one.request_id for one in made if one.request_id is not None}:
        record = by_request[request]
        assert record is not None
        said = Counter((str(one.source), str(one.reason), str(one.status)) for one in made)
        assert record.verdicts == said


@pytest.mark.parametrize(
    "behave",
    [
        good,
        lambda _: reply("nonsense"),
        lambda _: Reply(None, "no", "stop", Usage(1000, 5)),
        lambda _: reply('{"windows":[{"w":1,"status":"normal"}]}'),
    ],
)
def test_a_call_says_what_its_verdicts_say(behave: Behave) -> None:
    """Answered, unreadable, refused or half answered: source, reason and status are those of the verdicts."""

    async def story() -> None:
        parts, asked = kit(Model(behave)), two_windows()
        outcomes = await parts.caller.ask(asked)
        assert {one.request_id for one in outcomes} == {parts.notes.scopes[0].request.request_id}
        check(parts, asked, outcomes)

    asyncio.run(story())


def test_an_overruled_answer_is_local_on_the_line_as_well() -> None:
    """A broken limit that the model calls normal stays the detector's, and so in the record."""

    async def story() -> None:
        one = window(kind=Kind.OUT_OF_RANGE)
        parts, asked = kit(Model(lambda _: calm("r17"))), batch(one)
        outcomes = await parts.caller.ask(asked)
        assert outcomes[0].answer is not None
        assert parts.notes.record.verdicts == {("local", "reviewed", "anomaly"): 1}
        check(parts, asked, outcomes)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("past", "verdict"),
    [
        ((), ("local", "reviewed", "anomaly")),
        ((Past("f1", Do.FALSE_ALARM, Kind.SPIKE, 97.0, 99.2),), ("ai", "reviewed", "normal")),
    ],
)
def test_a_soft_alarm_yields_to_a_normal_with_a_reason(
    past: tuple[Past, ...], verdict: tuple[str, str, str]
) -> None:
    """Without one the detector's opinion holds, and the verdict has it in words."""

    async def story() -> None:
        parts, asked = kit(Model(lambda _: calm("r17"))), batch(window(kind=Kind.SPIKE, past=past))
        outcomes = await parts.caller.ask(asked)
        assert parts.notes.record.verdicts == {verdict: 1}
        check(parts, asked, outcomes)
        (made,) = verdicts(asked, outcomes)
        assert made.grounded is True
        assert (made.reason_detail is None) is (verdict[0] == "ai")
        assert parts.notes.record.unsupported == (verdict[0] == "local")
        assert parts.notes.record.failed_checks == ()

    asyncio.run(story())


def calm(cited: str) -> Reply:
    return reply(
        '{"windows":[{"w":1,"status":"normal","kind":"none","severity":"info","confidence":2,'
        f'"evidence":{json.dumps([cited] if cited else [])},"summary":"All is usual."}}]}}'
    )


def test_an_audit_says_audit() -> None:
    """The reason of an audited window's verdict is on the record of its call."""

    async def story() -> None:
        asked = batch(window(score=0.2, value=71.3), audit=("w1",))
        parts = kit(Model())
        outcomes = await parts.caller.ask(asked)
        assert [one.reason for one in outcomes] == [Reason.AUDIT]
        check(parts, asked, outcomes)

    asyncio.run(story())


def test_a_verdict_names_the_call_that_answered() -> None:
    """After a failed first model the verdict has the id of the second one's call."""

    async def story() -> None:
        def behave(request: Request) -> Reply:
            if request.model == "m":
                raise TransportError(ErrorType.SERVER_ERROR, "no", http_status=500)
            return good(request)

        parts = kit(Model(behave), fallback=("cheap",), max_retries=0)
        asked = two_windows()
        outcomes = await parts.caller.ask(asked)
        first, second = parts.notes.scopes
        assert {one.request_id for one in outcomes} == {second.request.request_id}
        assert first.record is not None
        assert set(first.record.verdicts) == {("local", "error", "anomaly")}
        check(parts, asked, outcomes)

    asyncio.run(story())


def test_without_a_call_there_is_no_id() -> None:
    """A verdict without money or from the cache names none."""

    async def story() -> None:
        poor = kit(Model(), limit=0.0)
        assert [one.request_id for one in await poor.caller.ask(two_windows())] == [None, None]
        parts = kit(Model(), cache_ttl_s=60.0)
        (asked,) = await parts.caller.ask(batch(window("a")))
        (cached,) = await parts.caller.ask(batch(window("b", device="other"), name="b2"))
        assert (asked.request_id is None, asked.reason) == (False, Reason.REVIEWED)
        assert (cached.request_id, cached.reason) == (None, Reason.CACHED)

    asyncio.run(story())


def test_a_call_that_the_shutdown_ended_says_so() -> None:
    """Verdict and record have the reason shutdown, and what was booked is marked as assumed."""

    async def story() -> None:
        model = Model()
        model.gate = asyncio.Event()
        parts, asked = kit(model), two_windows()
        task = asyncio.create_task(parts.caller.ask(asked))
        await model.busy.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        outcomes = parts.caller.cancelled(asked)
        check(parts, asked, outcomes)
        record = parts.notes.record
        assert record.verdicts == {("local", "shutdown", "anomaly"): 2}
        assert record.cost_assumed_usd == record.cost_usd
        assert record.cost_assumed_usd > 0

    asyncio.run(story())


def test_what_was_assumed_is_only_what_had_no_usage() -> None:
    """A first attempt that timed out is assumed, the second one's usage is not."""

    async def story() -> None:
        tries = [0]

        def behave(request: Request) -> Reply:
            tries[0] += 1
            if tries[0] == 1:
                raise TransportError(ErrorType.TIMEOUT, "no reply")
            return good(request)

        parts = kit(Model(behave), clock=Clock())
        await parts.caller.ask(batch())
        record = parts.notes.record
        assert record.ok
        assert record.cost_usd is not None
        assert 0 < record.cost_assumed_usd < record.cost_usd

    asyncio.run(story())
