"""Connections of devices: wills, availability, flapping, QoS 0, many at once."""

import contextlib
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from simulator.events import live
from simulator.flapping import Flapping
from simulator.fleet import Fleet, share_out
from simulator.link import Link, LinkError
from simulator.outgoing import Outgoing
from simulator.scenario import Scenario, ScenarioError, parse
from tests.mqtt.brokers import CONNACK, ScriptedBroker
from tests.simulator.listener import Listener
from tests.support.broker import Broker
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
START = 1_790_000_000.0
DEVICE = '  - {{id: {name}-{number}, signal: freezer, topic: "{name}/{{device}}"{more}}}\n'


def scenario(name: str, *, devices: int = 2, connections: str = "each", more: str = "") -> Scenario:
    text = f"title: t\nconnections: {connections}\ndevices:\n"
    text += "".join(
        DEVICE.format(name=name, number=number, more=f", {more}" if more else "") for number in range(devices)
    )
    return parse(text, name=name, source="x.yaml")


def fleet(broker: Broker, of: Scenario, **more: object) -> Fleet:
    return Fleet(host="127.0.0.1", port=broker.port, scenario=of, prefix=of.name, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("connections", "shares"),
    [
        ("each", {"x-0": [0], "x-1": [1], "x-2": [2]}),
        ("shared", {"fleet": [0, 1, 2]}),
        ("shared:2", {"fleet-0": [0, 2], "fleet-1": [1]}),
        ("shared:9", {"fleet-0": [0], "fleet-1": [1], "fleet-2": [2]}),
    ],
)
def test_devices_are_shared_out(connections: str, shares: dict[str, list[int]]) -> None:
    """One connection each, one for all, or N that the devices take in turn."""
    devices = scenario("x", devices=3).devices
    assert share_out(devices, connections) == {
        name: [devices[place] for place in places] for name, places in shares.items()
    }


@pytest.mark.parametrize("connections", ["none", "shared:0", "each:2", "shared:-1", "shared:x"])
def test_other_ways_to_connect_are_refused(connections: str) -> None:
    """A scenario that asks for another way is refused with the reason."""
    with pytest.raises(ScenarioError, match="connections"):
        scenario("x", connections=connections)


def test_availability_is_the_last_will_of_a_device_with_its_own_connection(broker: Broker) -> None:
    """Online, offline by the broker when cut, online when back, offline at the end: all retained."""
    of = scenario("avail", more='availability: "avail/{device}/availability"')
    listener = Listener(broker, "avail/+/availability")
    one = fleet(broker, of).open()
    listener.wait_for(2)
    one.links[0].drop(0.3)
    listener.wait_for(4)
    one.close()
    said = [payload for topic, payload, *_ in listener.wait_for(6) if topic == "avail/avail-0/availability"]
    assert said == [b"online", b"offline", b"online", b"offline"]
    late = Listener(broker, "avail/+/availability")
    assert {(topic, payload, retain) for topic, payload, _, _, retain in late.wait_for(2)} == {
        (f"avail/avail-{number}/availability", b"offline", True) for number in range(2)
    }
    assert one.stats.disconnects == 1
    listener.close()
    late.close()


def test_shared_connection_speaks_for_its_devices_and_has_a_will_of_its_own(broker: Broker) -> None:
    """All 50 devices are online, more than a broker takes at once; a cut is reported for the connection."""
    of = scenario("many", devices=50, connections="shared", more='availability: "many/{device}/availability"')
    listener = Listener(broker, "many/#")
    one = fleet(broker, of).open()
    got = [item[:2] for item in listener.wait_for(51)]
    assert got == [
        ("many/fleet/state", b"online"),
        *((f"many/many-{number}/availability", b"online") for number in range(50)),
    ]
    one.links[0].drop()
    assert [item[:2] for item in listener.wait_for(52)[51:]] == [("many/fleet/state", b"offline")]
    one.close()
    listener.close()


