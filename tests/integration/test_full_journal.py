"""A small journal that fills: the intake is shut for seconds at most."""

import json
import math
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from agent.journal.reader import Reader
from agent.testing.failpoint import MARKER, VARIABLE
from tests.mqtt.link_harness import peer
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.model_endpoint import ModelEndpoint
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

MIB = 16  # the smallest that may be configured
PAD = " " * 3200
DEVICES = 10
MESSAGES = 7_000
SHUT_S = 60.0  # seconds, not the ten minutes of the snapshot's age
LIMIT_S = 120.0


def reading(number: int) -> bytes:
    """Return a JSON message of 3.3 kB with one reading; a device jumps at times."""
    value = 20 + math.sin(number / 7) + (60 if number % 1000 == 999 else 0)
    return f'{{"id": {number}, "value": {value:.3f}{PAD}}}'.encode()


def publish(broker: Broker, topic: str, bodies: list[bytes]) -> None:
    """Publish to the devices in turn, a client for each, and wait until the broker has all."""
    clients = [
        subprocess.Popen(
            ["mosquitto_pub", "-p", str(broker.port), "-q", "1", "-l", "-t", f"{topic}/d{number}"],
            stdin=subprocess.PIPE,
        )
        for number in range(DEVICES)
    ]
    for number, body in enumerate(bodies):
        pipe = clients[number % DEVICES].stdin
        assert pipe is not None
        pipe.write(body + b"\n")
    for client in clients:
        client.communicate(timeout=120)
        assert client.returncode == 0


def agent_of(folder: Path, broker: Broker, model: ModelEndpoint) -> AgentProcess:
    """Return an agent with the smallest journal, whose windows stay open for long."""
    topic = folder.name
    return AgentProcess(
        folder,
        broker_url=broker.url,
        settings={
            "agent": {"id": topic},
            "journal": {"max_mib": MIB},
            "mqtt": {"client_id": topic},
            "sources": [{"topic": f"{topic}/{{device}}", "dedupe": "$.id"}],
            "limits": {"*/value": {"high": 50}},
            "review": {
                "mode": "suspicious",
                "window": {"max_age_s": 600, "max_readings": 5000, "settle_s": 1},
                "batch": {"max_wait_s": 0.2},
            },
            "ai": {
                "base_url": model.url,
                "model": "m",
                "deadline_s": 600,
                "prices": {"m": {"input": 1, "output": 1}},
            },
        },
    )


def shut_s(agent: AgentProcess) -> list[float]:
    """Return how long the intake was shut each time, s."""
    spans, since = [], None
    for entry in agent.events("journal_state_changed"):
        at = datetime.fromisoformat(entry["timestamp"])
        if entry["state"] == "full":
            since = since or at
        elif since is not None:
            spans.append((at - since).total_seconds())
            since = None
    return spans


def taken(agent: AgentProcess) -> int:
    """Return how many readings are journaled."""
    return int(agent.status()["counters"]["readings"])


@pytest.fixture
def quick_broker(tmp_path: Path) -> Iterator[Broker]:
    """A Mosquitto that does not write all that it holds to the disk with each message."""
    broker = Broker(tmp_path / "broker", extra="autosave_on_changes false\nautosave_interval 600\n").start()
    yield broker
    broker.stop()


def test_a_journal_that_fills_opens_again_within_seconds(tmp_path: Path, quick_broker: Broker) -> None:
    """With all windows open and a model that hangs, 24 MiB go through a journal of 16 MiB."""
    folder = tmp_path / "full"
    with ModelEndpoint(default="hang") as model, agent_of(folder, quick_broker, model) as agent:
        publish(quick_broker, "full", [reading(number) for number in range(MESSAGES)])
        wait_for(lambda: taken(agent) >= MESSAGES, LIMIT_S, "all are journaled", every_s=0.2)
        states = [entry["state"] for entry in agent.events("journal_state_changed")]
        assert "full" in states
        assert all(span < SHUT_S for span in shut_s(agent))
        assert taken(agent) == MESSAGES
        assert model.requests
    with Reader.open(agent.state_dir) as reader:  # what open windows hold is in the snapshot
        assert reader.counts()["messages"] < MESSAGES


def test_killed_amid_the_pruning_of_a_full_journal(tmp_path: Path, quick_broker: Broker) -> None:
    """Rows deleted and not committed, twice, while it fills: each reading is in one verdict in the end."""
    folder = tmp_path / "killed"
    with ModelEndpoint() as model, peer(quick_broker.port, "edge-agent/killed/verdicts/#") as client:
        agent = agent_of(folder, quick_broker, model)
        agent.settings["review"]["mode"] = "none"
        agent.settings["review"]["window"]["max_age_s"] = 2
        agent.state_dir.mkdir()
        (agent.state_dir / MARKER).touch()
        with agent:
            agent.stop()  # its session is there
        for point in ("c11_pruning:1", "c11_pruning:2"):
            agent.environ[VARIABLE] = point
            agent.start()
            if point.endswith("1"):
                publish(quick_broker, "killed", [reading(number) for number in range(MESSAGES)])
            assert agent.wait(LIMIT_S) == -signal.SIGKILL
        del agent.environ[VARIABLE]
        with agent:
            wait_for(lambda: sum(sums(client).values()) >= MESSAGES, LIMIT_S, "all are in a verdict", 0.2)
        assert sums(client) == {f"d{number}": MESSAGES // DEVICES for number in range(DEVICES)}


def sums(client: paho.Client) -> dict[str, int]:
    """Return the readings of all verdicts by device, each verdict once."""
    heard = {(one := json.loads(message.payload))["id"]: one for message in list(client.heard)}  # type: ignore[attr-defined]
    return sum(
        (Counter({one["device"]: one["window"]["readings"]}) for one in heard.values()), Counter[str]()
    )
