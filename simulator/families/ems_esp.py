"""A boiler and its thermostat behind EMS-ESP."""

from collections.abc import Iterable
from typing import ClassVar

from simulator.family_device import FamilyDevice, Sensors, message
from simulator.outgoing import Outgoing


class Heating:
    """One gateway a house."""

    interval_s: ClassVar[float] = 60.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._base = f"house{place}/ems-esp"
        self._room = Sensors("room", name=self._base, seed=seed)
        self._water = Sensors("outdoor", name=self._base, seed=seed)

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the gateway as online."""
        yield message(f"{self._base}/status", "online", retain=True)

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return boiler and thermostat."""
        flow = round(45.0 + self._water.read(at)["temperature"] / 2, 1)
        boiler = {"curflowtemp": flow, "syspress": 1.6, "burngas": "off", "servicecode": "0H"}
        yield message(f"{self._base}/boiler_data", {**boiler, "servicecodenumber": 203})
        circuit = {"seltemp": 21, "currtemp": self._room.read(at)["temperature"], "mode": "auto"}
        yield message(f"{self._base}/thermostat_data", {"hc1": circuit})

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the gateway as offline."""
        yield message(f"{self._base}/status", "offline", retain=True)


DEVICE: type[FamilyDevice] = Heating
