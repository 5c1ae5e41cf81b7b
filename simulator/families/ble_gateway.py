"""A Bluetooth gateway with a list of sensors, and a Ruuvi Gateway."""

import struct
from collections.abc import Iterable
from typing import Any, ClassVar

from simulator.family_device import FamilyDevice, Sensors, iso, message
from simulator.outgoing import Outgoing


class Gateways:
    """A list whose length changes: each third report lacks the first room."""

    interval_s: ClassVar[float] = 30.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._list, self._ruuvi = f"ble/gateway-{place}", f"ruuvi/F0:00:00:00:00:{place % 256:02X}"
        self._tag = f"CB:B8:33:00:00:{place % 256:02X}"
        named = (("room", 1), ("room", 2), ("freezer", 3))
        self._sensors = {
            f"AC233F{place % 65_536:04X}{number:02X}": Sensors(
                signal, name=f"ble-{place}-{number}", seed=seed
            )
            for signal, number in named
        }
        self._outside = Sensors("outdoor", name=self._tag, seed=seed)

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the Ruuvi Gateway as online."""
        yield message(f"{self._ruuvi}/gw_status", {"state": "online"}, retain=True)

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return the list, and one advertisement in hexadecimal."""
        sensors = list(self._sensors.items())
        missing = int(at / self.interval_s) % 3 == 0
        yield message(self._list, [_entry(address, one.read(at), at) for address, one in sensors[missing:]])
        data = _advertisement(self._outside.read(at))
        gateway = {"gw_mac": self._ruuvi.rpartition("/")[2], "rssi": -64, "aoa": [], "coords": ""}
        yield message(f"{self._ruuvi}/{self._tag}", {**gateway, "gwts": int(at), "ts": int(at), "data": data})

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return the Ruuvi Gateway as offline."""
        yield message(f"{self._ruuvi}/gw_status", {"state": "offline"}, retain=True)


def _entry(address: str, values: dict[str, float], at: float) -> dict[str, Any]:
    return {
        "timestamp": iso(at), "type": "S1", "mac": address, "bleName": "", "rssi": -60,
        "temperature": values["temperature"], "battery": 100,
    }  # fmt: skip


def _advertisement(values: dict[str, float]) -> str:
    """Return the Ruuvi data format 5 of temperature, humidity and pressure, everything else not available."""
    fields = struct.pack(
        ">hHHhhhHBH", round(values["temperature"] / 0.005), round(values["humidity"] / 0.0025),
        round(values["pressure"] * 100.0) - 50_000, -32_768, -32_768, -32_768, 0xFFFF, 0xFF, 1,
    )  # fmt: skip
    return "0201061BFF990405" + fields.hex().upper() + "CBB833000000"


DEVICE: type[FamilyDevice] = Gateways
