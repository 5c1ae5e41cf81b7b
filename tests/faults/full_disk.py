"""Fill the agent's disk and free it: ``python -m tests.faults.full_disk``; root.

The state is on a file system of its own, which others fill under load. In every second cycle the agent is
killed while the disk is full, and starts on it. Nothing may be acknowledged meanwhile that is not on disk;
the control acknowledges as messages arrive, and must lose.
"""

import random
import sys
import time
from contextlib import suppress

from tests.faults.command import Command
from tests.faults.disk import SmallDisk, loaded_rig, why_not
from tests.faults.evidence import count_journaled
from tests.faults.outcome import Outcome
from tests.faults.rig import RigSettings
from tests.support.agent_process import AgentProcess
from tests.support.waiting import wait_for

SIZE_MIB = 96
LIFE_S = (0.5, 1.5)
FULL_S = (1.0, 2.5)
RESUME_S = 30.0  # of a machine that does other work; what it took is printed
CONTROL_CYCLES = 3


def run_cycles(settings: RigSettings, cycles: int, progress: bool = False) -> Outcome:
    """Fill and free the disk ``cycles`` times under load, and check what is left."""
    rng = random.Random(settings.seed)
    run = Outcome("acknowledged at once" if settings.without else "ours", "full disks", settings.rate)
    resumed: list[float] = []
    withheld = 0
    with (
        SmallDisk(settings.folder, size_mib=SIZE_MIB) as disk,
        loaded_rig(settings, disk, size_mib=SIZE_MIB) as (rig, agent),
    ):
        for _ in range(cycles):
            time.sleep(rng.uniform(*LIFE_S))
            withheld += _fill(agent, disk, rng.uniform(*FULL_S), run)
            disk.free()
            resumed.append(_resume(agent))
            run.faults += 1
            if progress:
                print(f"  cycle {run.faults}: journaling again after {resumed[-1]:.1f} s", flush=True)
        run.finish(rig)
    run.counts = {
        "stops of the acks": withheld,
        "kills on a full disk": run.losses,
        "slowest resumption": f"{max(resumed):.1f} s",
    }
    if not withheld:
        run.missed.append("the disk was never full enough to stop the acknowledgements")
    return run


def _fill(agent: AgentProcess, disk: SmallDisk, full_s: float, run: Outcome) -> bool:
    """Keep the disk full for a while; return whether nothing was journaled at its end."""
    deadline = time.monotonic() + full_s
    kill = run.faults % 2 == 1
    stuck = False
    while time.monotonic() < deadline:
        disk.fill()  # the agent drops its ballast, and that is taken too
        before = count_journaled(agent.journal)
        time.sleep(0.3)
        stuck = stuck or count_journaled(agent.journal) == before
    if kill:
        agent.kill()
        run.losses += 1
    return stuck


def _resume(agent: AgentProcess) -> float:
    """Start the agent if it is down, and return seconds until something is journaled again."""
    begun = time.monotonic()
    before = count_journaled(agent.journal)

    def goes_on() -> bool:
        if not agent.running:
            agent.start()
        with suppress(OSError):
            return count_journaled(agent.journal) > before
        return False

    wait_for(goes_on, RESUME_S, "messages are journaled again")
    return time.monotonic() - begun


COMMAND = Command(
    name="full_disk",
    text=str(__doc__),
    run=run_cycles,
    option="cycles",
    faults=20,
    control="late-acks",
    control_faults=CONTROL_CYCLES,
    why_not=why_not,
)


if __name__ == "__main__":
    sys.exit(COMMAND.main())
