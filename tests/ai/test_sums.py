"""Outcomes, telemetry and ledger agree on tokens and money, whatever happens."""

import asyncio
import io
import json
import random
import time
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from agent.ai.caller import Caller
from agent.ai.protocols import TransportError
from agent.budget.ledger import BudgetLedger
from agent.domain.model_calls import BudgetWindow, ErrorType, Reply, Request, Usage
from agent.domain.records import Batch, Outcome
from agent.observe.logs import LogWriter
from agent.observe.metrics import Metrics
from agent.observe.recorder import TelemetryRecorder
from agent.observe.traces import Tracer
from tests.ai.kit import batch, settings, window
from tests.support.model_endpoint import answer_of, windows_of

Mood = Callable[[Request], Reply]
DEVICE = "site/device"


class Moody:
    """A transport that does something else each time."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._moods: list[Mood] = [
            self._good,
            self._good,
            self._good,
            self._invents,
            self._omits,
            self._talks,
            self._says_nothing,
            self._cuts,
            self._fails,
            self._breaks,
        ]

    async def complete(self, request: Request) -> Reply:
        await asyncio.sleep(self._rng.uniform(0, 0.01))
        return self._rng.choice(self._moods)(request)

    async def aclose(self) -> None:
        pass

    def _answers(self, request: Request) -> list[dict[str, Any]]:
        return [answer_of(one) for one in windows_of({"messages": [{"content": request.user}]})]

    def _reply(self, content: str | None, finish: str = "stop", *, usage: bool = True) -> Reply:
        rng = self._rng
        sent = rng.randint(500, 1200)
        tokens = Usage(sent, rng.randint(1, 180), cached_input=rng.randint(0, sent))
        return Reply(content, None, finish, tokens if usage else None)

    def _good(self, request: Request) -> Reply:
        return self._reply(json.dumps({"windows": self._answers(request)}))

    def _invents(self, request: Request) -> Reply:
        answers = [{**one, "summary": "It is 98765."} for one in self._answers(request)]
        return self._reply(json.dumps({"windows": answers}), usage=False)

    def _omits(self, request: Request) -> Reply:
        return self._reply(json.dumps({"windows": self._answers(request)[1:]}))

    def _talks(self, _request: Request) -> Reply:
        return self._reply("I would rather not.")

    def _says_nothing(self, _request: Request) -> Reply:
        usage = self._reply("").usage
        raise TransportError(ErrorType.MALFORMED_RESPONSE, "no content", http_status=200, usage=usage)

    def _cuts(self, request: Request) -> Reply:
        return self._reply(json.dumps({"windows": self._answers(request)})[:60], "length")

    def _fails(self, _request: Request) -> Reply:
        raise TransportError(ErrorType.SERVER_ERROR, "HTTP 500", http_status=500)

    def _breaks(self, _request: Request) -> Reply:
        raise TransportError(ErrorType.CONNECTION, "ReadError")


def metric(metrics: Metrics, name: str, **labels: str) -> float:
    """Return the sum over all children of ``name`` that have ``labels``."""
    return sum(
        sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_sums_are_equal(tmp_path: Path, seed: int) -> None:
    """Verdicts, metrics and ledger agree to the nano-USD, over retries, fallbacks and cancellations."""
    rng = random.Random(seed)
    metrics = Metrics(models=("m", "cheap"), provider="openai")
    stream = io.StringIO()
    logs = LogWriter(stream=stream)
    ledger = BudgetLedger(
        tmp_path / "budget.sqlite",
        limits=dict.fromkeys(BudgetWindow, 0.2),
        zone=UTC,
        wall=lambda: 1_800_000_000.0,
        mono=time.monotonic,
    )

    async def story() -> list[Outcome]:
        caller = Caller(
            settings=settings(fallback=("cheap",), cache_ttl_s=60.0, deadline_s=60.0, device_share=1.0),
            transport=Moody(rng),
            ledger=ledger,
            recorder=TelemetryRecorder(logs=logs, metrics=metrics, tracer=Tracer()),
            clock=time.monotonic,
            rng=rng,
            sleep=lambda _seconds: asyncio.sleep(0),
        )
        batches = [
            batch(
                *(
                    window(f"{n}-{k}", device=f"{DEVICE}{k}", value=rng.uniform(80, 99))
                    for k in range(rng.randint(1, 4))
                ),
                name=f"b{n}",
            )
            for n in range(80)
        ]
        tasks = [asyncio.create_task(caller.ask(one)) for one in batches]
        await asyncio.sleep(0.05)
        stopped = [place for place, task in enumerate(tasks) if not task.done()][:3]
        for place in stopped:
            tasks[place].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        outcomes = [outcome for one in results if isinstance(one, list) for outcome in one]
        for place in stopped:
            outcomes += caller.cancelled(batches[place])
        await caller.aclose()
        for _ in range(2):  # a booking whose call was cancelled is given back behind it
            await ledger.refresh()
        assert caller.stats.faults == 0, caller.stats.last_fault
        assert len(outcomes) == windows_in(batches)
        return outcomes

    outcomes = asyncio.run(story())
    spend = ledger.spend()[BudgetWindow.MONTH]
    ledger.close()
    logs.close(2.0)
    cost = sum(outcome.cost_usd or 0.0 for outcome in outcomes)
    assert cost > 0
    assert metric(metrics, "ai_estimated_cost_usd_total") == pytest.approx(cost, abs=1e-9)
    assert spend.spent + spend.reserved == pytest.approx(cost, abs=1e-9)
    assert spend.spent + spend.reserved <= 0.2
    tokens = [outcome.tokens for outcome in outcomes if outcome.tokens]
    processed = "ai_tokens_processed_total"
    assert metric(metrics, processed, direction="input") == sum(one.input for one in tokens)
    assert metric(metrics, processed, direction="output") == sum(one.output for one in tokens)
    assert metric(metrics, "ai_active_conversations") == 0
    calls = metric(metrics, "ai_api_calls_total")
    assert calls == stream.getvalue().count('"ai_call_start"')
    assert "98765" not in stream.getvalue()


def windows_in(batches: list[Batch]) -> int:
    return sum(len(one.windows) for one in batches)
