"""Announcements, by the rules of Home Assistant's core."""

import json
import re
from typing import Any

import pytest

from agent.domain.records import Do, FindingEvent
from agent.sinks.homeassistant import (
    DOCTOR,
    HomeAssistantSettings,
    agent_config,
    agent_node,
    device_config,
    device_node,
    encode_config,
    is_announcement,
)
from agent.sinks.mqtt import encode_device
from agent.verdict.command import read_command
from tests.homeassistant.rules import judge

BASE = "edge-agent/gw1"
HOME = HomeAssistantSettings()
NAMES = [
    "th1", "kitchen/th1", "kitchen_th1", "Küche/Fühler 1", "0x00158d0001", "温度計", "a" * 500, "", " ", "#",
    "+/$SYS", "a\n\x1b[2J", "\ud800", "{{ states('x') }}", '"},"origin":{}', "~/x", "anomaly", "=gateway",
    "-", "_", "A_B", "a_b",
]  # fmt: skip


def announced(device: str, agent: str = "gw1") -> dict[str, Any]:
    payload = device_config(agent=agent, base=BASE, device=device)
    found: dict[str, Any] = json.loads(encode_config(payload))
    return found


def templates(payload: dict[str, Any]) -> list[str]:
    """Return the texts that the core renders."""
    parts = [payload, *payload["availability"], *payload["components"].values()]
    return [text for part in parts for key, text in part.items() if key.endswith("_template")]


@pytest.mark.parametrize("device", NAMES)
def test_every_device_is_announced_as_the_core_wants_it(device: str) -> None:
    """Whatever its id holds: no key, class, id or topic is refused, ignored or warned of."""
    payload = device_config(agent="gw1", base=BASE, device=device)
    assert judge(HOME.config_topic(device_node("gw1", device)), encode_config(payload)) == []
    found = json.loads(encode_config(payload))
    level = encode_device(device)
    assert found["components"]["problem"]["state_topic"] == f"{BASE}/verdicts/{level}"
    assert found["components"]["event"]["state_topic"] == f"{BASE}/events/{level}"
    assert len(found["device"]["name"]) <= 80
    assert found["device"]["name"].isprintable()
    assert templates(found) == templates(announced("other"))  # no text of a device is ever a template


@pytest.mark.parametrize("device", ["küche/th 1", "温度計", "Плита"])
def test_the_core_transcribes_a_name_that_is_not_ascii(device: str) -> None:
    """An entity id of ours would be what is left of the name, or a hash alone."""
    found = announced(device)
    assert found["device"]["name"].startswith(device.replace("/", " "))
    assert not any("default_entity_id" in one for one in found["components"].values())
    assert all("default_entity_id" in one for one in announced("th 1")["components"].values())


@pytest.mark.parametrize("page", [None, "https://gw1.example:8000/"])
@pytest.mark.parametrize("agent", ["gw1", "GW_1", "a-b"])
def test_the_agent_is_announced_as_the_core_wants_it(agent: str, page: str | None) -> None:
    """With connectivity, state, findings, spend and queue; its connectivity is never unavailable."""
    payload = agent_config(agent=agent, base=BASE, page=page)
    assert judge(HOME.config_topic(agent_node(agent)), encode_config(payload)) == []
    parts = payload["components"]
    assert set(parts) == {"connectivity", "state", "findings", "spend", "queue", "pause"}
    pressed = [read_command(parts["pause"][f"payload_{way}"].encode()).do for way in ("on", "off")]
    assert pressed == [Do.PAUSE_MODEL, Do.RESUME_MODEL]
    assert parts["pause"]["command_topic"] == f"{BASE}/command"
    assert "availability" not in payload
    assert "availability" not in parts["connectivity"]
    assert all("availability" in one for name, one in parts.items() if name != "connectivity")
    assert payload["device"].get("configuration_url") == page


