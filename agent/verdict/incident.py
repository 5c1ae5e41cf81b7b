"""Incidents: findings with one cause, across devices. Pure.

A finding opens an incident of its own unless it shares the cause of an open one. Sure enough are: an
availability topic that calls several devices offline; silences of at least three devices and a third of a
source whose last readings are close together; values of one metric that left their range the same way, of
devices that moved together in the days before, of three devices that share the hours of their day, or of
three devices and a third of a source at the same time. Without a common source or link nothing is merged. An
anomaly that comes back on its device within the hour, a drift that goes on within the day, and whatever comes
while the last finding of its device would be snoozed, open their incident again.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import count, islice
from typing import Any, NamedTuple, TypeVar

from agent.domain.metric_names import look_up
from agent.domain.records import (
    Cause,
    Finding,
    FindingState,
    Grounds,
    Incident,
    IncidentEvent,
    Kind,
    LocalOpinion,
    Move,
    Place,
    Severity,
    Status,
    Way,
)
from agent.verdict.encode import iso

MIN_TOGETHER = 3  # devices
SHARE = 3  # a third of the source's devices
ENOUGH_TOGETHER = 100  # devices, however many the source has
CLOSE_S = 60.0
WILL_S = 90.0  # between the last wills of devices that lose their power at once
MOVING_S = 7200.0  # values that usually move together leave their ranges so far apart
BEFORE_S = 3 * 3600.0  # the time before an anomaly that does not show how values usually move
BACK_S = 3600.0  # an anomaly that comes back so soon after its end
ON_S = 86_400.0  # a drift that goes on beyond where it was
MAX_PAST = 1000  # devices and incidents that are remembered
MAX_LOOKED = 400  # findings that are compared with one that opens
MAX_ALIKE = 32  # of which the past is compared
MAX_SPREAD_S = 900.0
MAX_NAMED = 50  # devices and findings in a published incident
MAX_LINK = 120  # characters of a topic in a sentence
_RANK = {severity: rank for rank, severity in enumerate(Severity)}
_WORDS = {
    Way.UP: "rose",
    Way.DOWN: "fell",
    Way.RESTLESS: "became restless",
    Way.STILL: "stopped moving",
}

Alike = Callable[[str, str, str, float], bool]
T = TypeVar("T")
Key = tuple[str, ...]  # what findings must have in common to be compared
OFFLINE = "=offline"  # at the end of a key: by an availability topic
ABSENT = "=absent"  # in a key: a metric that has fallen away


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The place, state and interval of the device of a finding that opens, and what moved.

    ``alike`` returns whether a metric of two devices moved together before an event time, ``share_day``
    whether it rises and falls at the same hours of the day.
    """

    place: Place | None = None
    offline: bool = False  # by its availability topic, not by its absence
    interval_s: float = 0.0  # usual, 0 where it is not known
    siblings: int = 1  # devices of its source, itself included
    move: Move | None = None
    alike: Alike = lambda _metric, _device, _other, _before: False
    share_day: Callable[[str, str, str], bool] = lambda _metric, _device, _other: False

    def spread_s(self, finding: Finding) -> float:
        """Return for how long others may be found with the cause of a finding that opens.

        The last readings of devices that one event silences are up to an interval apart.
        """
        if finding.kind is not Kind.SILENCE or finding.severity is Severity.CRITICAL:
            return 0.0
        if self.offline or self.place is None or self.siblings < MIN_TOGETHER:
            return 0.0
        return min(self.interval_s, MAX_SPREAD_S)

    @property
    def grounds(self) -> Grounds | None:
        """Common ground of a finding here with others."""
        if self.place is None:
            return None
        link = self.place.link if self.offline else None
        return Grounds(self.place.source, link, self.interval_s, self.move)


def move_of(local: LocalOpinion) -> Move | None:
    """Return what the worst value of a window did, None where none of them left its range."""
    if local.status is not Status.ANOMALY or local.kind is Kind.SILENCE or not local.evidence:
        return None
    lead = local.evidence[0]
    if local.kind in (Kind.FLATLINE, Kind.NOISE):
        way = Way.STILL if local.kind is Kind.FLATLINE else Way.RESTLESS
    elif lead.score.expected is not None:
        low, high = lead.score.expected
        way = Way.UP if lead.value - high > low - lead.value else Way.DOWN
    else:
        return None
    first = min(one.at for one in local.evidence if one.metric == lead.metric)
    return Move(lead.metric, way, first, lead.value)


