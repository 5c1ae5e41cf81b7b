"""Files and reports of an agent whose surroundings are open."""

import json
import os
from pathlib import Path

import paho.mqtt.publish
import pytest

from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

CANARY = "canary-of-a-payload"


def test_an_open_state_directory_and_a_quarantined_payload(broker: Broker, tmp_path: Path) -> None:
    """Files are the agent's alone; weaknesses are in log and status, payload text is not."""
    sources = [{"topic": "safe/{device}/{metric}", "availability": {"topic": "safe/{device}"}}]
    agent = AgentProcess(
        tmp_path / "agent", broker_url=broker.url, settings={"agent": {"id": "safe"}, "sources": sources}
    )
    agent.state_dir.mkdir()
    agent.state_dir.chmod(0o755)
    before = os.umask(0)
    try:
        agent.start()
    finally:
        os.umask(before)
    try:
        agent.wait_ready()
        paho.mqtt.publish.single("safe/d1", CANARY, qos=1, hostname="127.0.0.1", port=broker.port)
        paho.mqtt.publish.single(
            "safe/d1/t", f'{{"{CANARY}": 1, "{CANARY}"', qos=1, hostname="127.0.0.1", port=broker.port
        )
        wait_for(lambda: agent.status()["counters"]["quarantined"] == 2, 30, "both are put aside")
        wait_for(lambda: len(agent.status()["quarantine"]) == 2, 30, "both are shown", 0.5)
        status = agent.status()
        ready = agent.get("/readyz")[1]
    finally:
        agent.stop()
    assert CANARY not in json.dumps(status)
    assert {row["detail"] for row in status["quarantine"]} == {f"{len(CANARY)} bytes", "48 bytes"}
    (note,) = (note for note in status["notes"] if "agent.state_dir" in note)
    assert f"Other users can look into {agent.state_dir} (mode 0755)" in note
    assert f"note: {note}" in ready
    (line,) = (line for line in agent.log.read_text().splitlines() if "config_weak" in line)
    assert json.loads(line)["remedy"] == f"run: chmod go-rwx {agent.state_dir}"
    modes = {path.name: path.stat().st_mode & 0o777 for path in agent.state_dir.iterdir()}
    assert modes
    assert set(modes.values()) == {0o600}, modes
