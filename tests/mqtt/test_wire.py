"""The bytes between paho and the socket."""

import errno
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agent.domain.records import Reply
from agent.mqtt.wire import Wire, WireError
from tests.fuzz.material import remaining
from tests.support.growth import MOST, growth

Seen = tuple[Any, ...]  # first byte, topic, packet id, payload, properties, then identifiers and reply if any


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
    """User properties, identifiers and the reply address come out; all others are passed over."""
    properties = (
        b"\x01\x01" + b"\x02\x00\x00\x00\x3c" + b"\x03" + text("application/json") + b"\x08" + text("re/ply")
    )
    properties += b"\x26" + text("a") + text("1") + b"\x09\x00\x02\xff\xfe" + b"\x0b\x80\x01\x23\x00\x05"
    properties += b"\x26" + text("a") + text("ü")
    with bench() as one:
        one.receive(publish(b"t/1", b"21.5", mid=9, dup=True, properties=properties))
    reply = Reply("re/ply", b"\xff\xfe")
    assert one.seen == [(0x3A, b"t/1", 9, b"21.5", (("a", "1"), ("a", "ü")), (128,), reply)]


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


class Failing:
    """A socket that raises."""

    def __init__(self, error: OSError) -> None:
        self.error = error

    def recv(self, _size: int) -> bytes:
        raise self.error

    def send(self, _data: bytes) -> int:
        raise self.error

    def close(self) -> None: ...


def failing(error: OSError) -> Wire:
    """Return a wire over a socket that raises ``error``, with bytes to send."""
    sock: Any = Failing(error)
    wire = Wire(sock, v5=True, max_packet_size=1000, take=lambda *_: None, control=lambda _: None)
    wire.send(b"x")
    return wire


@pytest.mark.parametrize(
    ("error", "hung_up"),
    [
        (ConnectionResetError(), True),
        (BrokenPipeError(), True),
        (ssl.SSLEOFError(), True),
        (OSError(errno.EHOSTUNREACH, "no route"), False),
    ],
)
@pytest.mark.parametrize("use", [Wire.fill, Wire.flush])
def test_a_socket_that_fails_ends_the_connection(
    error: OSError, hung_up: bool, use: Callable[[Wire], object]
) -> None:
    """It is lost; a reset or an end of TLS is the broker's wish."""
    with pytest.raises(WireError, match="the connection was lost") as caught:
        use(failing(error))
    assert caught.value.hung_up is hung_up


@pytest.mark.parametrize("error", [BlockingIOError(), ssl.SSLWantReadError(), ssl.SSLWantWriteError()])
def test_a_socket_that_is_not_ready_is_asked_again(error: OSError) -> None:
    """Nothing is read, and what is gathered stays."""
    wire = failing(error)
    assert wire.fill() == 0
    wire.flush()
    assert wire.wants_write
    wire.close()
    assert not wire.wants_write


def test_a_new_wire_has_nothing_to_read_or_write() -> None:
    """It has the descriptor and the mode of its socket."""
    with bench() as one:
        assert not one.wire.wants_write
        assert one.wire.fileno() == one.wire.sock.fileno()
        with pytest.raises(BlockingIOError):
            one.wire.recv(1)
        one.wire.setblocking(True)
        assert one.wire.sock.getblocking()
        one.wire.setblocking(False)


@pytest.mark.parametrize("slice_bytes", [1, 2, 3, 1 << 15])
@pytest.mark.parametrize("length", [126, 127, 128, 129, 255, 256, 16_383, 16_384])
def test_every_length_of_a_packet(length: int, slice_bytes: int) -> None:
    """One, two and three length bytes, wherever the pieces end."""
    payload = bytes(length - 3)
    message = publish(b"t", payload, v5=False)
    with bench(v5=False) as one:
        one.receive(message + publish(b"u", b"2", v5=False), slice_bytes)
    assert [(seen[1], len(seen[3])) for seen in one.seen] == [(b"t", len(payload)), (b"u", 1)]


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("mid", [0, 1, 0x1234])
def test_flags_topic_and_packet_id(retain: bool, mid: int) -> None:
    """A retained message at QoS 0 has no packet id; topics are longer than 255 bytes."""
    topic = b"t" * 300
    with bench() as one:
        one.receive(publish(topic, b"1", mid=mid, retain=retain, properties=b"\x23" + b"\x00\x05"))
    assert one.seen == [(0x30 | (mid > 0) << 1 | retain, topic, mid, b"1", ())]


