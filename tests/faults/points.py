"""Kill the agent at each crash point: ``python -m tests.faults.points --kills 5``.

The agent ends itself by SIGKILL at the nth pass of the point (a failpoint), and is started again at once,
armed again or for the next point. C12 needs a directory without a journal, so its kills come before the load.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent.testing.failpoint import MARKER, VARIABLE
from tests.faults.checker import Findings, check
from tests.faults.pruned import PrunedFindings, check_pruned
from tests.faults.rig import Rig, RigSettings
from tests.support.agent_process import AgentProcess
from tests.support.waiting import wait_for

#: Each crash point, and the highest pass at which a kill may come (chosen by the seed).
POINTS = {
    "c1_received": 12,
    "c2_committing": 12,
    "c3_committed": 12,
    "c4_ack_sent": 8,
    "c5_before_seal": 12,
    "c6_attempt_committed": 2,
    "c7_before_conclude": 12,
    "c8_verdict_committed": 12,
    "c9_published": 8,
    "c10_before_outbox_done": 8,
    "c11_pruning": 1,
    "c12_schema": 15,
    "c13_generation": 1,
    "c13_generation_committed": 1,
}
PRUNING, SCHEMA = "c11_pruning", "c12_schema"
REACH_S = 30.0  # until a point is reached
PRUNE_REACH_S = 120.0  # rows are pruned once a minute
FIRST_LIFE_S = 5.0  # of an agent that shall have something to prune
SETTLE_S = 90.0
SIGKILLED = -9


@dataclass(slots=True, kw_only=True)
class PointRun:
    """One rig's run over some points."""

    points: Sequence[str]
    kills: int = 0
    not_reached: list[str] = field(default_factory=list)
    settled: bool = False
    exit_code: int = 0
    sent: int = 0
    found: Findings | PrunedFindings = field(default_factory=Findings)

    def problems(self) -> list[str]:
        """Name everything that must not be."""
        out = self.found.broken() + [f"not reached: {point}" for point in self.not_reached]
        if not self.settled:
            out.append("the agent was not done in time")
        if self.exit_code:
            out.append(f"SIGTERM ended in exit code {self.exit_code}")
        return out


def run_points(
    settings: RigSettings, plan: Sequence[str], *, reach_s: float = REACH_S, lowest: int = 1
) -> PointRun:
    """Kill one agent at the points of ``plan`` in turn, each name one kill, and check what is left.

    ``lowest`` is the first pass at which a kill may come: 1 hits starts in a row, which allows duplicates.
    """
    run = PointRun(points=plan)
    rng = random.Random(settings.seed)
    with Rig(settings) as rig:
        agent = rig.agent
        assert isinstance(agent, AgentProcess)
        if SCHEMA in plan:
            _kill_creating(agent, plan.count(SCHEMA), rng, run)
        (agent.state_dir / MARKER).touch()
        with rig.load:
            time.sleep(FIRST_LIFE_S if PRUNING in plan else 0.5)
            if PRUNING in plan:
                agent.stop()  # leaves the snapshot, below which rows may be pruned
            agent.kill()
            for point in (point for point in plan if point != SCHEMA):
                agent.environ = _arm(point, rng, lowest)
                _kill_at(agent, point, reach_s, run)
            agent.environ = {}
            agent.start()
            rig.wait_ready()
            run.settled = rig.settle(SETTLE_S)
        run.exit_code, _ = rig.stop_agent()
        run.sent = rig.load.sent
    evidence = rig.evidence()
    run.found = check_pruned(evidence) if PRUNING in plan else check(evidence)
    return run


def _kill_creating(agent: AgentProcess, kills: int, rng: random.Random, run: PointRun) -> None:
    """Kill while the tables of a new journal are made, again and again; nothing was journaled before."""
    agent.stop()
    shutil.rmtree(agent.state_dir)
    agent.state_dir.mkdir(mode=0o700)
    (agent.state_dir / MARKER).touch()
    for _ in range(kills):
        agent.environ = _arm(SCHEMA, rng, 1)
        _kill_at(agent, SCHEMA, REACH_S, run)
    agent.environ = {}
    agent.start().wait_ready()


def _arm(point: str, rng: random.Random, lowest: int) -> dict[str, str]:
    highest = POINTS[point]
    return {VARIABLE: f"{point}:{rng.randint(min(lowest, highest), highest)}"}


def _kill_at(agent: AgentProcess, point: str, reach_s: float, run: PointRun) -> None:
    """Start armed, and wait until the process has killed itself."""
    agent.start()
    try:
        wait_for(lambda: not agent.running, reach_s, point)
    except AssertionError:
        run.not_reached.append(point)
        agent.kill()
        return
    if agent.code == SIGKILLED:
        run.kills += 1
    else:
        run.not_reached.append(f"{point}: exit code {agent.code}: {agent.tail(1)[:300]}")


def settings_for(point: str, folder: Path, *, seed: int, rate: float) -> RigSettings:
    """Return how a rig for this point is made; only C11 prunes, which takes rows that the checker counts."""
    overrides: Mapping[str, object] | None = {"journal": {"prune": True}} if point == PRUNING else None
    return RigSettings(folder=folder, seed=seed, rate=rate, overrides=overrides)


def main(argv: Sequence[str] | None = None) -> int:
    """Run each point in a rig of its own, print a Markdown table, and return whether the promises hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.points", description=__doc__)
    parser.add_argument("--kills", type=int, default=5, help="per point")
    parser.add_argument("--point", choices=sorted(POINTS), action="append", help="default: all")
    parser.add_argument("--rate", type=float, default=200.0, help="messages/s")
    parser.add_argument("--lowest", type=int, default=1, help="first pass at which a kill may come")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    problems = []
    print(
        "| point | kills | acknowledged | lost | duplicated | verdicts | sent again | conflicting | missing |"
    )
    print("|" + "---|" * 9, flush=True)
    with tempfile.TemporaryDirectory(prefix="edge-points-") as folder:
        for point in args.point or list(POINTS):
            settings = settings_for(point, Path(folder) / point, seed=args.seed, rate=args.rate)
            reach_s = PRUNE_REACH_S if point == PRUNING else REACH_S
            run = run_points(settings, [point] * args.kills, reach_s=reach_s, lowest=args.lowest)
            found = run.found
            cells = (
                point, run.kills, found.acked, found.lost, found.duplicated, found.verdicts,
                found.repeats, found.conflicting, found.missing,
            )  # fmt: skip
            print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)
            problems += [f"{point}: {text}" for text in run.problems()]
    for text in problems:
        print(f"NOT KEPT: {text}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
