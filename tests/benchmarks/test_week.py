"""Half a week at the site: a small share of ``tests.benchmarks.week``."""

import pytest

from agent.domain.records import Purpose
from simulator import scenario as scenarios
from tests.benchmarks.week import NightShift, Tally, tallies, week

pytestmark = pytest.mark.slow

DEVICES = {"freezer-2", "dock-1", "boiler-1", "hall-01", "hall-02", "hall-03", "hall-04"}


@pytest.fixture(scope="module")
def site() -> NightShift:
    """Seven of the forty devices until Thursday noon."""
    return week(days=3.5, devices=DEVICES)


def of(site: NightShift, name: str, *, normal: bool = False) -> Tally:
    """Return the counts of one cause."""
    return next(one for one in tallies(site, normal=normal) if one.name == name)


def test_each_cause_is_notified(site: NightShift) -> None:
    """The bridge is one incident; the freezer that is known to be warm is notified again at its limit."""
    bridge, freezer = of(site, "dead bridge"), of(site, "thawing freezer")
    assert (bridge.findings, bridge.incidents) == (4, 1)
    assert set(bridge.kinds) == {"silence"}
    assert freezer.kinds["out_of_range"] == 1
    assert freezer.incidents == 1
    assert freezer.notices - freezer.raised == 1


@pytest.mark.parametrize("name", ["delivery", "legionella run"])
def test_a_normal_event_is_notified_once(site: NightShift, name: str) -> None:
    """Not again after its ``normal_here``; a higher severity before it is one more notice."""
    event = of(site, name, normal=True)
    assert event.notices - event.raised == 1
    assert (event.findings_after, event.notices_after) == (0, 0)


def test_nothing_that_people_know_is_notified(site: NightShift) -> None:
    """And each of their answers was accepted."""
    assert site.delivered
    assert not [one for one in site.delivered if one.known]
    assert site.refused == []


def test_the_model_is_asked_at_most_once_for_an_incident(site: NightShift) -> None:
    """When it opens; other questions are counted apart."""
    assert 0 < site.counts.asked[Purpose.OPENING] <= site.opened


@pytest.fixture(scope="module", params=[False, True], ids=["silence", "last wills"])
def causes(request: pytest.FixtureRequest) -> NightShift:
    """The site with a bridge, a cooling unit, a power cut, and two faults in the same minute, twice."""
    return week("causes", links=request.param)


def test_each_cause_is_one_incident(causes: NightShift) -> None:
    """With all of its devices, and one notice; none is merged with another."""
    found = {one.name: one for one in tallies(causes, normal=False)}
    assert len(found) == 7
    assert {name: one.incidents for name, one in found.items()} == dict.fromkeys(found, 1)
    assert {name: one.notices - one.raised for name, one in found.items()} == dict.fromkeys(found, 1)
    assert found["failed cooling"].findings >= 4
    assert causes.merged_wrongly() == []
    assert 0 < causes.counts.asked[Purpose.OPENING] <= causes.opened


def test_forty_devices_six_causes_three_normal_events() -> None:
    """Every event of the scenario has a cause."""
    scenario = scenarios.load("week")
    assert len(scenario.devices) == 40
    assert all(fault.cause for fault in scenario.faults)
    assert len({fault.cause for fault in scenario.faults if not fault.normal}) == 6
    assert len({fault.cause for fault in scenario.hard_negatives}) == 3
