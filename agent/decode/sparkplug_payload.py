"""Sparkplug B payloads: protobuf messages, and metric values by data type.

Format: https://sparkplug.eclipse.org/specification/version/3.0/ and ``sparkplug_b.proto`` of Eclipse Tahu.
"""

import struct
import zlib
from functools import cache
from math import isfinite
from typing import Any, NamedTuple

from agent.decode.family import DecodeLimits, Skip
from agent.decode.values import is_name, read_unit
from agent.domain.records import DecodeError, DecodeReason

_COMPRESSED = b"SPBV1.0_COMPRESSED"
_GZIP_OR_ZLIB = 47  # zlib: window of 32 KiB, header found by itself
_FLOAT, _BOOLEAN, _DATE_TIME = 9, 11, 13
_STRINGS = frozenset({12, 14, 15})  # String, Text, UUID
_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
_UNSIGNED_BITS = {5: 8, 6: 16, 7: 32, 8: 64}
_NUMBERS = frozenset({"int_value", "long_value", "float_value", "double_value", "boolean_value"})
_BAD_QUALITIES = frozenset({0, 500})  # property Quality: bad, stale
_MAX_PROPERTIES = 64
_MAX_UNIT_BYTES = 64

# Number, name and type of the fields that are read. Names and texts are bytes here, because they may not
# be UTF-8; data sets and templates too, so that their content is not parsed at all.
_FIELDS: dict[str, tuple[tuple[int, str, str], ...]] = {
    "Payload": (
        (1, "timestamp", "uint64"), (2, "metrics", "*Metric"), (3, "seq", "uint64"), (4, "uuid", "bytes"),
        (5, "body", "bytes"),
    ),
    "Metric": (
        (1, "name", "bytes"), (2, "alias", "uint64"), (3, "timestamp", "uint64"), (4, "datatype", "uint32"),
        (5, "is_historical", "bool"), (7, "is_null", "bool"), (9, "properties", "PropertySet"),
        (10, "int_value", "uint32"), (11, "long_value", "uint64"), (12, "float_value", "float"),
        (13, "double_value", "double"), (14, "boolean_value", "bool"), (15, "string_value", "bytes"),
        (16, "bytes_value", "bytes"), (17, "dataset_value", "bytes"), (18, "template_value", "bytes"),
    ),
    "PropertySet": ((1, "keys", "*bytes"), (2, "values", "*PropertyValue")),
    "PropertyValue": ((3, "int_value", "uint32"), (4, "long_value", "uint64"), (8, "string_value", "bytes")),
}  # fmt: skip
_VALUE_FIELDS = tuple(name for number, name, _ in _FIELDS["Metric"] if number >= 10)  # noqa: PLR2004


class Metric(NamedTuple):
    """One metric of a payload; None where the sender left a field out."""

    name: str | None
    alias: int | None
    timestamp: int | None  # milliseconds
    datatype: int | None
    historical: bool
    value: Any  # int, float, bool or bytes as the wire has it; None without one
    field: str | None
    unit: str | None
    bad: bool  # the sender's own quality


class Payload(NamedTuple):
    """One message."""

    timestamp: int | None
    seq: int | None
    metrics: list[Metric]
    more: bool  # metrics beyond the limit of readings were left out


def parse_payload(data: bytes, limits: DecodeLimits) -> Payload:
    """Return the payload of a birth, data or death message.

    Raises:
        DecodeError: it is not a protobuf message, or a compressed one beyond ``limits``.
    """
    message = _parse(data)
    if message.uuid == _COMPRESSED:
        message = _parse(_inflate(message.body, limits))
    metrics = message.metrics
    return Payload(
        _given(message, "timestamp"),
        _given(message, "seq"),
        [_metric(one, limits) for one in metrics[: limits.max_readings]],
        len(metrics) > limits.max_readings,
    )


def read_number(metric: Metric, datatype: int | None) -> float | Skip:
    """Return the value of ``metric`` as ``datatype`` means it, or why it is none.

    Small signed numbers are in an unsigned field as two's complement, and only the data type shows it.
    """
    value = metric.value
    if value is None:
        return Skip.NULL
    if metric.field not in _NUMBERS:
        return Skip.TEXT if metric.field == "string_value" or datatype in _STRINGS else Skip.NOT_A_VALUE
    if datatype == _DATE_TIME:
        return Skip.NOT_A_VALUE
    if metric.field == "float_value":
        value = _shortest(value)
    elif datatype == _BOOLEAN:
        value = bool(value)
    elif type(value) is int and datatype in _SIGNED_BITS:
        value = _signed(value, _SIGNED_BITS[datatype])
    elif type(value) is int and datatype in _UNSIGNED_BITS:
        value &= (1 << _UNSIGNED_BITS[datatype]) - 1
    return float(value) if isfinite(value) else Skip.NOT_FINITE


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _shortest(value: float) -> float:
    """Return the shortest decimal number that is this 32-bit float: 21.3 instead of 21.299999237060547."""
    if not isfinite(value):
        return value
    wire = struct.pack("<f", value)
    for digits in (6, 7, 8):
        short = float(f"{value:.{digits}g}")
        try:
            if struct.pack("<f", short) == wire:
                return short
        except OverflowError:  # rounded up beyond the largest float
            continue
    return value


