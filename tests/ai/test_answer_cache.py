"""The answer cache: which windows it serves, and that it forgets."""

import asyncio
import json
from dataclasses import replace

import pytest

from agent.ai.answer_cache import AnswerCache
from agent.domain.records import Answer, Grounding, Kind, Outcome, Reason, Severity, Source, Status, Window
from tests.ai.kit import Clock, batch, kit, window
from tests.ai.test_caller import Model, answers, reasons, reply, settled


def test_the_same_evidence_is_answered_from_the_cache() -> None:
    """No second call; the answer cites the second window's own reading; it costs nothing."""

    async def story() -> None:
        model = Model()
        parts = kit(model, cache_ttl_s=60.0)
        await parts.caller.ask(batch(window("w1")))
        ((second,),) = await settled(parts, batch(window("w2", device="other", first_ref=40)))
        assert len(model.requests) == 1
        assert (second.reason, second.source, second.model) == (Reason.CACHED, Source.CACHE, "m")
        assert second.answer is not None
        assert second.answer.evidence == ("r56",)
        assert "98.66" in second.answer.summary
        assert (second.grounding, second.cost_usd) == (Grounding.GROUNDED, 0.0)
        assert parts.notes.cache == ["miss", "hit"]
        assert parts.notes.suppressions == [(Reason.CACHED, 1)]

    asyncio.run(story())


def test_the_cache_forgets() -> None:
    """After its time, and the least recently used first when it is full."""

    async def story() -> None:
        model, clock = Model(), Clock()
        parts = kit(model, clock=clock, cache_ttl_s=60.0, max_cache_bytes=1600)
        for value in (80.0, 90.0, 100.0):
            await parts.caller.ask(batch(window(value=value)))
        assert len(parts.caller._cache) == 2
        await parts.caller.ask(batch(window(value=100.0)))
        assert len(model.requests) == 3
        clock.now += 61
        await settled(parts, batch(window(value=100.0)))
        assert len(model.requests) == 4

    asyncio.run(story())


def test_a_hit_needs_neither_money_nor_endpoint() -> None:
    """Free answers flow when the budget is out."""

    async def story() -> None:
        parts = kit(Model(), cache_ttl_s=60.0, limit=0.004)
        await parts.caller.ask(batch())
        parts.purse.limit = 0.0
        same, other = await settled(parts, batch(), batch(window(value=50.0)))
        assert reasons(same) == [Reason.CACHED]
        assert reasons(other) == [Reason.BUDGET]

    asyncio.run(story())


def test_ungrounded_answers_are_not_kept() -> None:
    """The next window with the same evidence is asked again."""

    async def story() -> None:
        model = Model(
            lambda request: reply(
                json.dumps({"windows": [{**one, "summary": "It is 12345."} for one in answers(request)]})
            )
        )
        parts = kit(model, cache_ttl_s=60.0)
        await parts.caller.ask(batch())
        await settled(parts, batch())
        assert len(model.requests) == 2

    asyncio.run(story())


def test_audits_are_always_asked() -> None:
    """An audit from the cache would check nothing."""

    async def story() -> None:
        model = Model()
        parts = kit(model, cache_ttl_s=60.0)
        await parts.caller.ask(batch())
        await settled(parts, batch(audit=("w1",)))
        assert len(model.requests) == 2
        assert parts.notes.cache == ["miss", "bypass"]
        assert parts.purse.purposes == ["review", "audit"]

    asyncio.run(story())


def test_an_answer_that_does_not_hold_in_the_new_window_is_not_served() -> None:
    """The evidence is the same to two digits, but the summary names a value of the first window."""

    async def story() -> None:
        model = Model()
        parts = kit(model, cache_ttl_s=60.0)
        await parts.caller.ask(batch(window("w1", value=98.66)))
        ((second,),) = await settled(parts, batch(window("w2", value=98.61)))
        assert second.reason is Reason.REVIEWED
        assert len(model.requests) == 2
        assert parts.notes.cache == ["miss", "miss"]
        assert [result for result, _ in parts.notes.grounding] == [Grounding.GROUNDED] * 2

    asyncio.run(story())


def served(first: Window, second: Window, *, stored: object = "m", asked: object = "m") -> Outcome | None:
    """Return the outcome for ``second`` after an answer for ``first``, below other models perhaps."""
    answer = spike(first)
    entries = AnswerCache(ttl_s=60.0, max_bytes=10_000, context=(stored,), clock=lambda: 0.0)
    entries.put(first, answer, "m")
    entries._context = (asked,)
    return entries.get(second)


def spike(one: Window) -> Answer:
    suspect = one.candidates[-1]
    return Answer(Status.ANOMALY, Kind.SPIKE, Severity.WARNING, 2, (suspect.ref,), "A sudden jump.")


def test_ids_times_counts_and_further_digits_do_not_matter() -> None:
    """Windows that look the same to two digits get the same answer, with their own evidence."""
    found = served(window(value=98.66), window(value=98.61, first_ref=40, device="other"))
    assert found is not None
    assert found.answer is not None
    assert found.answer.evidence == ("r56",)


@pytest.mark.parametrize(
    "other",
    [
        window(value=95.0),
        window(score=2.5),
        window(kind=Kind.DRIFT),
        window(metric="pressure"),
        window(unit="°F"),
        window(limits=(-40.0, 99.0)),
        window(recent=tuple(range(30))[::-1]),
        window(score=0.5),
    ],
)
def test_other_evidence_is_not_served(other: Window) -> None:
    """Everything that a judgement may depend on is compared."""
    assert served(window(), other) is None


def test_another_model_or_temperature_is_another_question() -> None:
    """Both are part of the key."""
    assert served(window(), window()) is not None
    assert served(window(), window(), asked="n") is None


def test_a_broken_window_costs_only_its_batch() -> None:
    """A fault in the look-up leaves the next window to be asked."""

    async def story() -> None:
        parts = kit(Model(), cache_ttl_s=60.0, deadline_s=5.0)
        broken = replace(window("w2"), section="[]")
        assert reasons(await parts.caller.ask(batch(window("w1"), broken))) == [Reason.ERROR] * 2
        assert parts.caller.stats.faults == 1
        assert reasons(await parts.caller.ask(batch(window("w3")))) == [Reason.REVIEWED]

    asyncio.run(story())
