"""Shared names and facts in calls: their citations, their cache, their money."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.model_calls import Reply, Request, Usage
from agent.domain.records import (
    Answer,
    Grounding,
    Kind,
    Outcome,
    Reason,
    Severity,
    Source,
    Status,
)
from agent.prompt import NOTHING, SYSTEM, VERSION, Site, output_tokens, version_of
from agent.prompt.site import NAMES
from tests.ai.kit import PRICING, batch, kit, window
from tests.ai.test_caller import Model, answers, reply, settled

SITE = Site.of(
    NAMES,
    {
        "kitchen/*": "The dishwasher steams for 40 minutes. It is old.",
        "hall": "The door is open 90 minutes on Tuesdays.",
    },
)


def saying(summary: str, *cited: str) -> Callable[[Request], Reply]:
    """Return a model that gives one sentence and cites facts on every window."""

    def behave(request: Request) -> Reply:
        said: list[dict[str, Any]] = answers(request)
        for one in said:
            one.update(summary=summary, evidence=[*one["evidence"], *cited])
        return reply(json.dumps({"windows": said}))

    return behave


def ask(model: Model, *devices: str, site: Site = SITE, **changes: Any) -> list[Outcome]:
    """Return the outcomes of one batch after the other, one window of each device."""

    async def story() -> list[Outcome]:
        parts = kit(model, site=site, **changes)
        found = []
        for place, device in enumerate(devices):
            one = window(f"w{place}", device=device, first_ref=10 * place + 1)
            found += await parts.caller.ask(batch(one, name=f"b{place}"))
        await settled(parts)
        return found

    return asyncio.run(story())


def test_a_verdict_rests_on_a_fact_that_was_sent() -> None:
    """The outcome is grounded, cites the fact, and names the version with the knowledge."""
    (one,) = ask(Model(saying("It steams for 40 minutes.", "k1")), "kitchen/th1")
    assert (one.reason, one.grounding, one.prompt_version) == (
        Reason.REVIEWED,
        Grounding.GROUNDED,
        version_of(SITE),
    )
    assert one.answer is not None
    assert one.answer.evidence == ("r17", "k1")


def test_facts_of_an_earlier_answer_fit_or_not() -> None:
    """By the time of the later window; a fact that is not shared now excludes nothing."""
    normal = Answer(Status.NORMAL, Kind.NONE, Severity.INFO, 3, ("k3",), "Normal here.")
    thursday = window(device="hall")
    tuesday = replace(thursday, section=thursday.section.replace("thu 00:17", "tue 09:00"))
    shared, alone = kit(Model(), site=SITE).caller, kit(Model()).caller
    assert not shared.facts_fit(normal, thursday)
    assert shared.facts_fit(normal, tuesday)
    assert alone.facts_fit(normal, thursday)


@pytest.mark.parametrize(("device", "cited"), [("hall", "k1"), ("kitchen/th1", "k3"), ("cellar", "k1")])
def test_a_fact_of_another_device_cannot_be_cited(device: str, cited: str) -> None:
    """Each window is checked by the facts of its own device, also in a batch of several."""
    (one,) = ask(Model(saying("It jumped.", cited)), device)
    assert one.reason is Reason.UNGROUNDED

    async def story() -> None:
        parts = kit(Model(saying("It jumped.", "k3")), site=SITE)
        ((first, second),) = await settled(parts, batch(window("w1"), window("w2", device="hall")))
        assert [first.reason, second.reason] == [Reason.UNGROUNDED, Reason.REVIEWED]

    asyncio.run(story())


def test_without_sharing_a_cited_fact_is_an_invention() -> None:
    """No request holds a name or a fact."""
    model = Model(saying("It steams for 40 minutes.", "k1"))
    (one,) = ask(model, "kitchen/th1", site=NOTHING)
    assert (one.reason, one.prompt_version) == (Reason.UNGROUNDED, VERSION)
    (request,) = model.requests
    assert not [word for word in ("kitchen", "steams", "SITE") if word in request.system + request.user]


def test_a_cached_answer_serves_the_same_device_only() -> None:
    """Its facts are cited again, and checked again; a device of another name has another prompt."""
    model = Model(saying("It steams for 40 minutes.", "k1"))
    first, second, third = ask(model, "kitchen/th1", "kitchen/th1", "kitchen/th2", cache_ttl_s=60.0)
    assert [one.source for one in (first, second, third)] == [Source.AI, Source.CACHE, Source.AI]
    assert second.answer is not None
    assert second.answer.evidence == ("r27", "k1")
    assert (second.grounding, second.prompt_version) == (Grounding.GROUNDED, version_of(SITE))


@pytest.mark.parametrize("site", [SITE, Site.of(NAMES, {"*": "Wärme steigt auf. " * 130})])
def test_the_booking_covers_names_and_facts(site: Site) -> None:
    """A provider that counts one token per byte of all that was sent charges no more than was booked."""
    booked: list[float] = []

    async def story() -> None:
        def behave(request: Request) -> Reply:
            booked.append(sum(parts.purse.open.values()))
            said = json.dumps({"windows": answers(request)})
            size = len(request.system.encode()) + len(request.user.encode())
            return Reply(said, None, "stop", Usage(size, request.max_tokens))

        parts = kit(Model(behave), site=site)
        ((one,),) = await settled(parts, batch())
        assert one.cost_usd is not None
        assert parts.purse.spent <= booked[0]

    asyncio.run(story())


def test_long_facts_count_for_the_share_of_a_device() -> None:
    """A second window whose facts no longer fit the device's share is judged locally."""
    long = Site.of(NAMES, {"*": "Steam rises at night. " * 90})
    first = PRICING.cost("m", Usage(1000, 50))
    plain = PRICING.worst_case("m", len(window().section) + len(SYSTEM) + 500, output_tokens(1))
    limit = (first + plain) / 1e9 / 0.25
    twice = ("kitchen/th1", "kitchen/th1")
    assert [one.reason for one in ask(Model(), *twice, site=NOTHING, limit=limit)] == [Reason.REVIEWED] * 2
    reviewed, local = ask(Model(), *twice, site=long, limit=limit)
    assert (reviewed.reason, local.reason) == (Reason.REVIEWED, Reason.BUDGET)
    assert "ai.device_share" in (local.detail or "")
