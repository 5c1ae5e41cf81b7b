"""Incidents over a real broker: one for a bridge that dies, retained to its end."""

import json
import random
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agent.cli import main
from agent.verdict.encode import published_schema
from agent.verdict.review_policy import OF_INCIDENT
from simulator.outgoing import Outgoing
from simulator.recording import Recorded, dump
from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.model_endpoint import ModelEndpoint, windows_of
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

SOON_S = 10.0
DEVICES = 4
RACKS = 6


def retained(broker: Broker, base: str) -> list[dict[str, Any]]:
    """Return the incidents that a client gets which subscribes now."""
    with peer(broker.port, f"{base}/incidents/#", f"{base}/status") as client:
        heard = client.heard  # type: ignore[attr-defined]
        wait_for(lambda: any(one.topic.endswith("/status") for one in heard), SOON_S, "retained ones come")
        kept = {one.topic: one.payload for one in list(heard) if "/incidents/" in one.topic and one.retain}
        return [json.loads(payload) for payload in kept.values() if payload]


def test_a_bridge_that_dies_is_one_incident(tmp_path: Path, broker: Broker) -> None:
    """Over a kill -9 in between; each verdict names it, and at the end nothing is retained."""
    name = tmp_path.name
    settings = {
        "agent": {"id": name},
        "mqtt": {"client_id": name},
        "sources": [{"topic": f"{name}/{{device}}/{{metric}}", "availability": {"topic": f"{name}/bridge"}}],
        "review": {"window": {"max_readings": 1}},
    }
    agent = AgentProcess(tmp_path / "agent", broker_url=broker.url, settings=settings)
    with agent, peer(broker.port, f"{agent.base_topic}/#") as client:
        for number in range(DEVICES):
            send(client, f"{name}/d{number}/power", b"5", b"6")
        wait_for(lambda: agent.status()["counters"]["readings"] == 2 * DEVICES, SOON_S, "readings are there")
        send(client, f"{name}/bridge", b"offline")
        wait_for(lambda: len(agent.status()["findings"]) == DEVICES, SOON_S, "all are silent")
        (incident,) = {one["incident_id"] for one in agent.status()["findings"]}
        wait_for(
            lambda: [one["device_count"] for one in retained(broker, agent.base_topic)] == [DEVICES],
            SOON_S,
            "one incident is retained",
        )
        (body,) = retained(broker, agent.base_topic)
        jsonschema.validate(body, published_schema("incident"))
        assert (body["incident_id"], body["state"], body["cause"]) == (incident, "open", "link")
        assert sorted(body["devices"]) == [f"d{number}" for number in range(DEVICES)]

        def bodies(part: str) -> list[dict[str, Any]]:
            heard = list(client.heard)  # type: ignore[attr-defined]
            return [json.loads(one.payload) for one in heard if f"/{part}/" in one.topic and one.payload]

        def silences() -> dict[str, str]:
            found = [one for one in bodies("verdicts") if one["kind"] == "silence"]
            return {one["device"]: one["incident_id"] for one in found}

        wait_for(lambda: len(silences()) == DEVICES, SOON_S, "a verdict of each device")
        assert set(silences().values()) == {incident}
        assert 'edge_incidents_open{severity="warning"} 1.0' in agent.get("/metrics")[1]
        agent.kill()
        agent.start()
        agent.wait_ready()
        assert {one["incident_id"] for one in agent.status()["findings"]} == {incident}
        send(client, f"{name}/bridge", b"online")
        for number in range(DEVICES):
            send(client, f"{name}/d{number}/power", b"5", b"6", b"5")
        wait_for(lambda: agent.status()["findings"] == [], SOON_S, "all are back")
        wait_for(lambda: retained(broker, agent.base_topic) == [], SOON_S, "nothing is retained")
        wait_for(lambda: bodies("incidents")[-1]["state"] == "closed", SOON_S, "its end was published")


