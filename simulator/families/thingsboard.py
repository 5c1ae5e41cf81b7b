"""A gateway of ThingsBoard with two machines."""

from collections.abc import Iterable
from typing import ClassVar

from simulator.family_device import FamilyDevice, Sensors, message
from simulator.outgoing import Outgoing


class Gateway:
    """Two pumps behind one gateway."""

    interval_s: ClassVar[float] = 30.0

    def __init__(self, *, place: int, seed: int) -> None:
        names = [f"Pump {place}{letter}" for letter in "AB"]
        self._pumps = {name: Sensors("pump", name=name, seed=seed) for name in names}

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the machines as connected."""
        for name in self._pumps:
            yield message("v1/gateway/connect", {"device": name, "type": "pump"})

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return the telemetry of both machines in one message."""
        content = {
            name: [{"ts": int(at * 1000), "values": pump.read(at)}] for name, pump in self._pumps.items()
        }
        yield message("v1/gateway/telemetry", content)

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the machines as disconnected."""
        for name in self._pumps:
            yield message("v1/gateway/disconnect", {"device": name})


DEVICE: type[FamilyDevice] = Gateway