def _metric(message: Any, limits: DecodeLimits) -> Metric:
    name = message.name if message.HasField("name") else None
    field = None
    if not message.is_null:
        field = next((one for one in _VALUE_FIELDS if message.HasField(one)), None)
    unit, bad = _properties(message) if message.HasField("properties") else (None, False)
    return Metric(
        None if name is None else _name(name, limits),
        _given(message, "alias"),
        _given(message, "timestamp"),
        _given(message, "datatype"),
        message.is_historical,
        None if field is None else getattr(message, field),
        field,
        unit,
        bad,
    )


def _name(given: bytes, limits: DecodeLimits) -> str:
    """Return the name, empty where it cannot name a metric."""
    if len(given) > 4 * limits.max_string:
        return ""
    text = given.decode(errors="replace").strip()
    return text if len(text) <= limits.max_string and is_name(text) else ""


def _properties(message: Any) -> tuple[str | None, bool]:
    """Return the engineering unit, and whether the quality is bad."""
    found = message.properties
    unit, bad = None, False
    keys = found.keys
    for key, value in zip(keys[:_MAX_PROPERTIES], found.values[:_MAX_PROPERTIES], strict=False):
        word = key[:32].lower()
        if (
            word in {b"engunit", b"engunits", b"unit", b"units"}
            and len(value.string_value) <= _MAX_UNIT_BYTES
        ):
            unit = read_unit(value.string_value.decode(errors="replace"))
        elif word == b"quality" and (value.HasField("int_value") or value.HasField("long_value")):
            bad = (value.int_value or value.long_value) in _BAD_QUALITIES
    return unit, bad


def _given(message: Any, field: str) -> int | None:
    return int(getattr(message, field)) if message.HasField(field) else None


def _inflate(body: bytes, limits: DecodeLimits) -> bytes:
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        data = inflater.decompress(body, limits.max_bytes + 1)
    except zlib.error:
        raise DecodeError(DecodeReason.NO_READINGS, "a compressed body that cannot be read") from None
    if len(data) > limits.max_bytes:
        raise DecodeError(DecodeReason.TOO_LARGE, f"a compressed body of more than {limits.max_bytes} bytes")
    return data


def rebirth_command(at: float) -> bytes:
    """Return the payload that asks a node for a birth."""
    at_ms = int(at * 1000)
    message = _runtime()[0]()
    message.timestamp = at_ms
    message.metrics.add(name=b"Node Control/Rebirth", timestamp=at_ms, datatype=_BOOLEAN, boolean_value=True)
    return bytes(message.SerializeToString())


def _parse(data: bytes) -> Any:
    payload, failure = _runtime()
    try:
        return payload.FromString(data)
    except (failure, ValueError, RecursionError):
        raise DecodeError(DecodeReason.NO_READINGS, "not a Sparkplug B payload") from None


@cache
def _runtime() -> tuple[Any, type[Exception]]:
    """Return the class of payloads and the runtime's exception.

    Imported at the first message: few sites need it.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory  # noqa: PLC0415

    file = descriptor_pb2.FileDescriptorProto(name="sparkplug_b.proto", package="sparkplug", syntax="proto2")
    field_type = descriptor_pb2.FieldDescriptorProto
    for name, fields in _FIELDS.items():
        made = file.message_type.add(name=name)
        for number, field, kind in fields:
            word = kind.removeprefix("*")
            one = made.field.add(name=field, number=number)
            one.label = field_type.LABEL_REPEATED if kind != word else field_type.LABEL_OPTIONAL
            if word in _FIELDS:
                one.type, one.type_name = field_type.TYPE_MESSAGE, f".sparkplug.{word}"
            else:
                one.type = field_type.Type.Value(f"TYPE_{word.upper()}")
    pool = descriptor_pool.DescriptorPool()  # of its own: a plug-in of the process may hold the real file
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("sparkplug.Payload")
    ), message.DecodeError
