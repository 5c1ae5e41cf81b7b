"""Brokers that do what Mosquitto does not: the bytes are scripted."""

from collections.abc import Callable

import pytest

from agent.domain.records import Arrival
from tests.mqtt.brokers import CONNACK, ScriptedBroker
from tests.mqtt.link_harness import outgoing, running, until
from tests.mqtt.test_wire import packet, publish

CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 8, 10, 12, 14
Script = dict[int, Callable[[bytes], bytes]]


def connack(properties: bytes = b"", *, session: bool = False) -> bytes:
    return packet(0x20, bytes((session, 0, len(properties))) + properties)


def puback(body: bytes) -> bytes:
    at = 2 + int.from_bytes(body[:2], "big")
    return b"\x40\x02" + body[at : at + 2]


def suback(*codes: int) -> Callable[[bytes], bytes]:
    return lambda body: packet(0x90, body[:2] + b"\x00" + bytes(codes))


def script(**changes: Callable[[bytes], bytes]) -> Script:
    plain: dict[str, Callable[[bytes], bytes]] = {
        "connect": lambda _body: CONNACK,
        "publish": puback,
        "subscribe": suback(1),
        "unsubscribe": lambda body: packet(0xB0, body[:2] + b"\x00\x00"),
    }
    numbers = {"connect": CONNECT, "publish": PUBLISH, "subscribe": SUBSCRIBE, "unsubscribe": UNSUBSCRIBE}
    return {numbers[name]: answer for name, answer in (plain | changes).items()}


def test_topic_that_is_not_utf8() -> None:
    """It arrives under a printable topic that no filter matches, and can be acknowledged."""
    answers = script(subscribe=lambda body: suback(1)(body) + publish(b"t/\xff\xfe", b"1", mid=3))
    with ScriptedBroker(answers) as odd, running(port=odd.port, client_id="c", topics=["t/#"]) as harness:
        until(lambda: harness.link.stats.acks_sent == 1)
    (arrival,) = harness.arrivals
    assert arrival.topic == "$invalid-utf8/t/\\xff\\xfe"
    assert arrival.payload == b"1"


@pytest.mark.parametrize(
    "hello",
    [
        publish(b"t", b"early") + CONNACK,
        CONNACK + CONNACK,
        CONNACK + b"\xf0\x00",
        CONNACK + b"\x30\x01\x00",
        CONNACK + b"\xe0\x01\x07",
        CONNACK + packet(0x40, b"\x00"),
    ],
    ids=["publish first", "two CONNACKs", "AUTH", "short publish", "bad reason", "short PUBACK"],
)
def test_nonsense_ends_the_connection_only(hello: bytes) -> None:
    """A broker that breaks the protocol is left and tried again; the thread lives."""
    with (
        ScriptedBroker(script(connect=lambda _body: hello)) as odd,
        running(port=odd.port, client_id="c") as harness,
    ):
        until(lambda: len(odd.packets) >= 3)
        assert harness.thread.is_alive()
    assert not [item for item in harness.items if isinstance(item, Arrival)]
    assert "mqtt_client_id_contested" not in harness.names


def test_limits_of_the_broker() -> None:
    """Limits of the CONNACK are in the state and kept: one in flight, no retain, its keepalive."""
    limits = b"\x21\x00\x01" + b"\x25\x00" + b"\x13\x00\x07" + b"\x27\x00\x00\x10\x00" + b"\x24\x01"
    most: list[int] = []

    def settle(body: bytes) -> bytes:
        most.append(harness.link.stats.in_flight)
        return puback(body)

    with (
        ScriptedBroker(script(connect=lambda _body: connack(limits), publish=settle)) as odd,
        running(port=odd.port, client_id="c") as harness,
    ):
        until(lambda: harness.link.state.connected)
        harness.link.publish([outgoing(n, "t", retain=True) for n in range(5)])
        until(lambda: len(harness.published) == 5)
        state = harness.link.state.limits
        assert harness.link._connection is not None
        assert harness.link._connection._keepalive_s == 7
    assert (state.receive_maximum, state.retain_available, state.max_packet_size) == (1, False, 4096)
    assert max(most) == 1
    assert not any(first & 1 for first, _ in odd.packets if first >> 4 == PUBLISH)