def test_two_devices_with_limits_are_two_incidents(tmp_path: Path, broker: Broker) -> None:
    """And one of them is closed by a person."""
    name = tmp_path.name
    settings = {
        "agent": {"id": name},
        "mqtt": {"client_id": name},
        "sources": [{"topic": f"{name}/{{device}}/{{metric}}"}],
        "limits": {"*/temperature": {"high": 30}},
        "review": {"window": {"max_readings": 1}},
    }
    agent = AgentProcess(tmp_path / "agent", broker_url=broker.url, settings=settings)
    with agent, peer(broker.port) as client:
        for device in ("a", "b"):
            send(client, f"{name}/{device}/temperature", b"99")
        wait_for(lambda: len(retained(broker, agent.base_topic)) == 2, SOON_S, "two incidents")
        send(client, f"{agent.base_topic}/command", b'{"do":"forget","device":"a"}')
        wait_for(lambda: len(retained(broker, agent.base_topic)) == 1, SOON_S, "one is left")
        assert retained(broker, agent.base_topic)[0]["devices"] == ["b"]


def racks(folder: Path, name: str, *, start: float) -> Path:
    """Write four days of racks that share the air of their room; return the file."""
    rng = random.Random(7)
    tape = folder / "racks.jsonl"
    with tape.open("w") as file:
        air = [rng.gauss(0, 1) for _ in range(4 * 24)]
        for step in range(4 * 144):
            for number in range(RACKS):
                value = 22.0 + air[step // 6] + rng.gauss(0, 0.2)
                body = json.dumps({"ts": start + 600.0 * step, "value": value}).encode()
                message = Outgoing(topic=f"{name}/rack-{number}/inlet_temperature", payload=body)
                file.write(dump(Recorded(600.0 * step, message)) + "\n")
    return tape


def test_racks_that_a_cooling_unit_warms_are_one_incident_and_one_call(
    tmp_path: Path, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model sees them next to each other; one that follows joins without a call of its own."""
    name = tmp_path.name
    with ModelEndpoint() as endpoint:
        settings = {
            "agent": {"id": name},
            "mqtt": {"client_id": name},
            "sources": [{"topic": f"{name}/{{device}}/{{metric}}"}],
            "review": {
                "mode": "suspicious",
                "window": {"max_readings": 1},
                "batch": {"max_wait_s": 5},  # however slowly the machine seals their windows
                "audits_per_day": 0,
            },
            "ai": {"base_url": endpoint.url, "model": "m1", "prices": {"m1": {"input": 1.0, "output": 4.0}}},
        }
        agent = AgentProcess(tmp_path / "agent", broker_url=broker.url, settings=settings)
        agent.config_path.write_text(yaml.safe_dump(agent.settings))
        agent.config_path.chmod(0o600)
        start = time.time() - 4 * 86_400.0
        tape = racks(tmp_path, name, start=start)
        learn = ["learn", "--from", str(tape), "--start", str(start), "--config", str(agent.config_path)]
        assert main(learn) == 0
        with agent, peer(broker.port) as client:
            for number in range(RACKS - 1):
                send(client, f"{name}/rack-{number}/inlet_temperature", b"41")
            wait_for(
                lambda: [one["device_count"] for one in retained(broker, agent.base_topic)] == [RACKS - 1],
                30.0,
                "all are too warm, and that is on disk",
            )
            (incident,) = {one["incident_id"] for one in agent.status()["findings"]}
            agent.kill()
            agent.start()
            agent.wait_ready()
            send(client, f"{name}/rack-{RACKS - 1}/inlet_temperature", b"40")
            wait_for(lambda: len(agent.status()["findings"]) == RACKS, 30.0, "the last one follows")
            assert {one["incident_id"] for one in agent.status()["findings"]} == {incident}
            wait_for(
                lambda: [one["device_count"] for one in retained(broker, agent.base_topic)] == [RACKS],
                SOON_S,
                "one incident is retained",
            )
            (body,) = retained(broker, agent.base_topic)
            jsonschema.validate(body, published_schema("incident"))
            assert (body["cause"], len(body["devices"])) == ("together", RACKS)
            assert body["summary"] == f"The inlet temperature of {RACKS} devices rose together."
            (asked,) = endpoint.requests
            assert len(windows_of(asked)) == RACKS - 1
            last = next(one for one in agent.status()["findings"] if one["device"] == f"rack-{RACKS - 1}")
            agent.stop()
            assert main(["show", last["verdict_id"], "--config", str(agent.config_path)]) == 0
            assert OF_INCIDENT in capsys.readouterr().out
