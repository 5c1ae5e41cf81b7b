"""Calls at the same time, and faults between them: no call or money is lost."""

import asyncio
import json

import pytest
from hypothesis import given, strategies as st

from agent.ai import call
from agent.ai.answer_cache import AnswerCache
from agent.ai.call_record import transcript_of
from agent.ai.errors import classify
from agent.ai.openai_reply import read_reply
from agent.ai.protocols import TransportError
from agent.ai.validate import validate
from agent.domain.model_calls import CallRecord, ErrorType, Reply, Request
from agent.domain.records import Grounding, Reason
from agent.pipeline.conclude import detail_of
from agent.verdict.encode import encode, to_bytes
from agent.verdict.local_opinion import MAX_SUMMARY
from agent.verdict.verdict import conclude
from tests.ai.kit import Clock, Kit, batch, kit, two_windows, window
from tests.ai.test_caller import Model, fails, good, reasons, settled


class Picky(Model):
    """Refuses whatever request ``dislikes`` names, once all that are expected at the same time have come."""

    def __init__(self, dislikes: str, together: int) -> None:
        super().__init__()
        self._dislikes = dislikes
        self._together = together
        self._all = asyncio.Event()

    async def complete(self, request: Request) -> Reply:
        self.requests.append(request)
        if len(self.requests) >= self._together:
            self._all.set()
        await self._all.wait()
        if (self._dislikes == "response_format" and request.response_format == "json_schema") or (
            self._dislikes == "temperature" and request.temperature is not None
        ):
            raise TransportError(ErrorType.BAD_REQUEST, "HTTP 400", http_status=400, refused=self._dislikes)
        return good(request)


@pytest.mark.parametrize("dislikes", ["response_format", "temperature"])
def test_what_two_calls_find_out_at_once_is_learnt_once(dislikes: str) -> None:
    """Both go on, and neither steps further down than the endpoint asked for."""

    async def story() -> None:
        model = Picky(dislikes, together=2)
        parts = kit(model, max_concurrent=2)
        first, second = await settled(parts, batch(name="b1"), batch(window("w2"), name="b2"))
        assert reasons(first) == reasons(second) == [Reason.REVIEWED]
        assert len(model.requests) == 4
        wanted = ("json_object", 0.0) if dislikes == "response_format" else ("json_schema", None)
        assert {(one.response_format, one.temperature) for one in model.requests[2:]} == {wanted}

    asyncio.run(story())


