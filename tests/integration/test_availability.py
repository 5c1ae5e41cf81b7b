"""A device's last will up to the finding; a publisher's ids through a kill -9."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.detect import Detector, DetectSettings
from agent.domain.records import Reading
from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = pytest.mark.process

AT_ONCE_S = 5.0


def device(port: int, name: str) -> paho.Client:
    """Return a connected device whose last will is ``Offline`` and that sends ``Online``, both retained."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"device-{name}")
    client.will_set(f"tele/{name}/LWT", "Offline", qos=1, retain=True)
    client.connect("127.0.0.1", port)
    client.loop_start()
    send(client, f"tele/{name}/LWT", "Online", retain=True)
    return client


def lose(client: paho.Client) -> None:
    """Let the device die without a DISCONNECT, so that the broker publishes its last will."""
    client.loop_stop()
    sock = client.socket()
    assert sock is not None
    sock.close()


def silences(heard: list[Any]) -> list[str]:
    """Return the events of the device in order, repeats of one left out as a consumer does."""
    bodies = [json.loads(payload) for payload in dict.fromkeys(message.payload for message in heard)]
    return [body["event_type"] for body in bodies if body["verdict"]["device"] == "plug1"]


def test_a_last_will_opens_a_silence_at_once(tmp_path: Path, own_broker: Broker) -> None:
    """It stays one finding over a kill -9, and clears after three normal windows once the device is back."""
    settings = {
        "agent": {"id": "gw-lwt"},
        "sources": [{"topic": "tele/{device}/{metric}", "availability": {"topic": "tele/{device}/LWT"}}],
        "review": {"window": {"max_age_s": 60, "max_readings": 5}},
    }
    agent = AgentProcess(tmp_path / "agent", broker_url=own_broker.url, settings=settings)
    with agent, peer(own_broker.port, "edge-agent/gw-lwt/events/#") as watcher:
        heard = watcher.heard  # type: ignore[attr-defined]
        plug = device(own_broker.port, "plug1")
        send(plug, "tele/plug1/power", *(b"20.5" for _ in range(7)))
        wait_for(lambda: agent.status()["counters"]["readings"] == 7, AT_ONCE_S, "readings are journaled")
        lose(plug)
        wait_for(lambda: silences(heard) == ["opened"], AT_ONCE_S, "the silence is found")
        verdict = json.loads(heard[0].payload)["verdict"]
        assert (verdict["kind"], verdict["source"], verdict["reason"]) == ("silence", "local", "no_readings")
        assert (verdict["window"]["trigger"], verdict["window"]["readings"]) == ("silence", 0)
        assert verdict["summary"].startswith("The device is reported offline; its last reading is ")
        assert agent.status()["devices"][0]["silent"] is True
        agent.kill()
        agent.start()
        agent.wait_ready()
        plug = device(own_broker.port, "plug1")
        for _ in range(3):
            assert silences(heard) == ["opened"]
            send(plug, "tele/plug1/power", *(b"20.5" for _ in range(5)))
        wait_for(lambda: silences(heard) == ["opened", "cleared"], AT_ONCE_S, "the silence is over")
        assert agent.status()["findings"] == []
        assert agent.status()["counters"]["quarantined"] == 0
        plug.disconnect()
        plug.loop_stop()


def test_a_state_that_is_retained_counts(tmp_path: Path, own_broker: Broker) -> None:
    """A device that went offline while the broker was away with its session is found silent."""
    settings = {
        "agent": {"id": "gw-ret"},
        "mqtt": {"client_id": "gw-ret"},
        "sources": [
            {"topic": "z/{device}", "availability": {"topic": "z/{device}/state", "offline": "dead"}},
        ],
    }
    agent = AgentProcess(tmp_path / "agent", broker_url=own_broker.url, settings=settings)
    with agent, peer(own_broker.port) as client:
        send(client, "z/th1", b'{"t": 20}')
        send(client, "z/th2", b'{"t": 20}')
        wait_for(lambda: agent.status()["counters"]["readings"] == 2, AT_ONCE_S, "readings are journaled")
        assert agent.stop() == 0
        send(client, "z/th1/state", b'{"state": "dead"}', retain=True)
        with peer(own_broker.port, client_id="gw-ret"):
            pass  # takes the session over with a clean start: it is lost
        agent.start()
        agent.wait_ready()
        wait_for(lambda: len(agent.status()["findings"]) == 1, AT_ONCE_S, "the silence is found")
        assert agent.status()["findings"][0]["device"] == "th1"
        assert len(agent.events("mqtt_session_lost")) == 1


@pytest.mark.slow
def test_a_publishers_ids_count_once_through_a_kill(tmp_path: Path, own_broker: Broker) -> None:
    """A publisher that repeats all it has, again and again, adds nothing; what is new is taken."""
    settings = {
        "agent": {"id": "gw-ids"},
        "journal": {"commit_ms": 20},
        "sources": [{"topic": "plant/{device}", "dedupe": "$.meta.id"}],
    }
    payloads = [json.dumps({"t": 20 + n % 3, "meta": {"id": f"m{n}"}}).encode() for n in range(200)]
    agent = AgentProcess(tmp_path / "agent", broker_url=own_broker.url, settings=settings)
    with agent, peer(own_broker.port) as client:
        infos = [client.publish("plant/d1", payload, qos=1) for payload in payloads[:150]]
        wait_for(lambda: agent.status()["counters"]["messages"] > 0, AT_ONCE_S, "messages arrive")
        agent.kill()
        for info in infos:
            info.wait_for_publish(60)
        send(client, "plant/d1", *payloads)
        agent.start()
        agent.wait_ready()
        send(client, "plant/d1", *payloads)
        wait_for(lambda: journaled(agent) == 200, AT_ONCE_S, "every message is there")
        wait_for(lambda: agent.status()["counters"]["duplicates"] >= 200, AT_ONCE_S, "repeats are counted")
        assert journaled(agent) == 200
        assert ids_of(agent) == {f"m{n}" for n in range(200)}


def journaled(agent: AgentProcess) -> int:
    """Return the number of messages in the journal."""
    with closing(sqlite3.connect(f"file:{agent.journal}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM messages").fetchone()[0])


def ids_of(agent: AgentProcess) -> set[str]:
    """Return the publisher's ids in the journal."""
    with closing(sqlite3.connect(f"file:{agent.journal}?mode=ro", uri=True)) as connection:
        return {
            json.loads(payload)["meta"]["id"]
            for (payload,) in connection.execute("SELECT payload FROM messages")
        }


def test_who_only_repeats_that_it_is_there_is_silent_all_the_same() -> None:
    """One ``online`` between two readings restarts the clock; a heartbeat of them hides no silence."""
    detector = Detector(settings=DetectSettings(), limits=[])
    detector.connected(0.0)
    for number in range(200):
        detector.update(Reading("d", "t", 10.0 * number, 20.0 + number % 3), 10.0 * number)
    due = detector.next_due()
    assert due is not None
    detector.device_state("d", online=True, clock=due - 1.0)
    assert detector.tick(due) == []
    second = detector.next_due()
    assert second is not None
    for step in range(20):
        detector.device_state("d", online=True, clock=due + step)
    assert [silence.device for silence in detector.tick(second)] == ["d"]
