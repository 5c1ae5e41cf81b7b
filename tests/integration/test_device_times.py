"""Times of devices on one Mosquitto: history, a wrong clock, local time."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.domain.records import MessageRow
from agent.journal.reader import Reader
from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

DAY_S = 86_400.0
PACE_S = 0.4


def rows(agent: AgentProcess, device: str) -> tuple[list[float], list[float]]:
    """Return the times of the live readings of a device and of its history, as journaled."""
    live: list[float] = []
    history: list[float] = []
    with Reader.open(agent.state_dir) as reader:
        for row in reader.rows_after(0):
            if isinstance(row, MessageRow):
                live += [one.at for one in row.readings if one.device == device]
                history += [one.at for one in row.history if one.device == device]
    return live, history


def wait_for_rows(agent: AgentProcess, device: str, count: int) -> None:
    wait_for(lambda: sum(map(len, rows(agent, device))) >= count, 20.0, f"{count} readings of {device}")


def report(site: Any, device: str, at: float, **values: float) -> None:
    send(site, f"site/{device}", json.dumps({"temperature": 20.0, "time": at, **values}))


def local(device_hours: float) -> str:
    """Return the local time of a zone, marked as UTC."""
    return (datetime.now(UTC) + timedelta(hours=device_hours)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_history_a_wrong_clock_and_local_time(tmp_path: Path, own_broker: Broker) -> None:
    """Four devices, of which one is right; the agent is killed between the messages of the wrong clock."""
    settings = {
        "agent": {"id": "gw-times"},
        "journal": {"prune": False},
        "sources": [{"topic": "site/{device}"}, {"topic": "door/{device}/{metric}"}],
        "review": {"window": {"max_age_s": 2}},
    }
    agent = AgentProcess(tmp_path / "agent", broker_url=own_broker.url, settings=settings)
    with peer(own_broker.port) as site, agent:
        agent.wait_ready()
        start = time.time()
        report(site, "logger", start)
        report(site, "fallen", start)
        burst = [start - 3 * DAY_S + 3600.0 * hour for hour in range(47)]
        send(site, "site/logger", *(json.dumps({"temperature": 90.0, "time": at}) for at in burst))
        wait_for_rows(agent, "logger", 48)
        for number in range(5):
            report(site, "fallen", time.time() - 23 * DAY_S)
            report(site, "right", time.time())
            send(site, "site/zoned", json.dumps({"temperature": 20.0, "time": local(2.0)}))
            wait_for_rows(agent, "fallen", number + 2)
            if number < 2:
                agent.kill()
                agent.start().wait_ready()
            time.sleep(PACE_S)
        send(site, "door/front/contact", "Open")
        wait_for(
            lambda: "front" in {one["id"] for one in agent.status()["devices"]},
            20.0,
            "the last one is judged",
        )
        wait_for(lambda: agent.status()["counters"]["windows"] >= 3, 20.0, "windows are sealed")
        status = agent.status()
        live, history = rows(agent, "logger")
        assert (live, history) == ([start], burst)
        live, history = rows(agent, "fallen")
        assert [round((start - at) / DAY_S) for at in history] == [23, 23]
        assert all(at >= start for at in live)
        assert len(live) == 4
        assert rows(agent, "right")[1] == []
    notes = " ".join(status["notes"])
    assert "Wrong clock: fallen (23 days behind); set its clock" in notes
    assert "Local time that is sent as UTC, as it seems: zoned (2:00 h ahead)" in notes
    assert "time: {zone: ...}" in notes
    assert len(agent.events("device_clock_wrong")) == len(agent.events("device_time_local")) == 1
    assert status["findings"] == []
    shown = {one["id"]: one for one in status["devices"]}
    assert shown["front"]["metrics"][0]["said"] == "Open"
    assert not any(one["silent"] or one["unreadable"] for one in shown.values())
    (logger,) = shown["logger"]["metrics"]
    assert logger["value"] == 20.0
    with Reader.open(agent.state_dir) as reader:
        windows = list(reader.windows(limit=100))
        assert [one.device for one in reader.clocks()] == ["fallen", "zoned"]
    assert min(one.window.start for one in windows) >= start - 1.0
