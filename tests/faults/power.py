"""Cut the power: ``python -m tests.faults.power --cuts 100 --seed 1``, as root, with loop devices.

The agent's state is on ext4 over a loop device. At a random moment the agent is stopped, the image is copied
(what has reached the device), the agent is killed, and it starts again on the copy; what was only in the page
cache is gone. The broker goes on, so it has seen every acknowledgement. The control runs with
``synchronous=NORMAL`` and must lose. The copy is not taken in one moment, but nothing writes meanwhile.
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

from tests.faults.disk import ImageDisk, why_not
from tests.faults.nemesis import revive
from tests.faults.outcome import Outcome, judge
from tests.faults.rig import Rig, RigSettings
from tests.support.agent_process import AgentProcess, merge

LIFE_S = (0.5, 2.5)
SIZE_MIB = 256
CONTROL_CUTS = 10
PROGRESS_EVERY = 10


def run_cuts(settings: RigSettings, *, cuts: int, progress: bool = False) -> Outcome:
    """Cut the power ``cuts`` times under load, let the agent finish, and check what is left."""
    rng = random.Random(settings.seed)
    run = Outcome("without a flush" if settings.without else "ours", "power cuts", settings.rate)
    with ImageDisk(settings.folder, size_mib=SIZE_MIB) as disk:
        state = {"agent": {"state_dir": str(disk.folder / "state")}, "journal": {"max_mib": SIZE_MIB}}
        with Rig(replace(settings, overrides=merge(settings.overrides or {}, state))) as rig, rig.load:
            agent = rig.agent
            assert isinstance(agent, AgentProcess)
            for _ in range(cuts):
                time.sleep(rng.uniform(*LIFE_S))
                revive(agent, rig.record)
                _cut(agent, disk)
                run.faults += 1
                run.losses += 1
                if progress and run.faults % PROGRESS_EVERY == 0:
                    print(f"  {run.faults} cuts", flush=True)
            run.finish(rig)
    return run


def _cut(agent: AgentProcess, disk: ImageDisk) -> None:
    agent.send(signal.SIGSTOP)
    disk.cut()
    agent.kill()
    disk.restore()
    agent.start()


def main(argv: Sequence[str] | None = None) -> int:
    """Run ours and the control, and print both."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.power", description=__doc__)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200.0, help="messages/s")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    reason = why_not()
    if reason is not None:
        print(f"not run: {reason}")
        return 2
    with tempfile.TemporaryDirectory(prefix="edge-power-") as temporary:
        folder = Path(temporary)
        settings = RigSettings(folder=folder / "ours", seed=args.seed, rate=args.rate)
        ours = run_cuts(settings, cuts=args.cuts, progress=True)
        weak = replace(settings, folder=folder / "control", without="flush")
        control = run_cuts(weak, cuts=min(args.cuts, CONTROL_CUTS))
    return judge(ours, control)


if __name__ == "__main__":
    sys.exit(main())
