"""A LoRaWAN sensor behind ChirpStack v4."""

from collections.abc import Iterable
from typing import ClassVar

from simulator.family_device import FamilyDevice, Sensors, iso, message
from simulator.outgoing import Outgoing


class Events:
    """An office sensor that reports its battery at the start."""

    interval_s: ClassVar[float] = 300.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._eui = f"a84041ffff{place:06x}"
        self._topic = f"application/1/device/{self._eui}/event"
        self._sensors = Sensors("office", name=self._topic, seed=seed)
        self._count = 0

    def begin(self, at: float) -> Iterable[Outgoing]:
        """Return a join and a device status."""
        yield message(f"{self._topic}/join", {**self._head(at), "devAddr": "00e5e007"})
        yield message(f"{self._topic}/status", {**self._head(at), "margin": 12, "batteryLevel": 87.4})

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return one uplink."""
        self._count += 1
        radio = [{"gatewayId": "0016c001f10002b1", "rssi": -57, "snr": 9.8, "context": "AQ=="}]
        content = {"fCnt": self._count, "fPort": 2, "data": "AQEw", "object": self._sensors.read(at)}
        yield message(f"{self._topic}/up", {**self._head(at), **content, "rxInfo": radio})

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return nothing: ChirpStack has no message for it."""
        return ()

    def _head(self, at: float) -> dict[str, object]:
        info = {"applicationName": "office", "deviceName": "desk", "devEui": self._eui}
        return {"deduplicationId": "b7f1", "time": iso(at), "deviceInfo": info}


DEVICE: type[FamilyDevice] = Events