def test_texts_longer_than_a_byte_can_say() -> None:
    """Names, values and other properties have two length bytes."""
    properties = b"\x03" + text("c" * 300) + b"\x26" + text("n" * 300) + text("v" * 256)
    with bench() as one:
        one.receive(publish(b"t", b"1", properties=properties))
    assert one.seen == [(0x30, b"t", 0, b"1", (("n" * 300, "v" * 256),))]


def test_a_control_packet_is_handed_on_alone() -> None:
    """The shortest packet at the end of a read, and packets that came together."""
    with bench() as one:
        one.receive(b"\xd0\x00")
        assert one.control == [b"\xd0\x00"]
        one.receive(b"\x40\x02\x00\x01\xd0\x00" + publish(b"t", b"1"))
        assert one.control[1:] == [b"\x40\x02\x00\x01", b"\xd0\x00"]
        assert len(one.seen) == 1


def test_a_connection_that_ends_with_a_control_packet_takes_no_more() -> None:
    """A DISCONNECT of the broker, or a CONNACK that refuses: bytes after it are not handed on."""
    with bench() as one:
        one.wire._control = lambda _packet: one.wire.close()
        one.far.sendall(b"\xe0\x00" + publish(b"t", b"1"))
        one.wire.fill()
        assert one.seen == []


def test_a_control_packet_may_change_who_takes() -> None:
    """Messages behind it in the same read go to the new one."""
    taken: list[bytes] = []

    with bench() as one:

        def change(_packet: bytes) -> None:
            one.wire.take = lambda *publish: taken.append(publish[3])

        one.wire._control = change
        one.receive(publish(b"t", b"1") + b"\xd0\x00" + publish(b"t", b"2"))
    assert ([seen[3] for seen in one.seen], taken) == ([b"1"], [b"2"])


@pytest.mark.parametrize(
    ("message", "v5"),
    [
        (packet(0x30, b"\x00\x09t") + bytes(100), False),  # the topic ends behind the packet
        (packet(0x32, b"\x00\x01t\x00") + bytes(100), False),  # the packet id does
        (packet(0x30, b"\x00\x01t\x05\x01") + bytes(100), True),  # the properties do
        (packet(0x30, b"\x00\x01t\x80"), True),  # their length has no end
        (packet(0x30, b"\x00\x01t\x02\x0b\x80"), True),  # a subscription id has none
        (packet(0x30, b"\x00\x01t\x01\x7f"), True),  # a property that does not exist
        (packet(0x30, b"\x00\x01t\x04\x26\x00\x01a"), True),  # a pair without a value
        (packet(0x30, b"\x00\x01t\x02\x02\x00" + bytes(9)), True),  # an expiry of one byte
        (packet(0x30, b"\x00\x01t\x06\x26\x00\x01\xff\x00\x00"), True),  # a name that is not UTF-8
    ],
)
def test_a_publish_that_does_not_add_up(message: bytes, v5: bool) -> None:
    """It ends the connection, which the broker did not ask for."""
    with bench(v5=v5) as one, pytest.raises(WireError, match="malformed packet") as caught:
        one.receive(message)
    assert not caught.value.hung_up


def test_the_limits_of_one_read() -> None:
    """512 control packets, acknowledgements apart, 8,192 bytes in one, 128 properties of a message."""
    with bench() as one:
        one.receive((b"\xd0\x00" * 512) + b"\x40\x02\x00\x01" * 1000)
        assert len(one.control) == 1512
        with pytest.raises(WireError):
            one.receive(b"\xd0\x00" * 513)
    with bench() as one:
        one.receive(packet(0x90, bytes(8192)))
        assert len(one.control) == 1
        with pytest.raises(WireError):
            one.receive(packet(0x90, bytes(8193)))
    with bench(max_packet_size=100) as one:
        one.receive(packet(0x90, bytes(100)))
        with pytest.raises(WireError):
            one.receive(packet(0x90, bytes(101)))
    pair = b"\x26" + text("a") + text("1")
    with bench() as one:
        for count in (127, 128, 200):
            one.receive(publish(b"t", b"21.5", properties=pair * count))
        assert [(len(seen[4]), seen[3]) for seen in one.seen] == [(127, b"21.5"), *[(128, b"21.5")] * 2]


def test_a_large_packet_in_small_pieces_takes_linear_time() -> None:
    """Nothing is looked at again until the packet is whole."""

    def receive(size: int) -> None:
        with bench(max_packet_size=1 << 24) as one:
            one.receive(publish(b"t", bytes(size)), 256)
            assert len(one.seen) == 1

    assert growth(receive, int, 1_000_000) <= MOST
