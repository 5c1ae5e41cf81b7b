"""The link while the broker and the network fail."""

import json
import signal
import time
from pathlib import Path

import pytest

from agent.domain.records import LinkDown
from agent.mqtt import publisher
from tests.mqtt.brokers import REFUSALS, OldBroker
from tests.mqtt.link_harness import LinkHarness, outgoing, peer, running, send, until
from tests.support.broker import Broker
from tests.support.proxy import Proxy


def test_broker_absent_at_first(own_broker: Broker) -> None:
    """The link waits for a broker that is not there yet, and reports it once."""
    own_broker.stop()
    with running(port=own_broker.port, client_id="patient", topics=["late/#"]) as harness:
        until(lambda: harness.link.stats.connect_failures >= 5)
        own_broker.start()
        harness.subscribed()
        assert harness.link.state.last_error is None
    failures = harness.values("mqtt_connect_failed")
    assert [failure["error"].split(": ")[-1] for failure in failures] == ["nothing listens there"]


def test_broker_restarts(own_broker: Broker) -> None:
    """Messages that the broker holds come after its restart, and ours wait here until it is back."""
    with running(port=own_broker.port, client_id="restart", topics=["re/#"], ack=False) as harness:
        harness.subscribed()
        with peer(own_broker.port) as other:
            send(other, "re/t", *[str(n) for n in range(20)])
        until(lambda: len(harness.arrivals) == 20)
        own_broker.stop()
        until(lambda: not harness.link.state.connected)
        harness._ack = True
        harness.link.publish([outgoing(n, "out/t") for n in range(30)])
        until(lambda: harness.link.stats.connect_failures)
        assert not harness.published
        own_broker.start()
        until(lambda: len(harness.arrivals) == 40)
        until(lambda: len(harness.published) == 30)
    assert {arrival.payload for arrival in harness.arrivals[20:]} == {str(n).encode() for n in range(20)}
    assert [down.generation for down in harness.items if isinstance(down, LinkDown)] == [1, 2]
    assert [row for row, _ in harness.published] == list(range(30))
    assert harness.link.stats.reconnects == 1


def test_broker_is_killed(own_broker: Broker) -> None:
    """The session outlives a kill -9 of a broker that saved it; what is in flight here is sent again."""
    with running(port=own_broker.port, client_id="killed", topics=["kill/#"]) as harness:
        harness.subscribed()
        saved = own_broker.folder / "mosquitto.db"
        until(lambda: saved.exists() and b"kill/#" in saved.read_bytes(), "the session is on the disk")
        for n in range(3):
            own_broker.stop(signal.SIGKILL)
            harness.link.publish([outgoing(n, "out/t")])
            own_broker.start()
            harness.wait_up(n + 2)
            harness.subscribed()
            with peer(own_broker.port) as other:
                send(other, "kill/t", str(n))
            until(lambda n=n: len(harness.arrivals) == len(harness.published) == n + 1)  # type: ignore[misc]
    assert [up.session_present for up in harness.ups] == [False, True, True, True]
    assert "mqtt_client_id_contested" not in harness.names


def test_lost_session_is_said(own_broker: Broker) -> None:
    """A broker that forgot the session is noticed, and the filters are subscribed again."""
    with running(port=own_broker.port, client_id="forgotten", topics=["f/#"]) as harness:
        harness.subscribed()
        own_broker.stop()
        (own_broker.folder / "mosquitto.db").unlink()
        own_broker.start()
        until(lambda: harness.link.stats.reconnects == 1)
        harness.subscribed()
        with peer(own_broker.port) as other:
            send(other, "f/t", "x")
        until(lambda: harness.arrivals)
    assert harness.names.count("mqtt_session_lost") == 1


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
    with Proxy(broker.port) as proxy, running(port=proxy.port, client_id="frozen", keepalive_s=1) as harness:
        until(lambda: harness.link.state.connected)
        proxy.freeze()
        until(lambda: not harness.link.state.connected, "given up", 2 * harness.settings.keepalive_s + 5)
        assert "fallen silent" in (harness.link.state.last_error or "")
        proxy.thaw()
        until(lambda: harness.link.state.connected)


def test_broker_that_never_answers(broker: Broker) -> None:
    """A connection without a CONNACK is given up and tried again."""
    with Proxy(broker.port) as proxy:
        proxy.freeze()
        with running(port=proxy.port, client_id="mute", connack_timeout_s=0.2) as harness:
            until(lambda: harness.link.stats.connect_failures >= 3)
            proxy.thaw()
            until(lambda: harness.link.state.connected)
            assert harness.link.state.protocol == "5"