class Shared(NamedTuple):
    """The incident that an anomaly belongs to, and a key that anomalies of one cause have in common."""

    incident: Incident | None = None
    key: Key | None = None


class Change(NamedTuple):
    """A change of an incident; ``members`` is a view of its open findings, ``findings`` the worst of them."""

    event: IncidentEvent
    incident: Incident
    findings: tuple[Finding, ...]
    members: Collection[Finding]


@dataclass(slots=True)
class _Group:
    """An open incident, and its open findings with the worst and then the oldest first."""

    incident: Incident
    members: dict[str, Finding] = field(default_factory=dict)
    _order: list[tuple[int, float, str]] = field(default_factory=list)

    def put(self, finding: Finding) -> Finding | None:
        """Take a finding as it is now; return it as it was."""
        before = self.remove(finding.id)
        self.members[finding.id] = finding
        insort(self._order, _place_of(finding))
        return before

    def remove(self, finding_id: str) -> Finding | None:
        """Drop a finding."""
        before = self.members.pop(finding_id, None)
        if before is not None:
            del self._order[bisect_left(self._order, _place_of(before))]
        return before

    def severity_without(self, finding_id: str) -> Severity:
        """Return the highest severity of the other findings."""
        other = next((one[-1] for one in self._order[:2] if one[-1] != finding_id), None)
        return Severity.INFO if other is None else self.members[other].severity

    def change(self, event: IncidentEvent) -> Change:
        """Return a change of the incident."""
        worst = tuple(self.members[one[-1]] for one in self._order[:MAX_NAMED])
        return Change(event, self.incident, worst, self.members.values())


def _place_of(finding: Finding) -> tuple[int, float, str]:
    return (-_RANK[finding.severity], finding.opened, finding.id)


