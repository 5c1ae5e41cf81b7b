"""Little CPU time, a suspended machine, a flood of device ids: slower, not silent."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.journal.reader import Reader
from tests.benchmarks.drain import last_seq
from tests.faults.rig import QUIET_BROKER
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.proxy import UP, Proxy
from tests.support.quota import Quota, quota
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

#: Sizes of the whole attack: BACKLOG=60000 DEVICES=5000 SUSPEND_S=80 STARVE_S=1200 IDS=30000 BURST=10000.
BACKLOG = int(os.environ.get("BACKLOG", "600"))
DEVICES = int(os.environ.get("DEVICES", "200"))
SUSPEND_S = float(os.environ.get("SUSPEND_S", "6"))
STARVE_S = float(os.environ.get("STARVE_S", "30"))  # then it gets the whole core for the rest
SHARE = 0.1
IDS = int(os.environ.get("IDS", "1500"))
BURST = int(os.environ.get("BURST", "1000"))
KNOWN = 20
#: The limits of the watchdog a tenth of the usual ones, unless the whole attack is run.
QUICK = SUSPEND_S < 60
RUN = """
import dataclasses, runpy, sys
from agent.app import app
from agent.config import settings
of_journal = settings.of_journal
settings.of_journal = lambda config: dataclasses.replace(of_journal(config), new_devices_burst={burst})
of_link = settings.of_link
settings.of_link = lambda config: dataclasses.replace(of_link(config), receive_maximum=65_535)
if {quick}:
    app.STUCK_S, app.FRESH_S, app.MAIN_STUCK_S = 2.0, 1.0, 2.5
sys.argv = ["edge-agent", "run", "--config", sys.argv[1]]
runpy.run_module("agent", run_name="__main__", alter_sys=True)
"""


def impatient(folder: Path, broker: Broker, topic: str, *, burst: int = BURST) -> AgentProcess:
    """Return an agent whose watchdog has little patience."""
    agent = AgentProcess(
        folder,
        broker_url=broker.url,
        settings={"agent": {"id": topic}, "sources": [{"topic": f"{topic}/{{device}}"}]},
    )
    agent.argv[1:] = ["-c", RUN.format(quick=QUICK, burst=burst), str(agent.config_path)]
    return agent


@contextmanager
def connected(broker: Broker) -> Iterator[paho.Client]:
    """Be a publisher that is connected."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.max_inflight_messages_set(2000)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


@contextmanager
def quiet(folder: Path) -> Iterator[Broker]:
    """Be a broker that does not write all it has to the disk at each change: a long queue makes that slow."""
    broker = Broker(folder / "broker", extra=QUIET_BROKER).start()
    yield broker
    broker.stop()


@pytest.fixture
def sender(broker: Broker) -> Iterator[paho.Client]:
    """A publisher on the session's broker."""
    with connected(broker) as client:
        yield client


def drained(agent: AgentProcess) -> bool:
    """Return whether so many rows were journaled; delivered verdicts take theirs away again."""
    return last_seq(agent.journal) >= BACKLOG


def counts(agent: AgentProcess) -> str:
    """Return what the journal holds."""
    with Reader.open(agent.state_dir) as reader:
        return ", ".join(f"{reader.counts()[name]} {name}" for name in ("messages", "verdicts", "outbox"))


def used(agent: AgentProcess, before_s: float) -> str:
    """Return what the agent has used."""
    return f"CPU {agent.cpu_s() - before_s:.1f} s, rss {agent.rss_mib():.0f} MiB"


def starve(agent: AgentProcess, group: Quota | None) -> None:
    """Let the agent run on a tenth of a core until the backlog is drained, or for so long."""
    began, told = time.monotonic(), 0.0
    cpu_s = agent.cpu_s()
    if group is not None:
        group.take(agent.pid)
        group.set(SHARE)
    while not drained(agent) and (past_s := time.monotonic() - began) < STARVE_S:
        assert agent.code is None, agent.tail()
        if group is not None:
            time.sleep(0.5)
        else:
            agent.send(signal.SIGSTOP)
            time.sleep((1.0 - SHARE) * 0.5)
            agent.send(signal.SIGCONT)
            time.sleep(SHARE * 0.5)
        if past_s - told >= 30:
            told = past_s
            print(f"{past_s:.0f} s: row {last_seq(agent.journal)}, {counts(agent)}, {used(agent, cpu_s)}")
    held = "" if group is None else "; held back in {} periods, {:.0f} s".format(*group.throttled())
    print(f"starved for {time.monotonic() - began:.0f} s, {used(agent, cpu_s)}{held}")
    if group is not None:
        group.set(None)


def test_a_suspended_agent_and_a_backlog_on_a_tenth_of_a_core(tmp_path: Path) -> None:
    """SIGSTOP for thrice the watchdog's patience, then a backlog with little CPU: no exit, all read."""
    with ExitStack() as stack:
        broker = stack.enter_context(quiet(tmp_path))
        sender = stack.enter_context(connected(broker))
        group = stack.enter_context(quota())
        agent = stack.enter_context(impatient(tmp_path / "a", broker, "slow"))
        agent.send(signal.SIGSTOP)
        began = time.monotonic()
        for first in range(0, BACKLOG, 1000):
            sent = [
                sender.publish(f"slow/d{n % DEVICES}", str(n % 7), qos=1)
                for n in range(first, min(BACKLOG, first + 1000))
            ]
            for message in sent:
                message.wait_for_publish(60)
        print(f"{BACKLOG} messages queued in {time.monotonic() - began:.1f} s")
        time.sleep(max(0.0, SUSPEND_S - (time.monotonic() - began)))
        print(f"suspended for {time.monotonic() - began:.0f} s")
        agent.send(signal.SIGCONT)
        starve(agent, group)
        wait_for(lambda: drained(agent), 60 + BACKLOG / 200, "the rest is drained")
        wait_for(lambda: agent.get("/healthz")[0] == 200, 20, "all loops turn")
        wait_for(lambda: agent.status()["counters"]["readings"] >= BACKLOG, 20, "all are read")
        again = agent.status()["counters"]["readings"] - BACKLOG  # a full intake reconnects
        print(
            f"{again} sent again; CPU {agent.cpu_s():.1f} s in all; peak rss {agent.peak_rss_mib():.1f} MiB"
        )
        assert agent.events("agent_failed") == []
        assert agent.stop() == 0