def test_a_reply_that_cannot_be_judged_is_paid_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of ours after the reply: verdicts are local, and money and tokens are counted all the same."""

    def fails(*_anything: object) -> None:
        raise KeyError("a bug")

    async def story() -> Kit:
        monkeypatch.setattr(call, "validate", fails)
        parts = kit(Model())
        outcomes = await parts.caller.ask(two_windows())
        await parts.caller.aclose()
        assert reasons(outcomes) == [Reason.ERROR] * 2
        assert sum(one.cost_usd or 0.0 for one in outcomes) == pytest.approx(parts.purse.spent)
        assert sum(one.tokens.input for one in outcomes if one.tokens) == 1000
        return parts

    parts = asyncio.run(story())
    assert parts.caller.stats.faults == 1
    record = parts.notes.record
    assert (record.ok, record.error_type, record.cost_usd) == (False, ErrorType.INTERNAL, parts.purse.spent)
    assert parts.purse.spent > 0


def test_patience_with_a_model_that_loads_is_not_spent_on_calls_that_are_not_made() -> None:
    """A first window without money leaves the longer deadline to the first real call."""

    async def story() -> None:
        model = Model()
        model.gate = asyncio.Event()
        parts = kit(model, provider="llamacpp", deadline_s=0.1, limit=0.0)
        assert reasons(await parts.caller.ask(batch())) == [Reason.BUDGET]
        parts.purse.limit = 1.0
        start = asyncio.get_running_loop().time()
        assert reasons(await parts.caller.ask(batch())) == [Reason.TIMEOUT]
        assert asyncio.get_running_loop().time() - start >= 0.4
        assert list(parts.caller._admission.breaker._results) == []
        await parts.caller.aclose()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (ErrorType.CONNECTION, [True]),  # it was not there yet, or was started again
        (ErrorType.SERVER_ERROR, [True]),  # "loading model"
        (ErrorType.TIMEOUT, [True]),  # forgiven; the one after it is not
        (None, [False, True]),
    ],
)
def test_patience_lasts_until_the_model_was_loaded(error: ErrorType | None, counted: list[bool]) -> None:
    """A server that is not up yet, or still loads, is forgiven the first call that it takes."""

    async def story() -> None:
        model = Model(fails(error) if error else good)
        parts = kit(model, provider="llamacpp", deadline_s=0.2, max_retries=0)
        await parts.caller.ask(batch(name="b1"))
        model.gate = asyncio.Event()
        assert reasons(await parts.caller.ask(batch(name="b2"))) == [Reason.TIMEOUT]
        assert list(parts.caller._admission.breaker._results) == counted
        await parts.caller.aclose()

    asyncio.run(story())


def test_every_call_that_is_recorded_is_counted() -> None:
    """Also one that got no slot before its deadline: status page and metrics show the same number."""

    async def story() -> None:
        model = Model()
        model.gate = asyncio.Event()
        parts = kit(model, max_concurrent=1, deadline_s=0.2)
        await settled(parts, *(batch(window(f"w{n}"), name=f"b{n}") for n in range(3)))
        assert parts.caller.stats.calls == len(parts.notes.records) == 3

    asyncio.run(story())


def test_two_calls_make_one_probe() -> None:
    """While an endpoint is tried again others are answered at once; a cancelled probe frees its place."""

    async def story() -> None:
        clock, model = Clock(), Model(fails(*[ErrorType.CONNECTION] * 3, sent=False))
        parts = kit(model, clock=clock, max_retries=0, max_concurrent=4)
        for number in range(3):
            await parts.caller.ask(batch(name=f"b{number}"))
        assert parts.caller.breaker == "open"
        clock.now += 60
        model.gate = asyncio.Event()
        model.busy.clear()
        probe = asyncio.create_task(parts.caller.ask(batch(name="probe")))
        await model.busy.wait()
        assert reasons(await parts.caller.ask(batch(name="other"))) == [Reason.BREAKER]
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert parts.caller.breaker == "half_open"
        model.gate.set()
        assert reasons(await parts.caller.ask(batch(name="next"))) == [Reason.REVIEWED]
        assert parts.caller.breaker == "closed"
        assert len(model.requests) == 5
        await parts.caller.aclose()

    asyncio.run(story())


def test_retry_after_nothing_means_at_once() -> None:
    """A 429 that names 0 s does not hold up the calls that come after."""

    async def story() -> None:
        refusal = classify(429, {}, {"retry-after": "0"})
        assert refusal.retry_after_s == 0.0
        model, clock = Model(), Clock()

        def behave(request: Request) -> Reply:
            if len(model.requests) == 1:
                raise refusal
            return good(request)

        model.behave = behave
        parts = kit(model, clock=clock, max_retries=0)
        assert reasons(await parts.caller.ask(batch())) == [Reason.COOLDOWN]
        assert reasons(await parts.caller.ask(batch())) == [Reason.REVIEWED]

    asyncio.run(story())


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("usage", [True, False])
def test_half_a_character_spoils_nothing(usage: bool, escaped: bool) -> None:
    """A reply with a lone surrogate, in its text or in an answer, is counted, journaled and judged."""
    words: list[CallRecord] = []

    def body(request: Request, **changes: object) -> bytes:
        told = json.loads(good(request).content or "")
        told["note"] = "\ud800"
        for answer in told["windows"][1:]:
            answer.update(changes)
        message = {"content": json.dumps(told, ensure_ascii=escaped), "refusal": None}
        counted = {"usage": {"prompt_tokens": 100, "completion_tokens": 10}} if usage else {}
        return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], **counted}).encode()

    async def story() -> None:
        model = Model()
        model.behave = lambda request: read_reply(body(request, evidence=["\ud800"]))
        parts = kit(model, transcribe=words.append)
        outcomes = await parts.caller.ask(two_windows())
        await parts.caller.aclose()
        assert parts.caller.stats.faults == 0, parts.caller.stats.last_fault
        assert outcomes[0].reason is Reason.REVIEWED
        assert outcomes[1].grounding is not Grounding.GROUNDED
        for asked, outcome in zip(two_windows().windows, outcomes, strict=True):
            assert to_bytes(conclude(asked, outcome, agent="gw1", created=0.0))
            assert detail_of(outcome) is not None

    asyncio.run(story())
    assert encode(transcript_of(words[0]))


#: Any text that JSON can hold, halves of surrogate pairs among them.
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=40)
ANSWER = st.fixed_dictionaries(
    {
        "w": st.sampled_from([1, 2, 3, 10**400, "1", 1.0]),
        "status": st.sampled_from(["normal", "anomaly", "uncertain"]),
        "kind": st.sampled_from(["none", "spike", "flatline", "silence", "out_of_range", "other"]),
        "severity": st.sampled_from(["info", "warning", "critical"]),
        "confidence": st.sampled_from([1, 2, 3, 3.0, "2"]),
        "evidence": st.lists(st.sampled_from(["r17", "r1", "r404"]) | ANY_TEXT, max_size=4),
        "summary": ANY_TEXT
        | st.sampled_from(["temperature jumped to 98.66.", "dev_01 and metric_1 fell to 7."]),
    },
    optional={"note": ANY_TEXT},
)


@given(st.lists(ANSWER, max_size=4), st.booleans())
def test_whatever_a_model_says_can_be_journaled_and_published(answers: list[object], escaped: bool) -> None:
    """Each answer of the asked form ends in bytes: of the verdict, and of the journaled detail."""
    asked = two_windows()
    content = json.dumps({"windows": answers}, ensure_ascii=escaped)
    choices = [{"message": {"content": content}, "finish_reason": "stop"}]
    found = validate(read_reply(json.dumps({"choices": choices}).encode()), asked)
    cache = AnswerCache(ttl_s=60.0, max_bytes=10_000, context=(), clock=lambda: 0.0)
    for one, outcome in zip(asked.windows, found.outcomes, strict=True):
        verdict = conclude(one, outcome, agent="gw1", created=0.0)
        assert len(verdict.summary) <= MAX_SUMMARY
        assert to_bytes(verdict)
        assert detail_of(outcome) is not None or (outcome.answer is None and not outcome.checks)
        if outcome.reason is Reason.REVIEWED:
            cache.put(one, found.answers[one.id], "m")
            cached = cache.get(one)
            assert cached is not None
            assert cached.answer == outcome.answer
    assert all(len(check.detail) <= 120 for check in found.failed)
