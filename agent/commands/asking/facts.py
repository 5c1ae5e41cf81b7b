"""Facts about devices in a time, from the journal, each with an id to cite."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from fnmatch import fnmatchcase
from typing import Any, Protocol

from agent.commands.asking.period import Period, local
from agent.commands.printing import between, number, roughly, span
from agent.detect import Detector
from agent.domain.metric_names import name_for_people
from agent.domain.records import CommandRow, Do, Finding, Incident, SeriesView
from agent.journal.reader import FindingRecord, Reader
from agent.journal.samples import USUAL_S
from agent.prompt.section import number as printed_number
from agent.prompt.words import name_metrics, unit_word
from agent.status.journal_view import worst_first

MAX_FINDINGS = 8
MAX_SEARCHED = 200  # findings of a device, and verdicts
MAX_READINGS = 3  # of a finding
MAX_SERIES = 12
MAX_COMMANDS = 6
MAX_ROWS = 50_000  # messages of all devices that are looked through, newest first
MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: as the model gets it, and as people do."""

    id: str
    sent: Mapping[str, Any]  # in the terms that may leave
    shown: str
    key: str | None = None  # the journal's own id of a finding or an incident


class Terms(Protocol):
    """The terms of devices, metrics and units in facts that leave."""

    def device(self, name: str) -> str: ...

    def metric(self, device: str, name: str) -> str: ...

    def unit(self, unit: str | None) -> str | None: ...


class _Words:
    """The terms of one question: ``d1``, ``d2``..., and words of the closed lists."""

    def __init__(self, aliases: Mapping[str, str], metrics: Iterable[str]) -> None:
        self._aliases = aliases
        self.words = name_metrics(metrics)

    def device(self, name: str) -> str:
        return self._aliases[name]

    def metric(self, device: str, name: str) -> str:
        del device
        return self.words.get(name, "metric")

    def unit(self, unit: str | None) -> str | None:
        return unit_word(unit)


@dataclass(frozen=True, slots=True)
class Facts:
    """All that an answer may be made of.

    Attributes:
        head: the time and the counts, for the model.
        items: the facts, those first that matter most.
        found: how many findings there were in that time; the worst ones are in ``items``.
        aliases: device -> its name for the model.
        metrics: word for the model -> the metric's own name.
    """

    head: Mapping[str, Any]
    items: tuple[Fact, ...]
    found: int
    aliases: Mapping[str, str]
    metrics: Mapping[str, str]


def collect(
    reader: Reader,
    detector: Detector,
    *,
    devices: Sequence[str],
    every: bool,
    period: Period,
    now: float,
    zone: tzinfo,
    terms: Terms | None = None,
) -> Facts:
    """Return the facts about ``devices``, or about the findings of all devices.

    Args:
        reader: of the journal.
        detector: as of its newest row.
        devices: that the question names; with ``every``, all that have findings are added.
        every: the question names none.
        period: that it is about.
        now: Unix seconds.
        zone: of the site.
        terms: those that leave the site; without them those of one question.
    """
    records = _findings(reader, None if every else devices, period)
    found = sum(_within(one, period) for one in records)
    kept = records[:MAX_FINDINGS]
    devices = list(dict.fromkeys([*devices, *(one.finding.device for one in kept)]))
    aliases = {device: f"d{place}" for place, device in enumerate(devices, 1)}
    views = [
        view for device in devices for view in sorted(detector.views(device), key=lambda one: one.metric)
    ]
    words = _Words(aliases, _metrics(kept, views))
    maker = _Maker(reader, terms or words, devices, views, [one.finding for one in kept], zone=zone, now=now)
    cited = {(one.finding.device, seen.metric) for one in kept for seen in one.finding.seen}
    items = [
        *(maker.finding(place, one) for place, one in enumerate(kept, 1)),
        *maker.readings(kept),
        *maker.incidents(kept),
        *maker.commands(period, kept),
        *maker.series(sorted(views, key=lambda one: (one.device, one.metric) not in cited), period),
    ]
    head = {
        "now": local(now, zone),
        "from": local(period.begin, zone),
        "to": local(period.end, zone),
        "devices": len(devices),
        "findings": found,
    }
    real = {word: name for name, word in words.words.items()}
    return Facts(head, tuple(items), found, aliases, real)