def test_a_flood_of_device_ids_stops_nobody(tmp_path: Path, broker: Broker, sender: paho.Client) -> None:
    """Thousands of ids in seconds: those beyond the burst go to quarantine, known devices have verdicts."""
    topic = tmp_path.name.replace("_", "")
    agent = impatient(tmp_path / "a", broker, topic)
    verdicts: Counter[str] = Counter()
    sender.on_message = lambda _c, _u, message: verdicts.update([message.topic.rpartition("/")[2]])
    with agent:
        sender.subscribe(f"{agent.base_topic}/verdicts/+", qos=1)

        def speak(value: int) -> None:
            for device in range(KNOWN):
                sender.publish(f"{topic}/known{device}", str(value), qos=1)

        speak(0)
        wait_for(lambda: agent.status()["counters"]["devices"] == KNOWN, 20, "the devices are known")
        began = time.monotonic()
        for number in range(IDS):
            sender.publish(f"{topic}/id{number}", "1", qos=1)
            if number % 500 == 0:
                speak(number)
                time.sleep(max(0.0, began + number / 2000 - time.monotonic()))
        flooded_s = time.monotonic() - began

        def settled() -> bool:
            assert agent.code is None, agent.tail()
            seen = agent.get("/metrics")[1]
            found = [line for line in seen.splitlines() if 'reason="new_device_limit"' in line]
            aside = float(found[0].rpartition(" ")[2]) if found else 0.0
            refilled = 200 / 60 * (time.monotonic() - began) + 1
            return IDS - (BURST - KNOWN) >= aside >= IDS - (BURST - KNOWN) - refilled and aside > 0

        wait_for(settled, 60 + IDS / 200, "the rest of the flood is in quarantine", every_s=0.5)
        names = [f"known{device}" for device in range(KNOWN)]
        wait_for(lambda: all(verdicts[name] for name in names), 60, "they have verdicts")
        before = Counter(verdicts)
        speak(1)
        wait_for(lambda: all(verdicts[name] > before[name] for name in names), 60, "and go on to have them")
        status = agent.status()
        print(f"{IDS} ids in {flooded_s:.1f} s; rss {agent.peak_rss_mib():.0f} MiB")
        assert any("new_device_limit" in problem for problem in status["problems"])
        assert agent.stop() == 0


def test_a_known_device_has_its_verdict_amid_those_of_a_flood(tmp_path: Path) -> None:
    """Two thousand verdicts of new ids wait: the known devices' are in the first thousand, in order."""
    topic, flood = tmp_path.name.replace("_", ""), 2000
    verdicts: list[tuple[str, float]] = []

    def note(_client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        verdict = json.loads(message.payload)
        verdicts.append((verdict["device"], verdict["window"]["readings"]))

    with ExitStack() as stack:
        broker = stack.enter_context(quiet(tmp_path))
        proxy = stack.enter_context(Proxy(broker.port))
        sender = stack.enter_context(connected(broker))
        sender.on_message = note
        agent = impatient(tmp_path / "a", broker, topic, burst=10_000)
        agent.settings["mqtt"] = {"url": f"mqtt://127.0.0.1:{proxy.port}", "keepalive_s": 120}
        agent.settings["review"]["window"] = {"max_age_s": 600, "max_readings": 1}
        stack.enter_context(agent)
        sender.subscribe(f"{agent.base_topic}/verdicts/+", qos=1)
        known = [f"known{number}" for number in range(KNOWN)]

        def speak(device: str, readings: int) -> None:
            values = {f"m{number}": 1 for number in range(readings)}
            sender.publish(f"{topic}/{device}", json.dumps(values), qos=1).wait_for_publish(60)

        for device in known:
            speak(device, 1)
        wait_for(lambda: len(verdicts) == KNOWN, 20, "the devices are known")
        verdicts.clear()
        proxy.freeze(UP)
        for number in range(flood):
            sender.publish(f"{topic}/id{number}", "1", qos=1)
        for readings in (2, 3):
            for device in known:
                speak(device, readings)

        def concluded() -> int:
            with Reader.open(agent.state_dir) as reader:
                return reader.counts()["verdicts"]

        everything = flood + 2 * KNOWN
        wait_for(lambda: concluded() == everything + KNOWN, 60, "all verdicts are on disk")
        proxy.thaw()
        wait_for(lambda: len(verdicts) >= everything, 60, "all are delivered")
        places = {one: place for place, one in reversed(list(enumerate(verdicts)))}
        last = [places[device, 2] for device in known]
        print(f"of {flood} verdicts of the flood and {2 * KNOWN} others, the known devices' first: {last}")
        assert max(last) < 1000
        assert all(places[device, 2] < places[device, 3] for device in known)
        assert agent.stop() == 0
