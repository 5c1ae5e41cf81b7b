"""The broker's own count of dropped messages."""

from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.mqtt import BROKER_DROPS, Subscription
from agent.mqtt.settings import RECENT_S, BrokerDrops
from tests.mqtt.brokers import ScriptedBroker
from tests.mqtt.link_harness import peer, running, send, until
from tests.mqtt.test_oddities import script, suback
from tests.support.broker import Broker


def test_only_what_rises_counts() -> None:
    """The first figure is the origin, a smaller one is a broker that restarted, text is not believed."""
    drops = BrokerDrops()
    drops.note(b"70", 0.0)
    assert (drops.total, drops.recent(0.0), drops.unreported(0.0)) == (70, 0, 0)
    drops.note(b"75", 1.0)
    drops.note(b"lots", 2.0)
    drops.note(b"3", 3.0)
    drops.note(b"4", 4.0)
    assert (drops.total, drops.recent(4.0)) == (4, 6)
    assert drops.recent(2.0 + RECENT_S) == 1


def test_a_rise_is_told_once_in_ten_minutes() -> None:
    """A rise meanwhile is reported with the next one."""
    drops = BrokerDrops()
    for number in range(5):
        drops.note(str(number).encode(), float(number))
    assert drops.unreported(5.0) == 4
    drops.note(b"9", 6.0)
    assert drops.unreported(7.0) == 0
    assert drops.unreported(5.0 + RECENT_S) == 5


def leave_session(port: int, client_id: str, topic: str) -> None:
    """Subscribe with a session that is kept, and go."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
    done: list[object] = []

    def subscribe(*_: object) -> None:
        client.subscribe(topic, qos=1)

    client.on_connect = subscribe
    client.on_subscribe = lambda *_: done.append(1)
    expiry = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    expiry.SessionExpiryInterval = 600
    client.connect("127.0.0.1", port, properties=expiry)
    client.loop_start()
    until(lambda: done)
    client.disconnect()
    client.loop_stop()


@pytest.mark.broker
def test_a_queue_that_overflows_is_seen(tmp_path: Path) -> None:
    """Mosquitto drops messages beyond a session's queue; its own count shows it and is not an arrival."""
    broker = Broker(tmp_path / "broker", "max_queued_messages 5").start()
    wanted = [Subscription("mine/#"), Subscription(BROKER_DROPS, qos=0, optional=True)]
    try:
        leave_session(broker.port, "absent", "its/#")
        with (
            running(port=broker.port, client_id="sees", topics=wanted) as harness,
            peer(broker.port) as other,
        ):
            harness.subscribed()
            until(lambda: harness.link.stats.broker_drops.total is not None)
            send(other, "its/t", *[str(n) for n in range(25)])
            until(lambda: harness.link.stats.broker_drops.total == 20)
            assert harness.arrivals == []
    finally:
        broker.stop()


def test_without_the_right_to_read_it_nothing_is_missing() -> None:
    """A refused $SYS is not a refused filter; $SYS alone is not a subscription."""
    wanted = [Subscription("a/#"), Subscription(BROKER_DROPS, qos=0, optional=True)]
    with (
        ScriptedBroker(script(subscribe=suback(1, 0x87))) as odd,
        running(port=odd.port, client_id="c", topics=wanted) as harness,
    ):
        harness.subscribed()
        assert harness.link.state.refused == ()
    with (
        ScriptedBroker(script(subscribe=suback(0x87, 0))) as odd,
        running(port=odd.port, client_id="c", topics=wanted) as harness,
    ):
        until(lambda: harness.link.state.refused == ("a/#",))
        assert not harness.link.state.subscribed


def test_the_first_count_is_a_rise_only_where_it_comes_live() -> None:
    """Mosquitto forgets the retained count after a minute, so a change may be the first that is received."""
    for live, risen in ((False, 0), (True, 1)):
        drops = BrokerDrops()
        drops.note(b"70", 0.0, live=live)
        assert (drops.total, drops.recent(1.0)) == (70, risen)
    restarted = BrokerDrops()
    restarted.note(b"0", 0.0, live=True)
    assert not restarted.recent(1.0)
