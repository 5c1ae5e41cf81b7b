"""Repeats by a broker that was wiped or put back, and to an agent that was killed."""

import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from agent.testing.failpoint import MARKER, VARIABLE
from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.slow]

LIMIT_S = 15.0
COMMIT_MS = 500  # long enough to kill the agent between arrival and commit


@pytest.fixture
def agent(tmp_path: Path, own_broker: Broker) -> Iterator[AgentProcess]:
    process = AgentProcess(
        tmp_path / "agent",
        broker_url=own_broker.url,
        settings={"agent": {"id": "gw-again"}, "journal": {"commit_ms": COMMIT_MS, "prune": False}},
    )
    yield process
    process.kill()


def batch(name: str, count: int = 10) -> list[bytes]:
    """Return payloads that hold their number; the same name gives the same bytes."""
    return [f'{{"value": {number}, "batch": "{name}"}}'.encode() for number in range(count)]


def publish(broker: Broker, payloads: Sequence[bytes]) -> None:
    """Publish, each with its PUBACK."""
    with peer(broker.port) as client:
        send(client, "load/d1", *payloads)


def journaled(agent: AgentProcess) -> Counter[bytes]:
    """Return how often each payload is in the journal."""
    if not agent.journal.exists():
        return Counter()
    with closing(sqlite3.connect(f"file:{agent.journal}?mode=ro", uri=True, timeout=60)) as connection:
        return Counter(bytes(payload) for (payload,) in connection.execute("SELECT payload FROM messages"))


def wait_journaled(agent: AgentProcess, payloads: Sequence[bytes], times: int = 1) -> None:
    """Wait until each payload is there so many times or more."""
    wait_for(
        lambda: all(journaled(agent)[payload] >= times for payload in payloads), LIMIT_S, "all is journaled"
    )


def wait_connects(agent: AgentProcess, times: int) -> None:
    """Wait until this process has subscribed so many times."""
    wait_for(lambda: len(agent.events("mqtt_subscribed")) == times, LIMIT_S, f"{times} subscriptions")


def test_a_wiped_broker_is_noticed_and_nothing_is_taken_for_another(
    agent: AgentProcess, own_broker: Broker
) -> None:
    """Its packet ids restart at 1 with the very same bytes: all of them are new, and none is lost.

    The agent is killed while it holds them, so that they come again with DUP=1 and the packet ids that it
    journaled before the broker was wiped.
    """
    same = batch("same")
    agent.start()
    agent.wait_ready()
    publish(own_broker, same)
    wait_journaled(agent, same)
    own_broker.stop(signal.SIGKILL)
    (own_broker.folder / "mosquitto.db").unlink(missing_ok=True)
    own_broker.start()
    wait_connects(agent, 2)
    (said,) = agent.events("mqtt_session_lost")
    assert "make the broker keep sessions" in said["remedy"]
    assert agent.status()["broker"]["session_present"] is False
    publish(own_broker, same)
    agent.kill()
    agent.start()
    agent.wait_ready()
    wait_journaled(agent, same, 2)
    publish(own_broker, batch("end"))
    wait_journaled(agent, batch("end"))
    assert set(journaled(agent).values()) == {1, 2}
    assert all(journaled(agent)[payload] == 2 for payload in same)


def test_an_ack_of_an_earlier_session_acknowledges_nothing(agent: AgentProcess, own_broker: Broker) -> None:
    """A message that was not committed when the broker was put back gets no ack in the session put back.

    The packet ids belong to other messages there: with a stale ack, these would be lost.
    """
    agent.settings["journal"]["commit_ms"] = 5000  # the next CONNACK ends it
    agent.start()
    agent.wait_ready()
    assert agent.stop() == 0
    own_broker.stop()
    with_new = save_with(own_broker, batch("new"))
    own_broker.start()
    publish(own_broker, batch("old"))
    agent.start()
    agent.wait_ready()
    own_broker.stop(signal.SIGKILL)
    shutil.copy(with_new, own_broker.folder / "mosquitto.db")
    own_broker.start()
    wait_connects(agent, 3)
    wait_journaled(agent, batch("old"))
    agent.kill()
    agent.settings["journal"]["commit_ms"] = COMMIT_MS
    agent.start()
    wait_journaled(agent, batch("new"))
    assert set(journaled(agent).values()) == {1}


def save_with(broker: Broker, payloads: Sequence[bytes]) -> Path:
    """Return a save of a stopped broker with these messages queued; the broker's own is as it was."""
    database, before, after = (broker.folder / name for name in ("mosquitto.db", "before.db", "after.db"))
    shutil.copy(database, before)
    broker.start()
    publish(broker, payloads)
    broker.stop()
    shutil.copy(database, after)
    shutil.copy(before, database)
    return after


def test_a_broker_put_back_to_an_older_save_loses_nothing(agent: AgentProcess, own_broker: Broker) -> None:
    """It sends again what it has forgotten; its packet ids are rolled back, and new messages are new.

    Messages from before the save may be journaled twice (duplicates are better than loss); later ones,
    once for each time it was sent.
    """
    database = own_broker.folder / "mosquitto.db"
    older = own_broker.folder / "older.db"
    agent.start()
    agent.wait_ready()
    assert agent.stop() == 0
    publish(own_broker, batch("queued"))
    own_broker.stop()
    shutil.copy(database, older)
    own_broker.start()
    agent.start()
    agent.wait_ready()
    wait_journaled(agent, batch("queued"))
    publish(own_broker, batch("after"))
    wait_journaled(agent, batch("after"))
    own_broker.stop()
    shutil.copy(older, database)
    own_broker.start()
    wait_connects(agent, 3)
    assert agent.status()["broker"]["session_present"] is True
    wait_journaled(agent, batch("queued"), 2)
    publish(own_broker, batch("after"))  # with the packet ids that they had before
    agent.kill()
    agent.start()
    wait_journaled(agent, batch("after"), 2)
    assert set(journaled(agent).values()) == {2}


@pytest.mark.parametrize("point", ["c4_ack_sent", "c9_published"])
def test_killed_when_the_kernel_has_it(agent: AgentProcess, own_broker: Broker, point: str) -> None:
    """Killed with PUBACK or PUBLISH just sent, the agent has each message once and each verdict unchanged."""
    agent.state_dir.mkdir()
    (agent.state_dir / MARKER).touch()
    agent.settings["review"]["window"] = {"max_age_s": 60, "max_readings": 5}
    agent.environ[VARIABLE] = point
    agent.start()
    wait_for(lambda: agent.events("mqtt_subscribed"), LIMIT_S, "the agent is subscribed")
    with peer(own_broker.port, "edge-agent/gw-again/verdicts/#") as watcher:
        payloads = batch(point, 60)
        for first in range(0, 60, 10):
            send(watcher, "load/d1", *payloads[first : first + 10])
        assert agent.wait(LIMIT_S) == -signal.SIGKILL
        agent.environ.clear()
        agent.start()
        agent.wait_ready()
        wait_journaled(agent, payloads)
        heard = watcher.heard  # type: ignore[attr-defined]
        wait_for(lambda: len({message.payload for message in heard}) == 12, LIMIT_S, "12 verdicts")
    assert set(journaled(agent).values()) == {1}
