"""A zigbee2mqtt climate sensor with a slash in its friendly name."""

from collections.abc import Iterable
from typing import ClassVar

from simulator.family_device import FamilyDevice, Sensors, iso, message
from simulator.outgoing import Outgoing


class Climate:
    """A battery climate sensor behind a zigbee2mqtt bridge."""

    interval_s: ClassVar[float] = 30.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._topic = f"zigbee2mqtt/room {place}/climate"
        self._sensors = Sensors("room", name=self._topic, seed=seed)

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return bridge and device as online."""
        yield message("zigbee2mqtt/bridge/state", {"state": "online"}, retain=True)
        yield message(f"{self._topic}/availability", {"state": "online"}, retain=True)

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return one state message."""
        radio = {"battery": 97, "voltage": 3005, "linkquality": 120, "last_seen": iso(at)}
        yield message(self._topic, {**self._sensors.read(at), **radio})

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the device as offline."""
        yield message(f"{self._topic}/availability", {"state": "offline"}, retain=True)


DEVICE: type[FamilyDevice] = Climate
