"""A Sparkplug B edge node with one device behind it."""

import struct
from collections.abc import Iterable
from typing import Any, ClassVar

from simulator.family_device import FamilyDevice, Sensors, message
from simulator.outgoing import Outgoing

_DOUBLE, _UINT64, _INT8 = 10, 8, 1
# Field numbers of Payload and Metric in sparkplug_b.proto.
_FIELDS = {
    "name": 1, "alias": 2, "timestamp": 3, "datatype": 4, "int_value": 10, "long_value": 11,
    "double_value": 13,
}  # fmt: skip


class EdgeNode:
    """Births declare names and aliases; data holds aliases only."""

    interval_s: ClassVar[float] = 10.0

    def __init__(self, *, place: int, seed: int) -> None:
        self._place = place
        self._sensors = Sensors("pump", name=f"sparkplug/{place}", seed=seed)
        self._seq = -1

    def begin(self, at: float) -> Iterable[Outgoing]:
        """Return the births of node and device."""
        self._seq = -1
        own = {"name": "ambient", "alias": 1, "datatype": _INT8, "int_value": -3 & 0xFF}
        yield self._publish("NBIRTH", at, [_session(), own])
        values = enumerate(self._sensors.read(at).items(), start=2)
        metrics = [
            {"name": name, "alias": alias, "datatype": _DOUBLE, "double_value": value}
            for alias, (name, value) in values
        ]
        yield self._publish("DBIRTH", at, metrics)

    def report(self, at: float) -> Iterable[Outgoing]:
        """Return the values of the device, by their aliases."""
        values = enumerate(self._sensors.read(at).values(), start=2)
        yield self._publish("DDATA", at, [{"alias": alias, "double_value": one} for alias, one in values])

    def end(self, at: float) -> Iterable[Outgoing]:
        """Return the will of the node, which takes the device with it."""
        yield self._publish("NDEATH", at, [_session()])

    def _publish(self, kind: str, at: float, metrics: list[dict[str, Any]]) -> Outgoing:
        at_ms = int(at * 1000)
        body = _number(1, at_ms)
        for metric in metrics:
            body += _chunk(2, b"".join(_field(name, value) for name, value in metric.items()))
        if kind != "NDEATH":
            self._seq = (self._seq + 1) % 256
            body += _number(3, self._seq)
        device = "/pump" if kind.startswith("D") else ""
        return message(f"spBv1.0/plant/{kind}/edge{self._place}{device}", body)


def _session() -> dict[str, Any]:
    return {"name": "bdSeq", "datatype": _UINT64, "long_value": 0}


def _field(name: str, value: Any) -> bytes:
    number = _FIELDS[name]
    if isinstance(value, str):
        return _chunk(number, value.encode())
    if isinstance(value, float):
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    return _number(number, value)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _chunk(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


DEVICE: type[FamilyDevice] = EdgeNode
