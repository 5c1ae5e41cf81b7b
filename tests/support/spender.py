"""Spends money as fast as it may until it is killed or the budget is out.

Run as ``python -m tests.support.spender URL FOLDER CAP_USD START_MONO SEED [unreserved]``. With the last word
the booking before the call is left out, as a control that must overspend.
"""

import asyncio
import json
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from agent.ai.caller import Caller
from agent.ai.openai_reply import read_reply
from agent.ai.protocols import TransportError
from agent.ai.settings import CallerSettings
from agent.budget.ledger import BudgetLedger
from agent.domain.model_calls import BudgetWindow, ErrorType, Reply, Request
from agent.domain.records import Reason
from tests.ai.kit import PRICING, Notes, batch, window

CONCURRENCY = 8
START = datetime(2026, 11, 24, 12, 0, 1, tzinfo=UTC).timestamp()  # the run stays inside one hour


class Unreserved(BudgetLedger):
    """Books what a call cost when it is over, and nothing before."""

    async def reserve(self, amount_usd: float, purpose: str) -> int | None:
        spend = self.spend()[BudgetWindow.MONTH]
        return None if spend.spent + amount_usd > spend.limit else await super().reserve(0.0, purpose)


class Plain:
    """One POST over a plain socket: no SDK, so that it starts fast."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)

    async def complete(self, request: Request) -> Reply:
        body = json.dumps(
            {
                "model": request.model,
                "messages": [
                    {"role": "system", "content": request.system},
                    {"role": "user", "content": request.user},
                ],
            }
        ).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        try:
            reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        except OSError as error:
            raise TransportError(ErrorType.CONNECTION, "refused", sent=False) from error
        try:
            writer.write(head.encode() + body)
            return read_reply((await reader.read()).partition(b"\r\n\r\n")[2])
        finally:
            writer.transport.abort()

    async def aclose(self) -> None:
        pass


async def spend(
    url: str, folder: Path, cap: float, start_mono: float, seed: int, kind: type[BudgetLedger]
) -> None:
    """Ask without end; print ``ready`` at the start and ``exhausted`` when there is no money left."""
    rng = random.Random(seed)
    ledger = kind(
        folder / "budget.sqlite",
        limits=dict.fromkeys(BudgetWindow, cap),
        zone=UTC,
        wall=lambda: START + time.monotonic() - start_mono,
        mono=time.monotonic,
    )
    caller = Caller(
        settings=CallerSettings(
            agent="gw1",
            model="m",
            pricing=PRICING,
            max_concurrent=CONCURRENCY,
            device_share=1.0,
            cache_ttl_s=0.0,
            deadline_s=5.0,
        ),
        transport=Plain(url),
        ledger=ledger,
        recorder=Notes(),
        clock=time.monotonic,
        rng=rng,
    )
    print("ready", flush=True)

    async def one(lane: int) -> None:
        for number in range(10_000):
            windows = [window(f"w{n}", value=rng.uniform(90, 99)) for n in range(rng.randint(1, 3))]
            outcomes = await caller.ask(batch(*windows, name=f"{lane}-{number}"))
            if all(outcome.reason is Reason.BUDGET for outcome in outcomes):
                return
            await asyncio.sleep(rng.uniform(0, 0.01))

    await asyncio.gather(*(one(lane) for lane in range(CONCURRENCY)))
    await caller.aclose()
    ledger.close()
    print("exhausted", flush=True)


if __name__ == "__main__":
    address, where, cap_usd, mono, seeded, *rest = sys.argv[1:]
    asyncio.run(
        spend(
            address,
            Path(where),
            float(cap_usd),
            float(mono),
            int(seeded),
            Unreserved if rest else BudgetLedger,
        )
    )
