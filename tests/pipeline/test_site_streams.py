"""Findings and notices of a replaced sensor, and of a dead bridge."""

import heapq
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agent.domain.records import Command, CommandReason, Do, FindingState
from simulator.events import Message
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


def readings(device: str, *, since: float, until: float, value: float = 21.0) -> Iterator[Message]:
    """Yield a reading of a device below the bridge each minute."""
    for number in range(int((until - since) / 60.0)):
        body = json.dumps({"temperature": value + number % 5 / 10})
        yield Message(since + number * 60.0, "", f"zigbee2mqtt/{device}", body.encode(), 1, "", 1)


@pytest.mark.parametrize("do", [Do.ACK, Do.SNOOZE])
def test_a_device_that_dies_in_a_finding_that_a_person_knows_is_notified(do: Do) -> None:
    """Once: the person knew of a value."""
    site, hot = Site(sources=[BRIDGE], live_from=START), START + 5 * HOUR_S
    site.hear(readings("a", since=START, until=hot))
    site.hear(readings("a", since=hot, until=hot + 600.0, value=80.0))
    assert [one.event for one in site.delivered] == ["opened"]
    (finding,) = site.people.findings.values()
    for_s = 30 * HOUR_S if do is Do.SNOOZE else None
    assert site.say(Command(do, finding_id=finding.id, for_s=for_s)).accepted
    site.pass_time(hot + 6 * HOUR_S)
    assert [(one.kind, one.event) for one in site.delivered[1:]] == [("silence", "updated")]


def test_a_bridge_that_dies_again_within_the_hour_is_notified_again() -> None:
    """Once, and in the hour after that not again; a third time it has twice as long as the second."""
    names = ("a", "b", "c", "d")
    site, now, told = Site(sources=[BRIDGE], live_from=START), START, []
    for up_s, down_s in ((5 * HOUR_S, HOUR_S), (900.0, 1200.0), (900.0, 2700.0)):
        streams_of_all = (readings(name, since=now, until=now + up_s) for name in names)
        site.hear(heapq.merge(*streams_of_all, key=lambda one: one.at))
        assert not site.people.findings
        now += up_s + down_s
        site.pass_time(now)
        assert len(site.people.findings) == len(names)
        told.append(len(site.delivered))
    assert len(set(site.incident_of.values())) == 1
    assert told == [1, 2, 2]
    assert {(one.kind, one.event) for one in site.delivered} == {("silence", "opened")}
