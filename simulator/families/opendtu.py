"""A PV inverter behind OpenDTU."""

from collections.abc import Iterable
from typing import ClassVar

from simulator.family_device import FamilyDevice, Sensors, message
from simulator.outgoing import Outgoing


class Inverter:
    """An inverter with one string; the radio gateway has its own topics."""

    interval_s: ClassVar[float] = 30.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._serial = f"1141906{place:05d}"
        self._sensors = Sensors("solar", name=f"solar/{self._serial}", seed=seed)

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return gateway and name of the inverter."""
        yield message("solar/dtu/status", "online", retain=True)
        yield message(f"solar/{self._serial}/name", "Roof")

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return the values as plain text, one topic each."""
        values = self._sensors.read(at)
        texts = {
            "0/power": f"{values['power']:.1f}",
            "0/yieldtotal": f"{values['energy']:.3f}",
            "1/power": f"{values['power'] * 1.04:.1f}",
            "status/reachable": str(int(values["power"] > 0)),
            "status/last_update": str(int(at)),
        }
        for path, text in texts.items():
            yield message(f"solar/{self._serial}/{path}", text)
        yield message("solar/dtu/rssi", "-61")

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the gateway as offline."""
        yield message("solar/dtu/status", "offline", retain=True)


DEVICE: type[FamilyDevice] = Inverter
