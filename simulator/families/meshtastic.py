"""A Meshtastic gateway that passes on the telemetry of two nodes."""

from collections.abc import Iterable
from typing import Any, ClassVar

from simulator.family_device import FamilyDevice, Sensors, message
from simulator.outgoing import Outgoing


class Mesh:
    """All nodes come on the gateway's topic; ``from`` names it."""

    interval_s: ClassVar[float] = 60.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._gateway = f"!{0xAA000000 + place:08x}"
        self._nodes = {
            number: Sensors("outdoor", name=f"mesh-{number}", seed=seed)
            for number in (3_000_000_000 + 10 * place, 3_000_000_001 + 10 * place)
        }

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the gateway as online."""
        yield message(f"msh/EU_868/2/stat/{self._gateway}", "online", retain=True)

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return environment, device metrics and a position of each node."""
        for number, sensors in self._nodes.items():
            values = sensors.read(at)
            environment = {
                "temperature": values["temperature"],
                "relative_humidity": values["humidity"],
                "barometric_pressure": values["pressure"],
            }
            device = {"battery_level": 101, "voltage": 4.2, "uptime_seconds": int(at) % 1_000_000}
            position = {"latitude_i": 520_000_000, "longitude_i": 130_000_000, "sats_in_view": 7}
            packets: tuple[tuple[str, dict[str, Any]], ...] = (
                ("telemetry", environment),
                ("telemetry", device),
                ("position", position),
            )
            for place, (kind, content) in enumerate(packets):
                yield self._packet(number, kind, content, at, place)

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the gateway as offline."""
        yield message(f"msh/EU_868/2/stat/{self._gateway}", "offline", retain=True)

    def _packet(self, number: int, kind: str, content: dict[str, Any], at: float, place: int) -> Outgoing:
        packet = {
            "channel": 0, "from": number, "hops_away": 0, "id": (int(at) * 3 + place) % 2**32, "rssi": -40,
            "payload": content, "snr": 6.5, "sender": self._gateway, "timestamp": int(at), "type": kind,
            "to": 2**32 - 1,
        }  # fmt: skip
        return message(f"msh/EU_868/2/json/LongFast/{self._gateway}", packet)


DEVICE: type[FamilyDevice] = Mesh
