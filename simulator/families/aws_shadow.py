"""A thing with a device shadow, bridged from AWS IoT."""

from collections.abc import Iterable
from typing import ClassVar

from simulator.family_device import FamilyDevice, Sensors, message
from simulator.outgoing import Outgoing


class Thing:
    """A freezer whose shadow has a set point."""

    interval_s: ClassVar[float] = 60.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._topic = f"things/freezer{place}/shadow/update"
        self._sensors = Sensors("freezer", name=self._topic, seed=seed)
        self._version = 0

    def begin(self, at: float) -> Iterable[Outgoing]:
        """Return the set point that the cloud wishes."""
        yield message(f"{self._topic}/delta", {"timestamp": int(at), "state": {"setpoint": -19}})

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return the accepted document."""
        self._version += 1
        values = self._sensors.read(at)
        times = {name: {"timestamp": int(at)} for name in values}
        content = {
            "state": {"reported": values},
            "metadata": {"reported": times},
            "version": self._version,
            "timestamp": int(at),
        }
        yield message(f"{self._topic}/accepted", content)

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return nothing: a shadow has no message for it."""
        return ()


DEVICE: type[FamilyDevice] = Thing
