"""The link against a real Mosquitto."""

import json

import pytest

from agent.domain.records import Arrival, LinkDown, LinkUp
from agent.mqtt import Subscription
from tests.mqtt.link_harness import LinkHarness, outgoing, peer, running, send, until, user_properties
from tests.support.broker import Broker


def test_first_connection(broker: Broker) -> None:
    """LinkUp comes first, then what is published arrives with its properties and is acknowledged."""
    with (
        running(port=broker.port, client_id="first", topics=["first/#"]) as harness,
        peer(broker.port) as other,
    ):
        harness.subscribed()
        properties = user_properties(("traceparent", "00-1"), ("a", "b"), ("a", "c"))
        other.publish("first/t", b"21.5", qos=1, properties=properties).wait_for_publish(60)
        until(lambda: harness.link.stats.acks_sent == 1)

    up, arrival, down = harness.items
    assert isinstance(up, LinkUp)
    assert (up.generation, up.session_present, up.protocol) == (1, False, "5")
    assert isinstance(arrival, Arrival)
    assert (
        arrival.topic,
        arrival.payload,
        arrival.qos,
        arrival.dup,
        arrival.retain,
    ) == ("first/t", b"21.5", 1, False, False)
    assert arrival.properties == (("traceparent", "00-1"), ("a", "b"), ("a", "c"))
    assert isinstance(down, LinkDown)


def test_publish_is_settled(broker: Broker) -> None:
    """A message that the broker took is settled with a code below 0x80; its properties go along."""
    with (
        peer(broker.port, "out/#") as other,
        running(port=broker.port, client_id="out", topics=["nothing"]) as harness,
    ):
        harness.link.publish([outgoing(7, "out/a", b'{"x":1}', properties=(("schema", "1"), ("t", "2")))])
        until(lambda: harness.published)
        until(lambda: other.heard)  # type: ignore[attr-defined]
        (message,) = other.heard  # type: ignore[attr-defined]
    assert harness.published[0][0] == 7
    assert harness.published[0][1] < 0x80
    assert message.properties.ContentType == "application/json"
    assert message.properties.UserProperty == [("schema", "1"), ("t", "2")]
    assert message.payload == b'{"x":1}'


def test_status_topic(broker: Broker) -> None:
    """`online` is retained while connected and `offline` after a clean stop."""
    with peer(broker.port, "agent/status-test/status") as other:
        with running(port=broker.port, client_id="status", base_topic="agent/status-test") as harness:
            until(lambda: len(other.heard) == 1)  # type: ignore[attr-defined]
            assert harness.error is None
        until(lambda: len(other.heard) == 2)  # type: ignore[attr-defined]
        states = [json.loads(message.payload) for message in other.heard]  # type: ignore[attr-defined]
        assert all(message.retain for message in other.heard)  # type: ignore[attr-defined]
    assert [state["state"] for state in states] == ["online", "offline"]
    assert {"1.2.3"} == {state["version"] for state in states}
    assert states[0]["since"] <= states[1]["since"]


def test_session_is_kept(broker: Broker) -> None:
    """Messages between a clean stop and the next start are delivered at the start, in order."""
    options = {"port": broker.port, "client_id": "kept", "topics": ["kept/#"]}
    with peer(broker.port) as other:
        with running(**options) as harness:
            harness.subscribed()
        send(other, "kept/t", *[str(n) for n in range(50)])
        with running(**options, first_generation=2) as harness:
            until(lambda: len(harness.arrivals) == 50)
    assert [str(n).encode() for n in range(50)] == harness.payloads
    assert harness.ups[0].session_present
    assert {2} == {arrival.generation for arrival in harness.arrivals}


