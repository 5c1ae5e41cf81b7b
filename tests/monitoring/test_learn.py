"""Teaching an agent from a real Prometheus, and the agent that goes on from there."""

import json
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from tests.monitoring.servers import Prometheus, call
from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

DAY_S = 86_400.0
STEP_S = 30
STEPS = 1200
LIMIT_S = 10.0


def value_at(place: int) -> float:
    return 20 + (place * 7 % 11) / 10


def backfill(folder: Path, start: int) -> None:
    """Give a Prometheus the samples of two devices, as they would have been scraped."""
    lines = ["# TYPE temperature gauge"]
    for device in ("th1", "th2"):
        lines += [
            f'temperature{{site="plant",device="{device}"}} {value_at(place)} {start + place * STEP_S}'
            for place in range(STEPS)
        ]
    (folder / "history.txt").write_text("\n".join([*lines, "# EOF", ""]))
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", "history.txt", "data"],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"global": {"scrape_interval": "1h"}}))


def learn(agent: AgentProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [agent.argv[0], "-m", "agent", "learn", "--config", str(agent.config_path), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_it_is_judged_from_the_first_reading_on(tmp_path: Path, own_broker: Broker) -> None:
    """Taught before its first start, the agent alarms at once, and refuses lessons while it runs."""
    folder = tmp_path / "prometheus"
    folder.mkdir()
    start = int(time.time() - 2 * DAY_S)
    backfill(folder, start)
    settings = {"sources": [{"topic": "sensors/{device}/{metric}", "retained": "live"}]}
    agent = AgentProcess(tmp_path / "agent", broker_url=own_broker.url, settings=settings)
    agent.config_path.write_text(yaml.safe_dump(agent.settings))
    with Prometheus(folder) as server:
        end = start + (STEPS - 1) * STEP_S
        arguments = (
            "--from", server.url, "--query", 'temperature{site="plant"}', "--step", f"{STEP_S}s",
            "--start", str(start), "--end", str(end),
        )  # fmt: skip
        done = learn(agent, *arguments, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        told = json.loads(done.stdout)
        assert told["readings"] == 2 * STEPS
        assert told["ready"] == told["series"] == 2
        assert call(f"{server.url}/api/v1/query", form={"query": "1"})["status"] == "success"

        with agent, peer(own_broker.port) as site:
            refused = learn(agent, *arguments)
            assert (refused.returncode, refused.stdout) == (69, "")
            assert "is in use by process" in refused.stderr
            send(site, "sensors/th1/temperature", b"20.3", b"90")
            wait_for(
                lambda: [one["device"] for one in agent.status()["findings"]] == ["th1"],
                LIMIT_S,
                "a finding on the second reading",
            )
