"""Kill the broker: ``python -m tests.faults.broker --kills 50 --seed 1``.

Mosquitto gets kill -9 under load and starts again at once; in every third case the agent is down meanwhile,
so that the broker holds messages for it. It saves its state on each change; messages that it accepted and
lost before a save, and the agent has never acknowledged, are counted apart. Two controls: a Mosquitto without
persistence, whose loss must be reported, and an agent that acknowledges at once, which must lose.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.faults.evidence import Evidence, count_messages
from tests.faults.nemesis import revive
from tests.faults.outcome import Outcome, judge
from tests.faults.rig import Rig, RigSettings
from tests.faults.workload import Key, payload_of, topic_of
from tests.support.agent_process import AgentProcess
from tests.support.packets import Message, acknowledged
from tests.support.proxy import DOWN, UP, Proxy
from tests.support.waiting import wait_for

GAP_S = (0.3, 2.0)
ABSENT_S = 0.5  # of messages that the broker holds
RECONNECT_S = 90.0  # the agent waits 1 to 30 s between attempts
CONTROL_KILLS = 3
SLOW_COMMITS = {"journal": {"commit_ms": 1000}}  # so that a killed agent has messages in memory
PROGRESS_EVERY = 10
SAVING = ""  # as the test broker is: autosave_on_changes, autosave_interval 1
OWED = "lost by the broker itself"
FORGETFUL = "persistence false"


def run_broker_kills(settings: RigSettings, *, kills: int, progress: bool = False) -> Outcome:
    """Kill the broker ``kills`` times under load, and check what is left."""
    rng = random.Random(settings.seed)
    name = "a broker without persistence" if settings.broker_extra == FORGETFUL else "ours"
    name = name if settings.without is None else "acknowledged at once"
    run = Outcome(name, "kills of the broker", settings.rate)
    rig = Rig(settings)
    agent = rig.agent
    assert isinstance(agent, AgentProcess)
    with Proxy(rig.broker.port, record=True) as proxy:
        agent.settings["mqtt"]["url"] = f"mqtt://127.0.0.1:{proxy.port}"
        _kill_repeatedly(rig, agent, run, proxy, kills=kills, rng=rng, progress=progress)
    return run


def _kill_repeatedly(
    rig: Rig,
    agent: AgentProcess,
    run: Outcome,
    proxy: Proxy,
    *,
    kills: int,
    rng: random.Random,
    progress: bool,
) -> None:
    with rig, rig.load:
        for _ in range(kills):
            time.sleep(rng.uniform(*GAP_S))
            absent = run.faults % 3 == 0
            if absent:
                agent.kill()
                time.sleep(ABSENT_S)
            connects = len(agent.events("mqtt_connected"))
            rig.broker.stop(signal.SIGKILL)
            rig.broker.start()
            if absent:
                agent.start()
            run.faults += 1
            run.losses += 1 + absent
            wait_for(
                lambda seen=connects: len(agent.events("mqtt_connected")) > seen,  # type: ignore[misc]
                RECONNECT_S,
                "the agent has connected again",
                0.25,
            )
            revive(agent, rig.record)
            if progress and run.faults % PROGRESS_EVERY == 0:
                print(f"  {run.faults} kills", flush=True)
        rig.wait_ready(RECONNECT_S)
        run.finish(rig, owed=lambda rig, evidence: _find_owed(rig, evidence, proxy, run))


def _find_owed(rig: Rig, evidence: Evidence, proxy: Proxy, run: Outcome) -> list[Key]:
    """Return lost messages that the agent has never acknowledged: the broker owed them when it was killed.

    An acknowledgement on the wire without a row is a loss of the agent.
    """
    assert rig.journal is not None
    there = count_messages(rig.journal)
    answered: Counter[Message] = Counter()
    for connection in proxy.recorded:
        answered += acknowledged(bytes(connection[DOWN]), bytes(connection[UP]))
    alike: dict[Message, list[Key]] = defaultdict(list)
    for key in evidence.delivered():
        alike[topic_of(key.device), payload_of(key)].append(key)
    owed: list[Key] = []
    for message, keys in alike.items():
        lost = max(0, len(keys) - there[message])
        ours = min(lost, max(0, answered[message] - there[message]))
        owed += keys[: lost - ours]
    run.counts[OWED] = len(owed)
    return owed


def main(argv: Sequence[str] | None = None) -> int:
    """Run ours and the control, and print both."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.broker", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--rate", type=float, default=100.0, help="messages/s")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="edge-broker-") as temporary:
        folder = Path(temporary)
        settings = RigSettings(folder=folder / "ours", seed=args.seed, rate=args.rate, broker_extra=SAVING)
        ours = run_broker_kills(settings, kills=args.kills, progress=True)
        few = min(args.kills, CONTROL_KILLS)
        forgetful = replace(settings, folder=folder / "forgetful", broker_extra=FORGETFUL)
        reported = run_broker_kills(forgetful, kills=few)
        print(reported.show())
        weak = replace(settings, folder=folder / "control", without="late-acks", overrides=SLOW_COMMITS)
        control = run_broker_kills(weak, kills=few)
    if not reported.counts[OWED]:
        ours.missed.append("nothing was lost by a broker without persistence: its loss is not seen")
    return judge(ours, control)


if __name__ == "__main__":
    sys.exit(main())