def test_unacknowledged_is_sent_again(broker: Broker) -> None:
    """An unacknowledged message comes again with DUP and the same packet id in the next generation."""
    options = {"port": broker.port, "client_id": "again", "topics": ["again/#"]}
    with peer(broker.port) as other:
        with running(**options, ack=False) as harness:
            harness.subscribed()
            send(other, "again/t", "a", "b", "c")
            until(lambda: len(harness.arrivals) == 3)
            first = harness.arrivals
            harness.link.ack([(1, first[0].mid)])
            until(lambda: harness.link.stats.acks_sent == 1)
        with running(**options, first_generation=2) as harness:
            until(lambda: len(harness.arrivals) == 2)
    assert harness.payloads == [b"b", b"c"]
    assert all(arrival.dup for arrival in harness.arrivals)
    assert [arrival.mid for arrival in first[1:]] == [arrival.mid for arrival in harness.arrivals]


def test_subscribes_after_the_generation_is_stored(broker: Broker) -> None:
    """No SUBSCRIBE goes out before the journal has stored the generation."""
    with (
        peer(broker.port) as other,
        running(port=broker.port, client_id="stored", topics=["stored/#"], store=False) as harness,
    ):
        until(lambda: harness.ups)
        send(other, "stored/t", "early")
        harness.link.generation_stored(99)
        assert not harness.link.state.subscribed
        harness.link.generation_stored(1)
        harness.subscribed()
        send(other, "stored/t", "late")
        until(lambda: harness.arrivals)
    assert harness.payloads == [b"late"]


def test_removed_filters_are_given_back(broker: Broker) -> None:
    """A filter of an earlier configuration is unsubscribed and delivers nothing more."""
    with peer(broker.port) as other:
        with running(port=broker.port, client_id="filters", topics=["old/#"]) as harness:
            harness.subscribed()
        with running(
            port=broker.port, client_id="filters", topics=["new/#"], previous_filters=["old/#"]
        ) as harness:
            harness.subscribed()
            assert harness.states[0].filters == ("new/#", "old/#")
            until(lambda: harness.link.state.filters == ("new/#",))
            send(other, "old/t", "old")
            send(other, "new/t", "new")
            until(lambda: harness.arrivals)
    assert harness.payloads == [b"new"]


def test_retained_is_replayed_for_a_new_subscription_only(broker: Broker) -> None:
    """Retained messages come once, marked as such; not again after a reconnect."""
    with peer(broker.port) as other:
        send(other, "ret/t", "old", retain=True)
        with running(port=broker.port, client_id="retained", topics=["ret/#"]) as harness:
            until(lambda: harness.arrivals)
            send(other, "ret/t", "live", retain=True)
            until(lambda: len(harness.arrivals) == 2)
        with running(port=broker.port, client_id="retained", topics=["ret/#"]) as again:
            again.subscribed()
            send(other, "ret/u", "end")
            until(lambda: again.arrivals)
    assert [(a.payload, a.retain) for a in harness.arrivals] == [(b"old", True), (b"live", False)]
    assert again.payloads == [b"end"]


def test_qos0(broker: Broker) -> None:
    """A QoS 0 message arrives with packet id 0, and its ack is not sent."""
    with (
        peer(broker.port) as other,
        running(port=broker.port, client_id="qos0", topics=[Subscription("qos0/#", qos=0)]) as harness,
    ):
        harness.subscribed()
        send(other, "qos0/t", "x")
        until(lambda: harness.arrivals)
        harness.link.ack([(1, 0)])
        until(lambda: not harness.link._commands)
        assert harness.link.stats.acks_sent == 0
    assert [(arrival.mid, arrival.qos) for arrival in harness.arrivals] == [(0, 0)]


def test_ack_of_an_older_generation_is_dropped(broker: Broker) -> None:
    """A late ack does not acknowledge another message that has the packet id now."""
    with (
        peer(broker.port) as other,
        running(
            port=broker.port, client_id="stale", topics=["stale/#"], ack=False, first_generation=5
        ) as harness,
    ):
        harness.subscribed()
        send(other, "stale/t", "x")
        until(lambda: harness.arrivals)
        harness.link.ack([(4, harness.arrivals[0].mid)])
        until(lambda: harness.link.stats.acks_stale == 1)
        assert harness.link.stats.acks_sent == 0


