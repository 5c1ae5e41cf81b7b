"""Encoder of Sparkplug B payloads that shares nothing with the decoder."""

import struct
from typing import Any

FIELDS = {
    "name": 1, "alias": 2, "timestamp": 3, "datatype": 4, "is_historical": 5, "is_null": 7, "int_value": 10,
    "long_value": 11, "float_value": 12, "double_value": 13, "boolean_value": 14, "string_value": 15,
}  # fmt: skip


def payload(*metrics: dict[str, Any], at_ms: int, seq: int | None = None) -> bytes:
    """Return one message with ``metrics``, each by the names of its fields."""
    body = _varint(1 << 3) + _varint(at_ms)
    for metric in metrics:
        body += _bytes(2, b"".join(_field(name, value) for name, value in metric.items()))
    return body if seq is None else body + _varint(3 << 3) + _varint(seq)


def _field(name: str, value: Any) -> bytes:
    number = FIELDS[name]
    if isinstance(value, str):
        return _bytes(number, value.encode())
    if name == "float_value":
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    if name == "double_value":
        return _varint(number << 3 | 1) + struct.pack("<d", value)
    return _varint(number << 3) + _varint(int(value))


def _bytes(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
