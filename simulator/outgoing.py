"""Messages that a connection is given to publish, and their fate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One PUBLISH. ``extra`` holds MQTT 5 properties in addition to the user's, by paho's names."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    user: Sequence[tuple[str, str]] = ()
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def size(self) -> int:
        """Bytes of the packet, at most."""
        words = sum(len(name) + len(value) for name, value in self.user) * 4 + 16 * len(self.user)
        more = sum(8 + (len(value) * 4 if isinstance(value, str | bytes) else 8) for _, value in self.extra)
        return len(self.payload) + len(self.topic.encode()) + words + more + 16

    def properties(self) -> Properties | None:
        """Return what goes out with it under MQTT 5."""
        if not self.user and not self.extra:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if self.user:
            properties.UserProperty = list(self.user)
        for name, value in self.extra:
            setattr(properties, name, value)
        return properties


@dataclass(slots=True)
class LinkStats:
    """Counters of one connection, or the sums over many."""

    published: int = 0  # handed over for publishing
    acked: int = 0  # QoS 1: acknowledged; QoS 0: written
    refused: int = 0  # acknowledged with a reason code from 0x80, or larger than the broker takes
    dropped: int = 0  # QoS 0 while there was no connection
    connects: int = 0
    disconnects: int = 0  # connections that were lost, or cut on purpose

    @property
    def unacked(self) -> int:
        """Messages of which nothing is known yet."""
        return self.published - self.acked - self.dropped

    def add(self, other: "LinkStats") -> None:
        """Add the counters of another connection."""
        self.published += other.published
        self.acked += other.acked
        self.refused += other.refused
        self.dropped += other.dropped
        self.connects += other.connects
        self.disconnects += other.disconnects
