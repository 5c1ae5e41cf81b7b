"""Findings with one cause are one incident; without a sure cause none are merged."""

import itertools
import random
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from agent.domain.records import (
    Cause,
    Finding,
    FindingState,
    Incident,
    IncidentEvent,
    Kind,
    Move,
    Place,
    Reading,
    Score,
    Seen,
    Severity,
    Way,
)
from agent.verdict.encode import published_schema
from agent.verdict.incident import (
    MAX_NAMED,
    MOVING_S,
    WILL_S,
    Change,
    Incidents,
    Shared,
    Surroundings,
    move_of,
    to_json,
)
from agent.verdict.local_opinion import opine
from tests.support.growth import MOST, growth
from tests.support.make import T0

BRIDGE = "zigbee2mqtt/bridge/state"


class Site:
    """Opens findings and keeps them with their incidents."""

    def __init__(self) -> None:
        self.incidents = Incidents()
        self.findings: dict[str, Finding] = {}
        self.changes: list[Change] = []
        self._numbers = itertools.count()
        self._passed_s = 0.0

    def pass_s(self, seconds: float) -> None:
        self._passed_s += seconds

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
        move: Move | None = None,
        mates: Collection[str] = (),
        days: Collection[str] = (),
        score: float = 1.0,
        absent: str | None = None,
    ) -> str:
        """Open a finding and return its incident; ``last`` is the clock of the last reading."""
        number = next(self._numbers)
        since = last if kind is Kind.SILENCE else None
        opened = T0 + 100 + number + self._passed_s
        finding = Finding(f"{number:016x}", device, kind, severity, opened, T0, silent_since=since)
        finding = replace(finding, score=score, limit=kind is Kind.OUT_OF_RANGE)
        if absent is not None:
            finding = replace(finding, silent_since=None, seen=(Seen(absent, Kind.SILENCE, 45.0, 45.0),))
        place = None if source is None else Place(source, link)
        around = Surroundings(
            place,
            link is not None,
            interval_s,
            siblings,
            move,
            lambda _metric, _one, other, _at: other in mates,
            lambda _metric, _one, other: other in days,
        )
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


def test_last_wills_of_a_power_cut_are_one_incident() -> None:
    """However long ago the devices sent a reading: each has a topic of its own, and no known interval."""
    site = Site()
    for number in range(3):
        site.open(f"d{number}", last=T0 - 9000 * number, link=f"d{number}/LWT", interval_s=0.0)
    assert len(site.groups()) == 1
    (incident,) = site.incidents
    assert (incident.cause, incident.devices) == (Cause.SILENCE, 3)
    for device in ("d0", "d1", "d2"):
        site.close(device)
    assert list(site.incidents) == []
    apart = Site()
    for number in range(3):
        apart.pass_s(WILL_S)
        apart.open(f"d{number}", last=T0 - 9000 * number, link=f"d{number}/LWT", interval_s=0.0)
    assert len(apart.groups()) == 3


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


def up(at: float = T0, metric: str = "inlet_temperature", way: Way = Way.UP) -> Move:
    """Return a value that left its range."""
    return Move(metric, way, at, 30.0)


RACKS = [f"rack-{number}" for number in range(6)]


def warm(site: Site, device: str, at: float, **keys: object) -> str:
    """Open the finding of a rack that gets warm; it usually moves with the other racks."""
    keys = {"kind": Kind.DRIFT, "move": up(at), "mates": RACKS, "siblings": 40} | keys
    return site.open(device, **keys)  # type: ignore[arg-type]


def test_devices_that_usually_move_together_are_one_incident() -> None:
    """From the second one on, up to two hours apart, however many devices the source has."""
    site = Site()
    assert len({warm(site, rack, T0 + 900 * place) for place, rack in enumerate(RACKS)}) == 1
    (incident,) = site.incidents
    assert (incident.cause, incident.devices) == (Cause.TOGETHER, 6)
    body = to_json(site.changes[-1])
    assert body["summary"] == "The inlet temperature of 6 devices rose together."


def test_the_first_and_farthest_lead() -> None:
    """Of equal severity; a critical one is before all."""
    site = Site()
    scores = (3.0, 9.0, 2.0, 1.0, 4.0, 1.5)
    for place, rack in enumerate(RACKS):
        severity = Severity.CRITICAL if place == 4 else Severity.WARNING
        warm(site, rack, T0 + 60 * place, score=scores[place], severity=severity)
    listed = [one["device"] for one in to_json(site.changes[-1])["findings"]]
    assert listed == ["rack-4", "rack-1", "rack-0", "rack-2", "rack-3", "rack-5"]


