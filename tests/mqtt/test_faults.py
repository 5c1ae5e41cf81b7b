"""The link while the broker and the network fail."""

import json
import signal
import time
from pathlib import Path

import pytest

from agent.domain.records import LinkDown
from tests.mqtt.brokers import REFUSALS, OldBroker
from tests.mqtt.desk import Desk, outgoing, peer, running, send, until
from tests.support.broker import Broker
from tests.support.proxy import Proxy


def test_broker_absent_at_first(own_broker: Broker) -> None:
    """The link waits for a broker that is not there yet, and reports it once."""
    own_broker.stop()
    with running(port=own_broker.port, client_id="patient", topics=["late/#"]) as desk:
        until(lambda: desk.link.stats.connect_failures >= 5)
        own_broker.start()
        desk.subscribed()
        assert desk.link.state.last_error is None
    failures = desk.values("mqtt_connect_failed")
    assert [failure["error"].split(": ")[-1] for failure in failures] == ["nothing listens there"]


def test_broker_restarts(own_broker: Broker) -> None:
    """Messages that the broker holds come after its restart, and ours wait here until it is back."""
    with running(port=own_broker.port, client_id="restart", topics=["re/#"], ack=False) as desk:
        desk.subscribed()
        with peer(own_broker.port) as other:
            send(other, "re/t", *[str(n) for n in range(20)])
        until(lambda: len(desk.arrivals) == 20)
        own_broker.stop()
        until(lambda: not desk.link.state.connected)
        desk._ack = True
        desk.link.publish([outgoing(n, "out/t") for n in range(30)])
        until(lambda: desk.link.stats.connect_failures)
        assert not desk.published
        own_broker.start()
        until(lambda: len(desk.arrivals) == 40)
        until(lambda: len(desk.published) == 30)
    assert {arrival.payload for arrival in desk.arrivals[20:]} == {str(n).encode() for n in range(20)}
    assert [down.generation for down in desk.items if isinstance(down, LinkDown)] == [1, 2]
    assert [row for row, _ in desk.published] == list(range(30))
    assert desk.link.stats.reconnects == 1


def test_broker_is_killed(own_broker: Broker) -> None:
    """The session outlives a kill -9 of a broker that saved it; what is in flight here is sent again."""
    with running(port=own_broker.port, client_id="killed", topics=["kill/#"]) as desk:
        desk.subscribed()
        for n in range(3):
            own_broker.stop(signal.SIGKILL)
            desk.link.publish([outgoing(n, "out/t")])
            own_broker.start()
            desk.wait_up(n + 2)
            desk.subscribed()
            with peer(own_broker.port) as other:
                send(other, "kill/t", str(n))
        until(lambda: len(desk.arrivals) == 3 and len(desk.published) == 3)
    assert [up.session_present for up in desk.ups] == [False, True, True, True]
    assert "mqtt_client_id_contested" not in desk.names


def test_lost_session_is_said(own_broker: Broker) -> None:
    """A broker that forgot the session is noticed, and the filters are subscribed again."""
    with running(port=own_broker.port, client_id="forgotten", topics=["f/#"]) as desk:
        desk.subscribed()
        own_broker.stop()
        (own_broker.folder / "mosquitto.db").unlink()
        own_broker.start()
        until(lambda: desk.link.stats.reconnects == 1)
        desk.subscribed()
        with peer(own_broker.port) as other:
            send(other, "f/t", "x")
        until(lambda: desk.arrivals)
    assert desk.names.count("mqtt_session_lost") == 1


def test_will_is_published_when_the_link_is_cut(broker: Broker) -> None:
    """The broker retains `offline` when the agent is gone without a word."""
    with (
        peer(broker.port, "agent/will-test/status") as other,
        Proxy(broker.port) as proxy,
        running(port=proxy.port, client_id="will", base_topic="agent/will-test"),
    ):
        until(lambda: other.heard)  # type: ignore[attr-defined]
        proxy.accepting = False
        proxy.reset()
        until(lambda: len(other.heard) == 2)  # type: ignore[attr-defined]
        will = other.heard[1]  # type: ignore[attr-defined]
    assert json.loads(will.payload) == {"state": "offline", "version": "1.2.3", "since": None}
    assert will.retain


def test_frozen_link_is_noticed(broker: Broker) -> None:
    """A half-open connection is given up within 2 x keepalive + 5 s, and the link comes back."""
    with Proxy(broker.port) as proxy, running(port=proxy.port, client_id="frozen", keepalive_s=1) as desk:
        until(lambda: desk.link.state.connected)
        proxy.freeze()
        before = time.monotonic()
        until(lambda: not desk.link.state.connected)
        assert time.monotonic() - before < 2 * desk.settings.keepalive_s + 5
        assert "fallen silent" in (desk.link.state.last_error or "")
        proxy.thaw()
        until(lambda: desk.link.state.connected)


