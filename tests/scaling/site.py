"""Agents of several partitions on a Mosquitto, with their readings and verdicts."""

import json
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.decode.partition import partition_of
from tests.mqtt.link_harness import peer
from tests.support.agent_process import AgentProcess, merge
from tests.support.broker import Broker
from tests.support.waiting import wait_for

STEP_MS = 50  # between two readings of a device, event time
SETTINGS: Mapping[str, Any] = {"review": {"window": {"max_age_s": 2, "max_readings": 10}}}


@dataclass
class Load:
    """Publishes readings at QoS 1, each at a time of its own, and remembers those that the broker took."""

    client: paho.Client
    devices: Sequence[str]
    taken: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))  # times, ms
    _at: int = 0
    _sent: list[tuple[paho.MQTTMessageInfo, str, int]] = field(default_factory=list)

    def round(self, *, dense: bool = False) -> None:
        """Send one reading of each device; ``dense``: a step after the last one, however long that took."""
        now = int(1000 * time.time())
        self._at = self._at + STEP_MS if dense and self._at else max(self._at + STEP_MS, now)
        for number, device in enumerate(self.devices):
            payload = json.dumps({"temperature": 20 + (number + self._at / STEP_MS) % 7 / 10, "ts": self._at})
            self._sent.append((self.client.publish(f"load/{device}", payload, qos=1), device, self._at))

    def run(self, seconds: float, rounds_per_s: float) -> None:
        """Send rounds at a pace."""
        end, due = time.monotonic() + seconds, time.monotonic()
        while time.monotonic() < end:
            self.round()
            due += 1 / rounds_per_s
            time.sleep(max(0.0, due - time.monotonic()))

    def settle(self) -> int:
        """Wait for the broker's answers; return how many readings it has taken."""
        for info, device, at in self._sent:
            info.wait_for_publish(60)
            self.taken[device].append(at)
        self._sent.clear()
        return sum(map(len, self.taken.values()))


@dataclass(frozen=True, slots=True)
class Said:
    """One verdict, in the order of its arrival."""

    device: str
    id: str
    body: str
    agent: str
    epoch: int
    start: int  # ms
    end: int
    readings: int


@dataclass(slots=True, kw_only=True)
class Found:
    """The findings in the verdicts of a run."""

    readings: int = 0
    verdicts: int = 0
    uncovered: int = 0  # readings in no published window
    twice: int = 0  # readings in windows of two epochs; allowed at a takeover, counted
    shared_epochs: int = 0  # epochs of a device with verdicts of two agents
    lower: int = 0  # verdicts after one of a higher epoch on their device
    disordered: int = 0  # windows that begin before the one before has ended, within an epoch
    conflicting: int = 0  # ids with two contents in one epoch
    miscounted: int = 0  # windows whose count is not that of the readings in their time
    epochs: Counter[int] = field(default_factory=Counter)

    @property
    def broken(self) -> dict[str, int]:
        """Counts that must be 0, by name."""
        names = ("uncovered", "shared_epochs", "lower", "disordered", "conflicting", "miscounted")
        return {name: count for name in names if (count := getattr(self, name))}


def read_verdicts(messages: Sequence[Any]) -> list[Said]:
    """Return the verdicts among messages of the broker."""
    found = []
    for message in list(messages):
        if "/verdicts/" not in message.topic or not message.payload:
            continue
        body = json.loads(message.payload)
        window = body["window"]
        start, end = (
            round(1000 * datetime.fromisoformat(window[name]).timestamp()) for name in ("from", "to")
        )
        found.append(
            Said(
                body["device"],
                body["id"],
                message.payload.decode(),
                body["agent"],
                body.get("epoch", 0),
                start,
                end,
                window["readings"],
            )
        )
    return found