def test_retained_readings_are_there_for_who_comes_later(broker: Broker) -> None:
    """A device that retains its readings leaves its last one; its QoS is that of the run."""
    of = scenario("keep", devices=1, more="retain: true")
    messages = list(live(of, seed=1, start=START, until=START + 3))
    with fleet(broker, of) as one:
        one.replay(messages, stop=threading.Event())
    late = Listener(broker, "keep/keep-0")
    assert [(item[1], item[4]) for item in late.wait_for(1)] == [(messages[-1].payload, True)]
    late.close()


def test_qos_0_is_sent_once_and_dropped_without_a_connection(broker: Broker) -> None:
    """In order with QoS 1 while connected; while away it is lost, unlike QoS 1."""
    listener = Listener(broker, "zero/#")
    link = Link(host="127.0.0.1", port=broker.port, client_id="zero")
    link.open(60)
    for number in range(500):
        link.publish("zero/a", str(number).encode(), qos=number % 2)
    assert link.flush(60)
    assert [(item[1], item[2]) for item in listener.wait_for(500)] == [
        (str(number).encode(), number % 2) for number in range(500)
    ]
    link.drop(0.5)
    link.publish("zero/a", b"lost", qos=0)
    link.publish("zero/a", b"kept", qos=1)
    assert link.flush(60)
    assert link.stats.dropped == 1
    assert [item[1] for item in listener.wait_for(501)[500:]] == [b"kept"]
    link.close()
    listener.close()


def test_messages_in_flight_are_sent_again_before_those_that_waited() -> None:
    """The broker takes a reading and goes without a word; the next reading comes while it is away."""
    back = threading.Event()
    back.set()

    def greet(_: bytes) -> bytes:
        assert back.wait(60)
        return CONNACK

    def take(body: bytes) -> bytes:
        if back.is_set() and len(broker.packets) == 2:
            back.clear()
            raise ConnectionAbortedError
        return acknowledge(body)

    with ScriptedBroker({1: greet, 3: take}) as broker:
        link = Link(host="127.0.0.1", port=broker.port, client_id="repeat")
        link.open(60)
        link.publish("a", b"1")
        wait_for(lambda: link.stats.disconnects == 1)
        link.publish("a", b"2")
        back.set()
        assert link.flush(60)
        link.close()
    assert publishes(broker) == [(0x32, b"1"), (0x3A, b"1"), (0x32, b"2")]


def test_nothing_is_sent_on_a_connection_that_is_cut() -> None:
    """Right after the cut QoS 0 is lost, and QoS 1 goes once, on the next connection."""
    with ScriptedBroker({1: lambda _: CONNACK, 3: acknowledge}) as broker:
        link = Link(host="127.0.0.1", port=broker.port, client_id="cut")
        link.open(60)
        link.drop(0.1)
        link.publish("a", b"lost", qos=0)
        link.publish("a", b"kept")
        assert link.flush(60)
        assert (link.stats.dropped, link.stats.disconnects) == (1, 1)
        link.close()
    assert publishes(broker) == [(0x32, b"kept")]


def acknowledge(body: bytes) -> bytes:
    end = 2 + int.from_bytes(body[:2], "big")
    return b"\x40\x02" + body[end : end + 2]


def publishes(broker: ScriptedBroker) -> list[tuple[int, bytes]]:
    """Return first byte and payload of each PUBLISH at QoS 1 to a topic of one letter, in order."""
    return [(first, body[6:]) for first, body in broker.packets if first >> 4 == 3]