class Incidents:
    """The open incidents, with their open findings.

    Findings that may share a cause are in a list of their own, in order of time, so that one that opens is
    compared with its neighbours alone.
    """

    def __init__(self) -> None:
        self._open: dict[str, _Group] = {}
        self._incident_of: dict[str, str] = {}  # by finding id
        self._links: dict[str, dict[str, None]] = {}  # by availability topic: findings
        self._times: dict[Key, list[tuple[float, str]]] = {}  # time and finding
        self._kept_at: dict[str, list[tuple[Key, float]]] = {}  # by finding: its places there
        self._past: dict[str, Finding] = {}  # by device: its last finding, if it cleared
        self._over: dict[str, Incident] = {}  # the last ones that are over

    def __iter__(self) -> Iterator[Incident]:
        return iter([group.incident for group in list(self._open.values())])

    def restore(
        self,
        incidents: Iterable[Incident],
        findings: Iterable[Finding],
        past_incidents: Iterable[Incident] = (),
        past: Iterable[Finding] = (),
    ) -> None:
        """Take back the open ones, and the past as far as it is known.

        A finding of an older agent may have no incident and stays without.
        """
        self._open.update((one.id, _Group(one)) for one in incidents)
        for finding in findings:
            group = self._open.get(finding.incident or "")
            if group is None:
                continue
            place = group.incident.place
            if finding.grounds is None and place is not None:  # written by an older agent
                finding = replace(finding, grounds=Grounds(place.source, place.link, 0.0))  # noqa: PLW2901
            group.put(finding)
            self._index(finding)
        self._over.update((one.id, one) for one in past_incidents)
        for finding in past:
            if finding.state is FindingState.CLEARED:
                _remember(self._past, finding.device, finding)

    def open(self, finding: Finding, around: Surroundings) -> tuple[Finding, list[Finding], list[Change]]:
        """Return an opening finding with its incident, other findings that change theirs, and the changes."""
        finding = replace(finding, grounds=around.grounds)
        cause, shared = self._find(finding, around)
        moves: list[Finding] = []
        changes: list[Change] = []
        back = None if shared else self._back(finding)
        if back is not None:
            finding = self._snoozed(finding)
            group = self._open.setdefault(back.id, _Group(replace(back, closed=False)))
            before = group.incident
            group.incident = replace(before, severity=_worse(before.severity, finding.severity))
            event = IncidentEvent.UPDATED
        elif shared:
            group, *others = shared
            for other in others:
                moves += self._merge(other, group, changes)
            before = group.incident
            group.incident = replace(
                before,
                cause=cause,
                severity=_worse(before.severity, finding.severity),
                devices=before.devices + 1,
            )
            event = IncidentEvent.UPDATED
        else:
            identity = blake2b(f"incident {finding.id}".encode(), digest_size=8).hexdigest()
            place = around.place if finding.kind is Kind.SILENCE else None
            if place is not None and not around.offline:
                place = replace(place, link=None)
            incident = Incident(identity, finding.opened, Cause.DEVICE, finding.severity, place=place)
            group = self._open[identity] = _Group(incident)
            event = IncidentEvent.OPENED
        finding = replace(finding, incident=group.incident.id)
        group.put(finding)
        self._index(finding)
        changes.append(group.change(event))
        return finding, moves, changes

    def shared_by(self, device: str, kind: Kind, clock: float, around: Surroundings) -> Shared:
        """Return what a finding of ``device`` about what moved would share; it may never open."""
        if around.place is None or around.move is None:
            return Shared()
        finding = Finding("", device, kind, Severity.INFO, clock, clock, grounds=around.grounds)
        _, shared = self._find(finding, around)
        incident = shared[0].incident if shared else self._back(finding)
        return Shared(incident, _key_of(finding)[0])

    def _back(self, finding: Finding) -> Incident | None:
        """Return the incident of the last finding of a device, if this one is the same anomaly."""
        last = self._past.get(finding.device)
        if last is None or last.ended is None:
            return None
        since_s = finding.opened - last.ended
        if _snoozed_to(last) > finding.opened:
            return self._known(last.incident)
        if not (0.0 <= since_s <= ON_S and _same_anomaly(last, finding)):
            return None
        on = finding.kind is last.kind is Kind.DRIFT and _is_farther(last, finding)
        if not (on or since_s <= BACK_S):
            return None
        return self._known(last.incident)

    def _known(self, incident_id: str | None) -> Incident | None:
        """Return an incident that is open, or one of the last that are over."""
        group = self._open.get(incident_id or "")
        return self._over.get(incident_id or "") if group is None else group.incident

    def _snoozed(self, finding: Finding) -> Finding:
        """Return a finding that comes back as a person wants it: quiet as long as the last one was to be.

        Not if it is news: a broken limit, a higher severity, a silence after another anomaly.
        """
        last = self._past[finding.device]
        worse = _RANK[finding.severity] > _RANK[last.severity]
        silent = finding.kind is Kind.SILENCE and last.silent_since is None
        if _snoozed_to(last) <= finding.opened or finding.limit or worse or silent:
            return finding
        return replace(finding, state=FindingState.SNOOZED, until=last.until)

    def had(self, finding: Finding) -> bool:
        """Return whether the last finding of a device that is over was of the incident of this one."""
        last = self._past.get(finding.device)
        return last is not None and last.incident == finding.incident

    def of(self, finding: Finding) -> Incident | None:
        """Return the open incident of a finding."""
        group = self._open.get(finding.incident or "")
        return None if group is None else group.incident

    def beside(self, finding: Finding) -> Shared:
        """Return what an open finding shares with the others of its incident, which has their severity."""
        group = self._open.get(finding.incident or "")
        if group is None:
            return Shared()
        severity = group.severity_without(finding.id)
        return Shared(replace(group.incident, severity=severity), _key_of(finding)[0] or None)

    def _find(self, finding: Finding, around: Surroundings) -> tuple[Cause, list[_Group]]:
        """Return the cause of a finding, and the open incidents that share it, oldest first."""
        grounds, places = finding.grounds, _places_of(finding)
        if grounds is None or not places:
            return Cause.DEVICE, []
        if grounds.link is not None and finding.kind is Kind.SILENCE:
            member = next(iter(self._links.get(grounds.link, ())), None)
            if member is not None:
                return Cause.LINK, [self._group_of(member)]
        if grounds.move is not None and (alike := self._alike(finding, grounds.move, around.alike)):
            return Cause.TOGETHER, alike
        if finding.kind is Kind.OUT_OF_RANGE:  # each limit is news of its own
            return Cause.DEVICE, []
        if grounds.move is not None and (found := self._of_a_day(finding, grounds.move, around)):
            return Cause.TOGETHER, self._oldest_first(found)
        wanted = max(MIN_TOGETHER, min(-(-around.siblings // SHARE), ENOUGH_TOGETHER))
        together: dict[str, None] = {}
        for place in places:
            for other in self._at_once(*place, around.interval_s):
                together[other] = None
                if len(together) + 1 >= ENOUGH_TOGETHER:
                    break
        if len(together) + 1 < wanted:
            return Cause.DEVICE, []
        return Cause.SILENCE if grounds.move is None else Cause.TOGETHER, self._oldest_first(together)

    def _at_once(self, key: Key, at: float, interval_s: float) -> Iterator[str]:
        """Yield the findings of a list that may have come with one at a time: within an interval of both."""
        offline = key[-1] == OFFLINE
        for apart, other in self._neighbours(key, at, WILL_S if offline else max(CLOSE_S, interval_s)):
            them = self._group_of(other).members[other]
            theirs_s = 0.0 if them.grounds is None else them.grounds.interval_s
            near = offline or apart <= max(CLOSE_S, min(interval_s, theirs_s))
            if near and not them.limit:
                yield other

    def _alike(self, finding: Finding, move: Move, alike: Alike) -> list[_Group]:
        """Return the incidents of devices whose value usually moves with that of a finding, oldest first."""
        found: list[str] = []
        seen: set[str] = set()
        compared = 0
        for _, other in self._neighbours(_key_of(finding)[0], move.at, MOVING_S):
            group = self._group_of(other)
            if group.incident.id in seen:
                continue
            theirs = group.members[other]
            at = move.at if theirs.grounds is None or theirs.grounds.move is None else theirs.grounds.move.at
            if alike(move.metric, finding.device, theirs.device, min(move.at, at) - BEFORE_S):
                found.append(other)
                seen.add(group.incident.id)
            compared += 1
            if compared >= MAX_ALIKE:
                break
        return self._oldest_first(found)

    def _of_a_day(self, finding: Finding, move: Move, around: Surroundings) -> list[str]:
        """Return the findings of devices that share the hours of their day, if there are enough of them."""
        near = (one for _, one in self._neighbours(_key_of(finding)[0], move.at, MOVING_S))
        others = [self._group_of(one).members[one] for one in islice(near, MAX_ALIKE)]
        found = [
            one.id
            for one in others
            if not one.limit and around.share_day(move.metric, finding.device, one.device)
        ]
        return found if len(found) + 1 >= MIN_TOGETHER else []

    def _neighbours(self, key: Key, at: float, reach_s: float) -> Iterator[tuple[float, str]]:
        """Yield findings of a list around a time with their distance, the nearest first, a bounded number."""
        times = self._times.get(key, [])
        above = bisect_left(times, (at, ""))
        below = above - 1
        for _ in range(MAX_LOOKED):
            down = at - times[below][0] if below >= 0 else reach_s + 1.0
            up = times[above][0] - at if above < len(times) else reach_s + 1.0
            if min(down, up) > reach_s:
                return
            if down <= up:
                yield down, times[below][1]
                below -= 1
            else:
                yield up, times[above][1]
                above += 1

    def _group_of(self, finding_id: str) -> _Group:
        return self._open[self._incident_of[finding_id]]

    def _oldest_first(self, findings: Iterable[str]) -> list[_Group]:
        groups = {one.incident.id: one for one in map(self._group_of, findings)}
        return sorted(groups.values(), key=lambda one: (one.incident.opened, one.incident.id))

    def _merge(self, other: _Group, into: _Group, changes: list[Change]) -> list[Finding]:
        """Move the findings of an incident to an older one."""
        gone, older = other.incident, into.incident
        moves = [replace(one, incident=older.id) for one in other.members.values()]
        del self._open[gone.id]
        for finding in moves:
            into.put(finding)
            self._incident_of[finding.id] = older.id
        into.incident = replace(
            older,
            devices=older.devices + gone.devices,
            severity=_worse(older.severity, gone.severity),
            reviewed=max((one for one in (older.reviewed, gone.reviewed) if one is not None), default=None),
        )
        merged = replace(gone, merged_into=older.id, closed=True)
        changes.append(Change(IncidentEvent.MERGED, merged, (), ()))
        return moves

    def _index(self, finding: Finding) -> None:
        """Make a finding one that others are compared with."""
        self._incident_of[finding.id] = finding.incident or ""
        if finding.grounds is None or not (places := _places_of(finding)):
            return
        if finding.grounds.link is not None:
            self._links.setdefault(finding.grounds.link, {})[finding.id] = None
        for key, at in places:
            insort(self._times.setdefault(key, []), (at, finding.id))
        self._kept_at[finding.id] = places

    def _drop(self, finding: Finding) -> None:
        """Compare no other finding with one that is over."""
        self._incident_of.pop(finding.id, None)
        for key, at in self._kept_at.pop(finding.id, ()):
            times = self._times[key]
            del times[bisect_left(times, (at, finding.id))]
            if not times:
                del self._times[key]
        link = None if finding.grounds is None else finding.grounds.link
        if link is not None and link in self._links:
            self._links[link].pop(finding.id, None)
            if not self._links[link]:
                del self._links[link]

    def update(self, finding: Finding) -> list[Change]:
        """Take a finding as it is now; return the changes of its incident."""
        group = self._open.get(finding.incident or "")
        if group is None:
            return []
        if not finding.state.closed:
            before = group.put(finding)
            if before is not None and _shown(before) == _shown(finding):
                return []
            severity = _worse(group.incident.severity, finding.severity)
            group.incident = replace(group.incident, severity=severity)
            return [group.change(IncidentEvent.UPDATED)]
        group.remove(finding.id)
        self._drop(finding)
        if finding.state is FindingState.CLEARED:
            _remember(self._past, finding.device, finding)
        else:  # a person has closed it: what comes next is news
            self._past.pop(finding.device, None)
        if group.members:
            return [group.change(IncidentEvent.UPDATED)]
        del self._open[group.incident.id]
        closed = replace(group.incident, closed=True)
        _remember(self._over, closed.id, closed)
        return [Change(IncidentEvent.CLOSED, closed, (), ())]

    def current(self, incident_id: str) -> Change | None:
        """Return an open incident with its findings."""
        group = self._open.get(incident_id)
        return None if group is None else group.change(IncidentEvent.UPDATED)

    def note_review(self, incident_id: str | None, clock: float) -> Incident | None:
        """Note that the model has answered about a finding of an incident; return it if it is open."""
        group = self._open.get(incident_id or "")
        if group is None:
            return None
        group.incident = replace(group.incident, reviewed=clock)
        return group.incident

    def by_severity(self) -> dict[Severity, int]:
        """Count the open incidents of each severity; from any thread."""
        counts = dict.fromkeys(Severity, 0)
        for incident in self:
            counts[incident.severity] += 1
        return counts


def _key_of(finding: Finding) -> tuple[Key, float | None]:
    """Return the list of findings that may share a cause, and the time of this one in it."""
    grounds = finding.grounds
    if grounds is None:
        return (), None
    if grounds.move is not None:
        return (grounds.source, grounds.move.metric, grounds.move.way), grounds.move.at
    metric = _absent_metric(finding)
    if metric is not None:
        return (grounds.source, ABSENT, metric), finding.opened
    return (grounds.source,), finding.silent_since


def _absent_metric(finding: Finding) -> str | None:
    """Return the first metric that has fallen away in a finding, while its device goes on."""
    if finding.silent_since is not None:
        return None
    return next((one.metric for one in finding.seen if one.kind is Kind.SILENCE), None)


def _places_of(finding: Finding) -> list[tuple[Key, float]]:
    """Return the lists of findings that may share a cause, and the time of this one in each.

    Devices that a broker calls offline at the same time may have sent their last readings hours apart.
    """
    key, at = _key_of(finding)
    if at is None:
        return []
    places = [(key, at)]
    if finding.grounds is not None and finding.grounds.link is not None and finding.kind is Kind.SILENCE:
        places.append(((finding.grounds.source, OFFLINE), finding.opened))
    return places


def _remember(known: dict[str, T], key: str, value: T) -> None:
    """Keep a value as the newest of a bounded number."""
    known.pop(key, None)
    known[key] = value
    if len(known) > MAX_PAST:
        del known[next(iter(known))]


def _snoozed_to(finding: Finding) -> float:
    """Return until when a person wanted no notice of a finding that is over."""
    return finding.until or 0.0


def _same_anomaly(one: Finding, other: Finding) -> bool:
    """Return whether two findings of a device are about one metric that went the same way, or silences.

    The way of a drift is not sure: its values may be anywhere in a range whose mean moves.
    """
    if one.grounds is None or other.grounds is None:
        return False
    then, now = one.grounds.move, other.grounds.move
    if then is None or now is None:
        whole = one.silent_since is not None, other.silent_since is not None  # else of some series
        return one.kind is other.kind is Kind.SILENCE and whole[0] is whole[1]
    drift = one.kind is other.kind is Kind.DRIFT
    return then.metric == now.metric and (drift or then.way is now.way)


def _is_farther(last: Finding, now: Finding) -> bool:
    """Return whether a value is beyond all that the last finding cited of it."""
    move = None if now.grounds is None else now.grounds.move
    if move is None:
        return False
    seen = [one for one in last.seen if one.metric == move.metric]
    return not any(one.low <= move.value <= one.high for one in seen)


def _worse(one: Severity, other: Severity) -> Severity:
    return max(one, other, key=_RANK.__getitem__)


def _shown(finding: Finding) -> tuple[object, ...]:
    """Return the parts of a finding that its incident shows."""
    return (finding.kind, finding.severity, finding.state, finding.maintenance)


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with the worst first; of equal severity, those that came first and went farthest."""
    first = sorted(findings, key=lambda one: (one.opened, one.id))
    far = {one.id: place for place, one in enumerate(sorted(first, key=lambda one: -one.score))}
    places = count()
    order = {one.id: (next(places) + far[one.id]) for one in first}
    return sorted(first, key=lambda one: (-_RANK[one.severity], order[one.id]))


def to_json(change: Change) -> dict[str, Any]:
    """Return an incident as JSON values, its findings as :func:`ranked` has them."""
    incident = change.incident
    findings = ranked(change.findings)
    return {
        "schema": 1,
        "incident_id": incident.id,
        "state": "closed" if incident.closed else "open",
        "severity": incident.severity,
        "cause": incident.cause,
        "devices": list(dict.fromkeys(one.device for one in findings)),
        "device_count": incident.devices,
        "findings": [
            {
                "finding_id": one.id,
                "device": one.device,
                "kind": one.kind,
                "severity": one.severity,
                "state": one.state,
                "maintenance": one.maintenance,
                "score": round(one.score, 2),
                "since": iso(one.opened),
            }
            for one in findings
        ],
        "summary": _summary(incident, findings),
        "since": iso(incident.opened),
        "merged_into": incident.merged_into,
    }


def _word_of(metric: str) -> str:
    """Return our word for a metric."""
    return (look_up(metric).word or "one value").replace("_", " ")


def _summary(incident: Incident, findings: list[Finding]) -> str:
    """Return one sentence of ours; names of devices are in ``devices`` alone."""
    if incident.merged_into is not None:
        return "It has the cause of another incident."
    if incident.closed:
        return "All of its findings are over."
    if incident.cause is Cause.LINK and incident.place is not None and incident.place.link is not None:
        link = "".join(one for one in incident.place.link if one.isprintable())[:MAX_LINK]
        return f"{incident.devices} devices are offline by {link}."
    if incident.cause is Cause.SILENCE:
        metric = next((name for one in findings if (name := _absent_metric(one))), None)
        if metric is not None:
            return f"The {_word_of(metric)} of {incident.devices} devices fell away together."
        return f"{incident.devices} devices of one source fell silent together."
    if incident.cause is Cause.TOGETHER:
        move = next((one.grounds.move for one in findings if one.grounds and one.grounds.move), None)
        if move is not None:
            return f"The {_word_of(move.metric)} of {incident.devices} devices {_WORDS[move.way]} together."
    kinds = ", ".join(dict.fromkeys(str(one.kind).replace("_", " ") for one in findings))
    return f"One device: {kinds}."
