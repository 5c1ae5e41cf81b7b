"""The backlog of the benchmarks: quiet series, few breaches, queued at the broker."""

import random
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from itertools import islice

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

METRICS = ("temperature", "humidity", "vibration")
FILTER = "bench/+/+"
PATTERN = "bench/{device}/{metric}"
LIMITS = {"*/temperature": {"high": 90}}
BREACH = 99.0
BREACH_EVERY = 4001  # messages
BATCH = 1000


def backlog(count: int, series: int, seed: int = 1) -> Iterator[tuple[str, bytes]]:
    """Yield topic and payload of ``count`` bare numbers over ``series`` series in turn."""
    rng = random.Random(seed)
    topics = [
        f"bench/d{number // len(METRICS):03d}/{METRICS[number % len(METRICS)]}" for number in range(series)
    ]
    middles = [rng.uniform(15, 60) for _ in topics]
    for number in range(count):
        place = number % series
        breach = number % BREACH_EVERY == BREACH_EVERY - 1 and place % len(METRICS) == 0
        value = BREACH if breach else rng.gauss(middles[place], 0.4)
        yield topics[place], f"{value:.2f}".encode()


def queue(port: int, items: Iterable[tuple[str, bytes]]) -> float:
    """Publish topics and payloads at QoS 1 over a plain socket, which is fast; return the seconds it took."""
    begun = time.monotonic()
    with connected(port, b"backlog") as sock:
        waiting = iter(items)
        while batch := list(islice(waiting, BATCH)):
            sock.sendall(b"".join(packet(number, *item) for number, item in enumerate(batch, start=1)))
            acks = _receive(sock, 4 * len(batch))
            if acks[::4] != b"\x40" * len(batch):
                raise AssertionError("the broker answered something else than PUBACK")
        sock.sendall(b"\xe0\x00")
    return time.monotonic() - begun


def connected(port: int, client: bytes) -> socket.socket:
    """Return a socket on which an MQTT 3.1.1 session is open."""
    sock = socket.create_connection(("127.0.0.1", port), 30)
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack("!H", len(client)) + client
    sock.sendall(b"\x10" + _size(len(body)) + body)
    if _receive(sock, 4) != b"\x20\x02\x00\x00":
        sock.close()
        raise AssertionError("the broker refused the connection")
    return sock


def packet(number: int, topic: str, payload: bytes) -> bytes:
    """Return an MQTT 3.1.1 PUBLISH at QoS 1."""
    name = topic.encode()
    body = struct.pack("!H", len(name)) + name + struct.pack("!H", number) + payload
    return b"\x32" + _size(len(body)) + body


def _size(length: int) -> bytes:
    """Return a length as MQTT writes it."""
    written = bytearray()
    while length > 127:
        written.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes((*written, length))


def _receive(sock: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        piece = sock.recv(65536)
        if not piece:
            raise AssertionError("the broker closed the backlog's connection")
        parts += piece
    return bytes(parts)


def connect_properties() -> Properties:
    """Return the properties of a session that outlives its connection by an hour."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 3600
    return properties
