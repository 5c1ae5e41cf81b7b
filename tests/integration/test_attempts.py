"""A model that hangs, windows that wait for it, and an agent that is killed."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import paho.mqtt.publish as mqtt
import pytest

from agent.journal.reader import Reader
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.model_endpoint import ModelEndpoint, windows_of
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

WINDOWS = 120
PER_BATCH = 20
SLOTS = 2
KILLS = 3
LIMIT_S = 30.0


def agent_of(folder: Path, broker: Broker, model: ModelEndpoint) -> AgentProcess:
    """Return an agent that asks about every reading, in batches, two calls at a time."""
    topic = folder.name
    return AgentProcess(
        folder,
        broker_url=broker.url,
        settings={
            "agent": {"id": topic},
            "mqtt": {"client_id": topic},
            "sources": [{"topic": f"{topic}/{{device}}"}],
            "review": {
                "mode": "all",
                "window": {"max_readings": 1},
                "batch": {"max_wait_s": 60, "max_windows": PER_BATCH, "max_input_tokens": 100_000},
            },
            "ai": {
                "base_url": model.url,
                "model": "m",
                "deadline_s": 600,
                "concurrency": SLOTS,
                "cache_ttl_s": 0,
                "device_share": 1.0,
                "budget": {"hour_usd": 50, "day_usd": 50, "month_usd": 50},
                "prices": {"m": {"input": 0.1, "output": 0.1}},
            },
        },
    )


def values_of(request: dict[str, object]) -> tuple[float, ...]:
    """Return the readings that a request asks about; each window of this test has one of its own."""
    return tuple(sorted(one["value"] for window in windows_of(request) for one in window["candidates"]))


def verdicts(agent: AgentProcess) -> list[dict[str, object]]:
    """Return the verdicts in its journal."""
    with Reader.open(agent.state_dir) as reader:
        return [json.loads(record.body) for record in reader.verdicts(limit=2 * WINDOWS)]


def test_only_what_the_model_saw_may_be_poison(tmp_path: Path, broker: Broker) -> None:
    """120 windows behind a model that hangs, three kills: those that only waited are reviewed in the end."""
    folder = tmp_path / "attempts"
    with ModelEndpoint(default="hang") as model:
        agent = agent_of(folder, broker, model)
        for kill in range(KILLS):
            with agent:
                if not kill:
                    messages: list[Any] = [(f"attempts/d{n}", str(100 + n), 1, False) for n in range(WINDOWS)]
                    mqtt.multiple(messages, port=broker.port, client_id="attempts-says")
                wait_for(lambda: len(model.requests) >= SLOTS, LIMIT_S, "the calls are in flight")
                assert len(model.requests) == SLOTS
                seen = sorted(values_of(request) for request in model.requests)
                if not kill:
                    wait_for(
                        lambda: agent.status()["ai"]["in_flight"] == WINDOWS / PER_BATCH, LIMIT_S, "all wait"
                    )
                    first, hung = seen, Counter(value for one in seen for value in one)
                else:
                    hung.update(value for one in seen for value in one)
                    if kill == 1:
                        assert seen == first  # the same batches
                    else:
                        assert [len(one) for one in seen] == [1] * SLOTS  # each window by itself
                model.requests.clear()
        model.default = "fine"
        with agent:
            wait_for(lambda: len(verdicts(agent)) == WINDOWS, LIMIT_S, "all have a verdict", every_s=0.2)
        found = verdicts(agent)
    reasons = Counter(str(one["reason"]) for one in found)
    assert reasons == {"poison": SLOTS, "reviewed": WINDOWS - SLOTS}
    poisoned = {one["device"] for one in found if one["reason"] == "poison"}
    assert poisoned == {f"d{value - 100:.0f}" for value, times in hung.items() if times == KILLS}
