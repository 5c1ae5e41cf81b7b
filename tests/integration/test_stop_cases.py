"""SIGTERM at bad moments: at start, in a replay or a call, a silent collector."""

import json
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import paho.mqtt.publish as mqtt
import pytest

from agent.journal.reader import Reader
from agent.testing.failpoint import VARIABLE
from tests.integration.patients import Patient, publish
from tests.mqtt.link_harness import peer
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.model_endpoint import ModelEndpoint
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

LIMIT_S = 10.0  # 9 s are promised; a call in flight would last for 60 s


def stop(agent: AgentProcess) -> float:
    """Send SIGTERM, check the exit code and return how long the end took, s."""
    begun = time.monotonic()
    assert agent.stop() == 0
    return time.monotonic() - begun


def asking(folder: Path, broker: Broker, model: ModelEndpoint) -> AgentProcess:
    """Return an agent that asks ``model`` about every window of one reading."""
    return AgentProcess(
        folder,
        broker_url=broker.url,
        settings={
            "agent": {"id": folder.name},
            "mqtt": {"client_id": folder.name},
            "sources": [{"topic": f"{folder.name}/{{device}}"}],
            "review": {"mode": "all", "window": {"max_readings": 1}},
            "ai": {
                "base_url": model.url,
                "model": "m",
                "deadline_s": 60,
                "prices": {"m": {"input": 10, "output": 10}},
            },
        },
    )


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A collector that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.slow
def test_sigterm_during_an_ai_call_ends_the_window_local_with_its_cost(
    tmp_path: Path, broker: Broker, black_hole: str
) -> None:
    """The call is cancelled after 5 s; the verdict has the reason shutdown and carries the reservation.

    The collector of the traces is a black hole, which takes its 2 s at most.
    """
    with ModelEndpoint(default="hang") as model:
        agent = asking(tmp_path / "stop-call", broker, model)
        agent.settings["traces"] = {"endpoint": black_hole}
        with agent:
            mqtt.single("stop-call/d", "1", qos=1, port=broker.port)
            wait_for(lambda: model.requests, 10, "the call is in flight")
            took_s = stop(agent)
        assert 5.0 <= took_s < LIMIT_S
        with Reader.open(agent.state_dir) as reader:
            (record,) = reader.verdicts(limit=5)
        verdict = json.loads(record.body)
        assert (verdict["source"], verdict["reason"]) == ("local", "shutdown")
        assert verdict["cost_usd"] > 0
        assert agent.events("agent_stopped")[0]["clean"] is True


@pytest.mark.slow
def test_a_verdict_that_the_broker_has_is_not_sent_again_after_a_stop(tmp_path: Path, broker: Broker) -> None:
    """SIGTERM right behind the verdicts: nothing is left in the outbox, so consumers receive each once."""
    agent = AgentProcess(
        tmp_path / "stop-once",
        broker_url=broker.url,
        settings={
            "agent": {"id": "stop-once"},
            "sources": [{"topic": "stop-once/{device}"}],
            "review": {"window": {"max_readings": 1}},
        },
    )
    for stops in range(1, 4):
        _stop_behind_verdicts(agent, broker, first=5 * stops)
        with Reader.open(agent.state_dir) as reader:
            assert (len(list(reader.verdicts(limit=99))), reader.counts()["outbox"]) == (5 * stops, 0)


def _stop_behind_verdicts(agent: AgentProcess, broker: Broker, *, first: int) -> None:
    with agent, peer(broker.port, f"{agent.base_topic}/verdicts/+") as consumer:
        wait_for(lambda: agent.get("/readyz")[0] == 200, 20, "the agent is ready")
        heard = consumer.heard  # type: ignore[attr-defined]
        names = [str(first + n) for n in range(5)]
        mqtt.multiple([(f"stop-once/{name}", "1", 1, False) for name in names], port=broker.port)
        topics = {f"{agent.base_topic}/verdicts/{name}" for name in names}
        wait_for(
            lambda: topics <= {message.topic for message in heard},
            10,
            "the verdicts are published",
            every_s=0.01,
        )
        stop(agent)


