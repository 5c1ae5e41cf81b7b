"""A GX device of Victron with battery and grid meter."""

from collections.abc import Iterable
from typing import ClassVar

from simulator.family_device import FamilyDevice, Sensors, message
from simulator.outgoing import Outgoing


class Gx:
    """One topic a value, published on each change."""

    interval_s: ClassVar[float] = 30.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._base = f"N/c0619ab{place:05x}"
        self._solar = Sensors("solar", name=self._base, seed=seed)
        self._pack = Sensors("battery_sensor", name=self._base, seed=seed)

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return identity and connection of the battery."""
        yield message(f"{self._base}/battery/512/ProductId", {"value": 41475})
        yield message(f"{self._base}/battery/512/Connected", {"value": 1})

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return the values of the battery and of the inverter; one phase is not there."""
        pack = self._pack.read(at)
        yield message(f"{self._base}/battery/512/Dc/0/Temperature", {"value": pack["temperature"]})
        yield message(f"{self._base}/battery/512/Dc/0/Voltage", {"value": round(pack["battery"] * 16, 2)})
        yield message(f"{self._base}/pvinverter/20/Ac/Power", {"value": self._solar.read(at)["power"]})
        yield message(f"{self._base}/pvinverter/20/Ac/L2/Power", {"value": None})

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the battery as gone from the bus."""
        yield message(f"{self._base}/battery/512/Connected", {"value": 0})
        yield message(f"{self._base}/battery/512/Dc/0/Voltage", "")


DEVICE: type[FamilyDevice] = Gx