@pytest.mark.parametrize(
    "more",
    [
        {"mates": ()},  # it usually does not
        {"source": "other"},
        {"source": None},
        {"move": up(T0 + MOVING_S + 1)},
        {"move": up(metric="fan")},
        {"move": up(way=Way.DOWN)},
        {"move": None},  # the model alone saw something
        {"kind": Kind.SILENCE, "move": None},
    ],
)
def test_what_moves_by_itself_stays_alone(more: dict[str, object]) -> None:
    """One thing that differs is enough."""
    site = Site()
    first = warm(site, "rack-0", T0)
    assert warm(site, "rack-1", T0, **more) != first


def test_a_third_of_a_source_that_moves_at_once_is_one_incident() -> None:
    """Nothing is known of them yet; two of them are not enough."""
    site = Site()
    first, second = (warm(site, name, T0 + 5, mates=(), siblings=6) for name in "ab")
    assert first != second
    assert warm(site, "c", T0, mates=(), siblings=6) == first
    assert len(list(site.incidents)) == 1
    assert warm(site, "late", T0 + 3000, mates=(), siblings=6) != first


def test_three_devices_that_share_their_day_are_one_incident() -> None:
    """Two may both have a fault; limits count for themselves, and so does another way or time."""
    site = Site()
    days = {"mates": (), "days": RACKS}
    first = warm(site, "rack-0", T0, **days)
    assert warm(site, "rack-1", T0 + 1800, **days) != first
    assert warm(site, "rack-2", T0 + 60, **days, kind=Kind.OUT_OF_RANGE) != first
    assert warm(site, "rack-4", T0 + 60, **days, move=up(T0 + 60, way=Way.DOWN)) != first
    assert warm(site, "attic", T0 + 60, mates=(), days=()) != first
    assert warm(site, "rack-3", T0 + 3600, **days) == first
    (incident,) = (one for one in site.incidents if one.id == first)
    assert (incident.cause, incident.devices) == (Cause.TOGETHER, 3)


def test_broken_limits_are_joined_only_where_values_are_known_to_move_together() -> None:
    """Each limit is news of its own; of racks it is known that they share their air."""
    site = Site()
    limits = {"kind": Kind.OUT_OF_RANGE, "siblings": 4}
    assert len({warm(site, name, T0, mates=(), **limits) for name in "abcd"}) == 4
    assert len({warm(site, rack, T0, mates=RACKS, source="racks", **limits) for rack in RACKS}) == 1


def test_move_of_a_window() -> None:
    """The way of the worst reading, and the time of the first one of its metric."""

    def moved(value: float, *, kind: Kind = Kind.SPIKE, low: float = 20.0, high: float = 22.0) -> Move | None:
        reading = Reading("d", "temperature", T0, value)
        scored = Score(2.0, kind, (low, high))
        later = (replace(reading, at=T0 + 60), replace(scored, value=3.0))
        return move_of(opine([(reading, scored), later]))

    assert moved(30.0) == Move("temperature", Way.UP, T0, 30.0)
    assert moved(1.0) == Move("temperature", Way.DOWN, T0, 1.0)
    assert moved(1.0, low=5.0, high=float("inf")) == Move("temperature", Way.DOWN, T0, 1.0)
    assert moved(9.0, low=float("-inf"), high=5.0) == Move("temperature", Way.UP, T0, 9.0)
    assert moved(21.0, kind=Kind.NOISE) == Move("temperature", Way.RESTLESS, T0, 21.0)
    assert moved(21.0, kind=Kind.FLATLINE) == Move("temperature", Way.STILL, T0, 21.0)
    assert move_of(opine([(Reading("d", "temperature", T0, 21.0), Score(0.1))])) is None


Again = Callable[..., bool]


