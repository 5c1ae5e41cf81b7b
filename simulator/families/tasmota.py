"""A Tasmota plug that measures power, with a climate sensor."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import ClassVar

from simulator.family_device import FamilyDevice, Sensors, message
from simulator.outgoing import Outgoing


class Plug:
    """A plug with `TelePeriod` 30; its clock is set to UTC, and its times name no zone."""

    interval_s: ClassVar[float] = 30.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._topic = f"tasmota_{place:06X}"
        self._climate = Sensors("room", name=self._topic, seed=seed)
        self._meter = Sensors("solar", name=self._topic, seed=seed)

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the plug as online, and its power as on."""
        yield message(f"tele/{self._topic}/LWT", "Online", retain=True)
        yield message(f"stat/{self._topic}/RESULT", {"POWER": "ON"})
        yield message(f"stat/{self._topic}/POWER", "ON")

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return the telemetry: state and sensors."""
        time = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        wifi = {"AP": 1, "SSId": "site", "Channel": 6, "RSSI": 88, "Signal": -56, "LinkCount": 1}
        yield message(
            f"tele/{self._topic}/STATE",
            {
                "Time": time,
                "Uptime": "0T01:00:00",
                "UptimeSec": 3600,
                "Heap": 25,
                "POWER": "ON",
                "Wifi": wifi,
            },
        )
        climate, meter = self._climate.read(at), self._meter.read(at)
        yield message(
            f"tele/{self._topic}/SENSOR",
            {
                "Time": time,
                "AM2301": {"Temperature": climate["temperature"], "Humidity": climate["humidity"]},
                "ENERGY": {"Total": meter["energy"], "Power": meter["power"], "Voltage": 231},
                "TempUnit": "C",
            },
        )

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the plug as offline."""
        yield message(f"tele/{self._topic}/LWT", "Offline", retain=True)


DEVICE: type[FamilyDevice] = Plug
