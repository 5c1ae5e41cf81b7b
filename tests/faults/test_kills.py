"""Kill -9 in a loop under load: ours loses nothing, the naive agent is seen to."""

from pathlib import Path

import pytest

from tests.faults.report import say_bound, show
from tests.faults.rig import RigSettings
from tests.faults.run import run_kills

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

KILLS = 20
CONTROL_KILLS = 3


def test_twenty_kills_lose_nothing_and_the_control_loses_some(tmp_path: Path) -> None:
    """20 kills at 300 messages/s: 0 lost, 0 windows without a verdict, 0 ids with two contents, budget kept.

    Constant and repeating payloads are among the unique ones, and answers of the model in flight at kills.
    """
    ours = run_kills(RigSettings(folder=tmp_path / "ours", seed=1), kills=KILLS)
    naive = run_kills(RigSettings(folder=tmp_path / "naive", agent="naive", seed=1), kills=CONTROL_KILLS)
    print(show([ours, naive]))
    print(f"verdicts {ours.reasons}, model {ours.model}")
    print(say_bound(KILLS, ours.findings.lost))
    assert ours.problems() == []
    assert ours.findings.acked > 1000
    assert ours.findings.windows == ours.findings.verdicts > 100
    assert ours.asking > 0
    assert naive.findings.lost > 0
