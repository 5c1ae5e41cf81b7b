"""Sparkplug B end to end: a birth that was asked for, and aliases after a kill."""

from pathlib import Path

import pytest

from tests.decode.sparkplug_wire import payload
from tests.mqtt.link_harness import peer
from tests.simulator.listener import Listener
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

SOURCE = {"sources": [{"topic": "spBv1.0/#", "format": "sparkplug", "request_rebirth": True}]}
BIRTH = {"name": "temp", "alias": 1, "datatype": 10, "double_value": 20.0}
DATA = {"alias": 1, "double_value": 21.5}
AT_MS = 1_782_475_200_000


def readings(agent: AgentProcess) -> int:
    return int(agent.status()["counters"]["readings"])


def test_a_rebirth_is_asked_for_and_its_aliases_survive_a_kill(tmp_path: Path, own_broker: Broker) -> None:
    """Data without a birth makes the agent ask; once it has the birth, no later process has to."""
    commands = Listener(own_broker, "spBv1.0/+/NCMD/#")
    with peer(own_broker.port) as node, AgentProcess(
        tmp_path, broker_url=own_broker.url, settings=SOURCE
    ) as agent:  # fmt: skip
        node.publish("spBv1.0/g/NDATA/n", payload(DATA, at_ms=AT_MS), qos=1)
        commands.wait_for(1)
        assert commands.got[0][0] == "spBv1.0/g/NCMD/n"
        assert b"Node Control/Rebirth" in commands.got[0][1]
        node.publish("spBv1.0/g/NBIRTH/n", payload(BIRTH, at_ms=AT_MS), qos=1)
        wait_for(lambda: readings(agent) == 1, 10, "the birth is read")
        agent.kill()
        agent.start().wait_ready()
        node.publish("spBv1.0/g/NDATA/n", payload(DATA, at_ms=AT_MS + 1000), qos=1)
        wait_for(lambda: readings(agent) >= 1, 10, "the alias is known")
        wait_for(lambda: agent.status()["devices"], 10, "the device is shown")
        (device,) = agent.status()["devices"]
        assert device["id"] == "g/n"
    assert len(commands.got) == 1
    commands.close()
