"""Promise 3: spend stays below the cap with 8 calls at once, kills and restarts."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.domain.model_calls import Usage
from tests.ai.kit import PRICING
from tests.support.model_endpoint import ModelEndpoint
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

SEED = int(os.environ.get("EDGE_AGENT_BUDGET_SEED", "1"))
KILLS = int(os.environ.get("EDGE_AGENT_BUDGET_KILLS", "3"))
ROOT = Path(__file__).parents[2]


def bill(endpoint: ModelEndpoint) -> float:
    """Return what the endpoint charges for every request that reached it, USD."""
    with endpoint.lock:
        billed = list(endpoint.billed)
    return sum(PRICING.cost("m", Usage(sent, got, sent // 4)) for sent, got in billed) / 1e9


def run(folder: Path, *, seed: int, kills: int, cap_usd: float, mode: tuple[str, ...] = ()) -> float:
    """Kill and restart a spender, let the last one spend all it may; return what the endpoint charges."""
    rng, latencies = random.Random(seed), random.Random(seed + 1)
    mono = time.monotonic()

    def start(number: int) -> subprocess.Popen[str]:
        numbers = map(str, (cap_usd, mono, seed * 1000 + number))
        return subprocess.Popen(
            [sys.executable, "-m", "tests.support.spender", endpoint.url, str(folder), *numbers, *mode],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    with ModelEndpoint() as endpoint:
        endpoint.delay_s = lambda: latencies.uniform(0.0, 0.08)
        for kill in range(kills):
            process = start(kill)
            goal = len(endpoint.requests) + rng.randint(1, 16)
            wait_for(lambda goal=goal: len(endpoint.requests) >= goal, 30)  # type: ignore[misc]
            process.kill()
            process.communicate(timeout=120)
        output, _ = start(kills).communicate(timeout=120)
        assert output.split() == ["ready", "exhausted"]
        wait_for(lambda: len(endpoint.billed) == len(endpoint.requests), 10)
        return bill(endpoint)


def test_spend_never_passes_the_cap(tmp_path: Path) -> None:
    """The endpoint charges at most the cap, calls of killed processes included; and the cap is used."""
    cap_usd = 0.05 * (KILLS + 1)  # eight worst cases are lost with each kill
    charged = run(tmp_path, seed=SEED, kills=KILLS, cap_usd=cap_usd)
    print(f"{KILLS} kills, cap {cap_usd:.4f} USD, charged {charged:.4f} USD")
    assert 0.02 < charged <= cap_usd


def test_without_the_booking_it_is_passed(tmp_path: Path) -> None:
    """The control: leave out the step before the call, and the same run overspends."""
    charged = run(tmp_path, seed=SEED, kills=3, cap_usd=0.08, mode=("unreserved",))
    print(f"3 kills, cap 0.0800 USD, charged {charged:.4f} USD without booking")
    assert charged > 0.08
