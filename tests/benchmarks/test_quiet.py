"""A healthy fleet has no findings: a small share of ``tests.benchmarks.quiet``."""

from dataclasses import replace

import pytest

from simulator import scenario as scenarios
from simulator.events import history, live
from simulator.scenario import History
from tests.benchmarks.inprocess import LocalAgent
from tests.benchmarks.quiet import DAY_S, MAX_CALLS, START, quiet


@pytest.mark.slow
def test_a_healthy_fleet_costs_no_finding_and_hardly_a_call() -> None:
    """Five of the twenty devices, four days learnt, a day and a half judged."""
    agent, device_days = quiet("quiet", seed=5, learn_days=4.0, judge_days=1.5, devices=5)
    assert device_days == 7.5
    assert agent.counts.windows > 5 * 1.5 * 600
    assert agent.openings == []
    assert agent.counts.asks <= MAX_CALLS * device_days


@pytest.mark.slow
def test_the_measure_sees_what_is_wrong() -> None:
    """The same path reports a device that goes silent and of a rack that warms up."""
    whole = scenarios.load("server-room")
    scenario = replace(whole, history=History(span_s=7 * DAY_S), devices=whole.devices[:3])
    agent = LocalAgent(live_from=START)
    agent.hear(history(scenario, seed=1, start=START))
    agent.hear(live(scenario, seed=1, start=START, until=START + 9000.0))
    assert {"rack-1", "rack-3"} <= {opening.device for opening in agent.openings}
    assert agent.counts.asks > 0
