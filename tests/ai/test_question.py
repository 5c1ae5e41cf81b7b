"""A question to the model over HTTP, with the real SDK and the real ledger."""

import asyncio
import random
import time
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

import pytest

from agent.ai.openai_chat import OpenAIChat
from agent.ai.question import Asked, Questioner
from agent.ai.settings import CallerSettings
from agent.budget.ledger import BudgetLedger
from agent.domain.model_calls import BudgetWindow
from agent.prompt.question import render_question
from tests.ai.kit import PRICING
from tests.support.model_endpoint import ModelEndpoint, refused_port

pytestmark = pytest.mark.process

PROMPT, _ = render_question("why?", {"findings": 0}, [], max_tokens=4000, delimiter="word")
WORST = PRICING.worst_case("m", PROMPT.size, PROMPT.max_tokens) / 1e9
Ask = Callable[..., tuple[Asked, float]]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Return a function that asks once, with the end and all that is booked afterwards."""

    def once(url: str, *, cap_usd: float = 1.0, fallback: tuple[str, ...] = ()) -> tuple[Asked, float]:
        ledger = BudgetLedger(
            tmp_path / "budget.sqlite",
            limits=dict.fromkeys(BudgetWindow, cap_usd),
            zone=UTC,
            wall=time.time,
            mono=time.monotonic,
            shared=True,
        )

        async def story() -> Asked:
            transport = OpenAIChat(base_url=url, api_key=None)
            settings = CallerSettings(
                agent="gw1", model="m", fallback=fallback, pricing=PRICING, deadline_s=20.0
            )
            questioner = Questioner(
                settings=settings,
                transport=transport,
                ledger=ledger,
                clock=time.monotonic,
                rng=random.Random(1),
                sleep=lambda _s: asyncio.sleep(0),
            )
            try:
                return await questioner.ask(PROMPT)
            finally:
                await transport.aclose()

        try:
            asked = asyncio.run(story())
            hour = ledger.spend()[BudgetWindow.HOUR]
            return asked, hour.spent + hour.reserved
        finally:
            ledger.close()

    return once


def test_a_reply_costs_its_tokens(ask: Ask) -> None:
    """The booking at the worst case is settled to the usage."""
    with ModelEndpoint(lambda _request: "yes") as endpoint:
        asked, booked = ask(endpoint.url)
    ((sent, got),) = endpoint.billed
    assert (asked.text, asked.model) == ("yes", "m")
    assert asked.usage is not None
    assert (asked.usage.input, asked.usage.output) == (sent, got)
    assert 0 < asked.cost_usd < WORST
    assert booked == pytest.approx(asked.cost_usd)


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ("refusal", "refused"),
        ("no_room", "cut off at the output limit"),
        ("401", "auth: "),
        ("html", "malformed_response: "),
        ("filtered_prompt", "content_filter: "),
    ],
)
def test_an_end_without_an_answer(ask: Ask, behaviour: str, why: str) -> None:
    """The reason is given in words, and money that is gone stays booked."""
    with ModelEndpoint(default=behaviour) as endpoint:
        asked, booked = ask(endpoint.url)
    assert asked.text is None
    assert why in asked.why
    assert "sk-canary" not in asked.why
    assert booked == pytest.approx(asked.cost_usd)


def test_another_model_is_asked(ask: Ask) -> None:
    """A model that is not there is followed by the next; a refused attempt is free."""
    with ModelEndpoint("404", lambda _request: "yes") as endpoint:
        asked, booked = ask(endpoint.url, fallback=("cheap",))
    assert (asked.text, asked.model) == ("yes", "cheap")
    assert [request["model"] for request in endpoint.requests] == ["m", "cheap"]
    assert booked == pytest.approx(asked.cost_usd)


def test_never_over_the_cap(ask: Ask) -> None:
    """Questions are refused, unsent, as soon as the worst case does not fit."""
    cap, ends = 3.5 * WORST, []
    with ModelEndpoint(default="hang") as endpoint:
        endpoint.stopping.set()  # the connection closes after the request: the booking is kept
        for _ in range(5):
            asked, booked = ask(endpoint.url, cap_usd=cap)
            ends.append(asked)
            assert booked <= cap
    assert "the budget has no room for a call" in ends[-1].why
    assert 1 <= len(endpoint.requests) <= 3


def test_nobody_there(ask: Ask) -> None:
    """Nothing was sent, so nothing is spent, and no other model of that endpoint is tried."""
    asked, booked = ask(f"http://127.0.0.1:{refused_port()}/v1", fallback=("cheap",))
    assert asked.model == "m"
    assert asked.why.startswith("connection: ")
    assert (asked.cost_usd, booked) == (0.0, 0.0)
