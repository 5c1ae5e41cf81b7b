"""Shelly devices: a Gen2 plug, and a Gen1 climate sensor."""

from collections.abc import Iterable
from typing import Any, ClassVar

from simulator.family_device import FamilyDevice, Sensors, message
from simulator.outgoing import Outgoing


class PlugAndClimate:
    """A Shelly Plus Plug with notifications and status messages, and a Shelly H&T of the first generation."""

    interval_s: ClassVar[float] = 20.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._plug = f"shellyplusplugs-{place:012x}"
        self._climate = f"shellies/shellyht-{place:06X}"
        self._meter = Sensors("solar", name=self._plug, seed=seed)
        self._room = Sensors("room", name=self._climate, seed=seed)

    def begin(self, at: float) -> Iterable[Outgoing]:
        """Return both as online, and the full status of the plug."""
        yield message(f"{self._plug}/online", "true", retain=True)
        yield message(f"{self._climate}/online", "true", retain=True)
        yield self._notify(
            "NotifyFullStatus", at, {"switch:0": self._switch(at), "cloud": {"connected": False}}
        )

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return a partial notification, the status of the switch, and the values of the climate sensor."""
        switch = self._switch(at)
        yield self._notify("NotifyStatus", at, {"switch:0": {"id": 0, "apower": switch["apower"]}})
        yield message(f"{self._plug}/status/switch:0", switch)
        for name, value in self._room.read(at).items():
            yield message(f"{self._climate}/sensor/{name}", f"{value:g}")
        yield message(f"{self._climate}/sensor/battery", "94")

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return both as offline."""
        yield message(f"{self._plug}/online", "false", retain=True)
        yield message(f"{self._climate}/online", "false", retain=True)

    def _notify(self, method: str, at: float, status: dict[str, Any]) -> Outgoing:
        frame = {"src": self._plug, "dst": f"{self._plug}/events", "method": method}
        return message(f"{self._plug}/events/rpc", {**frame, "params": {"ts": at, **status}})

    def _switch(self, at: float) -> dict[str, Any]:
        meter = self._meter.read(at)
        warm = round(30.0 + meter["power"] / 200.0, 1)
        return {
            "id": 0,
            "source": "init",
            "output": True,
            "apower": meter["power"],
            "voltage": 230.4,
            "aenergy": {
                "total": meter["energy"] * 1000.0,
                "by_minute": [1.0, 1.0, 1.0],
                "minute_ts": int(at),
            },
            "temperature": {"tC": warm, "tF": round(warm * 1.8 + 32.0, 1)},
        }


DEVICE: type[FamilyDevice] = PlugAndClimate
