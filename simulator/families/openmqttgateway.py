"""An OpenMQTTGateway with two Bluetooth thermometers and its own state."""

from collections.abc import Iterable
from typing import ClassVar

from simulator.family_device import FamilyDevice, Sensors, message
from simulator.outgoing import Outgoing

_SENSORS = 2


class Gateway:
    """A gateway that relays the advertisements of its sensors, in °C and °F."""

    interval_s: ClassVar[float] = 30.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._topic = f"home/OMG_{place}"
        self._sensors = {
            address: Sensors("room", name=address, seed=seed)
            for address in (
                f"A4:C1:38:00:{place % 256:02X}:{number:02X}" for number in range(1, _SENSORS + 1)
            )
        }

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the gateway as online."""
        yield message(f"{self._topic}/LWT", "online", retain=True)

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return one message for each sensor, and the gateway's own."""
        for address, sensors in self._sensors.items():
            values = sensors.read(at)
            warm = values["temperature"]
            yield message(
                f"{self._topic}/BTtoMQTT/{address.replace(':', '')}",
                {
                    "id": address, "name": "ATC", "brand": "Xiaomi", "model": "TH Sensor", "rssi": -70,
                    "tempc": warm, "tempf": round(warm * 1.8 + 32.0, 2), "hum": values["humidity"],
                    "batt": 83,
                },
            )  # fmt: skip
        yield message(
            f"{self._topic}/SYStoMQTT", {"uptime": int(at) % 100_000, "version": "v1.7", "freemem": 110_000}
        )

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the gateway as offline."""
        yield message(f"{self._topic}/LWT", "offline", retain=True)


DEVICE: type[FamilyDevice] = Gateway
