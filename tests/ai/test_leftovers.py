"""Random calls at the same time: nothing is left behind or counted twice."""

import asyncio
import os
import random

import pytest

from agent.ai.protocols import TransportError
from agent.domain.model_calls import ErrorType, Reply, Request, Usage
from agent.domain.records import Batch, Outcome
from tests.ai.kit import Kit, batch, kit, window
from tests.ai.test_caller import good

SEEDS = int(os.environ.get("EDGE_AGENT_CALLER_SEEDS", "4"))
FIELDS = ("response_format", "temperature", "seed", "max_tokens")


class Wild:
    """Answers early or late, well or badly, or breaks."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    async def complete(self, request: Request) -> Reply:
        rng = self._rng
        await asyncio.sleep(rng.choice([0, 0, 0.001, 0.01, 0.2]))
        match rng.randrange(20):
            case 0 | 1:
                raise TransportError(ErrorType.SERVER_ERROR, "HTTP 500", http_status=500)
            case 2:
                wait_s = rng.choice([0.0, 0.01, None, 5.0])
                raise TransportError(
                    ErrorType.RATE_LIMITED, "HTTP 429", http_status=429, retry_after_s=wait_s
                )
            case 3:
                raise TransportError(ErrorType.CONNECTION, "refused", sent=False)
            case 4:
                field = rng.choice(FIELDS)
                raise TransportError(ErrorType.BAD_REQUEST, "HTTP 400", http_status=400, refused=field)
            case 5:
                raise RuntimeError("a fault of the transport")
            case 6:
                return Reply("nonsense", None, "stop", None)
            case 7:
                return Reply(None, "no", None, Usage(10, 1))
            case 8:
                return Reply((good(request).content or "")[:50], None, "length", Usage(10, 1))
            case 9:
                raise TransportError(ErrorType.MALFORMED_RESPONSE, "no choices", http_status=200)
            case _:
                return good(request)

    async def aclose(self) -> None:
        pass


def some_kit(rng: random.Random, seed: int) -> Kit:
    return kit(
        Wild(rng),
        seed=seed,
        limit=rng.choice([0.01, 0.1, 1.0]),
        cache_ttl_s=rng.choice([0.0, 60.0]),
        max_concurrent=rng.choice([1, 2, 8]),
        deadline_s=rng.choice([0.05, 0.3]),
        fallback=rng.choice([(), ("cheap",), ("cheap", "free")]),
        device_share=rng.choice([0.05, 0.25, 1.0]),
        provider=rng.choice(["openai", "ollama"]),
    )


def some_batch(rng: random.Random, number: int) -> Batch:
    windows = [
        window(
            f"{number}-{place}",
            device=f"d{rng.randint(0, 3)}",
            value=rng.choice([80.0, 90.0, 99.0]),
            metric=rng.choice(["temperature", "weird"]),
        )
        for place in range(rng.randint(1, 4))
    ]
    audit = (f"{number}-0",) if rng.random() < 0.2 else ()
    return batch(*windows, name=f"b{number}", audit=audit)


async def story(seed: int) -> tuple[Kit, list[Outcome]]:
    """Ask thirty batches, some at once, and cancel some of them."""
    rng = random.Random(seed)
    parts, batches = some_kit(rng, seed), [some_batch(rng, number) for number in range(30)]
    tasks = []
    for one in batches:
        tasks.append(asyncio.create_task(parts.caller.ask(one)))
        await asyncio.sleep(rng.choice([0, 0, 0.005, 0.02]))
        if rng.random() < 0.1:
            rng.choice(tasks).cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    outcomes: list[Outcome] = []
    for one, result in zip(batches, results, strict=True):
        found = result if isinstance(result, list) else parts.caller.cancelled(one)
        assert [outcome.window_id for outcome in found] == [asked.id for asked in one.windows]
        outcomes += found
    await parts.caller.aclose()
    return parts, outcomes


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_left_behind(seed: int) -> None:
    """No slot, probe or held share; records, ledger and outcomes agree on calls and money."""
    parts, outcomes = asyncio.run(story(seed))
    caller = parts.caller
    assert caller.stats.faults == 0, caller.stats.last_fault
    assert caller.in_flight == 0
    assert not caller._shares._held
    assert not caller._admission.breaker._probing
    assert caller._slots._value == caller._settings.max_concurrent
    assert len(parts.notes.records) == len(parts.notes.scopes) == caller.stats.calls
    cost = sum(outcome.cost_usd or 0.0 for outcome in outcomes)
    booked = parts.purse.spent + sum(parts.purse.open.values())  # what was cancelled keeps its booking
    assert cost == pytest.approx(booked, abs=1e-9)
    assert cost == pytest.approx(sum(record.cost_usd or 0.0 for record in parts.notes.records), abs=1e-9)
    assert booked <= parts.purse.limit + 1e-9