@pytest.mark.slow
def test_flapping_loses_no_qos_1_message_and_keeps_each_device_in_order(broker: Broker) -> None:
    """Connections are cut and come back; each device's readings arrive in order.

    A repeat is allowed, and a cut that finds no connection: the broker may be slow to answer.
    """
    of = scenario("flap", devices=4)
    listener = Listener(broker, "flap/+")
    messages = list(live(of, seed=1, start=START, until=START + 60))
    flapping = Flapping(every_s=20, down_s=2, share=0.75, seed=4)
    wanted = [sum(at < START + 59 for at in first(flapping, f"flap-{number}")) for number in range(4)]
    with fleet(broker, of, flapping=flapping) as one:
        one.run(messages, stop=threading.Event(), start=START, speed=20)
        assert one.flush(60)
        cuts = [link.stats.disconnects for link in one.links]
        assert (min(wanted), max(wanted) > 1) == (0, True)
        assert all(min(1, due) <= made <= due for made, due in zip(cuts, wanted, strict=True)), (cuts, wanted)
    wait_for(lambda: len({item[:2] for item in listener.got}) == len(messages))
    for number in range(4):
        topic = f"flap/flap-{number}"
        assert list(dict.fromkeys(item[1] for item in listener.got if item[0] == topic)) == [
            message.payload for message in messages if message.topic == topic
        ]
    listener.close()


def first(flapping: Flapping, name: str) -> list[float]:
    cuts = flapping.cuts(name, START)
    return [next(cuts, float("inf")) for _ in range(20)]


@pytest.mark.parametrize(("connections", "said"), [("each", 4), ("shared", 2)])
def test_a_silent_device_goes_and_its_last_will_tells(broker: Broker, connections: str, said: int) -> None:
    """With a connection of its own it is offline as long as it is silent; a shared connection stays."""
    name = f"gone-{connections}"
    text = f"""
title: t
connections: {connections}
devices:
  - {{id: a, signal: freezer, topic: "{name}/{{device}}", availability: "{name}/{{device}}/availability"}}
  - {{id: b, signal: freezer, topic: "{name}/{{device}}"}}
faults:
  - {{device: a, kind: device_silent, from_s: 5, for_s: 10}}
  - {{device: b, kind: device_silent, from_s: 5, for_s: 10}}
"""
    of = parse(text, name=name, source="x")
    listener = Listener(broker, f"{name}/+/availability")
    with fleet(broker, of) as one:
        one.run(
            live(of, seed=1, start=START, until=START + 30), stop=threading.Event(), start=START, speed=20
        )
        assert one.flush(60)
        assert sum(link.stats.disconnects for link in one.links) == (said > 2)
    states = [item[1] for item in listener.wait_for(said)]
    assert states == [b"online", b"offline", b"online", b"offline"][:said]
    listener.close()


def test_flapping_is_a_function_of_its_seed() -> None:
    """The same seed cuts at the same times, another at others, and a share of 0.25 leaves most alone."""
    flapping = Flapping(every_s=10, down_s=1, seed=3)
    assert first(flapping, "a") == first(Flapping(every_s=10, down_s=1, seed=3), "a") != first(flapping, "b")
    assert first(flapping, "a") != first(Flapping(every_s=10, down_s=1, seed=4), "a")
    gaps = [b - a for a, b in zip(first(flapping, "a"), first(flapping, "a")[1:], strict=False)]
    assert min(gaps) >= 6
    assert max(gaps) <= 16
    few = Flapping(every_s=10, down_s=1, share=0.25, seed=3)
    flaps = sum(first(few, str(number))[0] < float("inf") for number in range(1000))
    assert 200 < flaps < 300


def test_broker_restart_loses_nothing(own_broker: Broker) -> None:
    """The connections come back by themselves and send what they owe."""
    of = scenario("again", devices=3, more='availability: "again/{device}/availability"')
    with fleet(own_broker, of) as one:
        assert one.up == 3
        own_broker.stop()
        wait_for(lambda: one.up == 0)
        for number, link in enumerate(one.links):
            # Retained: the listener may come later than the connections.
            assert link.send(Outgoing(topic=f"again/x/{number}", payload=b"1", retain=True))
        own_broker.start()
        listener = Listener(own_broker, "again/x/+")
        wait_for(lambda: one.up == 3)
        assert one.flush(60)
        assert len(listener.wait_for(3)) == 3
        listener.close()