def test_intake_full_then_room(broker: Broker) -> None:
    """After a refused offer nothing newer is taken or acknowledged, publishing goes on; room brings all."""
    with (
        peer(broker.port, "full-out/#") as other,
        running(port=broker.port, client_id="full", topics=["full/#"]) as harness,
    ):
        harness.subscribed()
        send(other, "full/t", "1", "2")
        until(lambda: len(harness.arrivals) == 2)
        harness.open = False
        send(other, "full/t", "3", "4")
        until(lambda: harness.link.stats.dropped["intake_full"] == 2)
        harness.open = True
        send(other, "full/t", "5")
        until(lambda: harness.link.stats.dropped["intake_full"] == 3)
        harness.link.publish([outgoing(1, "full-out/a")])
        until(lambda: harness.published)
        assert harness.link.state.stalled
        assert harness.link.stats.acks_sent == 2
        harness.link.room()
        until(lambda: len(harness.arrivals) == 5)
        until(lambda: not harness.link.state.stalled)
    assert harness.payloads == [b"1", b"2", b"3", b"4", b"5"]
    assert [arrival.generation for arrival in harness.arrivals] == [1, 1, 2, 2, 2]
    assert [n for n in harness.names if "intake" in n] == ["mqtt_intake_stalled", "mqtt_intake_resumed"]


def test_pressed(broker: Broker) -> None:
    """While pressed, what arrives waits in the socket: nothing is dropped, and it comes once that is over."""
    with (
        peer(broker.port) as other,
        running(port=broker.port, client_id="pressed", topics=["pressed/#"]) as harness,
    ):
        harness.subscribed()
        harness.pressed = True
        turn = harness.link.heartbeat
        until(lambda: harness.link.heartbeat > turn + 1.2)  # the sleep that knew nothing of it is over
        send(other, "pressed/t", "1", "2")
        turn = harness.link.heartbeat
        until(lambda: harness.link.heartbeat > turn + 0.2)
        assert not harness.arrivals
        harness.pressed = False
        until(lambda: len(harness.arrivals) == 2)
        assert harness.link.stats.connects == 1
    assert not harness.link.stats.dropped["intake_full"]


def test_announcements_are_volatile(own_broker: Broker) -> None:
    """An announcement is sent while connected, with its expiry, and dropped and counted while not."""
    with peer(own_broker.port, "health/#") as other:
        harness = LinkHarness(port=own_broker.port, client_id="volatile")
        harness.link.announce("health/a", b"lost")
        harness.start()
        until(lambda: harness.link.state.connected)
        harness.link.announce("health/a", b"said", retain=True, expiry_s=120)
        until(lambda: other.heard)  # type: ignore[attr-defined]
        harness.stop()
        (message,) = other.heard  # type: ignore[attr-defined]
    assert (message.payload, message.retain, message.properties.MessageExpiryInterval) == (b"said", True, 120)
    assert harness.link.stats.dropped["announcement"] == 1


def test_uncaught_exception_ends_the_thread(broker: Broker) -> None:
    """An error of a callable comes out of run(): the process must not go on with a dead link."""
    harness = LinkHarness(port=broker.port, client_id="loud", topics=["loud/#"])

    def explode(_row: int, _code: int) -> None:
        raise ZeroDivisionError

    harness.link._publisher._on_published = explode
    harness.start()
    harness.link.publish([outgoing(1, "loud/x")])
    harness.thread.join(60)
    assert isinstance(harness.error, ZeroDivisionError)
    assert harness.link.stop(0.1)


@pytest.mark.parametrize("stop_s", [0.3, 2.0])
def test_stop_without_a_broker(stop_s: float, unused_port: int) -> None:
    """Stopping while there is no broker takes no time and raises nothing."""
    harness = LinkHarness(port=unused_port, client_id="none").start()
    until(lambda: harness.names)
    harness.stop(stop_s)
    assert "mqtt_connect_failed" in harness.names
    assert "nothing listens there" in (harness.link.state.last_error or "")
