"""A call leaves nothing behind in memory, counted in bytes that Python holds.

Client, caller, recorder, log, metrics and ledger are the real ones; the model answers well, badly or not at
all. The agent's clock moves an hour in 60 calls, so that what is kept for an hour is full when the count
begins.
"""

import asyncio
import gc
import os
import random
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import IO

import pytest

from agent.ai.caller import Caller
from agent.ai.openai_chat import OpenAIChat
from agent.budget.ledger import BudgetLedger
from agent.domain.model_calls import BudgetWindow, CallRecord
from agent.observe.logs import LogWriter
from agent.observe.metrics import Metrics
from agent.observe.recorder import TelemetryRecorder
from agent.observe.traces import Tracer
from tests.ai.kit import batch, settings, window
from tests.faults.model import NonceModel

STEP_S = 60.0
FULL_AFTER = 90  # calls
MOST_BYTES = 400  # a call; a prompt, a reply or a record that stays is a multiple of it
TROUBLE = {"error": 0.04, "garbage": 0.04, "cut": 0.04}


def bytes_per_call(url: str, folder: Path, calls: int, transcribe: Callable[[CallRecord], None]) -> float:
    """Return the bytes that one more call adds, over so many calls."""
    with Path(os.devnull).open("w") as sink:
        return asyncio.run(_measure(url, folder, calls, transcribe, sink))


async def _measure(
    url: str, folder: Path, calls: int, transcribe: Callable[[CallRecord], None], sink: IO[str]
) -> float:
    clock = [1000.0]
    rng = random.Random(5)
    ledger = BudgetLedger(
        folder / "budget.sqlite",
        limits=dict.fromkeys(BudgetWindow, 1000.0),
        zone=UTC,
        wall=lambda: 1_800_000_000.0 + clock[0],
        mono=time.monotonic,
    )
    logs = LogWriter(stream=sink)
    caller = Caller(
        settings=settings(cache_ttl_s=0.0, device_share=1.0),
        transport=OpenAIChat(base_url=url, api_key=None),
        ledger=ledger,
        recorder=TelemetryRecorder(
            logs=logs, metrics=Metrics(models=("m",), provider="openai"), tracer=Tracer()
        ),
        clock=lambda: clock[0],
        rng=rng,
        sleep=lambda _seconds: asyncio.sleep(0),
        transcribe=transcribe,
    )

    async def ask(calls: int, first: int) -> None:
        for number in range(first, first + calls):
            clock[0] += STEP_S
            one = window(f"w{number}", device=f"d{number % 7}", value=rng.uniform(90, 99))
            await caller.ask(batch(one, name=f"b{number}"))
        await caller.settled()
        gc.collect()

    try:
        await ask(5, 0)  # imports and connects
        tracemalloc.start()
        try:
            await ask(FULL_AFTER, 5)
            before, made = tracemalloc.get_traced_memory()[0], caller.stats.calls
            await ask(calls, 5 + FULL_AFTER)
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        made = caller.stats.calls - made
        assert made > calls / 2, f"only {made} calls were made"
        assert caller.stats.faults == 0, caller.stats.last_fault
        return grown / made
    finally:
        await caller.aclose()
        ledger.close()
        logs.close(1.0)


@pytest.mark.slow
def test_a_call_leaves_nothing_behind(tmp_path: Path) -> None:
    """Answers, refusals, garbage and cut connections alike."""
    with NonceModel(seed=3, trouble=TROUBLE, calls_per_s=1e6) as model:
        left = bytes_per_call(model.url, tmp_path, 150, lambda _transcript: None)
        assert all(model.counts[name] for name in ("fine", *TROUBLE)), model.counts
    assert left < MOST_BYTES, f"{left:.0f} bytes a call"


@pytest.mark.slow
def test_the_count_sees_what_is_kept(tmp_path: Path) -> None:
    """The control: a harness that keeps the words of each call."""
    kept: list[CallRecord] = []
    with NonceModel(seed=3, trouble={}, calls_per_s=1e6) as model:
        left = bytes_per_call(model.url, tmp_path, 40, kept.append)
    assert left > 2 * MOST_BYTES, f"{left:.0f} bytes a call"
