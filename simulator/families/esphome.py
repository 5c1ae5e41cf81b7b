"""An ESPHome node: one retained topic for each value."""

from collections.abc import Iterable
from typing import ClassVar

from simulator.family_device import FamilyDevice, Sensors, message
from simulator.outgoing import Outgoing

_FAILS_EACH = 20  # reports


class Node:
    """A node with climate sensors and a binary sensor."""

    interval_s: ClassVar[float] = 30.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._prefix = f"esp-room-{place}"
        self._sensors = Sensors("office", name=self._prefix, seed=seed)

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the node as online, with a log line."""
        yield message(f"{self._prefix}/status", "online", retain=True)
        yield message(f"{self._prefix}/debug", "\x1b[0;32m[I][app:100]: ESPHome started\x1b[0m")

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return all states."""
        values = self._sensors.read(at)
        present = values.pop("occupancy") >= 1.0
        for name, value in values.items():
            failed = name == "humidity" and int(at / self.interval_s) % _FAILS_EACH == 0
            text = "nan" if failed else f"{value:g}"
            yield message(f"{self._prefix}/sensor/{name}/state", text, retain=True)
        yield message(f"{self._prefix}/binary_sensor/motion/state", "ON" if present else "OFF", retain=True)

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the node as offline."""
        yield message(f"{self._prefix}/status", "offline", retain=True)


DEVICE: type[FamilyDevice] = Node
