"""Simulated devices of all families on one Mosquitto, read by one source."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from simulator.families import words
from simulator.family_run import make, play
from tests.decode.test_simulated import DEVICES
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

START = 1_782_475_200.0


def test_an_agent_finds_every_device_of_every_family(tmp_path: Path, own_broker: Broker) -> None:
    """Sensors in lists, in payloads and behind gateways are devices of their own; nothing is quarantined."""
    settings = {"agent": {"id": "gw-families"}, "sources": [{"topic": "#"}]}
    agent = AgentProcess(tmp_path / "agent", broker_url=own_broker.url, settings=settings)
    wanted = set().union(*DEVICES.values())
    with agent:
        sent = play(
            make([word for word in words() if word in DEVICES], count=1, seed=1),
            address=("127.0.0.1", own_broker.port), start=START, until=START + 300.0, speed=600.0,
            stop=threading.Event(),
        )  # fmt: skip
        wait_for(lambda: agent.status()["counters"]["messages"] >= sent, 10.0, "all messages are journaled")
        wait_for(
            lambda: {device["id"] for device in agent.status()["devices"]} >= wanted, 10.0, "all are shown"
        )
        assert agent.status()["counters"]["quarantined"] == 0
        with closing(sqlite3.connect(f"file:{agent.journal}?mode=ro", uri=True)) as journal:
            found = {device for (device,) in journal.execute("SELECT DISTINCT device FROM series")}
    assert found == wanted
