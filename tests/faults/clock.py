"""Set the wall clock wrong during calls: ``python -m tests.faults.clock``.

libfaketime moves the wall clock of the agent alone, by minutes up to 400 days in either direction; its
monotonic clock stays. Order, windows, calls and the budget must not notice.
"""

import random
import sys
import time

from tests.faults.command import Command
from tests.faults.nemesis import revive
from tests.faults.outcome import Outcome
from tests.faults.rig import Rig, RigSettings
from tests.integration.test_time import Wall
from tests.support.waiting import wait_for

SPANS_DAYS = (1, 40, 400)
HOLD_S = (0.5, 2.0)
CALL_S = 60.0


def run_jumps(settings: RigSettings, jumps: int, progress: bool = False) -> Outcome:
    """Move the clock ``jumps`` times under load, a call of the model after each, and check what is left."""
    rng = random.Random(settings.seed)
    run = Outcome("ours", "clock jumps", settings.rate)
    rig = Rig(settings)
    settings.folder.mkdir(parents=True, exist_ok=True)
    wall = Wall(settings.folder)
    wall.set(0)
    rig.agent.environ.update(wall.environ)
    with rig, rig.load:
        for _ in range(jumps):
            span = rng.choice(SPANS_DAYS)
            wall.set(rng.choice((-span, span, rng.randint(-span, span))))
            calls = rig.model.counts.total()
            wait_for(
                lambda seen=calls: rig.model.counts.total() > seen,  # type: ignore[misc]
                CALL_S,
                "a call of the model after the jump",
            )
            time.sleep(rng.uniform(*HOLD_S))
            revive(rig.agent, rig.record)
            run.faults += 1
            if progress and run.faults % 5 == 0:
                print(f"  {run.faults} jumps, {rig.model.counts.total()} calls", flush=True)
        wall.set(0)
        run.finish(rig)
    reviewed = sum(count for reason, count in rig.collector.reasons.items() if reason.startswith("ai/"))
    run.counts = {"calls": rig.model.counts.total(), "reviewed verdicts": reviewed}
    if not reviewed:
        run.missed.append("no verdict came from the model")
    return run


COMMAND = Command(
    name="clock",
    text=str(__doc__),
    run=run_jumps,
    option="jumps",
    faults=20,
    rate=100.0,
)


if __name__ == "__main__":
    sys.exit(COMMAND.main())
