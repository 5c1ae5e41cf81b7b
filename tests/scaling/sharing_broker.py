"""A broker that deals shared subscriptions by topic, in turns or to one member.

Enough of MQTT 5 for the agent and the doctor: QoS 1, no retained messages, sessions that end with their
connections. Mosquitto deals in turns and nothing else, so `hash_topic` of EMQX is shown by this one.
"""

import socket
import threading
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO, Literal

from tests.mqtt.brokers import Front

Strategy = Literal["hash_topic", "round_robin", "sticky"]


@dataclass(eq=False)
class Client:
    sock: socket.socket
    name: str
    filters: dict[str, int] = field(default_factory=dict)  # with their QoS
    mid: int = 0


def matches(pattern: str, topic: str) -> bool:
    """Return whether a filter has a topic."""
    own, levels = pattern.split("/"), topic.split("/")
    for place, level in enumerate(own):
        if level == "#":
            return True
        if place >= len(levels) or level not in {"+", levels[place]}:
            return False
    return len(own) == len(levels)


def variable(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def read_variable(data: bytes, at: int) -> tuple[int, int]:
    """Return the place behind a variable byte integer, and its value."""
    value = shift = 0
    while True:
        byte = data[at]
        at, value, shift = at + 1, value | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            return at, value


class SharingBroker(Front):
    """Deals shared subscriptions by ``strategy``."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._clients: list[Client] = []
        self._turn = 0
        self._lock = threading.RLock()
        super().__init__()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def _talk(self, client: socket.socket) -> None:
        one = Client(client, "")
        with client, client.makefile("rb") as stream, suppress(OSError, IndexError):
            self._serve(one, stream)
        with self._lock:
            if one in self._clients:
                self._clients.remove(one)

    def _serve(self, client: Client, stream: BinaryIO) -> None:
        while first := stream.read(1):
            length = shift = 0
            while True:
                byte = stream.read(1)[0]
                length, shift = length | (byte & 0x7F) << shift, shift + 7
                if byte < 0x80:
                    break
            with self._lock:
                self._take(client, first[0], stream.read(length))

    def _take(self, client: Client, first: int, body: bytes) -> None:
        match first >> 4:
            case 1:
                self._clients.append(client)
                client.sock.sendall(b"\x20\x03\x00\x00\x00")
            case 3:
                self._publish(client, first, body)
            case 8:
                self._subscribe(client, body)
            case 10:
                client.sock.sendall(b"\xb0\x04" + body[:2] + b"\x00\x00")
            case 12:
                client.sock.sendall(b"\xd0\x00")

    def _subscribe(self, client: Client, body: bytes) -> None:
        at, length = read_variable(body, 2)
        at += length
        codes = bytearray()
        while at < len(body):
            end = at + 2 + int.from_bytes(body[at : at + 2], "big")
            client.filters[body[at + 2 : end].decode()] = codes_of = body[end] & 1
            codes.append(codes_of)
            at = end + 1
        client.sock.sendall(b"\x90" + variable(3 + len(codes)) + body[:2] + b"\x00" + bytes(codes))

    def _publish(self, client: Client, first: int, body: bytes) -> None:
        end = 2 + int.from_bytes(body[:2], "big")
        topic, rest = body[2:end].decode(), body[end:]
        if first & 6:
            client.sock.sendall(b"\x40\x02" + rest[:2])
            rest = rest[2:]
        at, length = read_variable(rest, 0)
        for one, qos in self._receivers(topic):
            one.mid = one.mid % 65_535 + 1
            mid = one.mid.to_bytes(2, "big") if qos else b""
            packet = body[:end] + mid + b"\x00" + rest[at + length :]
            with suppress(OSError):
                one.sock.sendall(bytes([0x30 | qos << 1]) + variable(len(packet)) + packet)

    def _receivers(self, topic: str) -> list[tuple[Client, int]]:
        """Return who gets a message: each plain subscriber, and one member of each group."""
        found, groups = [], dict[str, list[tuple[Client, int]]]()
        for client in self._clients:
            for pattern, qos in client.filters.items():
                _, _, shared = pattern.partition("$share/")
                if shared and matches(shared.partition("/")[2], topic):
                    groups.setdefault(pattern, []).append((client, qos))
                elif not shared and matches(pattern, topic):
                    found.append((client, qos))
        return [*found, *(self._choose(members, topic) for members in groups.values())]

    def _choose(self, members: list[tuple[Client, int]], topic: str) -> tuple[Client, int]:
        match self._strategy:
            case "hash_topic":
                return members[zlib.crc32(topic.encode()) % len(members)]
            case "sticky":
                return members[0]
            case "round_robin":
                self._turn += 1
                return members[self._turn % len(members)]