def test_broker_that_never_answers(broker: Broker) -> None:
    """A connection without a CONNACK is given up and tried again."""
    with Proxy(broker.port) as proxy:
        proxy.freeze()
        with running(port=proxy.port, client_id="mute", connack_timeout_s=0.2) as desk:
            until(lambda: desk.link.stats.connect_failures >= 3)
            proxy.thaw()
            until(lambda: desk.link.state.connected)
            assert desk.link.state.protocol == "5"


@pytest.mark.slow
def test_idle_connection_is_kept(broker: Broker) -> None:
    """PINGREQs keep an idle connection: the broker does not end it, nor do we."""
    with running(port=broker.port, client_id="idle", keepalive_s=4) as desk:
        until(lambda: desk.link.state.connected)
        time.sleep(6.5)  # the broker waits for 1.5 x keepalive
        assert desk.link.state.connected
        assert desk.link.stats.connects == 1


@pytest.mark.parametrize("seed", range(2))
def test_faults_of_the_network(broker: Broker, seed: int) -> None:
    """Resets, slices, freezes and half-closed links: every message arrives, every publish is settled."""
    client_id = f"storm-{seed}"
    with (
        Proxy(broker.port, seed=seed) as proxy,
        peer(broker.port, f"{client_id}-out/#") as other,
        running(port=proxy.port, client_id=client_id, topics=[f"{client_id}/#"], keepalive_s=1) as desk,
    ):
        desk.subscribed()
        sent = 0
        for _ in range(8):
            for _ in range(10):
                other.publish(f"{client_id}/t", str(sent), qos=1)
                desk.link.publish([outgoing(sent, f"{client_id}-out/t", str(sent).encode())])
                sent += 1
            proxy.misbehave()
            time.sleep(0.3)
            proxy.calm()
        until(lambda: len(set(desk.payloads)) == sent, "all messages", 20)
        until(
            lambda: {row for row, code in desk.published if code < 0x80} == set(range(sent)),
            "all settled",
            20,
        )
        heard = other.heard  # type: ignore[attr-defined]
        until(lambda: {int(message.payload) for message in heard} == set(range(sent)), "all heard", 20)
    assert len(desk.published) == sent


@pytest.mark.parametrize("refusal", REFUSALS)
def test_old_broker(broker: Broker, refusal: str) -> None:
    """A broker without MQTT 5 is spoken to in 3.1.1, which is reported once; acks and publishes work."""
    client_id = f"old-{refusal.replace(' ', '')}"
    options = {"client_id": client_id, "topics": [f"{client_id}/#"]}
    with (
        OldBroker(broker.port, refusal=refusal) as old,
        peer(broker.port) as other,
        running(port=old.port, **options) as desk,
    ):
        desk.subscribed()
        send(other, f"{client_id}/t", "a", "b")
        desk.link.publish([outgoing(1, "out/t", properties=(("schema", "1"),))])
        until(lambda: len(desk.arrivals) == 2 and desk.published)
        assert desk.link.state.protocol == "3.1.1"
    assert desk.ups[-1].protocol == "3.1.1"
    assert desk.published == [(1, 0)]
    assert desk.names.count("mqtt_protocol_downgraded") == 1
    assert not desk.values("mqtt_connect_failed") or refusal == "hang up"


@pytest.mark.parametrize("hang_ups", [1, 2, 3, 4, 5])
def test_broker_that_is_starting(broker: Broker, hang_ups: int) -> None:
    """A broker that only hangs up while it starts is not taken for an old one."""
    with (
        OldBroker(broker.port, hang_ups=hang_ups) as old,
        running(port=old.port, client_id=f"starting-{hang_ups}") as desk,
    ):
        until(lambda: desk.link.state.connected)
        assert desk.link.state.protocol == "5"
    assert len(desk.ups) == 1


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_takeover(broker: Broker, protocol: str, clean: bool) -> None:
    """When another client takes the id for the third time, the link backs off and reports it.

    A time more when the detector was not yet there at the third. A client that starts clean makes the broker
    publish our will, as if the link had been cut, but takes our session as well.
    """
    twin = f"twin-{protocol}-{clean}"
    with running(
        port=broker.port,
        client_id=twin,
        base_topic=f"agent/{twin}",
        protocol=protocol,
        takeover_silence_s=1.5,
    ) as desk:
        taken = 0
        while not desk.link.state.silent_until and taken < 6:
            taken += 1
            desk.wait_up(taken)
            with peer(broker.port, client_id=twin, clean=clean):
                desk.wait_down(taken)
            ups = taken + 1
            until(lambda ups=ups: desk.link.state.silent_until or desk.link.stats.connects >= ups)  # type: ignore[misc]
        assert 3 <= taken <= 5
        assert "give each its own" in (desk.link.state.last_error or "")
        assert desk.link.stats.takeovers == 1
        until(lambda: desk.link.state.connected and desk.link.state.silent_until is None)
    assert [v["silence_s"] for v in desk.values("mqtt_client_id_contested")] == [1.5]