@pytest.mark.broker
def test_message_that_the_broker_does_not_take_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    """A message above the broker's limit would end the connection again and again."""
    broker = Broker(tmp_path / "small", extra="max_packet_size 1000").start()
    try:
        link = Link(host="127.0.0.1", port=broker.port, client_id="big")
        link.open(60)
        link.publish("big/a", b"x" * 2000)
        link.publish("big/a", b"y")
        assert link.flush(60)
        assert (link.stats.refused, link.stats.disconnects) == (1, 0)
        link.close()
    finally:
        broker.stop()


@pytest.mark.slow
def test_a_broker_that_talks_nonsense_is_asked_again_no_faster() -> None:
    """Bytes that are not MQTT break the connection; it is retried at intervals, nothing else breaks."""
    accepted: list[float] = []
    dice = random.Random(5)

    def answer(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                accepted.append(time.monotonic())
                with client, contextlib.suppress(OSError):
                    client.recv(1000)
                    client.sendall(b"\x20\x03\x00\x00\x00")  # CONNACK
                    time.sleep(0.1)  # long enough to be believed
                    for _ in range(50):
                        kind = dice.choice([0x20, 0x31, 0x40, 0x62, 0x90, 0xB0, 0xE0, 0xF0])
                        client.sendall(bytes([kind, dice.randrange(6)]) + dice.randbytes(5))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,), daemon=True)
        thread.start()
        link = Link(host="127.0.0.1", port=server.getsockname()[1], client_id="nonsense")
        link.open(60)
        began, before = time.monotonic(), len(accepted)
        for _ in range(40):
            link.publish("a", b"1")
            time.sleep(0.05)
        tries = len(accepted) - before
        assert 0 < tries <= 1 + (time.monotonic() - began) / 0.2
        link.close()
        server.shutdown(socket.SHUT_RDWR)
    thread.join(60)


@pytest.mark.broker
def test_name_and_password_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker accepts a known login, and gives the reason for a refusal."""
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "sim", "s3cret"], check=True)
    broker = Broker(tmp_path / "closed", extra=f"allow_anonymous false\npassword_file {passwords}").start()
    try:
        link = Link(host="127.0.0.1", port=broker.port, client_id="who")
        with pytest.raises(LinkError, match="Not authorized"):
            link.open(60)
        monkeypatch.setenv("EDGE_SIM_USER", "sim")
        monkeypatch.setenv("EDGE_SIM_PASSWORD", "s3cret")
        link = Link(host="127.0.0.1", port=broker.port, client_id="who")
        link.open(60)
        link.publish("who/a", b"1")
        assert link.flush(60)
        link.close()
    finally:
        broker.stop()


THOUSAND = """
import sys, threading
from simulator.fleet import Fleet
from simulator.scenario import parse
from simulator.events import live
text = "title: t\\nconnections: each\\ndevices:\\n" + "".join(
    f'  - {{id: d{n}, signal: freezer, topic: "thousand/{{device}}"}}\\n' for n in range(1000))
of = parse(text, name="thousand", source="x")
with Fleet(host="127.0.0.1", port=int(sys.argv[1]), scenario=of, prefix="thousand") as fleet:
    sent = fleet.run(live(of, seed=1, start=0, until=3), stop=threading.Event(), start=0, speed=3)
    fleet.flush(20)
    stats = fleet.stats
    print(fleet.up, sent, stats.acked, stats.disconnects, threading.active_count())
"""


@pytest.mark.process
def test_a_thousand_connections_are_two_threads(broker: Broker) -> None:
    """A thousand devices with a connection each, in one process: all connected, all acknowledged."""
    listener = Listener(broker, "thousand/+")
    done = subprocess.run(
        [sys.executable, "-c", THOUSAND, str(broker.port)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.split(), done.stderr) == (["1000", "3000", "3000", "0", "2"], "")
    assert len({item[0] for item in listener.wait_for(3000)}) == 1000
    listener.close()
