"""Kill the broker: ``python -m tests.faults.broker --kills 50 --seed 1``.

Mosquitto gets kill -9 under load and starts again at once; in every third case the agent is down meanwhile,
so that the broker holds messages for it. It saves its state on each change. The control is a Mosquitto
without persistence, whose loss the checker must report.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.faults.nemesis import revive
from tests.faults.outcome import Outcome, judge
from tests.faults.rig import Rig, RigSettings
from tests.support.agent_process import AgentProcess, wait_for

GAP_S = (0.3, 2.0)
ABSENT_S = 0.5  # of messages that the broker holds
RECONNECT_S = 90.0  # the agent waits 1 to 30 s between attempts
CONTROL_KILLS = 3
PROGRESS_EVERY = 10
SAVING = ""  # as the test broker is: autosave_on_changes, autosave_interval 1
FORGETFUL = "persistence false"


def run_broker_kills(settings: RigSettings, *, kills: int, progress: bool = False) -> Outcome:
    """Kill the broker ``kills`` times under load, and check what is left."""
    rng = random.Random(settings.seed)
    name = "a broker without persistence" if settings.broker_extra == FORGETFUL else "ours"
    run = Outcome(name, "kills of the broker", settings.rate)
    with Rig(settings) as rig, rig.load:
        agent = rig.agent
        assert isinstance(agent, AgentProcess)
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
        run.finish(rig)
    return run


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
        weak = replace(settings, folder=folder / "control", broker_extra=FORGETFUL)
        control = run_broker_kills(weak, kills=min(args.kills, CONTROL_KILLS))
    return judge(ours, control)


if __name__ == "__main__":
    sys.exit(main())
