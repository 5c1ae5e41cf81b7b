"""Counts of the MQTT packets in one direction of a connection."""

from collections import Counter
from collections.abc import Iterator

DUP, QOS = 0x08, 0x06

Message = tuple[str, bytes]  # topic, payload


class PacketCounter:
    """Feed it the bytes as they pass."""

    def __init__(self) -> None:
        self.publishes = 0  # at QoS 1
        self.repeats = 0  # those with DUP=1
        self.pubacks = 0
        self._head = b""  # a fixed header that is not whole yet
        self._left = 0  # bytes of the current packet that are still to come

    def feed(self, data: bytes) -> None:
        """Count the packets that begin in ``data``."""
        data, self._head = self._head + data, b""
        at = min(self._left, len(data))
        self._left -= at
        while at < len(data):
            length = shift = 0
            place, more = at + 1, True
            while more:
                if place >= len(data):
                    self._head = data[at:]
                    return
                length |= (data[place] & 0x7F) << shift
                more = data[place] > 0x7F
                shift, place = shift + 7, place + 1
            self._count(data[at])
            at = place + length
        self._left += at - len(data)

    def _count(self, first: int) -> None:
        match first & 0xF0:
            case 0x30:  # PUBLISH
                self.publishes += first & QOS != 0
                self.repeats += first & DUP != 0
            case 0x40:  # PUBACK
                self.pubacks += 1


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield first byte and body of each whole packet."""
    at = 0
    while at + 2 <= len(data):
        first = data[at]
        at, length = _variable(data, at + 1)
        if at + length > len(data):
            return
        yield first, data[at : at + length]
        at += length


def _variable(data: bytes, at: int) -> tuple[int, int]:
    """Return where a variable byte integer ends, and its value."""
    value = shift = 0
    for place in range(at, len(data)):
        value |= (data[place] & 0x7F) << shift
        shift += 7
        if data[place] < 0x80:
            return place + 1, value
    return len(data), len(data)


def acknowledged(down: bytes, up: bytes) -> Counter[Message]:
    """Return the messages of one MQTT 5 connection that its client has acknowledged, from all its bytes."""
    messages = {}
    for first, body in _split(down):
        if first & 0xF0 == 0x30 and first & QOS:
            end = 2 + int.from_bytes(body[:2], "big")
            start, length = _variable(body, end + 2)
            messages[body[end : end + 2]] = body[2:end].decode(), body[start + length :]
    acks = [body[:2] for first, body in _split(up) if first & 0xF0 == 0x40]
    return Counter(messages[mid] for mid in acks if mid in messages)
