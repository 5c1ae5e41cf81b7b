"""Messages of the load generator, a pure function of device and number.

A device has one of three styles, which its number selects. ``unique``: the value is the message's number, in
three forms that take turns by device. ``constant``: a contact that sends ``ON``. ``repeating``: a register
that steps through 51 values; 51 divides 65,535, so after a lap of packet ids the same payload has the same
id. Some messages are broken on purpose, in each style.
"""

import json
from typing import NamedTuple

TOPIC = "load"
FILTER = f"{TOPIC}/+"
BROKEN_EVERY = 53  # messages of a unique device; each has its own phase
BROKEN_CONTACT = 9  # the last digit of a constant device whose messages are all broken

CONSTANT = 100_000  # the first device of this style
REPEATING = 200_000  # the first device of this style
CYCLE = 51  # payloads of a repeating device, the first of them broken
PAYLOADS = ("unique", "constant", "repeating", "registers", "mixed")

Reading = tuple[str, float]  # metric, value


class Key(NamedTuple):
    """One message: the device and its number there, from 1."""

    device: int
    number: int


def devices_of(payloads: str, count: int) -> list[int]:
    """Return the devices of a load, in the order in which they take turns.

    ``registers`` are 51 topics that are polled in turn and never change, whatever ``count`` is; ``mixed`` is
    half unique, the rest constant and repeating.
    """
    match payloads:
        case "unique":
            return list(range(count))
        case "constant":
            return list(range(CONSTANT, CONSTANT + count))
        case "repeating":
            return list(range(REPEATING, REPEATING + count))
        case "registers":
            return list(range(CONSTANT, CONSTANT + CYCLE))
        case "mixed":
            styles = (0, CONSTANT, 0, REPEATING)
            return [styles[place % len(styles)] + place for place in range(count)]
    raise ValueError(f"payloads {payloads!r}: expected one of {', '.join(PAYLOADS)}")


def is_unique(device: int) -> bool:
    """Return whether no two messages of the device are alike."""
    return device < CONSTANT


def form_of(key: Key) -> Key:
    """Return the first message that has the same topic and payload; a unique message is its own."""
    if is_unique(key.device):
        return key
    return Key(key.device, key.number % CYCLE if key.device >= REPEATING else 0)


def device_name(device: int) -> str:
    """Return the device's id."""
    return f"d{device:03d}"


def topic_of(device: int) -> str:
    """Return where the device publishes."""
    return f"{TOPIC}/{device_name(device)}"


def is_broken(key: Key) -> bool:
    """Return whether the message can only end in quarantine."""
    if key.device >= REPEATING:
        return key.number % CYCLE == 0
    if key.device >= CONSTANT:
        return key.device % 10 == BROKEN_CONTACT
    return (key.number + 7 * key.device) % BROKEN_EVERY == 0


def payload_of(key: Key) -> bytes:
    """Return the message's payload."""
    number = form_of(key).number
    if is_broken(key):
        return b'{"n":%d,' % number
    if key.device >= REPEATING:
        return b"%d.5" % number
    if key.device >= CONSTANT:
        return b"ON"
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
    if key.device >= REPEATING:
        return (("value", form_of(key).number + 0.5),)
    if key.device >= CONSTANT:
        return (("value", 1.0),)
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