def check(taken: Mapping[str, Sequence[int]], verdicts: Sequence[Said]) -> Found:
    """Compare the readings that the broker took with the verdicts; silences have no readings."""
    found = Found(readings=sum(map(len, taken.values())), verdicts=len(verdicts))
    by_device: dict[str, list[Said]] = defaultdict(list)
    for one in verdicts:
        found.epochs[one.epoch] += 1
        if one.readings:
            by_device[one.device].append(one)
    for device, times in taken.items():
        said = by_device[device]
        epochs = [{one.epoch for one in said if one.start <= at <= one.end} for at in times]
        found.uncovered += sum(not one for one in epochs)
        found.twice += sum(len(one) > 1 for one in epochs)
        found.miscounted += sum(
            one.readings != sum(one.start <= at <= one.end for at in times) for one in said
        )
        for epoch in {one.epoch for one in said}:
            own = [one for one in said if one.epoch == epoch]
            found.shared_epochs += len({one.agent for one in own}) > 1
            fresh = {one.id: one for one in reversed(own)}  # a repeat keeps its first place
            order = sorted(fresh.values(), key=own.index)
            found.disordered += sum(later.start <= one.end for one, later in pairwise(order))
            found.conflicting += sum(one.body != fresh[one.id].body for one in own)
        found.lower += sum(later.epoch < one.epoch for one, later in pairwise(said))
    return found


def journaled(agent: AgentProcess) -> Counter[tuple[str, int]]:
    """Return the readings in an agent's journal, by device and time, ms."""
    with sqlite3.connect(f"file:{agent.journal}?mode=ro", uri=True) as connection:
        rows = connection.execute(
            "SELECT device, at FROM readings JOIN series ON series.id = readings.series"
        ).fetchall()
    connection.close()
    return Counter((device, round(1000 * at)) for device, at in rows)


class Site:
    """A broker, the agents of some partitions, a load and a client that reads what they publish."""

    def __init__(self, folder: Path, broker: Broker, *, of: int, devices: int, name: str) -> None:
        self.folder, self.broker, self.of, self.name = folder, broker, of, name
        self.devices = [f"line{number % 7}-d{number}" for number in range(devices)]
        self._stack = ExitStack()

    def agent(self, index: int, over: Mapping[str, Any] | None = None, **partition: Any) -> AgentProcess:
        """Return an agent of a partition, not started."""
        kind = "standby" if partition.get("standby") else "first"
        settings = merge(SETTINGS, {"agent": {"id": self.name}})
        settings = merge(settings, {"partition": {"index": index, "of": self.of, **partition}})
        agent = AgentProcess(
            self.folder / f"{kind}-{index}", broker_url=self.broker.url, settings=merge(settings, over or {})
        )
        self._stack.callback(agent.kill)
        return agent

    def own(self, index: int) -> list[str]:
        """Return the devices of a partition."""
        return [one for one in self.devices if partition_of(one, self.of) == index]

    @contextmanager
    def open(self) -> Iterator[Load]:
        """Connect the load and the reader; end all agents in the end."""
        with self._stack:
            filters = [f"edge-agent/{self.name}-{index}/verdicts/+" for index in range(self.of)]
            reader = self._stack.enter_context(peer(self.broker.port, *filters))
            self._heard: list[Any] = reader.heard  # type: ignore[attr-defined]
            sender = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
            sender.max_inflight_messages = 1000
            sender.connect("127.0.0.1", self.broker.port)
            sender.loop_start()
            self._stack.callback(sender.loop_stop)
            self._stack.callback(sender.disconnect)
            yield Load(sender, self.devices)

    def verdicts(self) -> list[Said]:
        """Return the verdicts that have come so far."""
        return read_verdicts(self._heard)

    def wait_covered(self, load: Load, limit_s: float) -> Found:
        """Wait until each reading is in a published window; return the findings."""
        found: list[Found] = []

        def covered() -> bool:
            found.append(check(load.taken, self.verdicts()))
            return not found[-1].uncovered

        with suppress(AssertionError):  # the caller looks at the findings
            wait_for(covered, limit_s, "each reading is in a published window", 0.5)
        return found[-1]
