"""Little CPU time, a suspended machine and a flood of device ids: slower, never stopped, nobody silenced."""

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.journal import Reader
from tests.support.agent_process import AgentProcess, wait_for
from tests.support.broker import Broker

#: Sizes of the whole attack: BACKLOG=60000 DEVICES=5000 SUSPEND_S=80 IDS=30000 BURST=10000.
BACKLOG = int(os.environ.get("BACKLOG", "600"))
DEVICES = int(os.environ.get("DEVICES", "200"))
SUSPEND_S = float(os.environ.get("SUSPEND_S", "6"))
IDS = int(os.environ.get("IDS", "1500"))
BURST = int(os.environ.get("BURST", "1000"))
KNOWN = 20
#: The limits of the watchdog a tenth of what they are, unless the whole attack is run.
QUICK = SUSPEND_S < 60
RUN = """
import dataclasses, runpy, sys
from agent import app, settings
of_journal = settings.of_journal
settings.of_journal = lambda config: dataclasses.replace(of_journal(config), new_devices_burst={burst})
if {quick}:
    app.STUCK_S, app.FRESH_S, app.MAIN_STUCK_S = 2.0, 1.0, 2.5
sys.argv = ["edge-agent", "run", "--config", sys.argv[1]]
runpy.run_module("agent", run_name="__main__", alter_sys=True)
"""


def impatient(folder: Path, broker: Broker, topic: str) -> AgentProcess:
    """Return an agent whose watchdog has little patience."""
    agent = AgentProcess(
        folder,
        broker_url=broker.url,
        settings={"agent": {"id": topic}, "sources": [{"topic": f"{topic}/{{device}}"}]},
    )
    agent.argv[1:] = ["-c", RUN.format(quick=QUICK, burst=BURST), str(agent.config_path)]
    return agent


@pytest.fixture
def sender(broker: Broker) -> Iterator[paho.Client]:
    """A publisher that is connected."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.max_inflight_messages_set(2000)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def slowly(agent: AgentProcess, *, share: float, limit_s: float, done: object) -> None:
    """Let the process run for ``share`` of each half second until ``done`` (a function) says so."""
    deadline, period_s = time.monotonic() + limit_s, 0.5
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline, "the backlog is not drained"
        assert agent.code is None, agent.tail()
        agent.send(signal.SIGSTOP)
        time.sleep((1.0 - share) * period_s)
        agent.send(signal.SIGCONT)
        time.sleep(share * period_s)


def test_a_suspended_agent_and_a_backlog_on_a_tenth_of_a_core(
    tmp_path: Path, broker: Broker, sender: paho.Client
) -> None:
    """SIGSTOP for thrice the watchdog's patience, then a backlog with CPU in slices: no exit, all read."""
    agent = impatient(tmp_path / "a", broker, "slow")
    with agent:
        agent.send(signal.SIGSTOP)
        began = time.monotonic()
        sent = [sender.publish(f"slow/d{n % DEVICES}", str(n % 7), qos=1) for n in range(BACKLOG)]
        for message in sent:
            message.wait_for_publish(60)
        time.sleep(max(0.0, SUSPEND_S - (time.monotonic() - began)))
        agent.send(signal.SIGCONT)

        def drained() -> bool:
            with Reader.open(agent.state_dir) as reader:
                return int(reader.meta("seq") or 0) > BACKLOG or reader.counts()["messages"] == BACKLOG

        slowly(agent, share=0.1, limit_s=60 + BACKLOG / 10, done=drained)
        wait_for(lambda: agent.get("/healthz")[0] == 200, 20, "all loops turn")
        wait_for(lambda: agent.status()["counters"]["readings"] == BACKLOG, 20, "all are read")
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
