"""Messages that a broker sent while ``discover`` listened, in bounded memory."""

from dataclasses import dataclass, field
from typing import NamedTuple

from agent.decode.family import DecodeLimits, Properties

MAX_TOPICS = 5_000
MAX_KEPT = 20_000  # messages
MAX_KEPT_BYTES = 16 * 1024 * 1024
FEW = 4  # messages of one topic that are kept when the rest is full
RETAIN_BIT = 0x01  # of the first byte of a PUBLISH (MQTT 5, 3.3.1)
MESSAGE_BYTES = 256  # of a kept message beyond its payload


class Message(NamedTuple):
    """One message."""

    topic: str
    payload: bytes
    at: float  # receipt, Unix seconds
    retained: bool
    properties: Properties = ()


@dataclass(slots=True)
class Heard:
    """Takes messages; counts all, and keeps a part of them for decoding."""

    limits: DecodeLimits = field(default_factory=DecodeLimits)
    kept: list[Message] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)  # messages by topic
    messages: int = 0
    payload_bytes: int = 0
    left_out: int = 0  # messages that were not kept
    _kept_bytes: int = 0

    def take(
        self, topic: bytes, payload: bytes, at: float, *, retained: bool, properties: Properties
    ) -> None:
        """Take one message; ``at`` is its receipt in Unix seconds."""
        self.messages += 1
        self.payload_bytes += len(payload)
        name = topic.decode(errors="replace")
        count = self.counts.get(name, 0)
        size = len(payload) + len(topic) + MESSAGE_BYTES
        if (not count and len(self.counts) >= MAX_TOPICS) or not self._has_room(count, size):
            self.left_out += 1
            return
        self.counts[name] = count + 1
        if len(payload) > self.limits.max_bytes:
            payload = payload[: self.limits.max_bytes + 1]  # refused for its size all the same
        self.kept.append(Message(name, payload, at, retained, properties))
        self._kept_bytes += size

    def _has_room(self, count: int, size: int) -> bool:
        factor = 1 if count >= FEW else 2
        kept = len(self.kept) < factor * MAX_KEPT
        return kept and self._kept_bytes + size <= factor * MAX_KEPT_BYTES
