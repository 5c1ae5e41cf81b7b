"""Findings with one cause are one incident; without a sure cause none are merged."""

import itertools
import random
from dataclasses import replace

import jsonschema
import pytest

from agent.domain.records import (
    Cause,
    Finding,
    FindingState,
    Incident,
    IncidentEvent,
    Kind,
    Place,
    Severity,
)
from agent.verdict.encode import published_schema
from agent.verdict.incident import MAX_NAMED, Change, Incidents, Surroundings, to_json
from tests.support.make import T0

BRIDGE = "zigbee2mqtt/bridge/state"


class Site:
    """Opens findings and keeps them with their incidents."""

    def __init__(self) -> None:
        self.incidents = Incidents()
        self.findings: dict[str, Finding] = {}
        self.changes: list[Change] = []
        self._numbers = itertools.count()

    def open(
        self,
        device: str,
        kind: Kind = Kind.SILENCE,
        *,
        last: float = T0,
        source: str | None = "s",
        link: str | None = None,
        interval_s: float = 10.0,
        siblings: int = 6,
        severity: Severity = Severity.WARNING,
    ) -> str:
        """Open a finding and return its incident; ``last`` is the clock of the last reading."""
        number = next(self._numbers)
        since = last if kind is Kind.SILENCE else None
        finding = Finding(f"{number:016x}", device, kind, severity, T0 + 100 + number, T0, silent_since=since)
        place = None if source is None else Place(source, link)
        around = Surroundings(place, link is not None, interval_s, siblings)
        finding, moved, changes = self.incidents.open(finding, around)
        self.findings.update((one.id, one) for one in (*moved, finding))
        self.changes += changes
        assert finding.incident is not None
        return finding.incident

    def close(self, device: str) -> list[Change]:
        finding = next(one for one in self.findings.values() if one.device == device)
        changes = self.incidents.update(replace(finding, state=FindingState.CLEARED))
        self.changes += changes
        return changes

    def groups(self) -> set[frozenset[str]]:
        """Return the devices of each incident."""
        found: dict[str | None, set[str]] = {}
        for one in self.findings.values():
            found.setdefault(one.incident, set()).add(one.device)
        return {frozenset(devices) for devices in found.values()}


def test_a_bridge_that_dies_is_one_incident() -> None:
    """All devices that its availability topic calls offline, of each source that shares it."""
    site = Site()
    for number in range(20):
        site.open(f"a{number}", link=BRIDGE, last=T0 - 997 * number, siblings=100)
    site.open("b", source="other", link=BRIDGE, siblings=100)
    (incident,) = site.incidents
    assert (incident.cause, incident.devices) == (Cause.LINK, 21)
    assert [one.event for one in site.changes] == [IncidentEvent.OPENED, *[IncidentEvent.UPDATED] * 20]
    assert to_json(site.changes[-1])["summary"] == f"21 devices are offline by {BRIDGE}."


def test_a_device_that_was_silent_by_itself_is_not_of_the_bridge() -> None:
    """It fell silent before; the bridge had not called it offline."""
    site = Site()
    alone = site.open("a", last=T0 - 3600, siblings=100)
    bridge = {site.open(f"b{number}", link=BRIDGE, siblings=100) for number in range(3)}
    assert len(bridge) == 1
    assert alone not in bridge


def test_a_power_cut_is_one_incident_once_three_are_silent() -> None:
    """The older id stays; the other is published with the one that it became."""
    site = Site()
    first = site.open("a", last=T0)
    second = site.open("b", last=T0 + 30)
    assert first != second
    assert {site.open(name, last=T0 + 20) for name in "cdef"} == {first}
    merged = [one.incident for one in site.changes if one.event is IncidentEvent.MERGED]
    assert [(one.id, one.merged_into, one.closed) for one in merged] == [(second, first, True)]
    (incident,) = site.incidents
    assert (incident.cause, incident.devices) == (Cause.SILENCE, 6)
    assert {one.incident for one in site.findings.values()} == {first}


@pytest.mark.parametrize(
    "more",
    [
        {"last": T0 + 61},  # another moment
        {"source": "other"},
        {"source": None},  # not known
        {"siblings": 10},  # three of ten are less than a third
        {"kind": Kind.SPIKE},
    ],
)
def test_without_a_sure_cause_nothing_is_merged(more: dict[str, object]) -> None:
    """A third finding that differs in one thing leaves three incidents."""
    site = Site()
    site.open("a")
    site.open("b")
    site.open("c", **more)  # type: ignore[arg-type]
    assert len(list(site.incidents)) == 3


