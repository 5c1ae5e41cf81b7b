"""Agents with a fault inside, each with a fake systemd."""

from pathlib import Path
from typing import Any

import paho.mqtt.publish as mqtt

from agent.journal.reader import Reader
from agent.testing.failpoint import MARKER, VARIABLE
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.notify import NotifySocket

HANGS = ("main_turn:3", "net_turn:5", "journal_turn:2", "analyst_timers:5", "web_turn:2")


class Patient:
    """An agent with one armed failpoint and a fake systemd."""

    def __init__(self, folder: Path, broker: Broker, failpoint: str, *, topic: str) -> None:
        self.topic = topic
        folder.mkdir()
        self.systemd = NotifySocket(folder / "notify")
        self.agent = AgentProcess(
            folder / "agent",
            broker_url=broker.url,
            settings={
                "agent": {"id": topic},
                "mqtt": {"client_id": topic},
                "sources": [{"topic": f"{topic}/{{device}}"}],
            },
            environ={"NOTIFY_SOCKET": str(self.systemd.path), VARIABLE: failpoint},
        )
        self.agent.state_dir.mkdir()
        (self.agent.state_dir / MARKER).touch()

    def journaled(self) -> int:
        """Return how many messages are in its journal."""
        with Reader.open(self.agent.state_dir) as reader:
            counts = reader.counts()
        return counts["messages"] + counts["quarantine"]


def publish(patient: Patient, broker: Broker, count: int = 1) -> None:
    """Publish one reading of each of so many devices to an agent."""
    messages: list[Any] = [(f"{patient.topic}/d{number}", "1", 1, False) for number in range(count)]
    mqtt.multiple(messages, port=broker.port, client_id=f"{patient.topic}-says")