def test_two_links_with_one_id_make_no_storm(broker: Broker) -> None:
    """Of two agents with one client id neither connects more than 6 times."""
    with (
        running(port=broker.port, client_id="twins") as one,
        running(port=broker.port, client_id="twins") as two,
    ):
        until(lambda: any("mqtt_client_id_contested" in desk.names for desk in (one, two)))
        time.sleep(1)
        assert max(desk.link.stats.connects for desk in (one, two)) <= 6


def test_a_proxy_that_hangs_up_is_no_takeover(broker: Broker) -> None:
    """Connections that end again and again, but not only ours, do not make the link back off."""
    with Proxy(broker.port) as proxy, running(port=proxy.port, client_id="no-twin") as desk:
        for n in range(5):
            desk.wait_up(n + 1)
            proxy.half_close()
            desk.wait_down(n + 1)
    assert desk.link.stats.takeovers == 0


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_link_that_is_cut_is_no_takeover(broker: Broker, protocol: str) -> None:
    """The broker sends our will to the detector, which stays connected: no silence, however often."""
    name = f"cut-{protocol}"
    with (
        Proxy(broker.port) as proxy,
        running(port=proxy.port, client_id=name, base_topic=f"agent/{name}", protocol=protocol) as desk,
    ):
        for n in range(6):
            desk.wait_up(n + 1)
            proxy.reset_newest()
            desk.wait_down(n + 1)
    assert desk.link.stats.takeovers == 0


@pytest.mark.broker
def test_a_witness_that_may_not_read_sees_a_takeover(tmp_path: Path) -> None:
    """Without the right to read our status topic a cut link is taken for a takeover, which ends in time."""
    folder = tmp_path / "broker"
    folder.mkdir()
    acl = folder / "acl"
    acl.write_text("topic write agent/#\n")
    broker = Broker(folder, f"acl_file {acl}").start()
    try:
        with (
            Proxy(broker.port) as proxy,
            running(port=proxy.port, client_id="blind", takeover_silence_s=0.5) as desk,
        ):
            for n in range(3):
                desk.wait_up(n + 1)
                # With the SUBACK the broker has answered all that we sent: the reset has no other reason.
                until(lambda: desk.link.state.subscribed and not desk.link.stats.in_flight)
                proxy.reset_newest()
                desk.wait_down(n + 1)
            desk.wait_up(4)
        assert desk.link.stats.takeovers == 1
    finally:
        broker.stop()


def test_a_silence_ends_when_the_other_agent_leaves(broker: Broker) -> None:
    """Of two agents with one id one backs off; it takes over as soon as the other has stopped."""
    options = {"port": broker.port, "client_id": "heir", "base_topic": "agent/heir"}
    with running(**options) as one, running(**options) as two:
        until(lambda: any("mqtt_client_id_contested" in desk.names for desk in (one, two)))
        silent, speaking = (one, two) if one.link.state.silent_until else (two, one)
        until(lambda: speaking.link.state.connected)
        speaking.stop()
        until(lambda: silent.link.state.connected)
        assert silent.link.state.silent_until is None


def test_stop_on_a_frozen_link(broker: Broker) -> None:
    """Stopping keeps its time limit when nothing can be sent any more."""
    with Proxy(broker.port) as proxy:
        desk = Desk(port=proxy.port, client_id="stopfrozen").start()
        until(lambda: desk.link.state.connected)
        proxy.freeze()
        desk.link.publish([outgoing(1, "x/y")])
        desk.stop(1.5)


def test_no_room_for_the_link_itself(broker: Broker) -> None:
    """A connection that could not be announced counts as an attempt; the next begins once there is room."""
    desk = Desk(port=broker.port, client_id="noroom", topics=["noroom/#"])
    desk.open = False
    desk.start()
    until(lambda: desk.link.state.stalled)
    assert not desk.link.state.subscribed
    desk.open = True
    desk.link.room()
    desk.subscribed()
    desk.stop()
    assert desk.attempts == [1, 2]
    assert [up.generation for up in desk.ups] == [2]
    assert [down.generation for down in desk.items if isinstance(down, LinkDown)] == [2]


def test_room_is_asked_for_while_the_link_is_down(own_broker: Broker) -> None:
    """A stall ends with its connection: after a reconnect everything is offered again."""
    with running(port=own_broker.port, client_id="stall", topics=["s/#"]) as desk:
        desk.subscribed()
        desk.open = False
        with peer(own_broker.port) as other:
            send(other, "s/t", "1", "2")
        until(lambda: desk.link.state.stalled)
        own_broker.stop()
        until(lambda: not desk.link.state.connected)
        desk.open = True
        desk.link.room()
        own_broker.start()
        until(lambda: len(desk.arrivals) == 2)
        assert not desk.link.state.stalled
    assert desk.link.stats.connects == 2