def test_a_second_signal_ends_at_once(tmp_path: Path, broker: Broker) -> None:
    """SIGTERM twice during an AI call: exit 0 without waiting for the 5 s that a call is given."""
    with ModelEndpoint(default="hang") as model, asking(tmp_path / "stop-twice", broker, model) as agent:
        mqtt.single("stop-twice/d", "1", qos=1, port=broker.port)
        wait_for(lambda: model.requests, 10, "the call is in flight")
        agent.send(signal.SIGTERM)
        wait_for(lambda: agent.events("agent_stopping"), 5, "the stop has begun")
        assert stop(agent) < 5.0


@pytest.mark.slow
def test_sigterm_while_starting_ends_at_once(tmp_path: Path, broker: Broker) -> None:
    """Whatever the start is busy with: exit 0 and no READY. A replay that hangs, or fails, harms nothing."""
    with ExitStack() as stack:
        early = stack.enter_context(ModelEndpoint())
        agent = asking(tmp_path / "stop-early", broker, early)
        stack.callback(agent.kill)
        agent.start()
        wait_for(lambda: agent.events("agent_started"), 10, "it has begun")
        assert stop(agent) < LIMIT_S
        patient = Patient(tmp_path / "p", broker, "", topic="stop-replay")
        stack.enter_context(patient.systemd)
        with patient.agent:
            publish(patient, broker, count=3)
            wait_for(lambda: patient.journaled() == 3, 10, "readings are journaled")
        patient.agent.environ[VARIABLE] = "hang:replay"
        stack.callback(patient.agent.kill)
        said = len(patient.systemd.values("READY"))
        patient.agent.start()
        wait_for(lambda: len(patient.agent.events("agent_started")) == 2, 10, "it has begun")
        wait_for(lambda: "EXTEND_TIMEOUT_USEC" in patient.systemd.words(), 10, "it asks for more time")
        assert stop(patient.agent) < LIMIT_S
        assert len(patient.systemd.values("READY")) == said
        patient.agent.environ[VARIABLE] = "raise:replay"
        assert patient.agent.start().wait(20) == 70
        del patient.agent.environ[VARIABLE]
        with patient.agent:
            assert patient.journaled() == 3
            assert stop(patient.agent) < LIMIT_S


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system too small for a journal."""
    folder = tmp_path / "disk"
    folder.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    if subprocess.run(argv, capture_output=True, check=False).returncode:
        pytest.skip("mounting a tmpfs needs the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.root
def test_a_storage_that_refuses_at_start_is_tried_again_by_systemd(full_disk: Path, tmp_path: Path) -> None:
    """Full, then read-only: exit 70 and one line that names the directory; a newer journal: exit 69."""
    state = full_disk / "state"
    agent = AgentProcess(
        tmp_path / "agent",
        broker_url="mqtt://127.0.0.1:1",
        settings={"agent": {"state_dir": str(state)}},
    )
    assert agent.start().wait(20) == 70
    subprocess.run(["mount", "-o", "remount,ro", str(full_disk)], check=True)
    assert agent.start().wait(20) == 70
    agent.settings["agent"]["state_dir"] = str(full_disk / "another")
    assert agent.start().wait(20) == 70
    lines = [line for line in agent.text().splitlines() if line.startswith("edge-agent: ")]
    assert len(lines) == 3
    assert all(str(full_disk) in line for line in lines)
    newer = tmp_path / "newer"
    newer.mkdir(mode=0o700)
    with closing(sqlite3.connect(newer / "journal.sqlite")) as journal:
        journal.execute("PRAGMA user_version=99")
    agent.settings["agent"]["state_dir"] = str(newer)
    assert agent.start().wait(20) == 69
    assert "Traceback" not in agent.text()
