"""An rtl_433 receiver that receives a weather station and a freezer sensor."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import ClassVar

from simulator.family_device import FamilyDevice, Sensors, message
from simulator.outgoing import Outgoing


class Receiver:
    """All its sensors come on one topic; the message names it."""

    interval_s: ClassVar[float] = 30.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._host = f"rtl-{place}"
        self._number = 100 * place
        self._weather = Sensors("outdoor", name=f"{self._host}-weather", seed=seed)
        self._freezer = Sensors("freezer", name=f"{self._host}-freezer", seed=seed)

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the receiver as online."""
        yield message(f"rtl_433/{self._host}/availability", "online", retain=True)

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return one event for each sensor."""
        weather, freezer = self._weather.read(at), self._freezer.read(at)
        time = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
        sensors = (
            {
                "model": "Fineoffset-WHx080",
                "id": self._number + 1,
                "battery_ok": 1,
                "temperature_C": weather["temperature"],
                "humidity": weather["humidity"],
            },
            {
                "model": "Acurite-986",
                "id": self._number + 2,
                "channel": "1R",
                "battery_ok": 1,
                "temperature_C": freezer["temperature"],
            },
        )
        for values in sensors:
            radio = {"mic": "CRC", "rssi": -0.2, "snr": 14.1}
            yield message(f"rtl_433/{self._host}/events", {"time": time, **values, **radio})

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the receiver as offline."""
        yield message(f"rtl_433/{self._host}/availability", "offline", retain=True)


DEVICE: type[FamilyDevice] = Receiver
