"""As a user would: Mosquitto, mosquitto_pub with real JSON, a model endpoint."""

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from agent.verdict.encode import published_schema
from simulator.model import Director, ModelEndpoint
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.schema import closed
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

SCHEMAS = {name: closed(published_schema(name)) for name in ("verdict", "event", "status")}
REGISTRY: Registry[Any] = Registry().with_resource(
    "verdict.schema.json", Resource.from_contents(SCHEMAS["verdict"])
)


def validate(name: str, value: dict[str, Any]) -> None:
    Draft202012Validator(SCHEMAS[name], registry=REGISTRY).validate(value)


class Listener:
    """mosquitto_sub on everything of the agent, line by line."""

    def __init__(self, port: int, topic: str) -> None:
        program = shutil.which("mosquitto_sub")
        assert program is not None
        self.process = subprocess.Popen(
            [program, "-p", str(port), "-q", "1", "-t", topic, "-F", "%r %t %p"],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.messages: list[tuple[bool, str, dict[str, Any]]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        wait_for(lambda: self.messages, 20, "it has subscribed: the retained status is there")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            retained, topic, payload = line.rstrip("\n").split(" ", 2)
            self.messages.append((retained == "1", topic, json.loads(payload)))

    def on(self, part: str) -> list[dict[str, Any]]:
        return [value for _, topic, value in list(self.messages) if f"/{part}" in topic]

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        self._thread.join(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


def publish(port: int, topic: str, *payloads: str) -> None:
    """Send each line as a message, QoS 1."""
    program = shutil.which("mosquitto_pub")
    assert program is not None
    subprocess.run(
        [program, "-p", str(port), "-q", "1", "-t", topic, "-l"],
        input="".join(f"{payload}\n" for payload in payloads),
        text=True,
        check=True,
        timeout=60,
    )


@pytest.fixture
def model() -> Iterator[ModelEndpoint]:
    """The simulator's model, in good order."""
    endpoint = ModelEndpoint(port=0, director=Director(seed=1))
    endpoint.start()
    yield endpoint
    endpoint.stop()


def test_readings_in_verdicts_out(broker: Broker, model: ModelEndpoint, tmp_path: Path) -> None:
    """A broken limit becomes a reviewed verdict and an event; all is valid and retained as promised."""
    agent = AgentProcess(
        tmp_path / "agent",
        broker_url=broker.url,
        settings={
            "agent": {"id": "e2e"},
            "sources": [{"topic": "e2e/{area}/{device}"}],
            "limits": {"cellar/freezer/temperature": {"high": -5}},
            "review": {
                "mode": "suspicious",
                "window": {"max_age_s": 2, "settle_s": 0.5},
                "batch": {"max_wait_s": 0.1},
            },
            "ai": {"base_url": model.url, "prices": {"gpt-4o-mini": {"input": 0.15, "output": 0.6}}},
        },
    )
    with agent:
        listener = Listener(broker.port, f"{agent.base_topic}/#")
        try:
            calm = [
                json.dumps({"temperature": -18 - step % 5 / 10, "door": step % 2 == 0}) for step in range(200)
            ]
            publish(broker.port, "e2e/cellar/freezer", *calm)
            publish(
                broker.port, "e2e/cellar/freezer", json.dumps({"temperature": 4.5, "door": True}), "{broken"
            )
            wait_for(lambda: listener.on("events/"), 20, "an event")
            event = listener.on("events/")[0]
            wait_for(lambda: covered(listener) == 402, 20, "verdicts of all readings")
            status = agent.status()
            metrics = agent.get("/metrics")[1]
        finally:
            listener.close()
        late = Listener(broker.port, f"{agent.base_topic}/#")
        try:
            wait_for(
                lambda: late.on("verdicts/") and late.on("status") and late.on("health"), 10, "retained ones"
            )
            first = {topic: retained for retained, topic, _ in reversed(list(late.messages))}
            assert all(first.values())
            assert not late.on("events/")
        finally:
            late.close()
        assert agent.stop() == 0
    for verdict in listener.on("verdicts/"):
        validate("verdict", verdict)
    validate("event", event)
    validate("status", status)
    for health in listener.on("health"):
        validate("status", health)
    assert event["event_type"] == "opened"
    verdict = event["verdict"]
    assert (verdict["device"], verdict["kind"], verdict["severity"]) == (
        "cellar/freezer",
        "out_of_range",
        "critical",
    )
    assert (verdict["source"], verdict["reason"], verdict["grounded"]) == ("ai", "reviewed", True)
    assert verdict["cost_usd"] > 0
    assert verdict["evidence"][0]["value"] == 4.5
    assert {topic for _, topic, _ in listener.messages if "/verdicts/" in topic} == {
        f"{agent.base_topic}/verdicts/cellar=2Ffreezer"
    }
    assert status["counters"]["quarantined"] == 1
    calls = re.search(
        r'ai_api_calls_total\{model="gpt-4o-mini",provider="openai",status="success"\} (\S+)', metrics
    )
    assert calls is not None
    assert float(calls[1]) >= 1
    assert covered(listener) == 402


def covered(listener: Listener) -> int:
    """Return how many readings the verdicts cover."""
    return sum(item["window"]["readings"] for item in listener.on("verdicts/"))