@pytest.fixture(params=[False, True], ids=["", "restarted"])
def again(request: pytest.FixtureRequest) -> Again:
    """Return whether a second finding of a device belongs to the incident of the first, which is over."""

    def reopen(
        later_s: float,
        *,
        kinds: tuple[Kind, Kind] = (Kind.DRIFT, Kind.DRIFT),
        moves: tuple[Move | None, Move | None] = (up(), up()),
        state: FindingState = FindingState.CLEARED,
    ) -> bool:
        seen = () if moves[0] is None else (Seen(moves[0].metric, kinds[0], 25.0, 28.0),)
        first = Finding("f1", "d", kinds[0], Severity.CRITICAL, T0, T0, seen=seen)
        incidents, place = Incidents(), Place("s")
        opened, _, _ = incidents.open(first, Surroundings(place, move=moves[0]))
        over = replace(opened, state=state, ended=T0 + 600 if state is FindingState.CLEARED else None)
        (closed,) = incidents.update(over)
        assert closed.event is IncidentEvent.CLOSED
        if request.param:
            incidents = Incidents()
            incidents.restore([], [], [closed.incident], [over])
        clock = T0 + 600 + later_s
        around = Surroundings(place, move=moves[1])
        expected = incidents.shared_by("d", kinds[1], clock, around).incident
        second = Finding("f2", "d", kinds[1], Severity.WARNING, clock, clock)
        found, moved, (change,) = incidents.open(second, around)
        same = found.incident == opened.incident
        assert moved == []
        assert (change.incident.closed, change.incident.devices) == (False, 1)
        assert change.event is (IncidentEvent.UPDATED if same else IncidentEvent.OPENED)
        assert change.incident.severity is (Severity.CRITICAL if same else Severity.WARNING)
        if moves[1] is not None:
            assert (expected is not None) is same
        assert [one.id for one in incidents] == [found.incident]
        return same

    return reopen


def test_what_comes_back_within_the_hour_is_the_same_incident(again: Again) -> None:
    """The same metric and way, or silence; neither later nor another, and not after a person's word."""
    spikes = (Kind.SPIKE, Kind.LEVEL_SHIFT)
    assert again(3600.0, kinds=spikes)
    assert not again(3601.0, kinds=spikes)
    assert not again(60.0, kinds=spikes, moves=(up(), up(way=Way.DOWN)))
    assert not again(60.0, moves=(up(), up(metric="fan")))
    assert not again(60.0, moves=(up(), None))
    assert again(60.0, kinds=(Kind.SILENCE, Kind.SILENCE), moves=(None, None))
    assert not again(60.0, state=FindingState.NORMAL_HERE)


SNOOZED_TO = T0 + 40_000.0


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, FindingState.SNOOZED),
        ({"severity": Severity.CRITICAL}, FindingState.OPEN),
        ({"kind": Kind.OUT_OF_RANGE, "limit": True}, FindingState.OPEN),
        ({"kind": Kind.SILENCE, "silent_since": T0 + 8000}, FindingState.OPEN),
    ],
)
def test_a_snooze_holds_for_what_comes_back_on_the_device(
    changes: dict[str, Any], state: FindingState
) -> None:
    """Until its time, of any metric, and over a restart; not where there is more to know."""
    place, incidents = Place("s"), Incidents()
    first = Finding("f1", "d", Kind.LEVEL_SHIFT, Severity.WARNING, T0, T0)
    opened, _, _ = incidents.open(first, Surroundings(place, move=up()))
    over = replace(opened, state=FindingState.CLEARED, ended=T0 + 600, until=SNOOZED_TO)
    (closed,) = incidents.update(over)
    again = Incidents()
    again.restore([], [], [closed.incident], [over])
    for known in (incidents, again):
        second = replace(first, id="f2", opened=T0 + 20_000.0, **changes)
        found, _, _ = known.open(second, Surroundings(place, move=up(metric="fan")))
        assert (found.incident, found.state) == (opened.incident, state)
        assert found.until == (SNOOZED_TO if state is FindingState.SNOOZED else None)
        late = Incidents()
        late.restore([], [], [closed.incident], [over])
        found, _, _ = late.open(
            replace(second, opened=SNOOZED_TO), Surroundings(place, move=up(metric="fan"))
        )
        assert (found.incident != opened.incident, found.state) == (True, FindingState.OPEN)


def test_a_drift_that_goes_on_within_the_day_is_the_same_incident(again: Again) -> None:
    """Beyond all that was cited; one that begins again where it was is another."""
    assert again(86_400.0)
    assert not again(86_401.0)
    back = up()._replace(value=27.0)
    assert not again(7200.0, moves=(up(), back))
    assert not again(7200.0, kinds=(Kind.DRIFT, Kind.LEVEL_SHIFT))
    assert again(7200.0, moves=(up(), up(way=Way.DOWN)._replace(value=20.0)))  # of a pump that rests


