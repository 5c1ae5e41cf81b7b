"""A LoRaWAN sensor behind The Things Stack."""

from collections.abc import Iterable
from typing import ClassVar

from simulator.family_device import FamilyDevice, Sensors, iso, message
from simulator.outgoing import Outgoing


class Uplinks:
    """A climate sensor; the network answers no MQTT retain and QoS 0 only."""

    interval_s: ClassVar[float] = 300.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._id = f"climate-{place}"
        self._sensors = Sensors("battery_sensor", name=f"ttn/{self._id}", seed=seed)
        self._count = 0

    def begin(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return nothing: the stack has no message for it."""
        return ()

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return one uplink that two gateways received."""
        self._count += 1
        ids = {"device_id": self._id, "application_ids": {"application_id": "farm"}}
        gateways = [
            {"gateway_ids": {"gateway_id": name}, "rssi": rssi, "snr": snr}
            for name, rssi, snr in (("barn", -71, 8.5), ("mill", -112, -4.25))
        ]
        uplink = {
            "f_port": 2,
            "f_cnt": self._count,
            "frm_payload": "gkHe",
            "decoded_payload": self._sensors.read(at),
            "rx_metadata": gateways,
            "settings": {"data_rate": {"lora": {"bandwidth": 125000, "spreading_factor": 7}}},
            "received_at": iso(at),
        }
        content = {"end_device_ids": ids, "received_at": iso(at), "uplink_message": uplink}
        yield message(f"v3/farm@ttn/devices/{self._id}/up", content)

    def end(self, at: float) -> Iterable[Outgoing]:  # noqa: ARG002 - the protocol's signature
        """Return nothing: the stack has no message for it."""
        return ()


DEVICE: type[FamilyDevice] = Uplinks
