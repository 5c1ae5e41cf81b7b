"""A standby: no verdict, notice or call of the model before it takes over."""

import json
import signal
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.model_endpoint import ModelEndpoint
from tests.support.notice_receivers import HttpReceiver
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.broker, pytest.mark.slow]

SOON_S = 20.0


def phase(agent: AgentProcess) -> str:
    return str(agent.status()["partition"]["phase"])


def broken() -> bytes:
    """Return a value beyond the limit with its own time, which both agents read."""
    return json.dumps({"value": 150, "ts": int(1000 * time.time())}).encode()


def told(http: HttpReceiver) -> set[str]:
    """Return the devices of the notices that were taken, in a summary or not."""
    items = [item for post in http.taken for item in post.json.get("notices", [post.json])]
    return {item["device"] for item in items if "device" in item}


def retained(port: int, name: str) -> dict[str, int]:
    """Return how many open incidents of each device the broker keeps."""
    found = Counter[str]()
    with peer(port, f"edge-agent/{name}-0/incidents/#") as client:
        time.sleep(0.5)
        for one in list(client.heard):  # type: ignore[attr-defined]
            found.update(json.loads(one.payload)["devices"] if one.payload else ())
    return dict(found)


def test_a_standby_is_quiet_until_it_takes_over(tmp_path: Path, broker: Broker) -> None:
    """Then it notifies people and asks the model about the new findings alone, until it yields."""
    name = tmp_path.name[-20:]
    (tmp_path / "key").write_text("sk-test\n")
    (tmp_path / "key").chmod(0o600)
    with ExitStack() as stack:
        https = [stack.enter_context(HttpReceiver()) for _ in range(2)]
        models = [stack.enter_context(ModelEndpoint()) for _ in range(2)]
        agents = []
        for standby, http, model in zip((False, True), https, models, strict=True):
            settings: dict[str, Any] = {
                "agent": {"id": name},
                "partition": {"standby": standby, "takeover_s": 1},
                "sources": [{"topic": f"{name}/{{device}}/{{metric}}"}],
                "limits": {"*/level": {"high": 100}},
                "notify": {"settle_s": 0, "sinks": [{"type": "webhook", "url": http.url}]},
                "review": {"mode": "all", "window": {"max_readings": 1}},
                "ai": {
                    "base_url": model.url,
                    "model": "m1",
                    "api_key_file": str(tmp_path / "key"),
                    "prices": {"m1": {"input": 1.0, "output": 4.0}},
                    "budget": {"hour_usd": 5.0, "day_usd": 5.0},
                },
            }
            agents.append(
                AgentProcess(tmp_path / str(int(standby)), broker_url=broker.url, settings=settings)
            )
        first, standby_agent = agents
        client = stack.enter_context(peer(broker.port, f"edge-agent/{name}-0/#"))
        for agent in agents:
            stack.enter_context(agent)
        wait_for(lambda: phase(first) == "holding", SOON_S, "the first holds")
        wait_for(lambda: phase(standby_agent) == "following", SOON_S, "the standby follows")

        def covered() -> bool:
            views = [agent.status() for agent in agents]
            return all(one["counters"]["windows"] and not one["partition"]["waiting"] for one in views)

        send(client, f"{name}/a/level", broken())
        wait_for(lambda: told(https[0]) == {"a"}, SOON_S, "the first notifies people")
        wait_for(covered, SOON_S, "the standby has read the verdict")
        assert (told(https[1]), models[1].requests) == (set(), [])
        assert len(standby_agent.status()["findings"]) == 1
        first.kill()
        send(client, f"{name}/b/level", broken())
        wait_for(lambda: told(https[1]) == {"b"}, SOON_S, "the standby notifies people of the new one alone")
        wait_for(lambda: models[1].requests, SOON_S, "and asks its model")
        first.start().wait_ready()
        wait_for(lambda: phase(first) == "holding", SOON_S, "the first holds again")
        calls = len(models[1].requests)
        send(client, f"{name}/c/level", broken())
        wait_for(lambda: "c" in told(https[0]), SOON_S, "the first notifies people")
        wait_for(covered, SOON_S, "the standby has read the verdict")
        assert (told(https[0]), told(https[1])) == ({"a", "c"}, {"b"})
        assert len(models[1].requests) == calls

        def said() -> set[tuple[str, str]]:
            heard = [one for one in list(client.heard) if "/verdicts/" in one.topic and one.payload]  # type: ignore[attr-defined]
            return {(body["device"], body["agent"]) for body in (json.loads(one.payload) for one in heard)}

        wait_for(lambda: len(said()) >= 3, SOON_S, "each device has a verdict")
        each = {"a": 1, "b": 1, "c": 1}
        wait_for(lambda: retained(broker.port, name) == each, SOON_S, "each device has one open incident")
        assert said() == {("a", f"{name}-0"), ("b", f"{name}-0-standby"), ("c", f"{name}-0")}


def test_a_killed_broker_changes_no_holder(tmp_path: Path) -> None:
    """Both agents come back to it; nobody has died, so there is no takeover."""
    broker = Broker(tmp_path / "broker").start()
    try:
        settings: dict[str, Any] = {"agent": {"id": "gw"}}
        first, standby = (
            AgentProcess(
                tmp_path / str(int(one)),
                broker_url=broker.url,
                settings=settings | {"partition": {"standby": one, "takeover_s": 10}},
            )
            for one in (False, True)
        )
        with first, standby:
            wait_for(lambda: phase(first) == "holding", SOON_S, "the first holds")
            wait_for(
                lambda: standby.status()["partition"]["highest_epoch"] == 2, SOON_S, "the claim is known"
            )
            broker.stop(signal.SIGKILL)
            wait_for(lambda: phase(first) == phase(standby) == "away", SOON_S, "both have lost it")
            broker.start()
            wait_for(lambda: phase(first) == "holding", SOON_S, "the first holds again")
            wait_for(lambda: phase(standby) == "following", SOON_S, "the standby follows")
            assert first.status()["partition"]["epoch"] == 2
            assert standby.status()["partition"]["highest_epoch"] == 2
    finally:
        broker.stop()