def test_a_finding_is_seen_beside_the_others_of_its_incident() -> None:
    """With their severity, not its own, and with the key of those that may join it."""
    site = Site()
    warm(site, RACKS[0], T0)
    warm(site, RACKS[1], T0 + 60, severity=Severity.CRITICAL)
    first, second = site.findings.values()
    for finding, severity in ((first, Severity.CRITICAL), (second, Severity.WARNING)):
        incident, key = site.incidents.beside(finding)
        assert incident is not None
        assert (incident.severity, key) == (severity, ("s", "inlet_temperature", Way.UP))
    assert site.incidents.beside(replace(second, incident="gone")) == Shared()


def test_an_incident_knows_when_the_model_was_asked() -> None:
    """Also what would join it, and after a restart."""
    site = Site()
    first = warm(site, "rack-0", T0)
    around = Surroundings(Place("s"), move=up(T0 + 60), alike=lambda *_: True)
    found = site.incidents.shared_by("rack-1", Kind.DRIFT, T0 + 60, around)
    assert found.incident is not None
    assert (found.incident.id, found.incident.reviewed) == (first, None)
    assert (
        found.key
        == site.incidents.shared_by("rack-2", Kind.DRIFT, T0, replace(around, alike=lambda *_: False)).key
    )
    assert site.incidents.note_review(first, T0 + 7) is not None
    again = Incidents()
    again.restore(list(site.incidents), site.findings.values())
    found = again.shared_by("rack-1", Kind.DRIFT, T0 + 60, around)
    assert found.incident is not None
    assert (found.incident.id, found.incident.reviewed) == (first, T0 + 7)
    for nothing in (replace(around, move=None), replace(around, place=None)):
        assert again.shared_by("rack-1", Kind.DRIFT, T0, nothing) == Shared()
    assert again.note_review("gone", T0) is None


def test_slow_devices_of_an_incident_keep_their_interval_over_a_restart() -> None:
    """A third one that falls silent within it joins them."""
    site = Site()
    first = site.open("a", last=T0, interval_s=300.0)
    site.open("b", last=T0 + 140, interval_s=300.0)
    again = Site()
    again.findings, again._numbers = dict(site.findings), site._numbers
    again.incidents.restore(list(site.incidents), site.findings.values())
    assert again.open("c", last=T0 + 280, interval_s=300.0) == first


@pytest.mark.parametrize("how", [{"link": BRIDGE}, {}, {"kind": Kind.DRIFT, "move": up(), "mates": ("d0",)}])
def test_the_work_of_a_silence_does_not_grow_with_the_incident(how: dict[str, object]) -> None:
    """Thousands of devices behind one bridge, without power, or warmed by one unit; and their return."""

    def flood(devices: int) -> None:
        site = Site()
        for number in range(devices):
            site.open(f"d{number}", last=T0 + number / 1000, siblings=devices, **how)  # type: ignore[arg-type]
        for finding in list(site.findings.values()):
            site.incidents.update(replace(finding, state=FindingState.CLEARED))

    assert growth(flood, int, 4000) <= MOST


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


def test_a_metric_that_falls_away_on_a_third_of_a_source_is_one_incident() -> None:
    """As after an update of its gateway; another metric, another source and a dead device have their own."""
    site = Site()
    for number in range(4):
        site.open(f"d{number}", absent="humidity")
    site.open("d4", absent="pressure")
    site.open("d5", source="t", absent="humidity")
    site.open("d6")
    together = frozenset({"d0", "d1", "d2", "d3"})
    assert site.groups() == {together, frozenset({"d4"}), frozenset({"d5"}), frozenset({"d6"})}
    summaries = [to_json(one)["summary"] for one in site.changes]
    assert "The humidity of 4 devices fell away together." in summaries


def test_metrics_that_fall_away_hours_apart_are_incidents_of_their_own() -> None:
    """Two of a source are, too."""
    site = Site()
    for number in range(2):
        site.open(f"d{number}", absent="humidity")
    for number in range(2, 4):
        site.pass_s(3600.0)
        site.open(f"d{number}", absent="humidity")
    assert len(site.groups()) == 4
