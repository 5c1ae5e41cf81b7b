"""A fenced link: the outbox leaves only while it is let out, with a stamp."""

import pytest

from tests.mqtt.link_harness import outgoing, peer, running, until
from tests.support.broker import Broker

pytestmark = pytest.mark.broker

TOPIC = "agent/test/verdicts/d"
TEXTS = (b"a", b"covered", b"b")


def stamp(topic: str, payload: bytes) -> bytes | None:
    assert topic == TOPIC
    return None if payload == b"covered" else payload + b"!"


def test_nothing_leaves_before_it_is_let_out(broker: Broker) -> None:
    """Announcements do; then all rows in order, stamped, and one that is covered counts as delivered."""
    with (
        peer(broker.port, "agent/test/#") as client,
        running(port=broker.port, client_id="fence-1", fenced=True) as harness,
    ):
        heard = client.heard  # type: ignore[attr-defined]
        harness.wait_up(1)
        harness.link.publish([outgoing(row, TOPIC, text) for row, text in enumerate(TEXTS, 1)])
        harness.link.announce("agent/test/health", b"{}")
        until(lambda: any(one.topic.endswith("health") for one in heard), "the announcement is there")
        assert not harness.published
        harness.link.let_publish(0, stamp)  # of an earlier connection
        harness.link.announce("agent/test/health", b"{}")
        until(lambda: sum(one.topic.endswith("health") for one in heard) == 2, "another one")
        assert not harness.published
        harness.link.let_publish(harness.link.state.generation, stamp)
        until(lambda: len(harness.published) == 3, "all rows are answered")
        until(lambda: sum(one.topic == TOPIC for one in heard) == 2, "both are there")
        assert [one.payload for one in heard if one.topic == TOPIC] == [b"a!", b"b!"]
        assert sorted(row for row, _ in harness.published) == [1, 2, 3]
        harness.link.hold_publishing()
        harness.link.publish([outgoing(4, TOPIC, b"c")])
        harness.link.announce("agent/test/health", b"{}")
        until(lambda: sum(one.topic.endswith("health") for one in heard) == 3, "a third one")
        assert len(harness.published) == 3


def test_each_connection_is_let_out_again(broker: Broker) -> None:
    """The claims of another agent, made meanwhile, are not known yet."""
    with running(port=broker.port, client_id="fence-2", fenced=True) as harness:
        harness.wait_up(1)
        harness.link.let_publish(harness.link.state.generation, stamp)
        harness.link.publish([outgoing(1, TOPIC, b"a")])
        until(lambda: len(harness.published) == 1, "it is let out")
        # Another client with its id ends the connection.
        with peer(broker.port, client_id="fence-2"):
            harness.wait_down(1)
        harness.link.publish([outgoing(2, TOPIC, b"b")])
        until(lambda: harness.link.stats.connects >= 2 and harness.link.state.connected, "it is back")
        harness.link.announce("agent/test/health", b"{}")
        until(lambda: not harness.link.stats.in_flight, "announcements are out")
        assert len(harness.published) == 1
        harness.link.let_publish(harness.link.state.generation, stamp)
        until(lambda: len(harness.published) == 2, "it is let out again")


def test_covered_rows_go_while_they_wait(broker: Broker) -> None:
    """An agent that publishes nothing keeps no rows that another agent has published about."""
    with running(port=broker.port, client_id="fence-3", fenced=True) as harness:
        harness.wait_up(1)
        harness.link.publish([outgoing(row, TOPIC, text) for row, text in enumerate(TEXTS, 1)])
        harness.link.weed(lambda topic, payload: (topic, payload) == (TOPIC, b"covered"))
        until(lambda: harness.published, "a row is answered")
        assert [row for row, _ in harness.published] == [2]
        harness.link.let_publish(harness.link.state.generation, stamp)
        until(lambda: len(harness.published) == 3, "the others are sent")
