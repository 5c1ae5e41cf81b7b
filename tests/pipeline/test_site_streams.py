"""Findings and notices of a replaced sensor, and of a dead bridge."""

from collections import Counter
from dataclasses import replace

import pytest

from agent.domain.records import Command, CommandReason, Do, FindingState
from tests.benchmarks.site import Site
from tests.pipeline import field_streams as streams
from tests.pipeline.field_streams import DAY_S, HOUR_S, START

pytestmark = pytest.mark.slow

BRIDGE = {"topic": "zigbee2mqtt/{device}"}


def test_a_replaced_sensor_is_forgotten_and_its_finding_ends() -> None:
    """Its silence is notified once and stays open until a person forgets it."""
    swap, until = START + 3 * DAY_S, START + 6 * DAY_S
    site = Site(sources=[streams.ROOMS], live_from=START)
    messages = list(streams.sensor_is_replaced(swap=swap, until=until))
    site.hear(one for one in messages if one.at < swap + DAY_S)
    assert [(one.device, one.kind, one.event) for one in site.delivered] == [
        ("old_sensor", "silence", "opened")
    ]
    assert swap < site.delivered[0].at <= swap + HOUR_S
    (finding,) = site.people.findings.values()
    outcome = site.say(Command(Do.FORGET, device="old_sensor"))
    assert (outcome.accepted, outcome.state) == (True, FindingState.FORGOTTEN)
    assert not site.people.findings
    assert list(site.incidents) == []
    assert site.detector.views("old_sensor") == []
    site.hear(one for one in messages if one.at >= swap + DAY_S)
    site.pass_time(until + DAY_S / 2)
    assert site.say(Command(Do.FORGET, device="old_sensor")).reason is CommandReason.UNKNOWN_DEVICE
    others = {one.device for one in site.people.findings.values()}
    assert others == {"new_sensor"}  # the stream ends: it is silent as well
    assert finding.id not in {one.id for one in site.people.findings.values()}
    assert [one.device for one in site.delivered] == ["old_sensor", "new_sensor"]


def test_a_replaced_sensor_that_comes_back_begins_again() -> None:
    """A device of that name is learnt from nothing, and may be found silent again."""
    swap = START + 3 * DAY_S
    site = Site(sources=[streams.ROOMS], live_from=START)
    messages = list(streams.sensor_is_replaced(swap=swap, until=swap))
    site.hear(messages)
    site.pass_time(swap + 2 * HOUR_S)
    assert site.say(Command(Do.FORGET, device="old_sensor")).accepted
    again = swap + DAY_S
    site.hear(replace(one, at=one.at - START + again) for one in messages)
    assert {view.n for view in site.detector.views("old_sensor")} == {len(messages)}
    site.pass_time(site.now + 2 * HOUR_S)
    assert Counter(one.device for one in site.delivered) == {"old_sensor": 2}


def test_a_dead_bridge_is_one_incident() -> None:
    """Of all its devices, each silent once, and one notice; it closes when they are back."""
    off = START + 5 * DAY_S + 3 * HOUR_S
    back, until = off + 6 * HOUR_S, off + 15 * HOUR_S
    site = Site(sources=[BRIDGE], live_from=START)
    site.hear(streams.bridge_is_off(off=off, back=back, until=until))
    found = [(device, site.incident_of[key]) for key, (_, device) in site.found.items()]
    assert Counter(device for device, _ in found) == {f"b25_{place:02d}": 1 for place in range(25)}
    assert len({incident for _, incident in found}) == 1
    (notice,) = site.delivered
    assert (notice.kind, notice.event) == ("silence", "opened")
    assert off < notice.at < off + 2 * HOUR_S
    assert list(site.incidents) == []
    assert not site.people.findings
