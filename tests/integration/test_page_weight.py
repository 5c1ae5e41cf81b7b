"""Weight of a refresh of the page, and its search, with 1,000 devices."""

import gzip
import json
import random
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

DEVICES, ROUNDS, BROKEN = 1_000, 4, 60
MAX_BYTES = 64 * 1024
METRICS = ("temperature", "humidity", "pressure", "voltage", "current", "co2")


def ask(agent: AgentProcess, **search: str) -> tuple[int, dict[str, Any]]:
    """Return the bytes on the wire of a refresh that is up to date, and its content."""
    url = f"http://127.0.0.1:{agent.port}/status.json?{urlencode(search)}"
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    for _ in range(100):  # on a busy machine it may be late
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                assert response.headers["Content-Encoding"] == "gzip"
                body = response.read()
        except urllib.error.HTTPError as error:
            assert error.code == 503  # noqa: PT017 - not yet
            continue
        status = json.loads(gzip.decompress(body))
        if not status["stale"]:
            return len(body), status
    raise AssertionError("the analyst is always busy")


def test_a_refresh_weighs_64_kib_at_most_and_every_device_is_found(tmp_path: Path, broker: Broker) -> None:
    """Six noisy series a device and 60 open findings: the page is small, and no device is out of reach."""
    name, draw = tmp_path.name, random.Random(7)
    settings = {
        "agent": {"id": name},
        "sources": [{"topic": f"{name}/{{site}}/{{unit}}", "device": "{site}/{unit}"}],
        "limits": {"*/temperature": {"high": 90}},
        "review": {"window": {"max_readings": 60}},
    }
    agent = AgentProcess(tmp_path / "agent", broker_url=broker.url, settings=settings)
    with agent, peer(broker.port) as client:
        for turn in range(ROUNDS):
            for place in range(DEVICES):
                values = {metric: round(draw.gauss(50.0, 3.0), 3) for metric in METRICS}
                if turn == ROUNDS - 1 and place < BROKEN:
                    values["temperature"] = 99.0
                send(client, f"{name}/hall-{place % 10}/Unit-{place:04}", json.dumps(values).encode())
        count = DEVICES * ROUNDS * len(METRICS)
        wait_for(lambda: agent.status()["counters"]["readings"] == count, 120, "all readings are in")
        wait_for(lambda: agent.status()["counters"]["findings_open"] == BROKEN, 60, "the findings are open")
        weight, status = ask(agent)
        print(f"a refresh at {DEVICES} devices: {weight} bytes, {len(json.dumps(status))} before gzip")
        assert weight <= MAX_BYTES
        assert (status["devices_found"], len(status["devices"]), len(status["findings"])) == (DEVICES, 50, 50)
        for place in (0, 70, DEVICES - 1):
            weight, status = ask(agent, q=f"UNIT-{place:04}")
            assert [one["id"] for one in status["devices"]] == [f"hall-{place % 10}/Unit-{place:04}"]
            assert len(status["findings"]) == (place < BROKEN)
            assert status["counters"]["critical_open"] == BROKEN
        weight, status = ask(agent, q="hall-3", only="finding")
        assert (status["devices_found"], weight <= MAX_BYTES) == (BROKEN // 10, True)
        assert ask(agent, only="learning", q="hall-4")[1]["devices_found"] == DEVICES // 10
        assert ask(agent, only="silent")[1]["devices_found"] == 0
        assert ask(agent, only="nonsense")[1]["devices_found"] == DEVICES
        agent.stop()
