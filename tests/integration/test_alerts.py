"""Alerts on MQTT, from a real agent."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

ALERT = "EdgeLimitBroken"


@pytest.mark.parametrize("end", ["clears", "is acknowledged"])
def test_a_broken_limit_is_a_retained_alert_over_a_restart(
    tmp_path: Path, own_broker: Broker, end: str
) -> None:
    """It fires by device, is there for a later client and after kill -9, and ends with the finding."""
    with peer(own_broker.port, "edge-agent/gw/alerts/#") as client:

        def newest() -> dict[str, Any]:
            topic = f"edge-agent/gw/alerts/{ALERT}"
            found = [one.payload for one in client.heard if one.topic == topic]  # type: ignore[attr-defined]
            return json.loads(found[-1]) if found else {}

        settings = {
            "limits": {"freezer/temperature": {"high": -5}},
            "review": {"window": {"max_readings": 2, "settle_s": 1}},
        }
        source = {"sources": [{"topic": "load/{device}"}]}
        agent = AgentProcess(tmp_path, broker_url=own_broker.url, settings=settings | source)
        with agent:
            wait_for(lambda: newest().get("state") == "resolved", 20, "the alert is there, resolved")
            send(client, "load/freezer", json.dumps({"temperature": 4}), json.dumps({"temperature": 5}))
            wait_for(lambda: newest()["state"] == "firing", 20, "the alert fires")
            first = newest()
            assert first["summary"] == "freezer is outside of its limits"
            assert (first["severity"], first["subjects"], first["count"]) == ("critical", ["freezer"], 1)
            agent.kill()
            before = len(client.heard)  # type: ignore[attr-defined]
        with agent:
            wait_for(lambda: len(client.heard) > before and agent.status(), 20, "it is published again")  # type: ignore[attr-defined]
            assert newest() == first
            with peer(own_broker.port, f"edge-agent/gw/alerts/{ALERT}") as later:
                wait_for(lambda: later.heard, 10, "the retained alert")  # type: ignore[attr-defined]
                assert json.loads(later.heard[0].payload) == first  # type: ignore[attr-defined]
            if end == "clears":
                for _ in range(8):
                    send(client, "load/freezer", json.dumps({"temperature": -20, "at": time.time()}))
            else:
                send(client, "edge-agent/gw/command", json.dumps({"do": "ack", "device": "freezer"}))
            wait_for(lambda: newest()["state"] == "resolved", 20, f"the finding {end}")
            assert agent.status()["counters"]["findings_open"] == (end != "clears")
            opened = "edge_finding_open_timestamp_seconds{" in agent.get("/metrics")[1]
            assert not opened
