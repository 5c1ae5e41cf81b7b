"""The bytes between paho and the socket."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agent.mqtt.wire import Wire, WireError

Seen = tuple[Any, ...]  # first byte, topic, packet id, payload, properties, identifiers if any


def remaining(length: int) -> bytes:
    out = bytearray()
    while True:
        length, byte = length >> 7, length & 0x7F
        out.append(byte | (0x80 if length else 0))
        if not length:
            return bytes(out)


def text(value: str) -> bytes:
    return struct.pack("!H", len(value.encode())) + value.encode()


def packet(first: int, body: bytes) -> bytes:
    return bytes([first]) + remaining(len(body)) + body


def publish(
    topic: bytes,
    payload: bytes,
    *,
    mid: int = 0,
    dup: bool = False,
    retain: bool = False,
    v5: bool = True,
    properties: bytes = b"",
) -> bytes:
    first = 0x30 | dup << 3 | (mid > 0) << 1 | retain
    body = struct.pack("!H", len(topic)) + topic + (struct.pack("!H", mid) if mid else b"")
    if v5:
        body += remaining(len(properties)) + properties
    return packet(first, body + payload)


class Bench:
    """A wire over a socket pair; ``far`` is the broker."""

    def __init__(self, *, v5: bool = True, max_packet_size: int = 1 << 20) -> None:
        near, self.far = socket.socketpair()
        near.settimeout(0.0)
        self.far.settimeout(5)
        self.seen: list[Seen] = []
        self.control: list[bytes] = []
        self.wire = Wire(
            near,
            v5=v5,
            max_packet_size=max_packet_size,
            take=lambda *publish: self.seen.append(publish),
            control=self.control.append,
        )

    def receive(self, data: bytes, slice_bytes: int = 1 << 15) -> None:
        """Send ``data`` from the broker in slices, reading after each."""
        for start in range(0, len(data), slice_bytes):
            self.far.sendall(data[start : start + slice_bytes])
            while self.wire.fill():
                pass

    def close(self) -> None:
        self.wire.close()
        self.far.close()


@contextmanager
def bench(**options: object) -> Iterator[Bench]:
    one = Bench(**options)  # type: ignore[arg-type]
    try:
        yield one
    finally:
        one.close()


def test_publish_with_every_property() -> None:
    """User properties and subscription identifiers come out in order; all others are passed over."""
    properties = (
        b"\x01\x01" + b"\x02\x00\x00\x00\x3c" + b"\x03" + text("application/json") + b"\x08" + text("re/ply")
    )
    properties += b"\x26" + text("a") + text("1") + b"\x09\x00\x02\xff\xfe" + b"\x0b\x80\x01\x23\x00\x05"
    properties += b"\x26" + text("a") + text("ü")
    with bench() as one:
        one.receive(publish(b"t/1", b"21.5", mid=9, dup=True, properties=properties))
    assert one.seen == [(0x3A, b"t/1", 9, b"21.5", (("a", "1"), ("a", "ü")), (128,))]


def test_control_packets_go_to_paho_in_their_place() -> None:
    """Any packet except a PUBLISH is handed on whole, between the PUBLISHes around it."""
    order: list[str] = []
    with bench() as one:
        one.wire.take = lambda *publish: order.append(publish[3].decode())
        one.wire._control = lambda data: order.append(data.hex())
        one.receive(
            publish(b"t", b"1") + b"\xd0\x00" + publish(b"t", b"2") + b"\x90\x04\x00\x01\x00\x01",
            slice_bytes=3,
        )
    assert order == ["1", "d000", "2", "900400010001"]


def test_paho_reads_one_packet_at_a_time() -> None:
    """recv() gives the bytes of the packet at hand, then blocks."""
    with bench() as one:
        one.wire.feed(b"\xd0\x00")
        assert (one.wire.recv(1), one.wire.recv(1)) == (b"\xd0", b"\x00")
        with pytest.raises(BlockingIOError):
            one.wire.recv(1)


@given(
    messages=st.lists(
        st.tuples(
            st.binary(max_size=20),
            st.binary(max_size=300),
            st.integers(0, 65535),
            st.lists(st.tuples(st.text(max_size=3), st.text(max_size=5)), max_size=3),
        ),
        max_size=12,
    ),
    slice_bytes=st.integers(1, 400),
    v5=st.booleans(),
)
def test_slices_change_nothing(
    messages: list[tuple[bytes, bytes, int, list[tuple[str, str]]]], slice_bytes: int, v5: bool
) -> None:
    """However the bytes are cut, the same messages come out."""
    stream, expected = b"", []
    for topic, payload, mid, pairs in messages:
        properties = b"".join(b"\x26" + text(name) + text(value) for name, value in pairs)
        stream += publish(topic, payload, mid=mid, v5=v5, properties=properties)
        expected.append((0x32 if mid else 0x30, topic, mid, payload, tuple(pairs) if v5 else ()))
    with bench(v5=v5) as one:
        one.receive(stream, slice_bytes)
        assert one.seen == expected


@given(st.binary(max_size=200), st.integers(1, 50), st.booleans())
def test_garbage_ends_the_connection_or_waits(data: bytes, slice_bytes: int, v5: bool) -> None:
    """Whatever comes, the wire hands on packets or reports the end of the connection, nothing else."""
    with bench(v5=v5, max_packet_size=100) as one, suppress(WireError):
        one.receive(data, slice_bytes)


@given(st.binary(max_size=60), st.booleans())
def test_garbage_after_the_header_of_a_publish(data: bytes, v5: bool) -> None:
    """A PUBLISH whose inside does not add up ends the connection."""
    with bench(v5=v5) as one:
        try:
            one.receive(packet(0x32, data) + publish(b"next", b"!", v5=v5))
        except WireError:
            return
        assert [seen[1] for seen in one.seen][-1] == b"next"


@pytest.mark.parametrize("slice_bytes", [7, 64, 1 << 15])
def test_oversized_publish_is_cut(slice_bytes: int) -> None:
    """Of a message above the limit the beginning comes through, the rest not; the next is whole."""
    stream = publish(b"t", b"x" * 3000, mid=5, v5=False) + publish(b"t", b"ok", mid=6, v5=False)
    with bench(v5=False, max_packet_size=1000) as one:
        one.receive(stream, slice_bytes)
        (_, _, mid, payload, _), following = one.seen
    assert (mid, len(payload)) == (5, 995)
    assert following == (0x32, b"t", 6, b"ok", ())


def test_a_length_of_five_bytes_ends_the_connection() -> None:
    """MQTT knows at most four length bytes."""
    with bench() as one, pytest.raises(WireError):
        one.receive(b"\x30\xff\xff\xff\xff\x01")


def test_end_of_stream() -> None:
    """FIN from the broker is an error that names it."""
    with bench() as one:
        one.far.shutdown(socket.SHUT_WR)
        with pytest.raises(WireError, match="closed by the broker"):
            one.wire.fill()


def test_writes_are_gathered() -> None:
    """Nothing leaves before the flush; then everything does, as far as the socket takes it."""
    with bench() as one:
        assert one.wire.send(b"ab") == 2
        assert one.wire.send(b"cd") == 2
        one.wire.flush()
        assert one.far.recv(10) == b"abcd"


def test_a_full_socket_keeps_the_rest() -> None:
    """Bytes that the socket does not take stay for later and nothing is lost."""
    blob = bytes(range(256)) * 20_000
    with bench() as one:
        one.wire.send(blob)
        one.wire.flush()
        assert one.wire.wants_write
        got = bytearray()
        while len(got) < len(blob):
            got += one.far.recv(1 << 20)
            one.wire.flush()
    assert bytes(got) == blob


def test_close_sends_what_is_left() -> None:
    """A DISCONNECT that was written just before is still sent."""
    with bench() as one:
        one.wire.send(b"\xe0\x00")
        one.wire.close()
        assert one.far.recv(10) == b"\xe0\x00"
        assert one.far.recv(10) == b""
        assert one.wire.closed
