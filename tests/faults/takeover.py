"""Two agents with one client id: ``python -m tests.faults.takeover --seconds 60``."""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

MAX_CONNECTS = 6


def count_connects(folder: Path, broker_url: str, *, seconds: float) -> tuple[list[int], int]:
    """Let two agents share an id; return the connects of each, and how often one waited and reported it."""
    settings = {"agent": {"id": "twin"}}
    agents = [AgentProcess(folder / name, broker_url=broker_url, settings=settings) for name in ("a", "b")]
    try:
        for agent in agents:
            agent.start()
        wait_for(lambda: all(agent.events("mqtt_connected") for agent in agents), 30, "both connect")
        time.sleep(seconds)
        connects = [len(agent.events("mqtt_connected")) for agent in agents]
        stood_back = sum(len(agent.events("mqtt_client_id_contested")) for agent in agents)
        for agent in agents:
            if agent.stop() != 0:
                raise AssertionError(agent.tail())
    finally:
        for agent in agents:
            agent.kill()
    return connects, stood_back


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.takeover", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="edge-twins-") as name:
        folder = Path(name)
        broker = Broker(folder / "broker").start()
        try:
            connects, stood_back = count_connects(folder, broker.url, seconds=args.seconds)
        finally:
            broker.stop()
    print(f"in {args.seconds:g} s: connects {connects[0]} and {connects[1]}; stood back {stood_back} times")
    return 1 if max(connects) > MAX_CONNECTS or not stood_back else 0


if __name__ == "__main__":
    sys.exit(main())
