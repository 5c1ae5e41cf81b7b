"""`make demo` finds the faults that it shows a newcomer first."""

from datetime import UTC, datetime

import pytest

from simulator import scenario as scenarios
from simulator.events import history, live
from simulator.faults import label
from simulator.score import match
from tests.benchmarks.inprocess import LocalAgent

START = datetime(2026, 3, 11, 6, tzinfo=UTC).timestamp()
SHOWN_S = 40.0
GRACE_S = 20.0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_demo_finds_its_first_faults_of_values(seed: int) -> None:
    """That of the pump and that of the freezer, while they last."""
    demo = scenarios.load("demo")
    agent = LocalAgent(live_from=START, limits={})
    agent.hear(history(demo, seed=seed, start=START))
    agent.hear(live(demo, seed=seed, start=START, until=START + SHOWN_S))
    agent.pass_time(START + SHOWN_S)
    faults = [one for one in label(demo.faults, start=START, until=START + SHOWN_S) if one.metric]
    score = match(faults, agent.openings, grace_s=GRACE_S)
    assert {one.label.device for one in score.matches if one.opening} == {"pump-1", "freezer-1"}
    assert len(faults) == len(demo.devices) - 1
