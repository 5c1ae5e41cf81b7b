"""The status object, as ``/status.json`` and the health topic have it."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, cast

from agent import __version__
from agent.config import Config
from agent.detect import Detector
from agent.domain.metric_names import MetricClass, look_up
from agent.domain.records import Finding, Purpose, Reading, RhythmView, SeriesView, Severity
from agent.journal import JournalStats
from agent.journal.unread import Missing
from agent.mqtt.link import Link
from agent.pipeline.conclude import Conclusions
from agent.pipeline.pipeline import Pipeline
from agent.status.journal_view import JournalView
from agent.status.partition_view import PartitionView
from agent.status.problems import MAX_METRICS, Problems, Start
from agent.status.schema import (
    MAX_ACTED,
    MAX_DEVICES,
    MAX_NAMED,
    MAX_VERDICTS,
    Ai,
    Broker,
    Counters,
    DeviceView,
    FindingView,
    IncidentView,
    Journal,
    MetricLabel,
    MetricView,
    ModelView,
    RhythmStatus,
    Status,
    UnreadValue,
    VerdictView,
)
from agent.status.search import EVERYTHING, Card, Search, choose
from agent.status.source_view import Heard, unmatched, view_sources
from agent.verdict import incident as incident_form
from agent.verdict.encode import iso
from agent.verdict.people import can_be_done

RATE_S = 60.0
MAX_METRICS_IN_ALL = 240  # health has to fit the broker's packets, a refresh of the page 64 KiB
_VERDICT_KEYS = VerdictView.__annotations__


class HasStatus(Protocol):
    """The AI service, as the report needs it."""

    def status(self) -> Ai: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Makes the status object; ``config`` is the one at start, of which a reload changes nothing here."""

    config: Config
    link: Link
    journal: JournalStats
    pipeline: Pipeline
    conclusions: Conclusions
    detector: Detector
    ai: HasStatus
    problems: Problems
    view: JournalView
    start: Start
    partition: PartitionView | None = None

    def status(self, search: Search = EVERYTHING) -> Status:
        """Return the status object with devices and findings as searched; call it on the analyst's loop."""
        self.view.refresh()
        findings = self.conclusions.findings()
        heard = self.problems.heard()
        clock = self.pipeline.clock()
        devices, devices_found = self._devices({one.device: one for one in findings}, heard, search, clock)
        cards = choose(findings, search, clock)
        return {
            "schema": 1,
            "agent": self.config.name,
            "version": __version__,
            "started": iso(self.start.wall),
            "now": iso(time.time()),
            "uptime_s": round(time.monotonic() - self.start.mono, 1),
            "stale": False,
            "age_s": 0.0,
            "state": self.problems.state(),
            "problems": self.problems.problems(),
            "notes": self.problems.notes(),
            "broker": self._broker(),
            "partition": None if self.partition is None else self.partition.status(),
            "journal": self._journal_status(),
            "ai": self.ai.status(),
            "counters": self._counters(findings, heard, clock),
            "sources": view_sources(
                [source.label for source in self.config.sources], self.journal, time.monotonic()
            ),
            "devices": devices,
            "devices_found": devices_found,
            "incidents": [view for card in cards for view in self._incident(card, clock)],
            "findings": [self._finding(one, clock) for card in cards for one in card.shown],
            "recent_verdicts": [
                cast("VerdictView", {key: verdict[key] for key in _VERDICT_KEYS})
                for verdict in list(self.conclusions.recent)[:MAX_VERDICTS]
            ],
            "quarantine": self.view.quarantine,
        }

    def _broker(self) -> Broker:
        state, stats = self.link.state, self.link.stats
        return {
            "connected": state.connected,
            "subscribed": state.subscribed,
            "address": f"{self.config.mqtt.host}:{self.config.mqtt.port}",
            "protocol": state.protocol,
            "since": iso(state.since) if state.since else None,
            "session_present": state.session_present,
            "reconnects": stats.reconnects,
            "refused": list(state.refused),
            "downgraded": list(state.downgraded),
            "stalled": state.stalled,
            "silent_until": iso(state.silent_until) if state.silent_until else None,
            "dropped_by_broker": stats.broker_drops.total,
            "last_error": state.last_error,
        }

    def _journal_status(self) -> Journal:
        stats = self.journal
        return {
            "writable": stats.state != "full",
            "seq": self.pipeline.seq,
            "used_bytes": stats.bytes_used,
            "max_bytes": self.config.journal.max_mib * 2**20,
            "outbox_depth": self.view.outbox_depth,
            "undeliverable": self.view.undeliverable,
            "written_bytes_per_day": self._written_per_day(),
        }

    def _counters(self, findings: Sequence[Finding], heard: Heard, clock: float) -> Counters:
        journal, detector = self.journal, self.detector
        verdicts = self.conclusions.stats.verdicts
        loud = [one for one in findings if not one.quiet(clock)]
        return {
            "messages": journal.received,
            "readings": journal.readings,
            "windows": sum(self.pipeline.stats.windows.values()),
            "verdicts": {"ai": verdicts["ai"], "cache": verdicts["cache"], "local": verdicts["local"]},
            "questions": {str(one): self.pipeline.review_queue.asked[one] for one in Purpose},
            "findings_open": len(findings),
            "incidents_open": len({one.incident or one.id for one in findings}),
            "critical_open": sum(one.severity is Severity.CRITICAL for one in loud),
            "warning_open": sum(one.severity is not Severity.CRITICAL for one in loud),
            "devices": detector.device_count,
            "series": detector.stats.series,
            "learning": self.problems.learning,
            "unreadable": len(heard),
            "unmatched": unmatched(journal),
            "quarantined": sum(journal.quarantined.values()),
            "dropped": sum(self.link.stats.dropped.values()),
            "duplicates": journal.duplicates,
        }

    def _devices(
        self, findings: dict[str, Finding], heard: Heard, search: Search, clock: float
    ) -> tuple[list[DeviceView], int]:
        """Return the devices worth a look: with a finding, then unreadable ones, then the most recent.

        Those that were never read come last, with those that are only retained. The number is that of all
        devices that were searched for.
        """
        detector = self.detector
        times = detector.last_seen()
        wanted: dict[str, Callable[[str], bool]] = {
            "": lambda _device: True,
            "critical": lambda device: device in findings and findings[device].severity is Severity.CRITICAL,
            "finding": findings.__contains__,
            "silent": detector.silent,
            "unreadable": heard.__contains__,
            "learning": detector.learns,
        }
        order = sorted(
            (device for device in times if search.names(device) and wanted[search.only](device)),
            key=lambda device: (device not in findings, device not in heard, -times[device]),
        )
        most = min(MAX_METRICS, MAX_METRICS_IN_ALL // max(1, min(len(order), MAX_DEVICES)))
        shown: list[DeviceView] = [
            {
                "id": device,
                "last_seen": iso(times[device]),
                "silent": detector.silent(device),
                "rhythm": _rhythm(detector.rhythm(device, clock)),
                "unreadable": device in heard,
                "missing": _missing(heard.missing.get(device, ())),
                "metrics": [_metric(view) for view in detector.newest_views(device, most)],
                "finding": findings[device].id if device in findings else None,
            }
            for device in order[:MAX_DEVICES]
        ]
        values = self.pipeline.retained.by_device()
        others = [
            device
            for device in {**heard.never, **values}
            if device not in times and search.names(device) and wanted[search.only](device)
        ]
        rest = (_other(device, values.get(device, []), heard.never.get(device, [])) for device in others)
        return [*shown, *islice(rest, MAX_DEVICES - len(shown))], len(order) + len(others)

    def _incident(self, card: Card, clock: float) -> list[IncidentView]:
        change = self.conclusions.incidents.current(card.incident)
        if change is None:  # a finding of an older agent has none
            return []
        told = incident_form.to_json(change)
        unseen = [one for one in card.findings if not one.quiet(clock)]
        return [
            {
                "id": card.incident,
                "severity": told["severity"],
                "cause": told["cause"],
                "since": told["since"],
                "summary": told["summary"],
                "devices": told["devices"][:MAX_NAMED],
                "device_count": told["device_count"],
                "findings_open": len(card.findings),
                "unseen": len(unseen),
                "limits": [one.id for one in unseen if one.limit][:MAX_ACTED],
            }
        ]

    def _written_per_day(self) -> int | None:
        """Return the bytes written to the storage, as the kernel counts them for the journal's thread."""
        elapsed_s = time.monotonic() - self.start.mono
        if elapsed_s < RATE_S:
            return None
        return int(self.journal.bytes_written / elapsed_s * 86_400)

    def _finding(self, finding: Finding, clock: float) -> FindingView:
        last = self.conclusions.last_anomaly(finding.id) or {}
        evidence = last.get("evidence", [])
        cited = self.detector.view(finding.device, evidence[0]["metric"]) if evidence else None
        return {
            "id": finding.id,
            "device": finding.device,
            "kind": finding.kind,
            "severity": finding.severity,
            "opened_at": iso(finding.opened),
            "verdicts": finding.verdicts,
            "state": finding.state_at(clock),
            "until": None if (until := finding.snoozed_to(clock)) is None else iso(until),
            "maintenance": finding.maintenance,
            "incident_id": finding.incident,
            "summary": last.get("summary", "Its last verdict is no longer kept."),
            "advice": last.get("advice", finding.kind.traits.advice),
            "evidence": evidence,
            "verdict_id": last.get("id"),
            "reason": last.get("reason"),
            "metric": None if cited is None else _metric(cited),
            "model": _model(self.conclusions.last_review(finding.id)),
            "can": can_be_done(finding),
        }


def encode_status(status: Status) -> bytes:
    """Return the status object as UTF-8 JSON."""
    return json.dumps(status, ensure_ascii=False, separators=(",", ":"), default=str).encode()


def _model(verdict: dict[str, Any] | None) -> ModelView | None:
    if verdict is None:
        return None
    return {
        "model": verdict["model"],
        "said": verdict["summary"],
        "grounded": verdict["grounded"],
        "cost_usd": verdict["cost_usd"],
        "at": verdict["created_at"],
        "verdict_id": verdict["id"],
    }


def _rhythm(view: RhythmView | None) -> RhythmStatus | None:
    if view is None or view.muted:
        return None
    progress = view.progress
    return {
        "interval_s": None if view.interval_s is None else round(view.interval_s, 1),
        "patience_s": None if view.patience_s is None else round(view.patience_s, 1),
        "on_events": view.on_events,
        "learning": None
        if progress is None
        else {"seen": progress.seen, "needed": progress.needed, "of": progress.of},
    }


def _missing(values: Sequence[Missing]) -> list[UnreadValue]:
    return [{"name": one.name, "why": one.why} for one in values]


def _other(device: str, readings: list[Reading], missing: list[Missing]) -> DeviceView:
    """Return a device without readings by its messages, and by the values that the broker retained."""
    return {
        "id": device,
        "last_seen": iso(max(one.at for one in missing)) if missing else None,
        "silent": False,
        "rhythm": None,
        "unreadable": bool(missing),
        "missing": _missing(missing),
        "metrics": [
            {
                **_named(one.metric),
                "value": one.value,
                "unit": one.unit,
                "said": one.word,
                "usual": None,
                "learning": None,
                "recent": [],
            }
            for one in readings
        ],
        "finding": None,
    }


def _named(metric: str) -> MetricLabel:
    known = look_up(metric)
    return {"name": metric, "word": known.word, "diagnostic": known.kind is not MetricClass.READING}


def _metric(view: SeriesView) -> MetricView:
    return {
        **_named(view.metric),
        "value": view.last_value,
        "unit": view.unit,
        "said": view.word if view.said is None else f"{view.said[0]:.6g} {view.said[1]}",
        "usual": list(view.usual) if view.usual else None,
        "learning": None
        if view.progress is None
        else {
            "seen": view.progress.seen,
            "needed": view.progress.needed,
            "until": None if view.progress.until is None else iso(view.progress.until),
        },
        "recent": [float(f"{value:.6g}") for value in view.recent],
    }
