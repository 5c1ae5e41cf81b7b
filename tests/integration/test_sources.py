"""Sources on a real broker: overlap, a gateway's last will, devices in payloads."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.mqtt.brokers import OldBroker
from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

AT_ONCE_S = 5.0


def counters(agent: AgentProcess) -> Any:
    return agent.status()["counters"]


def devices(agent: AgentProcess) -> dict[str, bool]:
    return {one["id"]: one["silent"] for one in agent.status()["devices"]}


def test_a_message_of_two_sources_is_read_once(tmp_path: Path, own_broker: Broker) -> None:
    """The broker sends a copy for each subscription; one counts, live and retained, over a kill -9."""
    settings = {
        "agent": {"id": "gw-two"},
        "sources": [
            {"topic": "{device}/status/{metric}", "retained": "live"},
            {"topic": "sensors/{device}/{metric}", "retained": "live"},
        ],
    }
    with peer(own_broker.port) as site:
        send(site, "sensors/status/kept", b"1", retain=True)
        with AgentProcess(tmp_path / "agent", broker_url=own_broker.url, settings=settings) as agent:
            wait_for(lambda: counters(agent)["readings"] == 1, AT_ONCE_S, "the retained one")
            send(site, "sensors/status/t", *(b"%d" % value for value in range(20)))
            send(site, "sensors/k/t", b"5")
            wait_for(lambda: counters(agent)["readings"] == 22, AT_ONCE_S, "each once")
            agent.kill()
            send(site, "sensors/status/t", b"7", b"8")
            agent.start()
            agent.wait_ready()
            send(site, "sensors/status/t", b"9")
            wait_for(lambda: devices(agent).keys() == {"sensors", "k"}, AT_ONCE_S, "two devices")
            wait_for(lambda: counters(agent)["readings"] == 3, AT_ONCE_S, "each once after the kill")
            assert counters(agent)["quarantined"] == 0


def test_without_mqtt_5_a_common_filter_is_subscribed(tmp_path: Path, own_broker: Broker) -> None:
    """An old broker has no identifiers of subscriptions: one filter for both sources, one copy."""
    settings = {
        "agent": {"id": "gw-old"},
        "sources": [
            {"topic": "plant/{device}/status", "retained": "live"},
            {"topic": "plant/line1/{metric}", "device": "line1", "retained": "live"},
        ],
    }
    with OldBroker(own_broker.port, refusal="0x01") as old, peer(own_broker.port) as site:
        url = f"mqtt://127.0.0.1:{old.port}"
        with AgentProcess(tmp_path / "agent", broker_url=url, settings=settings) as agent:
            send(site, "plant/line1/status", b"1", b"2")
            send(site, "plant/line1/t", b"3")
            send(site, "plant/line2/other", b"4")
            wait_for(lambda: counters(agent)["readings"] == 3, AT_ONCE_S, "each once")
            wait_for(lambda: devices(agent).keys() == {"line1"}, AT_ONCE_S, "one device")


def test_a_last_will_of_a_gateway_silences_its_devices(tmp_path: Path, own_broker: Broker) -> None:
    """All of its own, named in the payload, and no device of another gateway."""
    source = {
        "topic": "rtl/{host}/events",
        "device": "{$.model}/{$.id}",
        "exclude": ["rtl/test/#"],
        "metrics": {"exclude": ["rssi"], "rename": {"temperature_C": "temperature"}},
        "availability": {"topic": "rtl/{host}/status", "online": ["up"], "offline": ["down"], "field": "$.s"},
    }
    settings = {"agent": {"id": "gw-will"}, "sources": [source]}
    with peer(own_broker.port) as site:

        def report(host: str, number: int) -> None:
            body = {"model": "TFA-Drop", "id": number, "temperature_C": 5.1, "rssi": -60}
            send(site, f"rtl/{host}/events", *[json.dumps(body)] * 7)

        with AgentProcess(tmp_path / "agent", broker_url=own_broker.url, settings=settings) as agent:
            for host, number in (("h1", 1), ("h1", 2), ("h2", 3), ("test", 4)):
                report(host, number)
            wait_for(lambda: len(devices(agent)) == 3, AT_ONCE_S, "three devices")
            send(site, "rtl/h1/status", '{"s": "DOWN"}', retain=True)
            silent = {"TFA-Drop/1": True, "TFA-Drop/2": True, "TFA-Drop/3": False}
            wait_for(lambda: devices(agent) == silent, AT_ONCE_S, "the devices of one gateway")