def test_an_example_in_full() -> None:
    """The shape of the documentation: availability, parent device, entities and buttons with their words."""
    found = announced("th1")
    assert found["device"] == {
        "identifiers": ["edge_agent_gw1_th1"],
        "name": "th1 (monitor)",
        "manufacturer": "edge-agent",
        "via_device": "edge_agent_gw1",
    }
    assert found["availability"] == [
        {"topic": "edge-agent/gw1/status", "value_template": "{{ value_json.state }}"}
    ]
    parts = found["components"]
    assert {name: one["unique_id"] for name, one in parts.items()} == {
        "problem": "edge_agent_gw1_th1_problem",
        "score": "edge_agent_gw1_th1_score",
        "event": "edge_agent_gw1_th1_event",
        "ack": "edge_agent_gw1_th1_ack",
        "normal_here": "edge_agent_gw1_th1_normal_here",
        "snooze": "edge_agent_gw1_th1_snooze",
    }
    assert parts["problem"]["default_entity_id"] == "binary_sensor.th1_problem"
    assert parts["event"]["event_types"] == [str(event) for event in FindingEvent]


@pytest.mark.parametrize("device", NAMES[:-1])
def test_each_button_is_a_command(device: str) -> None:
    """Its payload is a command on this device, as the agent reads it; the topic is that of commands."""
    for do in (Do.ACK, Do.NORMAL_HERE, Do.SNOOZE):
        button = announced(device)["components"][do]
        assert button["command_topic"] == f"{BASE}/command"
        if not device or not device.isprintable():
            continue  # such a device has no readings
        command = read_command(button["payload_press"].encode())
        assert (command.do, command.device) == (do, device)
        assert command.for_s == (86_400.0 if do is Do.SNOOZE else None)


def test_no_two_devices_share_an_id() -> None:
    """Neither by signs that an id has no room for, nor by a name that looks hashed, nor of two agents."""
    names = [*NAMES, *(f"{name}/x" for name in NAMES), "a/b", "a.b", "a b"]
    names += [device_node("gw1", name).removeprefix("edge_agent_gw1_") for name in names]
    nodes = {name: device_node("gw1", name) for name in names}
    assert len(set(nodes.values())) == len(set(names))
    assert device_node("gw", "1_x") != device_node("gw_1", "x")
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,120}", node) for node in nodes.values())
    assert DOCTOR not in {*nodes.values(), agent_node("doctor"), agent_node("-doctor")}


def test_only_the_agents_own_announcements_are_its_own() -> None:
    """Its device and those behind it; not another agent's, another product's, or garbage."""
    own = agent_config(agent="gw", base="x", page=None), device_config(agent="gw", base="x", device="1_x")
    other = device_config(agent="gw_1", base="x", device="x")
    assert all(is_announcement(encode_config(one), agent="gw") for one in own)
    assert not is_announcement(encode_config(other), agent="gw")
    theirs = {"device": {"identifiers": ["edge_agent_gw"]}, "origin": {"name": "zigbee2mqtt"}}
    for payload in (json.dumps(theirs).encode(), b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"device":1}'):
        assert not is_announcement(payload, agent="gw")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda body: body.update(extra=1), "unknown key extra"),
        (lambda body: body["device"].update(area="x"), "unknown key device.area"),
        (lambda body: body.pop("origin"), "no origin"),
        (lambda body: body["components"]["score"].pop("unique_id"), "whole device is refused"),
        (lambda body: body["components"]["score"].update(device_class="heat"), "device class heat"),
        (lambda body: body["components"]["score"].update(default_entity_id="th1"), "entity id th1"),
        (lambda body: body["components"]["score"].update(expire_after=60), "expire_after"),
        (lambda body: body["components"]["event"].pop("event_types"), "no event types"),
        (lambda body: body["components"]["problem"].update(object_id="x"), "unknown key object_id"),
    ],
)
def test_the_rules_find_what_the_core_refuses(change: Any, fault: str) -> None:
    """Each known trap of discovery is a fault."""
    body = announced("th1")
    change(body)
    faults = judge(HOME.config_topic("edge_agent_gw1_th1"), json.dumps(body).encode())
    assert any(fault in one for one in faults)
