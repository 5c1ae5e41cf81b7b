"""Messages of ordinary devices on one Mosquitto: right readings, the fault found."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from agent.journal.reader import Reader
from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

ROOM, FREEZER = "AC233F000002", "AC233F000003"
SOURCES = [
    {"topic": "ble/{gateway}", "format": "ble_gateway"},
    {"topic": "plc/{device}/registers"},
    {"topic": "room/{device}"},
    {"topic": "msh/#", "format": "meshtastic"},
    {"topic": "dsmr/reading/{metric}", "device": "p1"},
    {"topic": "zigbee2mqtt/{name+}", "format": "zigbee2mqtt"},
    {"topic": "hall/{device}/{metric}"},
]


def gateway(at: float, freezer: float) -> str:
    """Return a list of a room and a freezer."""
    sensors = ((ROOM, 21.0 + at % 7 / 20), (FREEZER, freezer + at % 11 / 20))
    return json.dumps(
        [
            {"timestamp": int(at), "type": "S1", "mac": mac, "temperature": round(value, 2)}
            for mac, value in sensors
        ]
    )


def registers(*values: float) -> str:
    """Return a list that grows at its front."""
    numbers = range(len(values), 0, -1)
    return json.dumps(
        {"regs": [{"id": f"r{one}", "val": value} for one, value in zip(numbers, values, strict=True)]}
    )


def node(sender: int, number: int, voltage: float) -> str:
    """Return telemetry of a node that a gateway received."""
    return json.dumps(
        {
            "channel": 0, "from": sender, "id": number, "payload": {"voltage": voltage}, "rssi": -60,
            "timestamp": int(time.time()), "to": 4294967295, "type": "telemetry",
        }
    )  # fmt: skip


def devices(agent: AgentProcess) -> dict[str, Any]:
    """Return the devices of the status by name."""
    return {one["id"]: one for one in agent.status()["devices"]}


def windows_of(agent: AgentProcess, device: str) -> list[float]:
    """Return when the windows of a device begin, in event time."""
    with Reader.open(agent.state_dir) as reader:
        return [one.window.start for one in reader.windows(limit=5_000, device=device)]


def speak(site: Any) -> None:
    """Send the messages of all devices, the freezer's a backlog of a day and a half."""
    now = time.time()
    past = [now - 120.0 * back for back in range(1080, 0, -1)]
    send(site, "ble/g1", *(gateway(at, -18.0 if at < now - 3600.0 else 5.0) for at in past))
    send(site, "plc/press/registers", registers(65.0), registers(1480.0, 65.5), registers(7.0, 1481.0, 66.0))
    send(site, "room/box", '{"battery":61,"temperature":21.5,"humidity":nan}')
    send(site, "room/turned", '{"value":20.0,"unit":"°C"}', '{"value":68.9,"unit":"°F"}')
    send(site, "room/reset", '{"temperature":19.5,"timestamp":"1970-01-01T00:00:12Z"}')
    send(site, "msh/EU/2/json/LongFast/!gw", node(1000000001, 5, 3.9), node(1000000002, 6, 4.1))
    send(site, "dsmr/reading/electricity_currently_delivered", "0.435")
    send(site, "dsmr/reading/phase_voltage_l1", "231.4")
    send(site, "zigbee2mqtt/kitchen/window/left", '{"contact":true,"battery":97}')
    send(site, "zigbee2mqtt/kitchen/window/left/availability", '{"state":"online"}')
    send(site, "zigbee2mqtt/kitchen/window/left/set", '{"contact":false}')
    send(site, "zigbee2mqtt/bridge/info", '{"version":"2.1.0","log_level":3}')
    send(site, "hall/door/state", "ajar", "stiff", "ajar")


#: The newest reading of each series; the freezer's and the room's are looked at apart.
NEWEST = {
    "press": {"regs.r1": 66.0, "regs.r2": 1481.0, "regs.r3": 7.0},
    "box": {"battery": 61.0, "temperature": 21.5},
    "turned": {"value": 20.5},
    "reset": {"temperature": 19.5},
    "1000000001": {"voltage": 3.9, "rssi": -60.0},
    "1000000002": {"voltage": 4.1, "rssi": -60.0},
    "p1": {"electricity_currently_delivered": 0.435, "phase_voltage_l1": 231.4},
    "kitchen/window/left": {"contact": 1.0, "battery": 97.0},
}


def test_each_reading_is_where_it_belongs_and_the_freezer_is_found(
    tmp_path: Path, own_broker: Broker
) -> None:
    """Eight kinds of sites and one agent; nothing is quarantined, and no time is before the backlog."""
    settings = {"agent": {"id": "gw-field"}, "sources": SOURCES}
    with (
        peer(own_broker.port) as site,
        AgentProcess(tmp_path / "agent", broker_url=own_broker.url, settings=settings) as agent,
    ):
        speak(site)
        wait_for(lambda: devices(agent).get("door", {}).get("unreadable"), 20.0, "the last device is shown")
        wait_for(lambda: agent.status()["findings"], 20.0, "a finding")
        wait_for(lambda: windows_of(agent, "kitchen/window/left"), 20.0, "the last window is sealed")
        status, shown = agent.status(), devices(agent)
        earliest = min(start for device in shown for start in windows_of(agent, device))
    assert shown.keys() == {*NEWEST, ROOM, FREEZER, "door"}
    newest = {device: {one["name"]: one["value"] for one in shown[device]["metrics"]} for device in shown}
    assert {device: newest[device] for device in NEWEST} == {
        device: {metric: pytest.approx(value) for metric, value in values.items()}
        for device, values in NEWEST.items()
    }
    assert newest[FREEZER]["temperature"] >= 5.0
    assert newest[ROOM]["temperature"] < 22.0
    assert {one["device"] for one in status["findings"]} == {FREEZER}
    assert shown["box"]["missing"] == [{"name": "humidity", "why": "not_finite"}]
    (turned,) = shown["turned"]["metrics"]
    assert (turned["unit"], turned["said"]) == ("\N{DEGREE SIGN}C", "68.9 \N{DEGREE SIGN}F")
    assert (shown["door"]["unreadable"], shown["door"]["metrics"]) == (True, [])
    assert not any(one["silent"] for one in shown.values())
    assert status["counters"]["quarantined"] == 0
    assert status["counters"]["unmatched"] == 0
    told = {one["source"]: one for one in status["sources"]}
    assert told["hall/{device}/{metric}"]["unread"] == [
        {"device": "door", "name": "state", "why": "unmapped"}
    ]
    assert told["room/{device}"]["times_not_believed"] == 1
    assert earliest > time.time() - 2 * 86_400.0
