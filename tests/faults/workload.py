"""What the load generator sends, as a pure function of device and number, so that the checker knows it too.

Every value is unique for its device and metric: the number itself. Three forms take turns by device: a bare
number, a JSON object with two metrics, an object with value and unit. Some messages are broken on purpose.
"""

import json
from typing import NamedTuple

TOPIC = "load"
FILTER = f"{TOPIC}/+"
BROKEN_EVERY = 53  # messages; each device has its own phase

Reading = tuple[str, float]  # metric, value


class Key(NamedTuple):
    """One message: the device and its number there, from 1."""

    device: int
    number: int


def device_name(device: int) -> str:
    """Return the device's id."""
    return f"d{device:03d}"


def topic_of(device: int) -> str:
    """Return where the device publishes."""
    return f"{TOPIC}/{device_name(device)}"


def is_broken(key: Key) -> bool:
    """Say whether the message can only end in quarantine."""
    return (key.number + 7 * key.device) % BROKEN_EVERY == 0


def payload_of(key: Key) -> bytes:
    """Return the message's payload."""
    number = key.number
    if is_broken(key):
        return b'{"n":%d,' % number
    match key.device % 3:
        case 0:
            return b"%d" % number
        case 1:
            return json.dumps({"n": number, "twin": number + 0.5}).encode()
        case _:
            return json.dumps({"value": number, "unit": "degC"}).encode()


def readings_of(key: Key) -> tuple[Reading, ...]:
    """Return the readings that a decoder must make of the message."""
    if is_broken(key):
        return ()
    if key.device % 3 == 1:
        return ("n", float(key.number)), ("twin", key.number + 0.5)
    return (("value", float(key.number)),)


def key_of_topic(topic: str) -> int | None:
    """Return the device of a topic, None for a stranger's."""
    head, _, name = topic.partition("/")
    return int(name[1:]) if head == TOPIC and name[:1] == "d" and name[1:].isdigit() else None


def key_of_broken(topic: str, payload: bytes) -> Key | None:
    """Return the message that a quarantined payload is, None for a stranger."""
    device = key_of_topic(topic)
    digits = payload.removeprefix(b'{"n":').removesuffix(b",")
    return Key(device, int(digits)) if device is not None and digits.isdigit() else None