def _metrics(kept: Iterable[FindingRecord], views: Iterable[SeriesView]) -> list[str]:
    """Return the metrics that facts are about, those of findings first."""
    return [*(seen.metric for one in kept for seen in one.finding.seen), *(view.metric for view in views)]


def _findings(reader: Reader, devices: Sequence[str] | None, period: Period) -> list[FindingRecord]:
    """Return the findings of a time, the worst first; of named devices without one their last before it."""
    if devices is None:
        every = (*reader.findings(), *reader.findings(closed=True))
        found = [one for finding in every if (one := reader.finding(finding.id)) and _within(one, period)]
    else:
        found = []
        for device in devices:
            of_device = reader.findings_of(device, limit=MAX_SEARCHED)
            within = [one for one in of_device if _within(one, period)]
            before = [one for one in of_device if one.finding.opened < period.begin]
            found += within or before[:1]
    by_id = {one.finding.id: one for one in found}
    return [by_id[one.id] for one in worst_first([one.finding for one in found])]


def _within(one: FindingRecord, period: Period) -> bool:
    return one.finding.opened <= period.end and (one.ended is None or one.ended >= period.begin)


class _Maker:
    """Makes facts in both forms."""

    def __init__(
        self,
        reader: Reader,
        terms: Terms,
        devices: Sequence[str],
        views: Sequence[SeriesView],
        findings: Sequence[Finding],
        *,
        zone: tzinfo,
        now: float,
    ) -> None:
        self._reader = reader
        self._terms = terms
        self._devices = devices
        self._zone = zone
        self._now = now
        self._units = {(view.device, view.metric): view.unit for view in views}
        self._ids = {one.id: f"f{place}" for place, one in enumerate(findings, 1)}

    def finding(self, place: int, record: FindingRecord) -> Fact:
        one, ended = record
        sent: dict[str, Any] = {
            "id": f"f{place}",
            "device": self._terms.device(one.device),
            "kind": str(one.kind),
            "severity": str(one.severity),
            "state": str(one.state_at(self._now)),
            "opened": local(one.opened, self._zone),
        }
        shown = f"{one.severity} {one.kind} of {one.device}, opened {sent['opened']}"
        if ended is None:
            shown += f", {sent['state']}"
        else:
            sent |= {"ended": local(ended, self._zone), "lasted_min": round((ended - one.opened) / MINUTE_S)}
            shown += f", {sent['state']} {sent['ended']} after {span(ended - one.opened)}"
        if one.silent_since is not None:
            sent["silent_since"] = local(one.silent_since, self._zone)
            shown += f", silent since {sent['silent_since']}"
        if one.limit:
            sent["limit_broken"] = True
            shown += ", a limit was broken"
        if one.maintenance:
            sent["maintenance"] = True
            shown += ", under maintenance"
        sent["values"] = [
            {
                "metric": self._terms.metric(one.device, seen.metric),
                "low": printed_number(seen.low),
                "high": printed_number(seen.high),
                **self._unit(one.device, seen.metric),
            }
            for seen in one.seen
        ]
        for seen in one.seen:
            values = (
                number(seen.low) if seen.low == seen.high else f"{number(seen.low)} to {number(seen.high)}"
            )
            shown += f"; {self._named(one.device, seen.metric, values)}"
        return Fact(sent["id"], sent, f"{shown} (finding {one.id})", one.id)

    def readings(self, kept: Sequence[FindingRecord]) -> Iterator[Fact]:
        """Yield the readings that the verdicts on the findings cite, the first of each metric."""
        place = 0
        for device in dict.fromkeys(one.finding.device for one in kept):
            verdicts = [
                json.loads(one.body) for one in self._reader.verdicts(limit=MAX_SEARCHED, device=device)
            ]
            for record in kept:
                if record.finding.device != device:
                    continue
                cited = [
                    (item, verdict)
                    for verdict in reversed(verdicts)
                    if verdict["finding_id"] == record.finding.id and verdict["status"] == "anomaly"
                    for item in verdict["evidence"]
                    if isinstance(item["value"], int | float)
                ]
                for item, verdict in cited[:MAX_READINGS]:
                    place += 1
                    yield self._reading(f"r{place}", device, item, verdict)

    def _reading(self, ref: str, device: str, item: Mapping[str, Any], verdict: Mapping[str, Any]) -> Fact:
        metric, at = item["metric"], local(datetime.fromisoformat(item["at"]).timestamp(), self._zone)
        sent: dict[str, Any] = {
            "id": ref,
            "finding": self._ids[verdict["finding_id"]],
            "device": self._terms.device(device),
            "metric": self._terms.metric(device, metric),
            **self._unit(device, metric),
            "at": at,
            "value": printed_number(item["value"]),
            "by": str(verdict["source"]),
        }
        shown = f"{device}: {self._named(device, metric, number(item['value']))} at {at}"
        if item["expected"] is not None:
            low, high = item["expected"]
            sent["expected"] = [None if side is None else printed_number(side, 5) for side in (low, high)]
            shown += f", expected {roughly(low, high)}"
        return Fact(ref, sent, shown)

    def incidents(self, kept: Sequence[FindingRecord]) -> Iterator[Fact]:
        wanted = {one.finding.incident for one in kept if one.finding.incident}
        known: Iterable[Incident] = self._reader.incidents() if wanted else ()
        for place, one in enumerate((one for one in known if one.id in wanted), 1):
            sent: dict[str, Any] = {
                "id": f"i{place}",
                "cause": str(one.cause),
                "severity": str(one.severity),
                "devices": one.devices,
                "opened": local(one.opened, self._zone),
                "over": one.closed,
                "findings": [self._ids[of.finding.id] for of in kept if of.finding.incident == one.id],
            }
            over = "over" if one.closed else "open"
            what = f"incident {one.id}, common ground {one.cause}, {one.severity}, devices: {one.devices}"
            yield Fact(sent["id"], sent, f"{what}, opened {sent['opened']}, {over}", one.id)

    def commands(self, period: Period, kept: Sequence[FindingRecord]) -> Iterator[Fact]:
        """Yield the accepted commands of people about these findings and devices; notes stay here."""
        rows = [row for row in self._reader.commands() if self._is_about(row, period, kept)]
        for place, row in enumerate(rows[-MAX_COMMANDS:], 1):
            do, outcome = str(row.command.do), row.outcome
            at = local(row.clock, self._zone)
            sent: dict[str, Any] = {"id": f"c{place}", "did": do, "at": at}
            if covered := self._covered(row):
                sent["covers"] = [self._terms.device(device) for device in covered]
            if outcome is not None and outcome.finding_id in self._ids:
                sent["finding"] = self._ids[outcome.finding_id]
            shown = f"a person: {do} {(outcome and outcome.device) or row.command.device or ''} at {at}"
            if row.command.since is not None:
                sent["from"] = local(row.command.since, self._zone)
                shown += f", from {sent['from']}"
            if outcome is not None and outcome.until is not None:
                sent["until"] = local(outcome.until, self._zone)
                shown += f", until {sent['until']}"
            yield Fact(sent["id"], sent, shown + (f", note: {row.command.note}" if row.command.note else ""))

    def _is_about(self, row: CommandRow, period: Period, kept: Sequence[FindingRecord]) -> bool:
        outcome = row.outcome
        if outcome is None or not outcome.accepted:
            return False
        if outcome.finding_id in {one.finding.id for one in kept}:
            return True
        begin = row.clock if row.command.since is None else row.command.since
        end = max(begin, outcome.until or begin)
        return begin <= period.end and end >= period.begin and bool(self._covered(row))

    def _covered(self, row: CommandRow) -> list[str]:
        """Return the devices that a command is about; that of maintenance is a glob."""
        device = (row.outcome and row.outcome.device) or row.command.device or ""
        if row.command.do is Do.MAINTENANCE:
            return [one for one in self._devices if fnmatchcase(one, device)]
        return [device] if device in self._devices else []

    def series(self, views: Sequence[SeriesView], period: Period) -> Iterator[Fact]:
        """Yield extremes and usual range of each series, those that a finding cites first."""
        values = {
            device: _ranges(self._reader, device, period)
            for device in dict.fromkeys(view.device for view in views[:MAX_SERIES])
        }
        for place, view in enumerate(views[:MAX_SERIES], 1):
            points, usual = values[view.device].get(view.metric, ([], None))
            usual = usual or view.usual
            sent: dict[str, Any] = {
                "id": f"s{place}",
                "device": self._terms.device(view.device),
                "metric": self._terms.metric(view.device, view.metric),
                **self._unit(view.device, view.metric),
            }
            shown = f"{view.device}: {name_for_people(view.metric)}"
            if points:
                low, high = min(points, key=lambda one: one[1]), max(points, key=lambda one: one[2])
                sent |= {
                    "lowest": printed_number(low[1]),
                    "lowest_at": local(low[0], self._zone),
                    "highest": printed_number(high[2]),
                    "highest_at": local(high[0], self._zone),
                }
                shown += (
                    f" {number(low[1])} ({sent['lowest_at']}) to {number(high[2])} ({sent['highest_at']})"
                )
            if usual is not None:
                sent["usual"] = [printed_number(side, 5) for side in usual]
                shown += f", usual {roughly(*usual)}"
            if view.limits != (None, None):
                sent["limits"] = [None if side is None else printed_number(side) for side in view.limits]
                shown += f", limits {between(*view.limits)}"
            if view.last_at is not None:
                sent["last_at"] = local(view.last_at, self._zone)
                shown += f", last reading {sent['last_at']}"
            unit = f" {view.unit}" if view.unit else ""
            yield Fact(sent["id"], sent, shown + (f"; in{unit}" if unit else ""))

    def _unit(self, device: str, metric: str) -> dict[str, str]:
        unit = self._terms.unit(self._units.get((device, metric)))
        return {} if unit is None else {"unit": unit}

    def _named(self, device: str, metric: str, values: str) -> str:
        unit = self._units.get((device, metric))
        return f"{name_for_people(metric)} {values}{f' {unit}' if unit else ''}"


def _ranges(
    reader: Reader, device: str, period: Period
) -> dict[str, tuple[list[tuple[float, float, float]], tuple[float, float] | None]]:
    """Return by metric the time, lowest and highest value of samples and readings, and the usual range."""
    found: dict[str, tuple[list[tuple[float, float, float]], tuple[float, float] | None]] = {}
    samples = reader.samples_of(device, after=period.begin - USUAL_S, before=period.end)
    for metric, slots in samples.items():
        usual = [one.usual for one in slots if one.usual is not None]
        points = [
            (one.at, one.low, one.high)
            for one in slots
            if one.low is not None and one.high is not None and one.at >= period.begin
        ]
        found[metric] = (points, usual[-1] if usual else None)
    readings = reader.last_readings(device, after=period.begin, before=period.end, max_rows=MAX_ROWS)
    for metric, values in readings.items():
        points, _ = found.setdefault(metric, ([], None))
        points += [(at, value, value) for at, value in values if math.isfinite(value)]
    return found
