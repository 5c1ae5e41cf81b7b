"""The fleet on a real broker: last wills, trace context, the expected messages."""

import threading
import time
from collections.abc import Iterator

import pytest

from simulator.events import Message, history, live
from simulator.fleet import Fleet
from simulator.link import Link, LinkError
from simulator.scenario import Scenario, parse
from tests.simulator.listener import Got, Listener
from tests.support.broker import Broker, free_port
from tests.support.waiting import wait_for

START = 1_790_000_000.0
TEXT = """
title: two
connections: CONNECTIONS
history: {span_s: 120, per_message: 30}
devices:
  - {id: NAME-p, signal: pump, topic: "NAME/{device}"}
  - {id: NAME-r, signal: room, topic: "NAME/{device}/{metric}", payload: value}
"""


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return str(request.node.name).partition("[")[0].replace("test_", "")


@pytest.fixture
def listener(broker: Broker, name: str) -> Iterator[Listener]:
    one = Listener(broker, f"{name}/#")
    yield one
    one.close()


def scenario(name: str, connections: str = "shared") -> Scenario:
    text = TEXT.replace("NAME", name).replace("CONNECTIONS", connections)
    return parse(text, name=name, source="x.yaml")


@pytest.mark.parametrize("connections", ["shared", "each"])
def test_replay_delivers_the_wire_byte_for_byte(
    broker: Broker, listener: Listener, name: str, connections: str
) -> None:
    """Topics and payloads that arrive are those of the pure function, at QoS 1, in order per device."""
    wanted = list(history(scenario(name, connections), seed=4, start=START))
    with Fleet(
        host="127.0.0.1", port=broker.port, scenario=scenario(name, connections), prefix=name
    ) as fleet:
        assert fleet.replay(wanted, stop=threading.Event()) == len(wanted)
        assert fleet.stats.acked == fleet.stats.published

    def readings() -> list[Got]:
        return [one for one in listener.got if not one[0].endswith("/state")]

    wait_for(lambda: len(readings()) >= len(wanted), 10, "all readings")
    assert {one[2] for one in readings()} == {1}
    for device in (f"{name}-p", f"{name}-r"):
        assert [(message.topic, message.payload) for message in wanted if message.device == device] == [
            one[:2] for one in readings() if f"/{device}" in one[0]
        ]


def test_traceparent_travels_as_a_user_property(broker: Broker, listener: Listener, name: str) -> None:
    """Each message carries the traceparent that the wire gave it."""
    wanted = list(history(scenario(name), seed=4, start=START))
    with Fleet(host="127.0.0.1", port=broker.port, scenario=scenario(name), prefix=f"x-{name}") as fleet:
        fleet.replay(wanted, stop=threading.Event())
    got = listener.wait_for(len(wanted))
    assert [one[3]["traceparent"] for one in got] == [message.traceparent for message in wanted]


def test_live_keeps_the_time_times_speed(broker: Broker, listener: Listener, name: str) -> None:
    """At speed 20 ten event seconds are over in half a second, and not earlier."""
    messages = live(scenario(name), seed=4, start=START, until=START + 11)
    with Fleet(host="127.0.0.1", port=broker.port, scenario=scenario(name), prefix=f"x-{name}") as fleet:
        began = time.monotonic()
        count = fleet.run(messages, stop=threading.Event(), start=START, speed=20)
        assert time.monotonic() - began >= 0.5
    assert count == len(listener.wait_for(33)) == 33


def test_stop_ends_a_live_run_at_once(broker: Broker, name: str) -> None:
    """A stop that is set before the next message is due ends the run without it."""
    stop = threading.Event()

    def messages() -> Iterator[Message]:
        for number, message in enumerate(live(scenario(name), seed=4, start=START)):
            if number == 3:
                threading.Timer(0.1, stop.set).start()
            yield message

    with Fleet(host="127.0.0.1", port=broker.port, scenario=scenario(name), prefix=f"x-{name}") as fleet:
        assert fleet.run(messages(), stop=stop, start=START, speed=0.01) == 3


def test_last_will_says_offline_when_the_connection_is_cut(broker: Broker, name: str) -> None:
    """Online is published at the beginning; after a cut the broker publishes offline."""
    listener = Listener(broker, f"{name}/+/state")
    fleet = Fleet(host="127.0.0.1", port=broker.port, scenario=scenario(name, "each"), prefix=name).open()
    assert len(listener.wait_for(2)) == 2
    fleet.links[0].drop()
    listener.wait_for(3)
    assert [(topic, payload) for topic, payload, *_ in listener.got[2:]] == [
        (f"{name}/{name}-p/state", b"offline")
    ]
    fleet.close()
    listener.close()


def test_absent_broker_is_one_line() -> None:
    """An address without a broker is reported, in time."""
    port = free_port()
    with pytest.raises(LinkError, match=f"broker 127.0.0.1:{port}: Connection refused"):
        Link(host="127.0.0.1", port=port, client_id="x").open(0.2)
