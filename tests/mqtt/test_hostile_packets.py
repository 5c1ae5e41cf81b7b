"""Hostile packets of a broker or proxy: they cost time or make paho fail."""

import struct
from typing import Any

import pytest

from agent.mqtt.paho_client import PahoClient
from agent.mqtt.settings import LinkSettings
from agent.mqtt.takeover import TakeoverDetector, _says_offline
from agent.mqtt.wire import MAX_CONTROL, MAX_CONTROLS, MAX_PROPERTIES, Wire, WireError
from tests.fuzz.material import remaining
from tests.fuzz.targets import SilentSocket
from tests.mqtt.brokers import ScriptedBroker
from tests.mqtt.link_harness import running, until
from tests.mqtt.test_oddities import script
from tests.support.growth import MOST, growth

SETTINGS = LinkSettings(host="127.0.0.1", client_id="test", base_topic="edge-agent/gw1")
CONNACK = b"\x20\x03\x00\x00\x00"
EMPTY_PAIR = b"\x26\x00\x00\x00\x00"


def read(data: bytes, *, v5: bool = True) -> list[tuple[tuple[str, str], ...]]:
    """Read what a broker sends with paho behind the wire; return the properties of each PUBLISH."""
    taken: list[tuple[tuple[str, str], ...]] = []
    sock: Any = SilentSocket(data)
    wire = Wire(
        sock,
        v5=v5,
        max_packet_size=1 << 20,
        take=lambda _first, _topic, _mid, _payload, properties, *_: taken.append(properties),
        control=lambda packet: client.feed(packet),  # noqa: PLW0108 - made below
    )
    client = PahoClient(settings=SETTINGS, wire=wire, protocol="5" if v5 else "3.1.1", password=None)
    client.open()
    while wire.fill():
        pass
    return taken


def publish(properties: bytes) -> bytes:
    body = struct.pack("!H", 1) + b"t" + remaining(len(properties)) + properties + b"1"
    return b"\x30" + remaining(len(body)) + body


def suback(size: int) -> bytes:
    properties = EMPTY_PAIR * (size // 5)
    body = b"\x00\x01" + remaining(len(properties)) + properties + b"\x00"
    return b"\x90" + remaining(len(body)) + body


@pytest.mark.parametrize("one", [EMPTY_PAIR, b"\x0b\x01", b"\x01\x01", b"\x26\x00\x01a\x00\x01b"])
def test_properties_are_read_as_far_as_they_are_few(one: bytes) -> None:
    """Of 100,000 properties of a message the first are taken, and the payload is found all the same."""
    (found,) = read(CONNACK + publish(one * 100_000))
    assert len(found) in {0, MAX_PROPERTIES}
    assert growth(lambda count: read(CONNACK + publish(one * count)), int, 100_000) <= MOST
    assert len(read(CONNACK + publish(EMPTY_PAIR * (MAX_PROPERTIES - 1)))[0]) == MAX_PROPERTIES - 1


def test_a_control_packet_is_small() -> None:
    """Paho copies the rest of a packet for each of its properties, so a large one ends the connection."""
    assert read(CONNACK + suback(MAX_CONTROL - 16)) == []
    with pytest.raises(WireError):
        read(CONNACK + suback(1_000_000))
    assert growth(lambda size: read(CONNACK + suback(size)), int, MAX_CONTROL - 16) <= MOST


def test_a_flood_of_answers_is_cut_short() -> None:
    """PUBACKs of nothing that was published are passed over; of other answers few are due."""
    assert read(CONNACK + b"\x40\x02\x00\x01" * 16_000) == []
    assert read(CONNACK + b"\xd0\x00" * (MAX_CONTROLS - 1)) == []
    for answer in (b"\xd0\x00", b"\x90\x04\x00\x01\x00\x00"):
        with pytest.raises(WireError):
            read(CONNACK + answer * 10_000)


@pytest.mark.parametrize(
    "packet",
    [
        b"\x90\x01\x00",  # a SUBACK without a packet id
        b"\x90\x02\x00\x01",  # without properties
        b"\x90\x05\x00\x01\x02\x7f\x00",  # with one that does not exist
        b"\x90\x08\x00\x01\x05\x26\x00\x01\xff\x00",  # with one that is not UTF-8
        b"\x90\x04\x00\x01\x00\x55",  # with a code that does not exist
        b"\xb0\x03\x00\x01\x7f",
        b"\xe0\x01\x55",
        b"\xe0\x02\x00\x7f",
        b"\x20\x01\x00",
        b"\x20\x03\x00\x55\x00",
        b"\x10\x00",
        b"\x62\x02\x00\x01",
        b"\xf0\x01\x00",
    ],
    ids=bytes.hex,
)
@pytest.mark.parametrize("v5", [True, False])
def test_a_packet_that_paho_cannot_read_ends_the_connection(packet: bytes, v5: bool) -> None:
    """With a malformed packet or a protocol error, and with nothing else."""
    for data in (packet, (CONNACK if v5 else b"\x20\x02\x00\x00") + packet):
        try:
            read(data, v5=v5)
        except WireError:
            continue


@pytest.mark.parametrize(
    "said", [b"1" * 5000, b"[" * 60_000, b"\xff", b"", b'{"state":' + b"9" * 5000 + b"}"]
)
def test_a_status_that_is_no_json_says_nothing(said: bytes) -> None:
    """A client that may write to our status topic cannot end the agent."""
    assert not _says_offline(b"\x00\x01t" + said, v5=False)
    assert not _says_offline(b"\x00\x01t\x00" + said, v5=True)


def test_a_witness_is_not_held_by_a_flood() -> None:
    """A topic that is written to without end is read for a moment only."""

    class Flood(SilentSocket):
        reads = 0

        def recv(self, size: int) -> bytes:
            self.reads += 1
            assert self.reads < 10_000
            return b"\x30\x03\x00\x01t" * (size // 5)

    sock: Any = Flood(b"")
    TakeoverDetector(sock, v5=False).listen()
    assert sock.reads > 1


@pytest.mark.parametrize("packet", [b"\x30\x01\x00", suback(100_000)], ids=["short", "long"])
def test_the_link_names_a_malformed_packet(packet: bytes) -> None:
    """The thread goes on, the connection is tried again, and the report blames the broker."""
    answers = script(connect=lambda _body: CONNACK + packet)
    with ScriptedBroker(answers) as odd, running(port=odd.port, client_id="c") as harness:
        until(lambda: sum(first >> 4 == 1 for first, _ in odd.packets) >= 2)
        assert harness.thread.is_alive()
        assert any("malformed packet" in str(values) for _, values in harness.events)
