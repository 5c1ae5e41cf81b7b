"""A kill at each crash point of docs/guarantee.md: all of its promises hold.

C11 is reached once a minute, so it is left to ``python -m tests.faults.points`` and
tests/journal/test_crash.py.
"""

from pathlib import Path

import pytest

from agent.testing.failpoint import POINTS as NAMES
from tests.faults.checker import Findings
from tests.faults.points import POINTS, PRUNING, run_points
from tests.faults.rig import RigSettings

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

PLANS = {
    "readings": (
        "c12_schema", "c13_generation", "c1_received", "c2_committing", "c3_committed",
        "c13_generation_committed", "c4_ack_sent",
    ),
    "verdicts": (
        "c5_before_seal", "c6_attempt_committed", "c7_before_conclude", "c8_verdict_committed",
        "c9_published", "c10_before_outbox_done",
    ),
}  # fmt: skip


def test_each_crash_point_has_its_kill() -> None:
    """The list of points is that of the agent, and all but C11 are killed here."""
    assert {name for name in NAMES if name.startswith("c") and name[1].isdigit()} == set(POINTS)
    assert {point for plan in PLANS.values() for point in plan} == set(POINTS) - {PRUNING}


@pytest.mark.parametrize("plan", list(PLANS))
def test_a_kill_at_each_point_breaks_no_promise(tmp_path: Path, plan: str) -> None:
    """One kill per point under load, a real Mosquitto, a model that misbehaves."""
    points = PLANS[plan]
    run = run_points(RigSettings(folder=tmp_path, seed=3, rate=150), points)
    assert run.problems() == []
    assert run.kills == len(points)
    assert isinstance(run.found, Findings)
    assert run.found.acked > 100


def test_an_agent_that_acknowledges_before_the_commit_loses_some(tmp_path: Path) -> None:
    """The control: killed with messages in memory, it has acknowledged what it has not written."""
    settings = RigSettings(folder=tmp_path, seed=3, rate=150, review="none", without="late-acks")
    run = run_points(settings, ("c1_received", "c2_committing", "c1_received"))
    assert isinstance(run.found, Findings)
    assert run.kills == 3
    assert run.found.lost > 0
