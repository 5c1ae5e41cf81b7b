"""Commands of people over a real broker: answered, kept over kills, or refused."""

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from agent.testing.failpoint import MARKER, VARIABLE
from tests.mqtt.link_harness import peer, send, user_properties
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.http import page_of
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

SOON_S = 10.0


@dataclass
class Person:
    """A client that sends commands, and receives all that the agent publishes."""

    client: paho.Client
    base: str

    def say(self, **keys: Any) -> None:
        send(self.client, f"{self.base}/command", json.dumps(keys).encode())

    def heard(self, topic: str) -> list[dict[str, Any]]:
        messages = list(self.client.heard)  # type: ignore[attr-defined]
        return [json.loads(one.payload) for one in messages if one.topic == f"{self.base}/{topic}"]

    def answer(self, command_id: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            return next((one for one in self.heard("command/result") if one["id"] == command_id), None)

        wait_for(lambda: found() is not None, SOON_S, f"{command_id} is answered")
        answer = found()
        assert answer is not None
        return answer


def agent_of(folder: Path, broker: Broker) -> AgentProcess:
    """Return an agent with a limit at 30, which seals each reading."""
    settings = {
        "agent": {"id": folder.name},
        "mqtt": {"client_id": folder.name},
        "sources": [{"topic": f"{folder.name}/{{device}}/{{metric}}"}],
        "limits": {"*/temperature": {"high": 30}},
        "review": {"window": {"max_readings": 1}},
    }
    return AgentProcess(folder / "agent", broker_url=broker.url, settings=settings)


@contextmanager
def person(agent: AgentProcess, broker: Broker) -> Iterator[Person]:
    with peer(broker.port, f"{agent.base_topic}/#") as client:
        yield Person(client, agent.base_topic)


def findings(agent: AgentProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = agent.status()["findings"]
    return found


def break_limit(agent: AgentProcess, someone: Person, device: str = "oven") -> str:
    """Open a finding and return its id."""
    send(someone.client, f"{agent.settings['agent']['id']}/{device}/temperature", b"99")
    wait_for(lambda: [one for one in findings(agent) if one["device"] == device], SOON_S, "a finding opens")
    return str(next(one["id"] for one in findings(agent) if one["device"] == device))


def press(agent: AgentProcess, **keys: Any) -> dict[str, Any]:
    """Post a command as the page does, and return the answer."""
    base = f"http://127.0.0.1:{agent.port}"
    token = re.search(r'name="edge-agent-token" content="([^"]+)"', page_of(base))
    assert token is not None
    headers = {"Origin": base, "Content-Type": "application/json", "X-Edge-Agent-Token": token[1]}
    request = urllib.request.Request(
        f"{base}/actions/command", data=json.dumps(keys).encode(), headers=headers, method="POST"
    )
    with urllib.request.urlopen(request, timeout=SOON_S) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def test_a_button_of_the_page_is_a_command(tmp_path: Path, broker: Broker) -> None:
    """It is journaled, answered on both ways, refused as over MQTT, and known again after a kill -9."""
    agent = agent_of(tmp_path, broker)
    agent.start()
    agent.wait_ready()
    with person(agent, broker) as someone:
        finding = break_limit(agent, someone)
        (shown,) = findings(agent)
        assert (shown["metric"]["value"], shown["can"]) == (99.0, ["ack", "snooze"])
        assert agent.status()["counters"]["critical_open"] == 1
        answer = press(agent, id="p1", do="ack", finding_id=finding)
        assert (answer["accepted"], answer["state"]) == (True, "acknowledged")
        assert someone.answer("p1") == answer
        refused = press(agent, id="p2", do="normal_here", finding_id=finding)
        assert (refused["accepted"], refused["reason"]) == (False, "limit")
        assert agent.status()["counters"]["critical_open"] == 0
        agent.kill()
        agent.start()
        agent.wait_ready()
        assert findings(agent)[0]["state"] == "acknowledged"
        again = press(agent, id="p1", do="ack", finding_id=finding)
        assert (again["accepted"], again["reason"]) == (True, "repeated")
        gone = press(agent, id="p3", do="forget", device="oven")
        assert (gone["accepted"], gone["state"]) == (True, "forgotten")
        wait_for(lambda: not findings(agent), SOON_S, "the finding is gone")

        def history() -> dict[str, Any]:
            told: dict[str, Any] = json.loads(page_of(f"http://127.0.0.1:{agent.port}/device.json?id=oven"))
            return told

        wait_for(
            lambda: [one["state"] for one in history()["findings"]] == ["forgotten"], SOON_S, "it is on disk"
        )
        (past,) = history()["findings"]
        assert past["id"] == finding
        assert past["ended_at"] > past["opened_at"]
        (series,) = history()["series"]
        assert [series["name"], *series["points"][0][1:]] == ["temperature", 99.0, 99.0]
        start = datetime.fromisoformat(history()["from"]).timestamp()
        assert start - 1 <= series["points"][0][0] < start + 60
    agent.stop()


def test_a_finding_is_acknowledged_over_a_kill(tmp_path: Path, broker: Broker) -> None:
    """The state is in status and event; the same id is answered again by the next process."""
    agent = agent_of(tmp_path, broker)
    with agent, person(agent, broker) as someone:
        finding = break_limit(agent, someone)
        someone.say(id="c1", do="ack", finding_id=finding[:8], note="known")
        answer = someone.answer("c1")
        assert (answer["accepted"], answer["reason"], answer["state"]) == (True, "done", "acknowledged")
        assert answer["finding_id"] == finding
        wait_for(lambda: findings(agent)[0]["state"] == "acknowledged", SOON_S, "the status shows it")
        wait_for(lambda: len(someone.heard("events/oven")) == 2, SOON_S, "the event comes")
        event = someone.heard("events/oven")[-1]
        assert (event["event_type"], event["state"]) == ("updated", "acknowledged")
        assert event["verdict"]["finding_id"] == finding
        agent.kill()
        agent.start()
        agent.wait_ready()
        assert findings(agent)[0]["state"] == "acknowledged"
        someone.say(id="c1", do="ack", finding_id=finding[:8], note="known")
        wait_for(lambda: len(someone.heard("command/result")) == 2, SOON_S, "it is answered again")
        assert someone.heard("command/result")[-1]["reason"] == "repeated"
        someone.say(id="c2", do="normal_here", finding_id=finding)
        assert someone.answer("c2")["reason"] == "limit"
        assert len(findings(agent)) == 1
        metrics = agent.get("/metrics")[1]
        assert 'edge_commands_total{outcome="refused"} 1.0' in metrics


@pytest.mark.parametrize("point", ["command_deciding", "command_decided"])
def test_killed_between_command_and_effect(tmp_path: Path, broker: Broker, point: str) -> None:
    """The next process does what the last one did not come to, once."""
    agent = agent_of(tmp_path, broker)
    with agent, person(agent, broker) as someone:
        break_limit(agent, someone)
        agent.stop()
        (agent.state_dir / MARKER).touch()
        agent.environ = {VARIABLE: point}
        agent.start()
        agent.wait_ready()
        someone.say(id="c1", do="forget", device="oven")
        assert agent.wait(SOON_S) == -9
        agent.environ = {}
        agent.start()
        agent.wait_ready()
        wait_for(
            lambda: (findings(agent), agent.status()["devices"]) == ([], []), SOON_S, "the finding is closed"
        )
        wait_for(lambda: len(someone.heard("events/oven")) >= 2, SOON_S, "the event comes")
        someone.say(id="c1", do="forget", device="oven")
        assert someone.answer("c1")["accepted"]
        agent.kill()
        agent.start()
        agent.wait_ready()
        assert (findings(agent), agent.status()["devices"]) == ([], [])
        break_limit(agent, someone)


def test_hostile_commands_change_nothing(tmp_path: Path, broker: Broker) -> None:
    """Garbage, retained ones, unknown findings, an answer's address elsewhere, a flood."""
    agent = agent_of(tmp_path, broker)
    topic = f"{agent.base_topic}/command"
    with person(agent, broker) as someone:
        send(someone.client, topic, b'{"id":"r","do":"maintenance","device":"*","for":"1d"}', retain=True)
        with agent:
            send(someone.client, topic, b"", retain=True)  # deletes it: no command either
            refuse_all(agent, someone)


def refuse_all(agent: AgentProcess, someone: Person) -> None:
    topic = f"{agent.base_topic}/command"
    break_limit(agent, someone)
    before = findings(agent)
    assert before[0]["maintenance"] is False
    someone.say(id="x1", do="ack", finding_id="beef")
    assert someone.answer("x1")["reason"] == "unknown_finding"
    someone.say(id="x2", do="drop", table="findings")
    assert someone.answer("x2")["reason"] == "invalid"
    send(someone.client, topic, b"\xff\xfe", b"[" * 5000, b'{"do":"ack"}')
    someone.say(do="forget", device="\x1b[2J/../#")
    properties = user_properties()
    properties.ResponseTopic = f"{agent.base_topic}/status"
    properties.CorrelationData = b"mine"
    told = json.dumps({"id": "x3", "do": "ack", "finding_id": "cafe"})
    someone.client.publish(topic, told, qos=1, properties=properties).wait_for_publish(SOON_S)
    assert someone.answer("x3")["reason"] == "unknown_finding"
    assert all("state" in one and "id" not in one for one in someone.heard("status"))
    send(someone.client, topic, *(b'{"do":"ack","finding_id":"beef"}' for _ in range(400)))
    wait_for(
        lambda: any(one["reason"] == "too_many" for one in someone.heard("command/result")),
        SOON_S,
        "the flood is refused",
    )
    assert findings(agent) == before
    assert agent.running


def test_an_answer_goes_to_the_senders_own_topic(tmp_path: Path, broker: Broker) -> None:
    """With its correlation data, below the agent's own command topic."""
    agent = agent_of(tmp_path, broker)
    with agent, person(agent, broker) as someone:
        properties = user_properties()
        properties.ResponseTopic = f"{agent.base_topic}/command/result/me"
        properties.CorrelationData = b"\x00mine"
        told = json.dumps({"id": "m1", "do": "forget", "device": "nobody"})
        topic = f"{agent.base_topic}/command"
        someone.client.publish(topic, told, qos=1, properties=properties).wait_for_publish(SOON_S)
        wait_for(lambda: someone.heard("command/result/me"), SOON_S, "the answer comes")
        messages = list(someone.client.heard)  # type: ignore[attr-defined]
        (message,) = [one for one in messages if one.topic.endswith("/command/result/me")]
        assert message.properties.CorrelationData == b"\x00mine"
        assert json.loads(message.payload)["reason"] == "unknown_device"
        assert someone.heard("command/result") == []


def test_maintenance_is_planned_and_kept(tmp_path: Path, broker: Broker) -> None:
    """A finding under maintenance is recorded with its flag, by the next process as well."""
    agent = agent_of(tmp_path, broker)
    with agent, person(agent, broker) as someone:
        until = time.time() + 3600
        someone.say(id="w1", do="maintenance", device="ov*", until=until)
        assert someone.answer("w1")["accepted"]
        agent.kill()
        agent.start()
        agent.wait_ready()
        break_limit(agent, someone)
        assert findings(agent)[0]["maintenance"] is True
        break_limit(agent, someone, "stove")
        assert {one["device"]: one["maintenance"] for one in findings(agent)} == {
            "oven": True,
            "stove": False,
        }
