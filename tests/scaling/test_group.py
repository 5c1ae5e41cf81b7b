"""Shared subscriptions: the doctor's findings, and two agents in one group."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands.kit import ask, write_config
from tests.mqtt.brokers import OldBroker
from tests.mqtt.link_harness import peer, send
from tests.scaling.sharing_broker import SharingBroker, Strategy
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

SOURCES = [{"topic": "load/{device}", "group": "pool"}]


def line_of(capsys: pytest.CaptureFixture[str], folder: Path, url: str) -> dict[str, Any]:
    """Return the doctor's line about groups."""
    config = write_config(folder, mqtt={"url": url}, review={"mode": "none"}, sources=SOURCES)
    _, out, _ = ask(capsys, "doctor", "--config", str(config), "--json", "--listen", "0.1")
    lines = {line["check"]: line for line in json.loads(out)["lines"]}
    assert "mqtt.subscribe load/+" in lines  # the plain filter: it takes nothing from the agents
    found: dict[str, Any] = lines["mqtt.group"]
    return found


@pytest.mark.parametrize(
    ("strategy", "level", "words"),
    [
        ("hash_topic", "ok", "each of 8 topics stays with one of 3 members"),
        ("round_robin", "fail", "deals one topic to several members"),
        ("sticky", "warn", "one member gets all topics"),
    ],
)
def test_the_doctor_finds_out_how_a_broker_deals(
    strategy: Strategy, level: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By messages of its own, on several topics and to several members."""
    with SharingBroker(strategy) as broker:
        line = line_of(capsys, tmp_path, broker.url)
    assert line["level"] == level
    assert words in line["what"]


@pytest.mark.broker
def test_mosquitto_deals_in_turns(broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So a device would have several agents, and the remedy is a partition."""
    line = line_of(capsys, tmp_path, broker.url)
    assert line["level"] == "fail"
    assert "several agents" in line["what"]
    assert line["remedy"].startswith("use partition")


def test_a_broker_without_mqtt_5_has_no_groups(
    broker: Broker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its subscription would be granted, and nothing would ever come."""
    with OldBroker(broker.port, refusal="0x84") as old:
        line = line_of(capsys, tmp_path, f"mqtt://127.0.0.1:{old.port}")
    assert (line["level"], "does not speak MQTT 5" in line["what"]) == ("fail", True)


def test_a_device_stays_with_one_agent_of_a_group(tmp_path: Path) -> None:
    """On a broker that chooses by the topic: all readings, and each device's in one journal."""
    devices, times = [f"d{number}" for number in range(12)], 5
    with SharingBroker("hash_topic") as broker:
        agents = [
            AgentProcess(
                tmp_path / name, broker_url=broker.url, settings={"agent": {"id": name}, "sources": SOURCES}
            )
            for name in ("a", "b")
        ]
        with agents[0], agents[1], peer(broker.port) as client:
            for device in devices:
                send(client, f"load/{device}", *[b"%d" % value for value in range(times)])

            def found() -> list[dict[str, Any]]:
                return [agent.status() for agent in agents]

            wait_for(
                lambda: sum(one["counters"]["readings"] for one in found()) == times * len(devices),
                10,
                "all readings are there",
            )
            wait_for(lambda: sum(len(one["devices"]) for one in found()) >= len(devices), 10, "all are shown")
            own = [{view["id"] for view in one["devices"]} for one in found()]
    assert own[0] | own[1] == set(devices)
    assert not own[0] & own[1]
    assert all(own)
