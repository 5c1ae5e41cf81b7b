"""Reports of the agent about its link, and rows about it before it subscribes."""

import json
import signal
from pathlib import Path

import pytest

from agent.journal.reader import Reader
from agent.mqtt import BROKER_DROPS
from agent.testing.failpoint import MARKER, VARIABLE
from tests.mqtt.link_harness import peer, send
from tests.mqtt.test_broker_drops import leave_session
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process


def test_filters_are_on_disk_before_they_are_asked_for(tmp_path: Path, broker: Broker) -> None:
    """Killed between storing the connection and SUBSCRIBE, the next start knows what the session may hold."""
    agent = AgentProcess(tmp_path, broker_url=broker.url, environ={VARIABLE: "c13_generation_committed"})
    agent.state_dir.mkdir()
    (agent.state_dir / MARKER).touch()
    assert agent.start().wait(20) == -signal.SIGKILL
    assert not agent.events("mqtt_subscribed")
    with Reader.open(agent.state_dir) as reader:
        filters = json.loads(reader.meta("filters") or "[]")
        assert reader.meta("generation") == "1"
    assert filters == sorted([BROKER_DROPS, "edge-agent/gw/command", "edge-agent/gw/feedback", "load/+"])


@pytest.mark.broker
def test_what_the_broker_drops_is_shown(tmp_path: Path) -> None:
    """Status, readiness, a metric and one log line report that the broker lost messages of some client."""
    broker = Broker(tmp_path / "broker", "max_queued_messages 5").start()
    try:
        leave_session(broker.port, "absent", "its/#")
        with AgentProcess(tmp_path / "agent", broker_url=broker.url) as agent:
            wait_for(lambda: agent.status()["broker"]["dropped_by_broker"] == 0, 10, "the figure is read")
            assert agent.status()["problems"] == []
            with peer(broker.port) as other:
                send(other, "its/t", *[str(n) for n in range(25)])
            wait_for(lambda: agent.events("mqtt_broker_dropped"), 10, "the loss is said")
            # The broker may publish its count in the midst of them.
            wait_for(lambda: agent.status()["broker"]["dropped_by_broker"] == 20, 15, "the whole loss")
            status = agent.status()
            assert "dropped 20 messages" in status["problems"][0]
            assert status["state"] == "degraded"
            code, ready = agent.get("/readyz")
            assert code == 200
            assert "dropped 20 messages" in ready
            assert "edge_mqtt_broker_dropped_total 20.0" in agent.get("/metrics")[1]
            assert status["counters"]["messages"] == 0
    finally:
        broker.stop()


def test_a_retained_value_is_shown_before_its_device_speaks(tmp_path: Path, own_broker: Broker) -> None:
    """It is last value and unit on the page, not a reading; a reading takes its place."""
    sources = {"sources": [{"topic": "load/{device}/{metric}"}]}
    with peer(own_broker.port) as other:
        other.publish("load/th1/temperature", '{"value": 21.5, "unit": "degC"}', qos=1, retain=True)
        with AgentProcess(tmp_path, broker_url=own_broker.url, settings=sources) as agent:
            wait_for(lambda: agent.status()["devices"], 10, "the device is shown")
            (device,) = agent.status()["devices"]
            assert (device["id"], device["last_seen"]) == ("th1", None)
            assert [(one["name"], one["value"], one["unit"]) for one in device["metrics"]] == [
                ("temperature", 21.5, "degC")
            ]
            assert agent.status()["counters"]["readings"] == 0
            send(other, "load/th1/temperature", "22.0")
            wait_for(lambda: agent.status()["devices"][0]["last_seen"], 10, "the reading is shown")
            assert agent.status()["devices"][0]["metrics"][0]["value"] == 22.0


@pytest.mark.broker
@pytest.mark.slow
def test_verdicts_that_wait_for_the_broker_are_counted_on_disk_too(tmp_path: Path) -> None:
    """While the broker is stopped the metric counts all that waits, not only the rows in memory."""
    broker = Broker(tmp_path / "broker").start()
    assert broker.process is not None
    review = {"window": {"max_age_s": 2, "settle_s": 0.5}}
    try:
        with AgentProcess(tmp_path / "agent", broker_url=broker.url, settings={"review": review}) as agent:
            with peer(broker.port) as other:
                for number in range(150):
                    send(other, f"load/d{number}", "20")
            wait_for(lambda: agent.status()["counters"]["readings"] == 150, 10, "all readings")
            broker.process.send_signal(signal.SIGSTOP)
            wait_for(lambda: depth(agent) >= 150, 25, "150 messages wait", every_s=0.5)
            broker.process.send_signal(signal.SIGCONT)
            wait_for(lambda: depth(agent) == 0, 40, "none waits", every_s=0.5)
    finally:
        broker.process.send_signal(signal.SIGCONT)
        broker.stop()


def depth(agent: AgentProcess) -> float:
    """Return the metric."""
    (line,) = [one for one in agent.get("/metrics")[1].splitlines() if one.startswith("edge_outbox_depth ")]
    return float(line.split()[1])
