"""The week live: two agents, Mosquitto and webhooks, one with ``kill -9``.

    python -m tests.benchmarks.week_live [--hours 56] [--speed 900] [--kill-s 30]

Two agents with the same learnt state receive the same devices at a multiple of real time; one of them is
killed every so many seconds. Each notice is acknowledged at once. Wanted: for each device the same notices in
the same order in both lists; each once or, after a kill, again with the same id and bytes; those of an
incident in its order; and none about an acknowledged finding.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import yaml
from paho.mqtt.enums import CallbackAPIVersion

from agent.testing.failpoint import MARKER
from agent.testing.time_scale import VARIABLE
from agent.verdict.encode import iso
from simulator import scenario as scenarios
from simulator.broker import Broker
from simulator.events import history, live
from simulator.faults import label
from simulator.fleet import Fleet
from simulator.outgoing import Outgoing
from simulator.recording import Recorded, dump
from simulator.scenario import History, Scenario
from simulator.trial.plan import limits_of
from tests.benchmarks.week import SOURCES, Truth
from tests.support.agent_process import REPO, AgentProcess
from tests.support.notice_receivers import HttpReceiver, Post

LEAD_S = 20.0  # for the agents to start, before time begins to run
DRAIN_S = 10.0
HOUR_S = 3600.0


@dataclass(slots=True)
class Watched:
    """One agent, its webhook, and the person who acknowledges what comes."""

    agent: AgentProcess
    hook: HttpReceiver
    person: paho.Client
    until: float
    answered: set[str] = field(default_factory=set)
    kills: int = 0

    def answer(self) -> None:
        """Acknowledge the findings of new notices."""
        for item in self.items():
            finding = item["finding_id"]
            if finding not in self.answered:
                self.answered.add(finding)
                command = {"id": finding, "do": "ack", "finding_id": finding}
                self.person.publish(f"{self.agent.base_topic}/command", json.dumps(command), qos=1)

    def items(self) -> list[dict[str, Any]]:
        """Return the findings that notices name, those of summaries too, each id once."""
        posts: dict[str, Post] = {post.headers["Idempotency-Key"]: post for post in list(self.hook.taken)}
        return [
            {**item, "at": post.json["at"]}
            for post in posts.values()
            for notice in post.json.get("notices", [post.json])
            for item in notice.get("findings", [notice])
            if "finding_id" in item
        ]

    def told(self, truth: Truth) -> dict[tuple[str, str], list[str]]:
        """Return what each device's notices report, in order, by device and cause.

        After the end of the run all is silent. Without the kind: the windows of a killed agent end elsewhere.
        """
        found: dict[tuple[str, str], list[str]] = {}
        for item in self.items():
            if item["at"] < iso(self.until):
                key = (item["device"], cause_of(truth, item))
                found.setdefault(key, []).append(f"{item['event']} {item['severity']}")
        return found

    def faults(self) -> Iterator[str]:
        """Yield what a delivery may never do."""
        bodies: dict[str, bytes] = {}
        newest: dict[str, str] = {}
        for post in list(self.hook.taken):
            identity = post.headers["Idempotency-Key"]
            if bodies.setdefault(identity, post.body) != post.body:
                yield f"{identity} came with two contents"
            notice = post.json
            incident, at = notice.get("incident_id") or identity, notice["at"]
            if at < newest.get(incident, ""):
                yield f"{identity} of incident {incident} came after a later one"
            newest[incident] = max(at, newest.get(incident, ""))


def cause_of(truth: Truth, item: dict[str, Any]) -> str:
    """Return the cause of a device's finding; the scenario has one for each device."""
    return next((one.cause or "" for one in truth.labels if one.device == item["device"]), "no event")


def learnt(folder: Path, scenario: Scenario, *, start: float, seed: int, config: Path) -> None:
    """Teach a stopped agent the history, each reading in a message of its own."""
    tape = folder / "history.jsonl"
    first = start - scenario.history.span_s
    with tape.open("w") as file:
        for one in history(scenario, seed=seed, start=start):
            message = Outgoing(topic=one.topic, payload=one.payload, qos=1, retain=False)
            file.write(dump(Recorded(one.at - first, message)) + "\n")
    command = [sys.executable, "-m", "agent", "learn", "--from", str(tape), "--config", str(config)]
    subprocess.run([*command, "--start", str(first)], cwd=REPO, check=True, stdout=subprocess.DEVNULL)