@pytest.mark.slow
def test_idle_connection_is_kept(broker: Broker) -> None:
    """PINGREQs keep an idle connection: the broker does not end it, nor do we."""
    with running(port=broker.port, client_id="idle", keepalive_s=4) as harness:
        until(lambda: harness.link.state.connected)
        time.sleep(6.5)  # the broker waits for 1.5 x keepalive
        assert harness.link.state.connected
        assert harness.link.stats.connects == 1


@pytest.mark.parametrize("seed", range(2))
def test_faults_of_the_network(broker: Broker, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resets, slices, freezes and half-closed links: every message arrives, every publish is settled.

    On a busy machine one message may be in flight at every fault, which would refuse it as one too large.
    """
    monkeypatch.setattr(publisher, "MAX_LOSSES", 1000)
    client_id = f"storm-{seed}"
    with (
        Proxy(broker.port, seed=seed) as proxy,
        peer(broker.port, f"{client_id}-out/#") as other,
        running(port=proxy.port, client_id=client_id, topics=[f"{client_id}/#"], keepalive_s=1) as harness,
    ):
        harness.subscribed()
        sent = 0
        for _ in range(8):
            for _ in range(10):
                other.publish(f"{client_id}/t", str(sent), qos=1)
                harness.link.publish([outgoing(sent, f"{client_id}-out/t", str(sent).encode())])
                sent += 1
            proxy.misbehave()
            time.sleep(0.3)
            proxy.calm()
        until(lambda: len(set(harness.payloads)) == sent, "all messages", 20)
        until(
            lambda: {row for row, code in harness.published if code < 0x80} == set(range(sent)),
            "all settled",
            20,
        )
        heard = other.heard  # type: ignore[attr-defined]
        until(lambda: {int(message.payload) for message in heard} == set(range(sent)), "all heard", 20)
    assert len(harness.published) == sent


@pytest.mark.parametrize("refusal", REFUSALS)
def test_old_broker(broker: Broker, refusal: str) -> None:
    """A broker without MQTT 5 is spoken to in 3.1.1, which is reported once; acks and publishes work."""
    client_id = f"old-{refusal.replace(' ', '')}"
    options = {"client_id": client_id, "topics": [f"{client_id}/#"]}
    with (
        OldBroker(broker.port, refusal=refusal) as old,
        peer(broker.port) as other,
        running(port=old.port, **options) as harness,
    ):
        harness.subscribed()
        send(other, f"{client_id}/t", "a", "b")
        harness.link.publish([outgoing(1, "out/t", properties=(("schema", "1"),))])
        until(lambda: len(harness.arrivals) == 2 and harness.published)
        assert harness.link.state.protocol == "3.1.1"
    assert harness.ups[-1].protocol == "3.1.1"
    assert harness.published == [(1, 0)]
    assert harness.names.count("mqtt_protocol_downgraded") == 1
    assert not harness.values("mqtt_connect_failed") or refusal == "hang up"


@pytest.mark.parametrize("hang_ups", [1, 2, 3, 4, 5])
def test_broker_that_is_starting(broker: Broker, hang_ups: int) -> None:
    """A broker that only hangs up while it starts is not taken for an old one."""
    with (
        OldBroker(broker.port, hang_ups=hang_ups) as old,
        running(port=old.port, client_id=f"starting-{hang_ups}") as harness,
    ):
        until(lambda: harness.link.state.connected)
        assert harness.link.state.protocol == "5"
    assert len(harness.ups) == 1


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
    ) as harness:
        taken = 0
        while not harness.link.state.silent_until and taken < 6:
            taken += 1
            harness.wait_up(taken)
            with peer(broker.port, client_id=twin, clean=clean):
                harness.wait_down(taken)
            ups = taken + 1
            until(lambda ups=ups: harness.link.state.silent_until or harness.link.stats.connects >= ups)  # type: ignore[misc]
        assert 3 <= taken <= 5
        assert "give each its own" in (harness.link.state.last_error or "")
        assert harness.link.stats.takeovers == 1
        until(lambda: harness.link.state.connected and harness.link.state.silent_until is None)
    assert [v["silence_s"] for v in harness.values("mqtt_client_id_contested")] == [1.5]


def test_two_links_with_one_id_make_no_storm(broker: Broker) -> None:
    """Of two agents with one client id neither connects more than 6 times."""
    with (
        running(port=broker.port, client_id="twins") as one,
        running(port=broker.port, client_id="twins") as two,
    ):
        until(lambda: any("mqtt_client_id_contested" in harness.names for harness in (one, two)))
        time.sleep(1)
        assert max(harness.link.stats.connects for harness in (one, two)) <= 6


def test_a_proxy_that_hangs_up_is_no_takeover(broker: Broker) -> None:
    """Connections that end again and again, but not only ours, do not make the link back off."""
    with Proxy(broker.port) as proxy, running(port=proxy.port, client_id="no-twin") as harness:
        for n in range(5):
            harness.wait_up(n + 1)
            proxy.half_close()
            harness.wait_down(n + 1)
    assert harness.link.stats.takeovers == 0


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_link_that_is_cut_is_no_takeover(broker: Broker, protocol: str) -> None:
    """The broker sends our will to the detector, which stays connected: no silence, however often."""
    name = f"cut-{protocol}"
    with (
        Proxy(broker.port) as proxy,
        running(port=proxy.port, client_id=name, base_topic=f"agent/{name}", protocol=protocol) as harness,
    ):
        for n in range(6):
            harness.wait_up(n + 1)
            proxy.reset_newest()
            harness.wait_down(n + 1)
    assert harness.link.stats.takeovers == 0


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
            running(port=proxy.port, client_id="blind", takeover_silence_s=0.5) as harness,
        ):
            for n in range(3):
                harness.wait_up(n + 1)
                # With the SUBACK the broker has answered all that we sent: the reset has no other reason.
                until(lambda: harness.link.state.subscribed and not harness.link.stats.in_flight)
                proxy.reset_newest()
                harness.wait_down(n + 1)
            harness.wait_up(4)
        assert harness.link.stats.takeovers == 1
    finally:
        broker.stop()


def test_a_silence_ends_when_the_other_agent_leaves(broker: Broker) -> None:
    """Of two agents with one id one backs off; it takes over as soon as the other has stopped."""
    options = {"port": broker.port, "client_id": "heir", "base_topic": "agent/heir"}
    with running(**options) as one, running(**options) as two:
        until(lambda: any("mqtt_client_id_contested" in harness.names for harness in (one, two)))
        silent, speaking = (one, two) if one.link.state.silent_until else (two, one)
        until(lambda: speaking.link.state.connected)
        speaking.stop()
        until(lambda: silent.link.state.connected)
        assert silent.link.state.silent_until is None


def test_stop_on_a_frozen_link(broker: Broker) -> None:
    """Stopping keeps its time limit when nothing can be sent any more."""
    with Proxy(broker.port) as proxy:
        harness = LinkHarness(port=proxy.port, client_id="stopfrozen").start()
        until(lambda: harness.link.state.connected)
        proxy.freeze()
        harness.link.publish([outgoing(1, "x/y")])
        harness.stop(1.5)


def test_no_room_for_the_link_itself(broker: Broker) -> None:
    """A connection that could not be announced counts as an attempt; the next begins once there is room."""
    harness = LinkHarness(port=broker.port, client_id="noroom", topics=["noroom/#"])
    harness.open = False
    harness.start()
    until(lambda: harness.link.state.stalled)
    assert not harness.link.state.subscribed
    harness.open = True
    harness.link.room()
    harness.subscribed()
    harness.stop()
    assert harness.attempts == [1, 2]
    assert [up.generation for up in harness.ups] == [2]
    assert [down.generation for down in harness.items if isinstance(down, LinkDown)] == [2]


def test_room_is_asked_for_while_the_link_is_down(own_broker: Broker) -> None:
    """A stall ends with its connection: after a reconnect everything is offered again."""
    with running(port=own_broker.port, client_id="stall", topics=["s/#"]) as harness:
        harness.subscribed()
        harness.open = False
        with peer(own_broker.port) as other:
            send(other, "s/t", "1", "2")
        until(lambda: harness.link.state.stalled)
        own_broker.stop()
        until(lambda: not harness.link.state.connected)
        harness.open = True
        harness.link.room()
        own_broker.start()
        until(lambda: len(harness.arrivals) == 2)
        assert not harness.link.state.stalled
    assert harness.link.stats.connects == 2
