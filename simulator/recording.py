"""A recording: a line of JSON for each message, with its payload in base64.

``{"offset": 1.25, "topic": "a/b", "payload": "MjEuNQ==", "qos": 1, "retain": false, "properties": {...}}``.
The offset is in seconds since the recording began. Properties (MQTT 5) are there if there are any: ``user``
as a list of pairs, and what :data:`EXTRA` names.
"""

import base64
import binascii
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import paho.mqtt.client as paho

from simulator.outgoing import Outgoing

MAX_LINE = 4 * 1024 * 1024  # bytes; payloads up to 3 MiB
MAX_TOPIC = 65_535
#: Names in a recording by paho's names.
EXTRA = {
    "ContentType": "content_type",
    "ResponseTopic": "response_topic",
    "CorrelationData": "correlation_data",  # base64
    "MessageExpiryInterval": "expiry_s",
    "PayloadFormatIndicator": "payload_format",
}
_LIMITS = {"expiry_s": 0xFFFF_FFFF, "payload_format": 1}
_KEYS = {"offset", "topic", "payload", "qos", "retain", "properties"}


class FileError(Exception):
    """A file that cannot be read or played; one line: file, line, what is wrong and the remedy."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One message and when it came, in seconds since the recording began."""

    offset: float
    message: Outgoing


def taken(message: paho.MQTTMessage, offset: float) -> Recorded:
    """Return a received message in the form to send it again.

    Raises:
        UnicodeDecodeError: the topic is not UTF-8.
    """
    properties = message.properties
    extra = tuple((name, getattr(properties, name)) for name in EXTRA if hasattr(properties, name))
    return Recorded(
        round(offset, 6),
        Outgoing(
            topic=message.topic,
            payload=bytes(message.payload),
            qos=min(message.qos, 1),
            retain=bool(message.retain),
            user=tuple(getattr(properties, "UserProperty", ())),
            extra=extra,
        ),
    )


def dump(one: Recorded) -> str:
    """Return the line, without its end."""
    message = one.message
    body: dict[str, object] = {
        "offset": one.offset,
        "topic": message.topic,
        "payload": base64.b64encode(message.payload).decode(),
        "qos": message.qos,
        "retain": message.retain,
    }
    properties: dict[str, object] = {"user": [list(pair) for pair in message.user]} if message.user else {}
    for name, value in message.extra:
        properties[EXTRA[name]] = base64.b64encode(value).decode() if isinstance(value, bytes) else value
    if properties:
        body["properties"] = properties
    return json.dumps(body, separators=(",", ":"))


def parse(line: bytes) -> Recorded:
    """Return the message of one line.

    Raises:
        ValueError: the error in a few words.
    """
    try:
        body = json.loads(line, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {str(error)[:80]}") from None
    if not isinstance(body, dict):
        raise ValueError("is not an object")  # noqa: TRY004 - one kind of error for the caller
    unknown = sorted(set(body) - _KEYS)
    if unknown:
        raise ValueError(f"has an unknown key {unknown[0][:40]!r}")
    for key in ("offset", "topic", "payload"):
        if key not in body:
            raise ValueError(f"has no {key}")
    user, extra = _properties(body.get("properties", {}))
    return Recorded(
        _offset(body["offset"]),
        Outgoing(
            topic=checked_topic(body["topic"]),
            payload=_decoded(body["payload"], "payload"),
            qos=_one_of(body.get("qos", 1), "qos", (0, 1)),
            retain=bool(_one_of(body.get("retain", False), "retain", (False, True))),
            user=user,
            extra=extra,
        ),
    )


def read(path: Path) -> Iterator[Recorded]:
    """Yield the messages of a recording in order.

    Raises:
        FileError: it cannot be read, or a line is none; nothing after it is yielded.
    """
    try:
        with path.open("rb") as file:
            last = 0.0
            for number, line in enumerate(lines(file, path), 1):
                if not line.strip():
                    continue
                try:
                    one = parse(line)
                except ValueError as error:
                    raise FileError(f"{path}: line {number} {error}; remove or correct it") from None
                if one.offset < last:
                    raise FileError(f"{path}: line {number} is earlier than the one before; sort by offset")
                last = one.offset
                yield one
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}") from None


def lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield lines without ever holding more than :data:`MAX_LINE` bytes.

    Raises:
        FileError: a line is longer.
    """
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise FileError(f"{path}: line {number} is longer than {MAX_LINE // 1024**2} MiB; shorten it")
        yield line


def checked_topic(topic: object) -> str:
    """Return ``topic`` if a message can be published there.

    Raises:
        ValueError: it is not a text, is empty, too long, or holds a wildcard or characters that MQTT forbids.
    """
    if not isinstance(topic, str) or not topic:
        raise ValueError("has a topic that is not a text")
    if any(sign in topic for sign in "+#\0"):
        raise ValueError(f"has the topic {topic[:60]!r} with a wildcard or NUL")
    if len(_text(topic, "topic").encode()) > MAX_TOPIC:
        raise ValueError(f"has a topic of more than {MAX_TOPIC} bytes")
    return topic


def _offset(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("has an offset that is not a number")  # noqa: TRY004 - as above
    try:
        offset = float(value)
    except OverflowError:
        offset = math.inf
    if not 0 <= offset < 1e10:  # noqa: PLR2004 - three centuries
        raise ValueError("has an offset that is negative or too large")
    return offset


def _one_of(value: object, what: str, allowed: tuple[Any, ...]) -> Any:
    for one in allowed:
        if value is one or (type(value) is type(one) and value == one):
            return one
    raise ValueError(f"has {what} {str(value)[:20]!r}, not {' or '.join(json.dumps(one) for one in allowed)}")


def _decoded(value: object, what: str) -> bytes:
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise ValueError(f"has a {what} that is not base64")


def _properties(value: object) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, Any], ...]]:
    if not isinstance(value, Mapping):
        raise ValueError("has properties that are not an object")  # noqa: TRY004 - as above
    unknown = sorted(set(value) - {"user", *EXTRA.values()})
    if unknown:
        raise ValueError(f"has an unknown property {unknown[0][:40]!r}")
    user = value.get("user", [])
    if not isinstance(user, list) or not all(_is_pair(pair) for pair in user):
        raise ValueError("has user properties that are not a list of pairs of texts")
    pairs = tuple((_text(name, "user property"), _text(text, "user property")) for name, text in user)
    extra = [(paho_name, _extra(name, value[name])) for paho_name, name in EXTRA.items() if name in value]
    return pairs, tuple(extra)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and [type(part) for part in value] == [str, str]


def _extra(name: str, value: object) -> Any:
    if name == "correlation_data":
        raw = _decoded(value, name)
        if len(raw) > MAX_TOPIC:
            raise ValueError(f"has {name} of more than {MAX_TOPIC} bytes")
        return raw
    if name in _LIMITS:
        if type(value) is int and 0 <= value <= _LIMITS[name]:
            return value
        raise ValueError(f"has {name} that is not a number from 0 to {_LIMITS[name]}")
    if name == "response_topic":
        return checked_topic(value)
    if not isinstance(value, str):
        raise ValueError(f"has {name} that is not a text")  # noqa: TRY004 - as above
    return _text(value, name)


def _text(value: str, what: str) -> str:
    try:
        if len(value.encode()) <= MAX_TOPIC and "\0" not in value:
            return value
    except UnicodeEncodeError:
        pass
    raise ValueError(f"has a {what} that is too long or no Unicode")


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