def run(*, hours: float, speed: float, kill_s: float, seed: int, folder: Path) -> tuple[Truth, list[Watched]]:
    """Return the truth, and the agents after it: the calm one, then the killed one."""
    whole = scenarios.load("week")
    scenario = replace(whole, history=History(span_s=whole.history.span_s))
    start = float(int(time.time() - hours * HOUR_S - HOUR_S))
    until = start + hours * HOUR_S
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(kind="mosquitto"))
        watched = []
        for name in ("calm", "killed"):
            hook = stack.enter_context(HttpReceiver())
            agent = AgentProcess(
                folder / name,
                broker_url=broker.url,
                settings={
                    "agent": {"id": "week"},
                    "mqtt": {"base_topic": f"edge-agent/{name}", "client_id": f"week-{name}"},
                    "sources": SOURCES,
                    "limits": dict(limits_of(scenario)),
                    "notify": {"sinks": [{"type": "webhook", "url": hook.url}], "max_per_hour": 100},
                    "review": {"window": {"max_age_s": 60, "max_readings": 200, "settle_s": 5}},
                },
            )
            stack.callback(agent.kill)
            person = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"person-{name}")
            person.connect("127.0.0.1", broker.port)
            person.loop_start()
            stack.callback(person.loop_stop)
            watched.append(Watched(agent, hook, person, until))
        calm, killed = watched
        calm.agent.config_path.write_text(yaml.safe_dump(calm.agent.settings))
        calm.agent.config_path.chmod(0o600)
        learnt(folder, scenario, start=start, seed=seed, config=calm.agent.config_path)
        shutil.copytree(calm.agent.state_dir, killed.agent.state_dir)
        began = time.monotonic() + LEAD_S
        for one in watched:
            (one.agent.state_dir / MARKER).touch()
            one.agent.environ[VARIABLE] = f"{start!r}:{began!r}:{speed!r}"
            one.agent.start()
        for one in watched:
            one.agent.wait_ready()
        over = threading.Event()
        people = threading.Thread(target=_answer, args=(watched, over))
        killer = threading.Thread(target=_kill, args=(killed, kill_s, began, over))
        fleet = stack.enter_context(Fleet(host="127.0.0.1", port=broker.port, scenario=scenario))
        people.start()
        killer.start()
        try:
            time.sleep(max(0.0, began - time.monotonic()))
            messages = live(scenario, seed=seed, start=start, until=until)
            fleet.run(messages, stop=threading.Event(), start=start, speed=speed)
            fleet.flush(30.0)
            time.sleep(DRAIN_S)
        finally:
            over.set()
            people.join()
            killer.join()
        return Truth(label(scenario.faults, start=start, until=until)), watched


def _answer(watched: list[Watched], over: threading.Event) -> None:
    while not over.wait(0.1):
        for one in watched:
            one.answer()


def _kill(one: Watched, every_s: float, began: float, over: threading.Event) -> None:
    over.wait(max(0.0, began - time.monotonic()))
    while not over.wait(every_s):
        one.agent.kill()
        one.kills += 1
        one.agent.start()


def lines_of(truth: Truth, watched: list[Watched]) -> Iterator[str]:
    """Yield the notices of both agents and their differences."""
    lists = [one.told(truth) for one in watched]
    yield f"{'cause':18}{'device':14}{'calm':>6}{'killed':>8}"
    for device, cause in sorted({*lists[0], *lists[1]}, key=lambda one: (one[1], one[0])):
        calm, killed = (one.get((device, cause), []) for one in lists)
        words = "" if calm == killed else f"  {', '.join(calm)} | {', '.join(killed)}"
        yield f"{cause:18}{device:14}{len(calm):>6}{len(killed):>8}{words}"
    for name, one in zip(("calm", "killed"), watched, strict=True):
        ids = one.hook.ids()
        again = sum(count - 1 for count in ids.values())
        yield f"{name}: {len(ids)} notices, {again} repeated with the same id, {one.kills} kills"
        yield from (f"{name}: {fault}" for fault in one.faults())


def main() -> None:
    """Print the lists; 1 if they differ, or a notice came as it may not."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hours", type=float, default=56.0)
    parser.add_argument("--speed", type=float, default=900.0)
    parser.add_argument("--kill-s", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="week-live-") as folder:
        truth, watched = run(
            hours=given.hours,
            speed=given.speed,
            kill_s=given.kill_s,
            seed=given.seed,
            folder=Path(folder),
        )
        print("\n".join(lines_of(truth, watched)))
        calm, killed = (one.told(truth) for one in watched)
        wrong = any(fault for one in watched for fault in one.faults())
    raise SystemExit(int(wrong or calm != killed))


if __name__ == "__main__":
    main()
