"""The agent and its peers as processes, each with a count of its messages."""

import json
import re
import shutil
import signal
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from simulator import scrape
from tests.benchmarks.peers.load import Load
from tests.support.agent_process import REPO, AgentProcess, Child
from tests.support.broker import Broker, free_port
from tests.support.waiting import wait_for

ALARM = 90.0
MANY = 100_000
STEP_S = 0.05
REST_S = 1.0
IDLE_SHARE = 0.06  # of one core
EXPORTER = REPO / ".venv-peers" / "bin" / "mqtt-exporter"
NODE_RED = REPO / ".node-peers" / "node_modules" / "node-red" / "red.js"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Contestant(ABC):
    """One program that takes the messages of ``load`` from a broker's port.

    ``broker`` is the broker itself, whose log shows the subscription; ``port`` may be that of a proxy.
    """

    name: str
    acknowledges = True

    def __init__(self, *, broker: Broker, port: int, folder: Path, load: Load) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port
        self.load = load
        self._broker = broker
        self.child = self._make()

    @staticmethod
    def missing() -> str | None:
        """Return the reason why it cannot be started here."""
        return None

    @abstractmethod
    def _make(self) -> Child:
        """Return its process, not started."""

    @abstractmethod
    def count(self) -> int:
        """Return how many messages it has taken since its start; it may have ended when this returns."""

    def start(self) -> None:
        """Start, and wait until the broker has its subscription."""
        before = self._subscriptions()
        self.child.start()
        what = f"{self.name} subscribes"
        wait_for(lambda: self._subscriptions() > before or not self.child.running, 60, what)
        if not self.child.running:
            raise AssertionError(f"{self.name} ended; its log ends with:\n{self.child.tail()}")

    def cpu_s(self) -> float:
        """Return the CPU time of all its threads, s."""
        return _scheduled(self.child.pid)[0]

    def rest(self, limit_s: float = 300.0) -> float:
        """Wait until it and the broker have had next to nothing to do for a second; return its CPU time then.

        Time in which they wait for a core counts as work, so that a busy machine does not look like rest.
        """
        assert self._broker.process is not None
        pids = (self.child.pid, self._broker.process.pid)
        cpu_s, worked, since = self.cpu_s(), sum(map(sum, map(_scheduled, pids))), time.monotonic()
        deadline = since + limit_s
        while (now := time.monotonic()) < deadline:
            time.sleep(STEP_S)
            busy = sum(map(sum, map(_scheduled, pids))) - worked
            if busy > IDLE_SHARE * max(now - since, REST_S / 4):
                cpu_s, worked, since = self.cpu_s(), worked + busy, time.monotonic()
            elif now - since >= REST_S:
                return cpu_s
        log = self.child.tail()
        raise AssertionError(f"{self.name} is not idle within {limit_s:g} s; its log ends:\n{log}")

    def _subscriptions(self) -> int:
        text = (self._broker.folder / "mosquitto.log").read_text(errors="replace")
        return sum(line.endswith(f" {self.load.filter}") for line in text.splitlines())


def _scheduled(pid: int) -> tuple[float, float]:
    """Return how long the threads of a process have run, and waited for a core, s (proc(5), schedstat)."""
    fields = [one.read_text().split() for one in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(one[0]) for one in fields) / 1e9, sum(int(one[1]) for one in fields) / 1e9


class MosquittoSub(Contestant):
    """Prints each payload into a file."""

    name = "mosquitto_sub"

    @staticmethod
    def missing() -> str | None:
        return None if shutil.which("mosquitto_sub") else "mosquitto-clients is not installed"

    def _make(self) -> Child:
        child = Child(argv=(), log=self.folder / "sub.log")
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-V", "5", "-q", "1", "-t", self.load.filter]
        child.argv = [shutil.which("mosquitto_sub") or "mosquitto_sub", *options]
        return child

    def count(self) -> int:
        self.child.stop()  # else its last lines are in its buffer
        return self.child.log.read_bytes().count(b"\n")


class BarePaho(Contestant):
    """paho with ``json.loads`` and a dictionary of the last values; ``lose`` makes it the control."""

    name = "bare paho, json.loads"
    lose = 0

    def _make(self) -> Child:
        options = ["--port", str(self.port), "--filter", self.load.filter, "--lose", str(self.lose)]
        return Child(argv=["-m", "tests.benchmarks.peers.bare_json", *options], log=self.folder / "bare.log")

    def count(self) -> int:
        said = len(self._counts())
        self.child.send(signal.SIGUSR1)
        wait_for(lambda: len(self._counts()) > said, 10, "bare paho prints its count")
        return int(self._counts()[-1])

    def _counts(self) -> list[str]:
        return re.findall(r"^count (\d+)$", self.child.text(), re.MULTILINE)


class LosingPaho(BarePaho):
    """A control: it acknowledges each tenth message and forgets it."""

    name = "control, loses each tenth"
    lose = 10


