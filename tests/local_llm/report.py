"""``make test-llm``: the agent against a small real model on this CPU.

Each window is one call, so that the answers are independent: a spike, a broken limit and calm ones.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from agent.journal.reader import Reader
from tests.local_llm.serve import MODEL
from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import REPO, AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

PER_WINDOW = 10
CALL_LIMIT_S = 300.0


@contextmanager
def local_server() -> Iterator[str]:
    """Start the server; give its base URL."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.local_llm.serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPO,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        if not url:
            raise RuntimeError("the model server did not start")
        yield url
    finally:
        server.kill()
        server.wait(10)


def settings(url: str) -> dict[str, Any]:
    """Return the settings of configs/local-model.yaml, with every window reviewed in a call of its own."""
    return {
        "sources": [{"topic": "llm/{device}/{metric}"}],
        "limits": {"*/pressure": {"high": 9.0}},
        "review": {
            "mode": "all",
            "window": {"max_readings": PER_WINDOW, "max_age_s": 600, "settle_s": 600},
            "batch": {"max_windows": 1, "max_input_tokens": 2600},
        },
        "ai": {
            "base_url": url,
            "model": MODEL,
            "profile": "llamacpp",
            "deadline_s": CALL_LIMIT_S,
            "concurrency": 1,
            "cache_ttl_s": 0,
            "prices": {MODEL: {"input": 0, "output": 0}},
        },
    }


def value_of(window: int, place: int) -> float:
    """Return a value of a pump: calm, except a spike in every second window."""
    return round(5 + 0.1 * ((7 * place + window) % 5) + (4.5 if window % 2 and place == 6 else 0), 2)


def review(folder: Path, windows: int) -> tuple[list[dict[str, Any]], float]:
    """Let the agent ask the model about so many windows; return their verdicts with details, and seconds."""
    with ExitStack() as stack:
        url = stack.enter_context(local_server())
        broker = Broker(folder / "broker").start()
        stack.callback(broker.stop)
        client = stack.enter_context(peer(broker.port))
        agent = AgentProcess(folder / "agent", broker_url=broker.url, settings=settings(url))
        stack.enter_context(agent)
        started = time.monotonic()
        for window in range(windows):
            for place in range(PER_WINDOW):
                send(client, "llm/pump/pressure", json.dumps(value_of(window, place)))
        wait_for(
            lambda: len(verdicts(agent.state_dir)) >= windows,
            windows * CALL_LIMIT_S,
            "all verdicts",
            every_s=0.5,
        )
        elapsed_s = time.monotonic() - started
        agent.stop()
        return verdicts(agent.state_dir), elapsed_s


def verdicts(state_dir: Path) -> list[dict[str, Any]]:
    """Return verdict, checks and call of each window that the model was asked about, oldest first."""
    with Reader.open(state_dir) as reader:
        found = [one for one in reader.verdicts(limit=1000) if one.batch is not None and one.batch.detail]
        return [
            {
                "verdict": json.loads(one.body),
                "review": json.loads(one.detail) if one.detail else {},
                "call": json.loads(one.batch.detail)["calls"][-1],
            }
            for one in reversed(found)
            if one.batch is not None and one.batch.detail
        ]


def tell(found: list[dict[str, Any]], elapsed_s: float) -> str:
    """Return the report."""
    total = len(found)
    answered = [one for one in found if one["call"].get("reply")]
    valid = [one for one in found if one["review"].get("answer")]
    caught = [check for one in valid for check in one["review"]["checks"] if not check["held"]]
    grounded = sum(1 for one in valid if one["verdict"]["grounded"])
    usages = [one["call"]["usage"] for one in answered if one["call"].get("usage")]
    reasons = Counter(f"{one['verdict']['source']}/{one['verdict']['reason']}" for one in found)
    lines = [
        f"{MODEL} on this CPU, {total} windows, one call each, {elapsed_s / max(1, total):.1f} s per window",
        f"replies: {len(answered)} of {total}",
        f"schema-valid: {len(valid)} of {total} ({100 * len(valid) / max(1, total):.0f} %)",
        f"tokens: {sum(one['input'] for one in usages)} in, {sum(one['output'] for one in usages)} out",
        f"grounded: {grounded} of {len(valid)} answers; claims caught: {len(caught)}",
        *(f"  {count} x {name}" for name, count in Counter(check["name"] for check in caught).items()),
        *(f"    e.g. {check['detail']}" for check in caught[:3]),
        "verdicts: " + ", ".join(f"{count} {name}" for name, count in reasons.items()),
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=6)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-llm-") as folder:
        print(tell(*review(Path(folder), args.windows)))


if __name__ == "__main__":
    main()
