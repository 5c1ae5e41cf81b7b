"""A gateway for the monitoring tests: real agent, model endpoint, many devices."""

import contextlib
import itertools
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

from tests.monitoring.servers import call
from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import AgentProcess, Child
from tests.support.broker import Broker, free_port
from tests.support.waiting import wait_for

MODEL = "gpt-4o-mini"
PER_WINDOW = 5
LIMIT_S = 30.0


def settings(port: int, topic: str) -> dict[str, Any]:
    """Return an agent's configuration that asks the model about every full window at once."""
    return {
        "sources": [{"topic": f"{topic}/{{device}}/{{metric}}"}],
        "limits": {"freezer/temperature": {"high": -5}},
        "review": {
            "mode": "all",
            "window": {"max_age_s": 120, "max_readings": PER_WINDOW, "settle_s": 60},
            "batch": {"max_wait_s": 0.05},
        },
        "ai": {
            "base_url": f"http://127.0.0.1:{port}/v1",
            "model": MODEL,
            "deadline_s": 5,
            "device_share": 1.0,
            "budget": {"hour_usd": 5.0, "day_usd": 15.0},
        },
    }


@dataclass
class Site:
    """The agent, what steers its model, and a client on its broker."""

    agent: AgentProcess
    client: paho.Client
    topic: str
    control: str
    broker_url: str
    values: Iterator[float] = field(default_factory=lambda: _usual(random.Random(5)))

    def model(self, *script: str, then: str = "fine") -> None:
        """Let the model endpoint answer the next calls by ``script``, and ``then`` from then on."""
        call(self.control, {"reset": True, "script": list(script), "behaviour": then})

    def verdicts(self) -> list[dict[str, Any]]:
        """Return the verdicts that were published so far."""
        heard: list[paho.MQTTMessage] = self.client.heard  # type: ignore[attr-defined]
        return [json.loads(one.payload) for one in list(heard) if "/verdicts/" in one.topic]

    def window(self, device: str = "pump", status: str | None = None) -> dict[str, Any]:
        """Send as many readings as fill a window; return its verdict."""
        before = len(self.verdicts())
        for _ in range(PER_WINDOW):
            body = {"value": next(self.values)} | ({} if status is None else {"status": status})
            send(self.client, f"{self.topic}/{device}/temperature", json.dumps(body))
        wait_for(lambda: len(self.verdicts()) > before, LIMIT_S, f"verdict {before + 1}")
        return self.verdicts()[-1]

    def meter(self, readings: int, every_s: float) -> None:
        """Send the backlog of a device that speaks at a steady pace, up to now."""
        before = len(self.verdicts())
        for number in range(readings):
            at = time.time() - every_s * (readings - number)
            body = {"value": next(self.values), "ts": round(at, 3)}
            send(self.client, f"{self.topic}/meter/temperature", json.dumps(body))
        wanted = before + readings // PER_WINDOW
        wait_for(lambda: len(self.verdicts()) >= wanted, LIMIT_S, f"{wanted} verdicts")

    def feedback(self, verdict: dict[str, Any], outcome: str) -> None:
        """Send a person's feedback on a verdict."""
        body = {"verdict_id": verdict["id"], "outcome": outcome}
        send(self.client, f"{self.agent.base_topic}/feedback", json.dumps(body))

    def crowd(self, devices: int) -> None:
        """Let so many devices send one reading each, and wait until all are known."""
        before = self.agent.status()["counters"]["readings"]
        for number in range(devices):
            self.client.publish(f"{self.topic}/d{number}/temperature", "21.5", qos=1)
        wait_for(
            lambda: self.agent.status()["counters"]["readings"] >= before + devices, LIMIT_S, "all readings"
        )


def _usual(rng: random.Random) -> Iterator[float]:
    for _ in itertools.count():
        yield round(21 + rng.random(), 3)


@contextlib.contextmanager
def site(folder: Path, broker: Broker, topic: str, **more: Any) -> Iterator[Site]:
    """Start the endpoint, then the agent; ``more`` are further sections of its configuration."""
    port = free_port()
    model = Child(argv=["-m", "simulator", "model", "--port", str(port)], log=folder / "model.log")
    agent = AgentProcess(
        folder / "agent",
        broker_url=broker.url,
        settings={**settings(port, topic), "mqtt": {"base_topic": f"{topic}-out/gw"}, **more},
    )
    with model, peer(broker.port, f"{topic}-out/#") as client:
        wait_for(lambda: "control:" in model.text(), LIMIT_S, "the model endpoint listens", every_s=0.02)
        with agent:
            yield Site(agent, client, topic, f"http://127.0.0.1:{port}/control", broker.url)
