"""Announcements of the agent and its devices to Home Assistant."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from agent.mqtt.link import Link
from agent.sinks.homeassistant import (
    HomeAssistantSettings,
    Payload,
    agent_config,
    agent_node,
    device_config,
    device_node,
    encode_config,
)

ONLINE = b"online"
EVERY_S = 1.0
PER_TURN = 20  # announcements: they share the link with verdicts
MAX_DEVICES = 1000
MAX_DELAY_S = 10.0  # after its start, as many devices of others announce themselves then


@dataclass(slots=True, kw_only=True)
class Discovery:
    """Announces the agent and its devices, at most 1,000, those known longest.

    ``devices`` returns the devices in the order of their meeting, ``pause`` a share of the random delay.
    """

    settings: HomeAssistantSettings
    link: Link
    agent: str
    base: str
    page: str | None
    devices: Callable[[], Iterable[str]]
    pause: Callable[[], float]  # 0 to 1
    mono: Callable[[], float] = time.monotonic
    standby: bool = False  # another agent may publish in its place
    _generation: int = 0  # of the connection of the last announcement
    _announced: dict[str, None] = field(default_factory=dict)  # ids, on this connection and since its start
    _known: dict[str, None] = field(default_factory=dict)  # ids that it may know
    _born: bool = False  # it has started; set on the net thread
    _resume_at: float = 0.0

    def take_birth(self, payload: bytes) -> None:
        """Take a message of its birth topic, on any thread."""
        self._born = self._born or payload.strip() == ONLINE

    async def run(self) -> None:
        """Announce until the process ends."""
        while True:
            self.look()
            await asyncio.sleep(EVERY_S)

    def look(self) -> None:
        """Announce some devices that are new on this connection or since its start; remove those gone."""
        state, now = self.link.state, self.mono()
        if state.generation != self._generation:
            self._generation = state.generation
            self._announced.clear()
        if self._born:
            self._born = False
            self._announced.clear()
            self._resume_at = now + MAX_DELAY_S * self.pause()
        if not state.connected or now < self._resume_at:
            return
        wanted: dict[str, str | None] = {agent_node(self.agent): None}
        wanted |= {device_node(self.agent, one): one for one in islice(self.devices(), MAX_DEVICES)}
        gone = [node for node in self._known if node not in wanted]
        for node in islice(gone, PER_TURN):
            self._announced.pop(node, None)
            del self._known[node]
            self._send(node, b"")
        new = (node for node in wanted if node not in self._announced)
        for node in list(islice(new, PER_TURN - min(len(gone), PER_TURN))):
            self._announced[node] = self._known[node] = None
            self._send(node, encode_config(self._config(wanted[node])))

    def _config(self, device: str | None) -> Payload:
        if device is None:
            return agent_config(agent=self.agent, base=self.base, page=self.page)
        return device_config(agent=self.agent, base=self.base, device=device, standby=self.standby)

    def _send(self, node: str, payload: bytes) -> None:
        topic, group = self.settings.config_topic(node), self.settings.config_topic("+")
        self.link.announce(topic, payload, retain=self.settings.retain, group=group)
