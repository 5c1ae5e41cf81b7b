"""When the agent and its devices are announced, and removed."""

import json
from types import SimpleNamespace
from typing import Any

from agent.sinks.discovery import MAX_DELAY_S, MAX_DEVICES, PER_TURN, Discovery
from agent.sinks.homeassistant import HomeAssistantSettings, device_node


class Home:
    """A discovery whose messages are looked at."""

    def __init__(self, *devices: str, retain: bool = False) -> None:
        self.devices = list(devices)
        self.now = 0.0
        self.sent: list[tuple[str, bytes]] = []
        self.state = SimpleNamespace(connected=True, generation=1)
        link: Any = SimpleNamespace(state=self.state, announce=self.announce)
        self.retain = retain
        self.discovery = Discovery(
            settings=HomeAssistantSettings(discovery=True, retain=retain),
            link=link,
            agent="gw1",
            base="edge-agent/gw1",
            page=None,
            devices=lambda: self.devices,
            pause=lambda: 0.5,
            mono=lambda: self.now,
        )

    def announce(self, topic: str, payload: bytes, *, retain: bool, group: str) -> None:
        assert (retain, group) == (self.retain, "homeassistant/device/+/config")
        self.sent.append((topic.removeprefix("homeassistant/device/").removesuffix("/config"), payload))

    def turns(self, count: int = 1) -> list[str]:
        """Return the ids of so many seconds' messages, those of removals with a minus."""
        self.sent.clear()
        for _ in range(count):
            self.now += 1
            self.discovery.look()
        return [node if payload else f"-{node}" for node, payload in self.sent]


ALL = ["edge_agent_gw1", "edge_agent_gw1_a", "edge_agent_gw1_b"]


def test_each_is_announced_once_on_a_connection() -> None:
    """The agent first, then its devices, then nothing; a device that comes later by itself."""
    home = Home("a", "b")
    assert home.turns() == ALL
    assert home.turns(5) == []
    home.devices.append("c")
    assert home.turns(5) == ["edge_agent_gw1_c"]
    assert json.loads(home.sent[0][1])["device"]["via_device"] == "edge_agent_gw1"


def test_a_new_connection_begins_again() -> None:
    """An announcement may have been lost with the old one; without a connection there is none."""
    home = Home("a", "b")
    home.turns()
    home.state.connected = False
    assert home.turns(3) == []
    home.state.connected, home.state.generation = True, 2
    assert home.turns(3) == ALL


def test_its_birth_begins_again_after_a_random_delay() -> None:
    """`online` on its status topic; other words are not a birth."""
    home = Home("a", "b")
    home.turns()
    for word in (b"offline", b"", b"\xff", b"onlinee", b"ONLINE"):
        home.discovery.take_birth(word)
    assert home.turns(30) == []
    home.discovery.take_birth(b"online")
    assert home.turns(int(MAX_DELAY_S * 0.5)) == []
    assert home.turns() == ALL
    assert home.turns(30) == []


def test_a_device_that_is_gone_is_removed() -> None:
    """With an empty message, once; also when it went while there was no connection."""
    home = Home("a", "b", retain=True)
    home.turns()
    home.devices.remove("a")
    assert home.turns(3) == ["-edge_agent_gw1_a"]
    home.state.connected = False
    home.devices.clear()
    assert home.turns() == []
    home.state.connected, home.state.generation = True, 2
    assert home.turns(3) == ["-edge_agent_gw1_b", "edge_agent_gw1"]
    home.devices.append("a")
    assert home.turns(3) == ["edge_agent_gw1_a"]


def test_a_flood_of_devices_is_bounded() -> None:
    """A few in each turn, 1,000 in all, those known longest; and their end is bounded as well."""
    home = Home(*(f"d{place}" for place in range(5000)))
    assert len(home.turns()) == PER_TURN
    later = home.turns(200)
    assert len(later) == MAX_DEVICES + 1 - PER_TURN
    assert device_node("gw1", f"d{MAX_DEVICES - 1}") in later
    home.devices.clear()
    assert len(home.turns()) == PER_TURN
    assert len(home.turns(200)) == MAX_DEVICES - PER_TURN
    assert home.turns(10) == []
