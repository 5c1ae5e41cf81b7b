"""Incidents: findings with one cause, across devices. Pure.

A finding opens an incident of its own unless it shares the cause of an open one. Two causes are sure enough:
an availability topic that calls several devices offline, and silences of at least three devices and a third
of a source whose last readings are close together. Without a common source or link nothing is merged.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import chain
from typing import Any, NamedTuple

from agent.domain.records import Cause, Finding, Incident, IncidentEvent, Kind, Place, Severity
from agent.verdict.encode import iso

MIN_SILENT = 3  # devices
SHARE = 3  # a third of the source's devices
CLOSE_S = 60.0
MAX_SPREAD_S = 900.0
MAX_NAMED = 50  # devices and findings in a published incident
MAX_LINK = 120  # characters of a topic in a sentence
_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The place, state and interval of the device of a finding that opens."""

    place: Place | None = None
    offline: bool = False  # by its availability topic, not by its absence
    interval_s: float = 0.0  # usual, 0 where it is not known
    siblings: int = 1  # devices of its source, itself included

    def spread_s(self, finding: Finding) -> float:
        """Return for how long others may be found with the cause of a finding that opens.

        The last readings of devices that one event silences are up to an interval apart.
        """
        if finding.kind is not Kind.SILENCE or finding.severity is Severity.CRITICAL:
            return 0.0
        if self.offline or self.place is None or self.siblings < MIN_SILENT:
            return 0.0
        return min(self.interval_s, MAX_SPREAD_S)


class Change(NamedTuple):
    """A change of an incident, and the open findings that it has now."""

    event: IncidentEvent
    incident: Incident
    findings: tuple[Finding, ...]


@dataclass(slots=True)
class _Silent:
    finding: Finding
    place: Place
    offline: bool
    interval_s: float

    def close_to(self, other: "_Silent") -> bool:
        """Whether both may have been silenced by one event."""
        if self.finding.silent_since is None or other.finding.silent_since is None:
            return False
        apart = abs(self.finding.silent_since - other.finding.silent_since)
        return apart <= max(CLOSE_S, min(self.interval_s, other.interval_s))


