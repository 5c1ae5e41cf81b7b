"""Discovery of a real agent on a real broker."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from tests.homeassistant.rules import judge
from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import REPO, AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]


def announced(client: paho.Client, word: bytes | None = None) -> dict[str, bytes]:
    """Return the newest message by node."""
    heard: list[paho.MQTTMessage] = client.heard  # type: ignore[attr-defined]
    found = {one.topic.split("/")[2]: bytes(one.payload) for one in list(heard) if "/device/" in one.topic}
    return {node: payload for node, payload in found.items() if word is None or payload == word}


def start(folder: Path, broker: Broker, **home: Any) -> AgentProcess:
    settings = {
        "homeassistant": {"discovery": True, **home},
        "sources": [{"topic": "load/{device}"}, {"topic": "#"}],
    }
    return AgentProcess(folder, broker_url=broker.url, settings=settings)


def test_devices_are_announced_and_again_after_a_birth(tmp_path: Path, own_broker: Broker) -> None:
    """Not retained; by the core's rules; once more after `online`; and never read as devices themselves."""
    with peer(own_broker.port, "homeassistant/#") as home, start(tmp_path, own_broker) as agent:
        wait_for(lambda: "edge_agent_gw" in announced(home), 20, "the agent is announced")
        send(home, "load/th1", json.dumps({"temperature": 21.5}))
        wait_for(lambda: "edge_agent_gw_th1" in announced(home), 20, "its device is announced")
        heard: list[paho.MQTTMessage] = home.heard  # type: ignore[attr-defined]
        announcements = list(heard)
        assert not any(judge(one.topic, bytes(one.payload)) for one in announcements)
        assert not any(one.retain for one in announcements)
        before = len(announcements)
        send(home, "homeassistant/status", "online")
        wait_for(lambda: len(heard) >= before + 3, 20, "both again, and the birth itself")
        status = agent.status()
        assert status["counters"]["devices"] == 1
        assert agent.get("/metrics")[0] == 200
        assert not agent.events("mqtt_announcement_refused")


def test_clean_removes_what_is_retained(tmp_path: Path, own_broker: Broker) -> None:
    """`ha clean` empties the announcements of this agent, also those of forgotten devices, and no others."""
    foreign = {"device": {"identifiers": ["z"]}, "origin": {"name": "zigbee2mqtt"}, "components": {}}
    gone = {
        "device": {"identifiers": ["edge_agent_gw_old"], "via_device": "edge_agent_gw"},
        "origin": {"name": "edge-agent"},
        "components": {},
    }
    with peer(own_broker.port, "homeassistant/#") as home:
        for node, body in (("z", foreign), ("edge_agent_gw_old", gone)):
            home.publish(f"homeassistant/device/{node}/config", json.dumps(body), qos=1, retain=True)
        with start(tmp_path, own_broker, retain=True) as agent:
            send(home, "load/th1", json.dumps({"temperature": 21.5}))
            wait_for(lambda: announced(home).get("edge_agent_gw_th1"), 20, "its device is announced")
            agent.stop()
        done = subprocess.run(
            [sys.executable, "-m", "agent", "ha", "clean", "--config", str(agent.config_path)],
            capture_output=True, text=True, timeout=60, check=False, cwd=REPO,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert "Removed 3 devices of gw below homeassistant/." in done.stdout
        assert "set homeassistant.discovery to false" in done.stdout
        wait_for(lambda: len(announced(home, b"")) >= 3, 20, "three empty messages")
        assert set(announced(home, b"")) == {"edge_agent_gw", "edge_agent_gw_th1", "edge_agent_gw_old"}
        with peer(own_broker.port, "homeassistant/device/+/config") as later:
            wait_for(lambda: announced(later), 10, "what is still retained")
            assert set(announced(later)) == {"z"}


def test_clean_without_a_broker_is_one_line(tmp_path: Path) -> None:
    """Exit code 69 and the reason."""
    config = tmp_path / "agent.yaml"
    config.write_text("agent: {id: gw, state_dir: state}\nmqtt: {url: 'mqtt://127.0.0.1:1'}\n")
    done = subprocess.run(
        [sys.executable, "-m", "agent", "ha", "clean", "--config", str(config)],
        capture_output=True, text=True, timeout=60, check=False, cwd=REPO,
    )  # fmt: skip
    assert done.returncode == 69
    assert done.stderr.startswith("edge-agent: mqtt://127.0.0.1:1")
    assert len(done.stderr.splitlines()) == 1