class MqttExporter(Contestant):
    """mqtt-exporter of PyPI: a gauge for each topic. It subscribes at QoS 0."""

    name = "mqtt-exporter"
    acknowledges = False

    @staticmethod
    def missing() -> str | None:
        return None if EXPORTER.exists() else "not installed; run make bench-peers"

    def _make(self) -> Child:
        self._web = free_port()
        child = Child(
            argv=(),
            log=self.folder / "exporter.log",
            environ={
                "MQTT_ADDRESS": "127.0.0.1",
                "MQTT_PORT": str(self.port),
                "MQTT_TOPIC": self.load.filter,
                "PROMETHEUS_ADDRESS": "127.0.0.1",
                "PROMETHEUS_PORT": str(self._web),
            },
        )
        child.argv = [str(EXPORTER)]
        return child

    def count(self) -> int:
        samples = scrape.metrics(f"http://127.0.0.1:{self._web}")
        return 0 if samples is None else int(samples.total("mqtt_message_total"))


class NodeRed(Contestant):
    """Node-RED: mqtt in (JSON), a function that compares with the alarm line, mqtt out above it."""

    name = "Node-RED"

    @staticmethod
    def missing() -> str | None:
        if shutil.which("node") is None:
            return "node is not installed"
        return None if NODE_RED.exists() else "not installed; run make bench-peers"

    def _make(self) -> Child:
        self._web = free_port()
        (self.folder / "flows.json").write_text(json.dumps(flow(self.port, self.load.filter)))
        settings = {
            "uiHost": "127.0.0.1",
            "uiPort": self._web,
            "httpAdminRoot": False,
            "userDir": str(self.folder),
            "flowFile": "flows.json",
            "credentialSecret": False,
            "telemetry": {"enabled": False},
            "logging": {"console": {"level": "warn"}},
        }
        (self.folder / "settings.js").write_text(f"module.exports = {json.dumps(settings)}")
        child = Child(argv=(), log=self.folder / "node-red.log")
        options = ["--settings", str(self.folder / "settings.js"), "--userDir", str(self.folder)]
        child.argv = [shutil.which("node") or "node", str(NODE_RED), *options]
        return child

    def count(self) -> int:
        with _OPENER.open(f"http://127.0.0.1:{self._web}/count", timeout=30) as response:
            return int(json.load(response)["count"])


def flow(port: int, topic: str) -> list[dict[str, Any]]:
    """Return the nodes of Node-RED's flow, and those that answer with its count."""
    work = (
        f'flow.set("count", (flow.get("count") || 0) + 1);\nreturn msg.payload.value > {ALARM} ? msg : null;'
    )
    answer = 'msg.payload = {count: flow.get("count") || 0};\nreturn msg;'
    broker = {"protocolVersion": "5", "cleansession": True, "autoConnect": True, "keepalive": "60"}
    place = {"z": "tab", "x": 100, "y": 100}
    return [
        {"id": "tab", "type": "tab", "label": "peers"},
        {"id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port), **broker},
        {"id": "in", "type": "mqtt in", **place, "topic": topic, "qos": "1", "datatype": "json",
         "broker": "broker", "wires": [["work"]]},
        {"id": "work", "type": "function", **place, "func": work, "outputs": 1, "wires": [["out"]]},
        {"id": "out", "type": "mqtt out", **place, "topic": "alarms", "qos": "1", "broker": "broker",
         "wires": []},
        {"id": "ask", "type": "http in", **place, "url": "/count", "method": "get", "wires": [["answer"]]},
        {"id": "answer", "type": "function", **place, "func": answer, "outputs": 1, "wires": [["end"]]},
        {"id": "end", "type": "http response", **place, "wires": []},
    ]  # fmt: skip


class Agent(Contestant):
    """The agent, ``review: none``: journal, detector, windows, verdicts, page and metrics."""

    name = "edge-agent, review none"
    settings: ClassVar[Mapping[str, Any]] = {}

    def _make(self) -> Child:
        base: dict[str, Any] = {
            "agent": {"id": self.folder.name},
            "sources": [{"topic": f"{self.load.prefix}/{{device}}/{{metric}}", "new_devices_per_min": MANY}],
            "limits": {"*/temperature": {"high": ALARM}},
            "review": {"mode": "none", "window": {"max_age_s": 60, "max_readings": 60, "settle_s": 5}},
        }
        url = f"mqtt://127.0.0.1:{self.port}"
        return AgentProcess(self.folder, broker_url=url, settings=base | dict(self.settings))

    def start(self) -> None:
        super().start()
        assert isinstance(self.child, AgentProcess)
        self.child.wait_ready()

    def count(self) -> int:
        assert isinstance(self.child, AgentProcess)
        samples = scrape.metrics(f"http://127.0.0.1:{self.child.port}")
        return 0 if samples is None else int(samples.total("edge_readings_total"))


ALL: tuple[type[Contestant], ...] = (MosquittoSub, BarePaho, MqttExporter, NodeRed, Agent)