def test_lower_qos_is_said() -> None:
    """A filter granted at a lower QoS than asked for is in the state and reported."""
    with (
        ScriptedBroker(script(subscribe=suback(0, 1))) as odd,
        running(port=odd.port, client_id="c", topics=["a/#", "b/#"]) as harness,
    ):
        harness.subscribed()
        assert harness.link.state.downgraded == ("a/#",)
        assert not harness.link.state.refused
    assert [v["filter"] for v in harness.values("mqtt_subscription_downgraded")] == ["a/#"]


def test_every_filter_refused() -> None:
    """A link without any granted filter is connected and not subscribed, and reports why."""
    with (
        ScriptedBroker(script(subscribe=suback(0x87, 0x8F))) as odd,
        running(port=odd.port, client_id="c", topics=["a/#", "b/#"]) as harness,
    ):
        until(lambda: harness.link.state.refused)
        assert harness.link.state.connected
        assert not harness.link.state.subscribed
    assert [v["reason_code"] for v in harness.values("mqtt_subscription_refused")] == [0x87, 0x8F]


def test_takeover_that_is_told() -> None:
    """Three DISCONNECTs with 0x8E within a minute are takeovers without any detector."""
    with (
        ScriptedBroker(script(publish=lambda body: puback(body) + b"\xe0\x01\x8e")) as odd,
        running(port=odd.port, client_id="c", takeover_silence_s=60.0) as harness,
    ):
        until(lambda: "mqtt_client_id_contested" in harness.names)
        assert harness.link.stats.connects == 3


@pytest.mark.parametrize(
    ("code", "words"), [(0x8B, "shutting down"), (0x98, "administrator"), (0xA7, "ended the connection")]
)
def test_disconnect_in_words(code: int, words: str) -> None:
    """The reason of the broker's DISCONNECT is reported."""
    with (
        ScriptedBroker(script(publish=lambda _body: bytes((0xE0, 1, code)))) as odd,
        running(port=odd.port, client_id="c") as harness,
    ):
        until(lambda: harness.values("mqtt_disconnected"))
        assert words in harness.values("mqtt_disconnected")[0]["error"] or code == 0xA7


def test_filters_are_known_before_they_are_asked_for() -> None:
    """The state names every filter that the session may hold before any SUBSCRIBE or UNSUBSCRIBE is sent."""
    seen: list[tuple[str, ...]] = []

    def note(body: bytes) -> bytes:
        seen.append(harness.states[-1].filters)
        return suback(1)(body)

    with (
        ScriptedBroker(script(connect=lambda _body: connack(session=True), subscribe=note)) as odd,
        running(port=odd.port, client_id="c", topics=["new/#"], previous_filters=["gone/#"]) as harness,
    ):
        harness.subscribed()
        until(lambda: harness.link.state.filters == ("new/#",))
    assert seen[0] in {("gone/#", "new/#"), ("new/#",)}
    kinds = [first >> 4 for first, _ in odd.packets if first >> 4 in {SUBSCRIBE, UNSUBSCRIBE}]
    assert kinds == [UNSUBSCRIBE, SUBSCRIBE]


def test_connect_packet() -> None:
    """The session is kept for a week, bounded, with a will: the content of the CONNECT."""
    with ScriptedBroker(script()) as odd, running(port=odd.port, client_id="the-id") as harness:
        until(lambda: harness.link.state.connected)
    first, body = odd.packets[0]
    assert first == 0x10
    assert body[:7] == b"\x00\x04MQTT\x05"
    assert body[7] & 0x02 == 0  # clean start
    assert body[7] & 0x3C == 0x2C  # will, QoS 1, retained
    assert b"\x11" + (7 * 86_400).to_bytes(4, "big") in body
    assert b"\x21\x01\xf4" in body
    assert b"\x27\x00\x10\x00\x00" in body
    assert b"the-id" in body
    assert b"agent/test/status" in body
    assert odd.packets[-1] == (0xE0, b"")


@pytest.mark.slow
def test_a_pause_is_shorter_than_the_brokers_keepalive() -> None:
    """The answer to a PINGREQ is read, however much waits for the journal."""
    answers = script(connect=lambda _body: connack(b"\x13\x00\x01")) | {PINGREQ: lambda _body: b"\xd0\x00"}
    with ScriptedBroker(answers) as odd, running(port=odd.port, client_id="pause") as harness:
        harness.subscribed().pressed = True
        until(lambda: [first >> 4 for first, _ in odd.packets].count(PINGREQ) >= 4, "four PINGREQs")
        assert [first >> 4 for first, _ in odd.packets].count(CONNECT) == 1