def test_slow_devices_may_be_apart_by_their_interval() -> None:
    """The shorter one of two counts."""
    site = Site()
    for number, name in enumerate("abc"):
        site.open(name, last=T0 + 140 * number, interval_s=300.0)
    assert len(list(site.incidents)) == 1
    site.open("d", last=T0 + 200, interval_s=10.0)
    assert len(list(site.incidents)) == 2  # close to one of them only
    other = Site()
    for number, name in enumerate("abc"):
        other.open(name, last=T0 + 140 * number, interval_s=10.0)
    assert len(list(other.incidents)) == 3


def test_it_closes_with_its_last_finding() -> None:
    """And is published once more, closed; then a new finding of the device is a new incident."""
    site = Site()
    first = {site.open(name) for name in "abc"}
    assert [one.event for one in site.close("a")] == [IncidentEvent.UPDATED]
    site.close("b")
    (closed,) = site.close("c")
    assert (closed.event, closed.incident.closed, closed.findings) == (IncidentEvent.CLOSED, True, ())
    assert list(site.incidents) == []
    assert site.close("c") == []
    assert site.open("a") not in first


def test_severity_rises_only_and_a_persons_word_is_shown() -> None:
    """Each is an update; the same finding once more is none."""
    site = Site()
    site.open("a", Kind.SPIKE)
    (finding,) = site.findings.values()
    assert site.incidents.update(replace(finding, verdicts=9)) == []
    (worse,) = site.incidents.update(replace(finding, severity=Severity.CRITICAL))
    assert worse.incident.severity is Severity.CRITICAL
    assert site.incidents.by_severity()[Severity.CRITICAL] == 1
    (known,) = site.incidents.update(
        replace(finding, severity=Severity.CRITICAL, state=FindingState.ACKNOWLEDGED)
    )
    assert to_json(known)["findings"][0]["state"] == "acknowledged"


def test_what_is_published_is_bounded_and_valid() -> None:
    """Of 200 devices fifty are named, the worst first; hostile names are nowhere but in their list."""
    site = Site()
    schema = published_schema("incident")
    for number in range(200):
        critical = number == 150
        severity = Severity.CRITICAL if critical else Severity.WARNING
        site.open(f"d{number}\x1b[2J", link=f"{BRIDGE}\x1b\n{'x' * 500}", severity=severity)
    for change in site.changes:
        jsonschema.validate(to_json(change), schema)
    body = to_json(site.changes[-1])
    assert (len(body["devices"]), len(body["findings"]), body["device_count"]) == (MAX_NAMED, MAX_NAMED, 200)
    assert body["devices"][0] == "d150\x1b[2J"
    assert body["summary"].isprintable()
    assert len(body["summary"]) < 200


def test_the_next_process_goes_on_with_them() -> None:
    """A device that joins later, and the end."""
    site = Site()
    first = {site.open(name, link=BRIDGE) for name in "ab"}
    again = Site()
    again.findings, again._numbers = dict(site.findings), site._numbers
    again.incidents.restore(list(site.incidents), site.findings.values())
    assert {again.open("c", link=BRIDGE)} == first
    for name in "abc":
        again.close(name)
    assert list(again.incidents) == []
    assert again.changes[-1].event is IncidentEvent.CLOSED


def test_a_finding_of_an_older_agent_has_none() -> None:
    """It goes on without."""
    site = Site()
    old = Finding("f", "d", Kind.SPIKE, Severity.WARNING, T0, T0)
    site.incidents.restore([], [old])
    assert site.incidents.update(replace(old, state=FindingState.CLEARED)) == []
    assert isinstance(next(iter(site.incidents), None), Incident | None)


@pytest.mark.parametrize("seed", range(20))
def test_no_wrong_merge(seed: int) -> None:
    """Two bridges, a power cut of a source, and independent faults at the same minute, in any order."""
    rng = random.Random(seed)
    faults: list[tuple[str, dict[str, object]]] = []
    for bridge in ("x", "y"):
        faults += [
            (f"{bridge}{number}", {"source": "zigbee", "link": f"{bridge}/state", "siblings": 40})
            for number in range(8)
        ]
    faults += [(f"p{number}", {"source": "plant", "siblings": 12}) for number in range(10)]
    faults += [(f"i{number}", {"source": "site", "siblings": 30}) for number in range(4)]
    faults += [(f"k{number}", {"source": "plant", "kind": Kind.SPIKE, "siblings": 12}) for number in range(3)]
    rng.shuffle(faults)
    site = Site()
    for device, keys in faults:
        site.open(device, last=T0 + rng.uniform(0, 50), **keys)  # type: ignore[arg-type]
    wanted = {frozenset(f"{bridge}{number}" for number in range(8)) for bridge in "xy"}
    wanted.add(frozenset(f"p{number}" for number in range(10)))
    wanted |= {frozenset({f"i{number}"}) for number in range(4)}
    wanted |= {frozenset({f"k{number}"}) for number in range(3)}
    assert site.groups() == wanted
