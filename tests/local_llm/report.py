"""``make test-llm``: the lift of small real models on this CPU.

One model after the other, each window in a call of its own: a report, not a gate. The scripted models of the
same scenarios are in docs/models.md.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulator import scenario as scenarios
from simulator.lift import Lift, LiftPlan, Price, Recording, Site, Upstream, join
from simulator.lift.replay import recorded
from simulator.lift.run import run
from simulator.lift.table import rows
from simulator.score import table
from tests.local_llm.serve import MODELS
from tests.support.agent_process import REPO

CALL_LIMIT_S = 300.0
FREE = Price(0.0, 0.0)
INPUT_TOKENS = 2600  # with an answer, in the 4,096 of the servers
SPEED = 300.0


@contextmanager
def local_server(model: str) -> Iterator[str]:
    """Start the server; give its base URL."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.local_llm.serve", model],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPO,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"the server of {model} did not start")
        yield url
    finally:
        server.kill()
        server.wait(10)


def measure(model: str, site: Site, live_s: float, record: Path | None) -> list[Lift]:
    """Return the figures of the agent without a model and with this one."""
    plan = LiftPlan(
        history_s=site.scenario.trial.history_s,
        live_s=live_s,
        speed=SPEED,
        drain_limit_s=3600.0,
        model=model,
        price=FREE,
        profile="llamacpp",
        deadline_s=CALL_LIMIT_S,
        concurrency=1,
        audits=False,
        max_windows=1,
        max_input_tokens=INPUT_TOKENS,
    )
    with local_server(model) as url:
        upstream = Upstream(url, key=None, price=FREE, max_usd=1.0, timeout_s=CALL_LIMIT_S)
        lifts, gateways = run(site, plan, {model: upstream}, say=say)
    if record is not None:
        settings = {
            "seed": plan.seed,
            "history_s": plan.history_s,
            "live_s": live_s,
            "max_windows": 1,
            "max_input_tokens": INPUT_TOKENS,
        }
        names = tuple(dict.fromkeys(site.origin.values()))
        answers = recorded(gateways[model].exchanges)
        Recording(model, lifts[1].prompt or "", names, settings, answers).write(record / f"{model}.jsonl")
    return lifts


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(MODELS))
    parser.add_argument("--live", type=float, default=12 * 3600.0, help="event seconds with the events")
    parser.add_argument("--record", type=Path, metavar="DIR", help="keep the answers there")
    args = parser.parse_args()
    names = [name for name in scenarios.names() if name.startswith(scenarios.CONTEXT)]
    site = join([scenarios.load(name) for name in names])
    found: list[Lift] = []
    for model in args.models:
        began = time.monotonic()
        lifts = measure(model, site, args.live, args.record)
        say(f"{model}: {time.monotonic() - began:.0f} s")
        found += lifts if not found else lifts[1:]
    say(table.text(rows(found, FREE)))


if __name__ == "__main__":
    main()
