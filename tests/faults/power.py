"""Cut the power: ``python -m tests.faults.power --cuts 100``, as root.

The agent's state is on ext4 over a loop device. At a random moment the agent is stopped, the image is copied
(what has reached the device), the agent is killed, and it starts again on the copy; what was only in the page
cache is gone. The broker goes on, so it has seen every acknowledgement. The control runs with
``synchronous=NORMAL`` and must lose. The copy is not taken in one moment, but nothing writes meanwhile.
"""

import random
import signal
import sys
import time

from tests.faults.command import Command
from tests.faults.disk import ImageDisk, loaded_rig, why_not
from tests.faults.nemesis import revive
from tests.faults.outcome import Outcome
from tests.faults.rig import RigSettings
from tests.support.agent_process import AgentProcess

LIFE_S = (0.5, 2.5)
SIZE_MIB = 256
CONTROL_CUTS = 10
PROGRESS_EVERY = 10


def run_cuts(settings: RigSettings, cuts: int, progress: bool = False) -> Outcome:
    """Cut the power ``cuts`` times under load, let the agent finish, and check what is left."""
    rng = random.Random(settings.seed)
    run = Outcome("without a flush" if settings.without else "ours", "power cuts", settings.rate)
    with (
        ImageDisk(settings.folder, size_mib=SIZE_MIB) as disk,
        loaded_rig(settings, disk, size_mib=SIZE_MIB) as (rig, agent),
    ):
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


COMMAND = Command(
    name="power",
    text=str(__doc__),
    run=run_cuts,
    option="cuts",
    faults=100,
    control="flush",
    control_faults=CONTROL_CUTS,
    why_not=why_not,
)


if __name__ == "__main__":
    sys.exit(COMMAND.main())