class Incidents:
    """The open incidents, with their open findings."""

    def __init__(self) -> None:
        self._open: dict[str, Incident] = {}  # oldest first
        self._members: dict[str, dict[str, Finding]] = {}  # incident -> finding id -> open finding
        self._silent: dict[str, dict[str, _Silent]] = {}  # source -> finding id -> silence

    def __iter__(self) -> Iterator[Incident]:
        return iter(list(self._open.values()))

    def restore(self, incidents: Iterable[Incident], findings: Iterable[Finding]) -> None:
        """Take back the open ones; a finding of an older agent has none and stays without."""
        self._open.update((one.id, one) for one in incidents)
        for finding in findings:
            if finding.incident in self._open:
                self._members.setdefault(finding.incident or "", {})[finding.id] = finding
                place = self._open[finding.incident or ""].place
                if finding.kind is Kind.SILENCE and place is not None:
                    silent = _Silent(finding, place, place.link is not None, 0.0)
                    self._silent.setdefault(place.source, {})[finding.id] = silent

    def open(self, finding: Finding, around: Surroundings) -> tuple[Finding, list[Finding], list[Change]]:
        """Return an opening finding with its incident, other findings that change theirs, and the changes."""
        joined, cause, moved = self._find(finding, around)
        moves: list[Finding] = []
        changes: list[Change] = []
        place = around.place if finding.kind is Kind.SILENCE else None
        if place is not None and not around.offline:
            place = replace(place, link=None)
        if joined is None:
            identity = blake2b(f"incident {finding.id}".encode(), digest_size=8).hexdigest()
            incident = Incident(identity, finding.opened, Cause.DEVICE, finding.severity, place=place)
            event = IncidentEvent.OPENED
        else:
            for other in moved:
                moves += self._merge(other, joined, changes)
            devices = {one.device for one in self._members[joined.id].values()} | {finding.device}
            incident = replace(
                self._open[joined.id],
                cause=cause,
                severity=max(joined.severity, finding.severity, key=_RANK.__getitem__),
                devices=max(joined.devices + 1, len(devices)),
            )
            event = IncidentEvent.UPDATED
        finding = replace(finding, incident=incident.id)
        self._open[incident.id] = incident
        self._members.setdefault(incident.id, {})[finding.id] = finding
        if place is not None:
            silent = _Silent(finding, place, around.offline, around.interval_s)
            self._silent.setdefault(place.source, {})[finding.id] = silent
        changes.append(self._change(event, incident))
        return finding, moves, changes

    def _find(self, finding: Finding, around: Surroundings) -> tuple[Incident | None, Cause, list[Incident]]:
        """Return the oldest open incident with a finding's cause, the cause, and others that share it."""
        if finding.kind is not Kind.SILENCE or around.place is None:
            return None, Cause.DEVICE, []
        me = _Silent(finding, around.place, around.offline, around.interval_s)
        if around.offline and around.place.link is not None:
            every = chain.from_iterable(one.values() for one in self._silent.values())
            same = [one for one in every if one.offline and one.place.link == around.place.link]
            if same:
                return self._oldest(same, Cause.LINK)
        near = [one for one in self._silent.get(me.place.source, {}).values() if one.close_to(me)]
        together = len({one.finding.device for one in near} | {finding.device})
        if together < MIN_SILENT or together * SHARE < around.siblings:
            return None, Cause.DEVICE, []
        return self._oldest(near, Cause.SILENCE)

    def _oldest(
        self, silent: Sequence[_Silent], cause: Cause
    ) -> tuple[Incident | None, Cause, list[Incident]]:
        ids = {one.finding.incident for one in silent}
        found = [one for one in self._open.values() if one.id in ids]
        if not found:
            return None, Cause.DEVICE, []
        return found[0], cause, found[1:]

    def _merge(self, other: Incident, into: Incident, changes: list[Change]) -> list[Finding]:
        """Move the findings of an incident to an older one."""
        moves = [replace(one, incident=into.id) for one in self._members.pop(other.id, {}).values()]
        del self._open[other.id]
        for finding in moves:
            self._members[into.id][finding.id] = finding
            for silent in self._silent.values():
                if finding.id in silent:
                    silent[finding.id].finding = finding
        older = self._open[into.id]
        self._open[into.id] = replace(
            older,
            devices=older.devices + other.devices,
            severity=max(older.severity, other.severity, key=_RANK.__getitem__),
        )
        merged = replace(other, merged_into=into.id, closed=True)
        changes.append(Change(IncidentEvent.MERGED, merged, ()))
        return moves

    def update(self, finding: Finding) -> list[Change]:
        """Take a finding as it is now; return the changes of its incident."""
        incident = self._open.get(finding.incident or "")
        if incident is None:
            return []
        members = self._members.setdefault(incident.id, {})
        if not finding.state.closed:
            before = members.get(finding.id)
            members[finding.id] = finding
            if before is not None and _shown(before) == _shown(finding):
                return []
            severity = max(incident.severity, finding.severity, key=_RANK.__getitem__)
            self._open[incident.id] = incident = replace(incident, severity=severity)
            return [self._change(IncidentEvent.UPDATED, incident)]
        members.pop(finding.id, None)
        for silent in self._silent.values():
            silent.pop(finding.id, None)
        if members:
            return [self._change(IncidentEvent.UPDATED, incident)]
        del self._open[incident.id], self._members[incident.id]
        return [Change(IncidentEvent.CLOSED, replace(incident, closed=True), ())]

    def current(self, incident_id: str) -> Change | None:
        """Return an open incident with its findings."""
        incident = self._open.get(incident_id)
        return None if incident is None else self._change(IncidentEvent.UPDATED, incident)

    def _change(self, event: IncidentEvent, incident: Incident) -> Change:
        return Change(event, incident, tuple(self._members[incident.id].values()))

    def by_severity(self) -> dict[Severity, int]:
        """Count the open incidents of each severity; from any thread."""
        counts = dict.fromkeys(Severity, 0)
        for incident in self:
            counts[incident.severity] += 1
        return counts


def _shown(finding: Finding) -> tuple[object, ...]:
    """Return the parts of a finding that its incident shows."""
    return (finding.kind, finding.severity, finding.state, finding.maintenance)


def to_json(change: Change) -> dict[str, Any]:
    """Return an incident as JSON values, the worst finding first, then the oldest."""
    incident = change.incident
    findings = sorted(change.findings, key=lambda one: (-_RANK[one.severity], one.opened, one.id))
    return {
        "schema": 1,
        "incident_id": incident.id,
        "state": "closed" if incident.closed else "open",
        "severity": incident.severity,
        "cause": incident.cause,
        "devices": list(dict.fromkeys(one.device for one in findings[:MAX_NAMED])),
        "device_count": incident.devices,
        "findings": [
            {
                "finding_id": one.id,
                "device": one.device,
                "kind": one.kind,
                "severity": one.severity,
                "state": one.state,
                "maintenance": one.maintenance,
            }
            for one in findings[:MAX_NAMED]
        ],
        "summary": _summary(incident, findings),
        "since": iso(incident.opened),
        "merged_into": incident.merged_into,
    }


def _summary(incident: Incident, findings: Sequence[Finding]) -> str:
    """Return one sentence of ours; names of devices are in ``devices`` alone."""
    if incident.merged_into is not None:
        return "It has the cause of another incident."
    if incident.closed:
        return "All of its findings are over."
    if incident.cause is Cause.LINK and incident.place is not None and incident.place.link is not None:
        link = "".join(one for one in incident.place.link if one.isprintable())[:MAX_LINK]
        return f"{incident.devices} devices are offline by {link}."
    if incident.cause is Cause.SILENCE:
        return f"{incident.devices} devices of one source fell silent together."
    kinds = ", ".join(dict.fromkeys(str(one.kind).replace("_", " ") for one in findings))
    return f"One device: {kinds}."
