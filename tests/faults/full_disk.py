"""Fill the agent's disk and free it: ``python -m tests.faults.full_disk --cycles 20 --seed 1``, as root.

The state is on a file system of its own, which others fill under load. In every second cycle the agent is
killed while the disk is full, and starts on it. Nothing may be acknowledged meanwhile that is not on disk;
the control acknowledges as messages arrive, and must lose.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tests.faults.disk import SmallDisk, why_not
from tests.faults.evidence import count_journaled
from tests.faults.outcome import Outcome, judge
from tests.faults.rig import Rig, RigSettings
from tests.support.agent_process import AgentProcess, merge, wait_for

SIZE_MIB = 96
LIFE_S = (0.5, 1.5)
FULL_S = (1.0, 2.5)
RESUME_S = 30.0  # of a machine that does other work; what it took is printed
CONTROL_CYCLES = 3


def run_cycles(settings: RigSettings, *, cycles: int, progress: bool = False) -> Outcome:
    """Fill and free the disk ``cycles`` times under load, and check what is left."""
    rng = random.Random(settings.seed)
    run = Outcome("acknowledged at once" if settings.without else "ours", "full disks", settings.rate)
    resumed: list[float] = []
    withheld = 0
    with SmallDisk(settings.folder, size_mib=SIZE_MIB) as disk:
        state = {"agent": {"state_dir": str(disk.folder / "state")}, "journal": {"max_mib": SIZE_MIB}}
        with Rig(replace(settings, overrides=merge(settings.overrides or {}, state))) as rig, rig.load:
            agent = rig.agent
            assert isinstance(agent, AgentProcess)
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run ours and the control, and print both."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.full_disk", description=__doc__)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--rate", type=float, default=200.0, help="messages/s")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    reason = why_not()
    if reason is not None:
        print(f"not run: {reason}")
        return 2
    with tempfile.TemporaryDirectory(prefix="edge-full-") as temporary:
        folder = Path(temporary)
        settings = RigSettings(folder=folder / "ours", seed=args.seed, rate=args.rate)
        ours = run_cycles(settings, cycles=args.cycles, progress=True)
        weak = replace(settings, folder=folder / "control", without="late-acks")
        control = run_cycles(weak, cycles=min(args.cycles, CONTROL_CYCLES))
    return judge(ours, control)


if __name__ == "__main__":
    sys.exit(main())
