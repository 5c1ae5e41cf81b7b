"""What the agent says of itself: the status object and readiness."""

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from agent import __version__
from agent.config import Weakness, overlaps, settings, weaknesses
from agent.detect import DetectSettings
from agent.domain.records import Finding, Reading, SeriesView, Severity
from agent.journal import JournalError, JournalStats, Reader
from agent.status.freshness import Freshness
from agent.status.held_back import (
    backlog_words,
    evicted_words,
    given_up_words,
    intake_words,
    journal_words,
    learning_words,
    many_metrics_words,
    quarantine_words,
    refused_words,
    telemetry_words,
)
from agent.status.limits import LimitFault, judge_patterns, judge_uses
from agent.status.link import link_notes, link_problems
from agent.status.schema import (
    MAX_DEVICES,
    MAX_QUARANTINE,
    MAX_VERDICTS,
    Broker,
    Counters,
    DeviceView,
    FindingView,
    Journal,
    MetricView,
    QuarantineView,
    State,
    Status,
    VerdictView,
)
from agent.verdict.encode import iso, to_json
from agent.web import Response, json_response, page

if TYPE_CHECKING:
    from agent.app.rooms import Rooms

WEB_STUCK_S = 20.0
BACKLOG, BACKLOG_S = 1000, 60.0  # messages that wait for the broker, and for how long, before it is said
STALE_S = 5.0  # of the time the process got to run, without a turn of the analyst: not ready
QUARANTINE_EVERY_S = 10.0
LIMITS_EVERY_S = 5.0
SPOKEN_S = 600.0  # after a start a series that a limit is meant for may not have spoken yet
PACE_S = 60.0
NEWCOMERS_S = 600.0
MAX_METRICS = 64  # of a device that are shown
MAX_METRICS_IN_ALL = 1000  # health has to fit the broker's packets
SEVERITIES = tuple(Severity)  # the worst last
_VERDICT_KEYS = VerdictView.__annotations__


class Reporter:
    """Reads the rooms. The status is put together on the analyst's loop, the rest on the asking thread."""

    def __init__(self, rooms: "Rooms", *, loop: asyncio.AbstractEventLoop) -> None:
        self._rooms = rooms
        self._started = time.time()
        self._started_mono = time.monotonic()
        self._quarantine: list[QuarantineView] = []
        self._quarantine_at = 0.0
        self._undeliverable = 0
        self._weaknesses = weaknesses(rooms.config)
        self._given_up: tuple[str, float] | None = None  # topic and time of the oldest of these
        self._refused_since: float | None = None
        self._since: dict[str, float] = {}  # what is kept back -> since when it was seen to be
        self._told: dict[str, dict[str, Any]] = {}  # finding -> the verdict of an earlier process
        self._limits: list[LimitFault] = []
        self._limits_due = -math.inf
        self._learning = 0
        self._largest = "", 0  # the device with the most metrics
        self.outbox_depth = 0
        self._freshness = Freshness(self.status, loop=loop)

    def routes(self) -> Mapping[str, Callable[[], Response]]:
        """Return the addresses of the web server."""
        return {
            "/": page,
            "/metrics": self._metrics,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/status.json": self._status_json,
        }

    # ---------------------------------------------------------------------------------- responses

    def _metrics(self) -> Response:
        try:
            body, content_type = self._rooms.metrics.render()
        except Exception as error:
            self._rooms.recorder.fault_log.note("telemetry", error)
            raise
        return Response(body, content_type=content_type)

    def _healthz(self) -> Response:
        stuck = self._rooms.stuck(20.0)
        return Response(b"ok\n") if stuck is None else Response(f"{stuck} is stuck\n".encode(), 503)

    def _readyz(self) -> Response:
        problems, idle_s = self.problems(), self._rooms.idle_s("analyst")
        if idle_s > STALE_S:
            problems.insert(
                0, f"The analyst has made no turn for {idle_s:.0f} s: if it hangs, the agent restarts."
            )
        ready = (
            idle_s <= STALE_S
            and self._rooms.link.state.subscribed
            and self._rooms.journal.stats.state != "full"
        )
        text = "ready\n" if ready else "not ready\n"
        lines = [*problems, *(f"note: {line}" for line in self.notes())]
        return Response((text + "".join(f"{line}\n" for line in lines)).encode(), 200 if ready else 503)

    def _status_json(self) -> Response:
        status = self._freshness.status()
        if status is None:
            return Response(b"the analyst is busy; try again\n", 503)
        return json_response(lambda: encode_status(status))

    # ------------------------------------------------------------------------------------- status

    def problems(self) -> list[str]:
        """Return what is wrong, in sentences; empty when all is well."""
        rooms = self._rooms
        journal = rooms.journal.stats
        found = link_problems(
            rooms.link.state, rooms.link.stats, url=rooms.config.mqtt.url, now=time.monotonic()
        )
        found += self._held(journal)
        found += _newcomer_problems(journal, now=time.monotonic())
        if rooms.web_hangs(WEB_STUCK_S):
            found.append("The web server hangs, the rest goes on: restart the agent.")
        found += [str(fault) for fault in self._limit_faults() if self._is_problem(fault)]
        return found + rooms.asking.problems() + rooms.recorder.fault_log.problems()

    def _held(self, journal: JournalStats) -> list[str]:
        """Return what journal and outbox keep back, since when, and what helps."""
        rooms, refused = self._rooms, self._rooms.pipeline.outbox.refused
        now = {
            f"journal {journal.state}": bool(journal.problem),
            "intake": rooms.link.state.stalled,
            "refused": bool(refused),
            "backlog": self.outbox_depth > BACKLOG,
        }
        since = self._note_since(now)
        found = []
        if journal.problem:
            found.append(journal_words(journal.problem, since[f"journal {journal.state}"]))
        if rooms.link.state.stalled:
            found.append(intake_words(since["intake"]))
        if refused:
            oldest = self._refused_since or since["refused"]  # as journaled, once that was read
            code = next(iter(refused.values()))[1]
            base = rooms.config.base_topic
            found.append(refused_words(list(refused), code=code, since=oldest, base_topic=base))
        if time.time() - since.get("backlog", math.inf) > BACKLOG_S:
            found.append(backlog_words(self.outbox_depth, since["backlog"]))
        if self._undeliverable and self._given_up is not None:
            topic, at = self._given_up
            days = rooms.config.journal.keep_days
            found.append(given_up_words(self._undeliverable, topic=topic, since=at, keep_days=days))
        return found

    def _note_since(self, states: Mapping[str, bool]) -> dict[str, float]:
        """Return since when each state that holds was seen to hold; those that are over are forgotten."""
        now = time.time()
        since = {name: self._since.get(name, now) for name, holds in states.items() if holds}
        self._since = since
        return since

    def _limit_faults(self) -> list[LimitFault]:
        """Return the limits that do not hold for what they are meant for, looked at every five seconds.

        Or more rarely where there are many: it takes at most a 50th of the time.
        """
        now = time.monotonic()
        if now >= self._limits_due:
            self._limits_due = now + LIMITS_EVERY_S
            config_limits = settings.of_limits(self._rooms.config)
            detector = self._rooms.detector
            self._limits = judge_patterns(config_limits) + judge_uses(detector.limit_use())
            self._learning = detector.learning_count()
            self._largest = detector.largest()
            ended = time.monotonic()
            self._limits_due = ended + max(LIMITS_EVERY_S, 50.0 * (ended - now))
        return self._limits

    def _is_problem(self, fault: LimitFault) -> bool:
        """Say whether a fault is one for sure: after a start a device may only not have spoken yet."""
        return fault.sure or time.monotonic() - self._started_mono > SPOKEN_S

    def notes(self) -> list[str]:
        """Return what is weaker than it could be, in sentences."""
        rooms = self._rooms
        found = link_notes(rooms.link.state, ids_reused=rooms.journal.stats.ids_reused) + rooms.asking.notes()
        found += [str(fault) for fault in self._limit_faults() if not self._is_problem(fault)]
        if self._learning:
            found.append(learning_words(self._learning, rooms.detector.stats.series))
        device, metrics = self._largest
        if metrics > MAX_METRICS:
            found.append(many_metrics_words(device, metrics, MAX_METRICS))
        if (evicted := rooms.detector.stats.evicted) > 0:
            found.append(evicted_words(evicted, DetectSettings().max_series))
        quarantined = sum(rooms.journal.stats.quarantined.values())
        if quarantined and self._quarantine:
            last = self._quarantine[0]
            at = datetime.fromisoformat(last["received_at"]).timestamp()
            found.append(quarantine_words(quarantined, topic=last["topic"], reason=last["reason"], at=at))
        lines, spans = rooms.logs.dropped, rooms.tracer.dropped
        if lines or spans:
            found.append(telemetry_words(lines, spans, self._started))
        twice = overlaps(rooms.config) if rooms.link.state.protocol == "3.1.1" else []
        return [*found, *map(_sentence, (*self._weaknesses, *twice))]

    def state(self) -> State:
        """Return the state in one word."""
        if not self._rooms.link.state.subscribed or self._rooms.journal.stats.state == "full":
            return "down"
        return "degraded" if self.problems() else "ok"

    def status(self) -> Status:
        """Return the whole status object; call it on the analyst's loop."""
        rooms, now = self._rooms, time.time()
        self.look_into_journal()
        findings = worst_first(rooms.pipeline.conclusions.findings())
        return {
            "schema": 1,
            "agent": rooms.config.agent.id,
            "version": __version__,
            "started": iso(self._started),
            "now": iso(now),
            "uptime_s": round(time.monotonic() - self._started_mono, 1),
            "stale": False,
            "age_s": 0.0,
            "state": self.state(),
            "problems": self.problems(),
            "notes": self.notes(),
            "broker": self._broker(),
            "journal": self._journal(),
            "ai": rooms.asking.status(),
            "counters": self._counters(len(findings)),
            "devices": self._devices({finding.device: finding for finding in findings}),
            "findings": [self._finding(finding) for finding in findings[:MAX_DEVICES]],
            "recent_verdicts": [
                cast("VerdictView", {key: verdict[key] for key in _VERDICT_KEYS})
                for verdict in list(rooms.pipeline.conclusions.recent)[:MAX_VERDICTS]
            ],
            "quarantine": self._quarantine,
        }

    def _broker(self) -> Broker:
        link = self._rooms.link
        state = link.state
        return {
            "connected": state.connected,
            "subscribed": state.subscribed,
            "address": f"{self._rooms.config.mqtt.host}:{self._rooms.config.mqtt.port}",
            "protocol": state.protocol,
            "since": iso(state.since) if state.since else None,
            "session_present": state.session_present,
            "reconnects": link.stats.reconnects,
            "refused": list(state.refused),
            "downgraded": list(state.downgraded),
            "stalled": state.stalled,
            "silent_until": iso(state.silent_until) if state.silent_until else None,
            "dropped_by_broker": link.stats.losses.total,
            "last_error": state.last_error,
        }

    def _journal(self) -> Journal:
        stats = self._rooms.journal.stats
        return {
            "writable": stats.state != "full",
            "seq": self._rooms.pipeline.seq,
            "used_bytes": stats.bytes_used,
            "max_bytes": self._rooms.config.journal.max_mib * 2**20,
            "outbox_depth": self.outbox_depth,
            "undeliverable": self._undeliverable,
            "written_bytes_per_day": self._written_per_day(),
        }

    def _counters(self, findings_open: int) -> Counters:
        rooms = self._rooms
        journal, pipeline = rooms.journal.stats, rooms.pipeline
        verdicts = pipeline.conclusions.stats.verdicts
        return {
            "messages": journal.received,
            "readings": journal.readings,
            "windows": sum(pipeline.stats.windows.values()),
            "verdicts": {"ai": verdicts["ai"], "cache": verdicts["cache"], "local": verdicts["local"]},
            "findings_open": findings_open,
            "devices": rooms.detector.device_count,
            "series": rooms.detector.stats.series,
            "learning": self._learning,
            "quarantined": sum(journal.quarantined.values()),
            "dropped": sum(rooms.link.stats.dropped.values()),
            "duplicates": journal.duplicates,
        }

    def _devices(self, findings: dict[str, Finding]) -> list[DeviceView]:
        """Return the devices worth a look: with a finding, then the most recent, then those only retained."""
        detector = self._rooms.detector
        times = detector.last_seen()
        order = sorted(times, key=lambda device: (device not in findings, -times[device]))
        most = min(MAX_METRICS, MAX_METRICS_IN_ALL // max(1, min(len(order), MAX_DEVICES)))
        shown: list[DeviceView] = [
            {
                "id": device,
                "last_seen": iso(times[device]),
                "silent": detector.silent(device),
                "metrics": [_metric(view) for view in detector.newest_views(device, most)],
                "finding": findings[device].id if device in findings else None,
            }
            for device in order[:MAX_DEVICES]
        ]
        seeds = self._rooms.pipeline.seeds.by_device()
        retained = (_retained(device, seeds[device]) for device in seeds if device not in times)
        return [*shown, *islice(retained, MAX_DEVICES - len(shown))]

    def _written_per_day(self) -> int | None:
        """Return what the storage has to bear, as the kernel counts it for the journal's thread."""
        elapsed_s = time.monotonic() - self._started_mono
        if elapsed_s < PACE_S:
            return None
        return int(self._rooms.journal.stats.bytes_written / elapsed_s * 86_400)

    def _finding(self, finding: Finding) -> FindingView:
        verdict = self._rooms.pipeline.conclusions.told(finding.device)
        told = self._told.get(finding.id, {}) if verdict is None else to_json(verdict)
        return {
            "id": finding.id,
            "device": finding.device,
            "kind": finding.kind,
            "severity": finding.severity,
            "opened_at": iso(finding.opened),
            "verdicts": finding.verdicts,
            "summary": told.get("summary", "What was said of it is not kept any more."),
            "advice": told.get("advice", finding.kind.traits.advice),
            "evidence": told.get("evidence", []),
            "verdict_id": told.get("id"),
        }

    def _read_refused(self, reader: Reader) -> float | None:
        """Return since when the broker refuses what waits, of the first few topics."""
        rows = [row for row, _ in list(self._rooms.pipeline.outbox.refused.values())[:MAX_DEVICES]]
        return min((at for row in rows if (at := reader.refused_since(row)) is not None), default=None)

    def _read_told(self, reader: Reader) -> dict[str, dict[str, Any]]:
        """Return the earlier verdicts on the shown findings that nothing was said of since the start."""
        conclusions = self._rooms.pipeline.conclusions
        shown = worst_first(conclusions.findings())[:MAX_DEVICES]
        silent = [one for one in shown if conclusions.told(one.device) is None]
        known = {one.id: self._told[one.id] for one in silent if one.id in self._told}
        unknown = [one for one in silent if one.id not in known]
        found = {key: json.loads(body) for key, body in reader.told_of(unknown).items()} if unknown else {}
        return known | {one.id: found.get(one.id, {}) for one in unknown}

    def look_into_journal(self) -> None:
        """Read from its file, at most every ten seconds, what no room keeps in memory; from any thread."""
        now = time.monotonic()
        if now - self._quarantine_at < QUARANTINE_EVERY_S and self._quarantine_at:
            return
        self._quarantine_at = now
        quoted = self._rooms.config.web.quarantine_text
        try:
            with Reader.open(self._rooms.config.agent.state_dir) as reader:
                self.outbox_depth, self._undeliverable = reader.undelivered()
                self._given_up = reader.given_up() if self._undeliverable else None
                self._refused_since = self._read_refused(reader)
                self._told = self._read_told(reader)
                self._quarantine = [
                    {
                        "topic": row.topic[:120],
                        "reason": row.reason,
                        "detail": row.detail if quoted else f"{row.size} bytes",
                        "received_at": iso(row.received),
                    }
                    for row in reader.quarantine(limit=MAX_QUARANTINE)
                ]
        except JournalError:
            return  # the journal's own thread says what is wrong with it


def _sentence(weak: Weakness) -> str:
    return f"{weak.what[:1].upper()}{weak.what[1:]}: {weak.remedy} ({weak.key})."


def _newcomer_problems(stats: JournalStats, *, now: float) -> list[str]:
    """Return which sources have sent more new device ids than they may, in the last ten minutes."""
    if stats.new_refused_at is None or now - stats.new_refused_at > NEWCOMERS_S:
        return []
    return [
        f"Source {source} has sent {count} messages of too many new devices or metrics "
        "(new_device_limit, new_series_limit): raise its new_devices_per_min if the devices are yours."
        for source, count in list(stats.new_refused.items())
    ]


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings by severity, those of one severity by their age, the newest first."""
    return sorted(findings, key=lambda one: (-SEVERITIES.index(one.severity), -one.opened, one.id))


def encode_status(status: Status) -> bytes:
    """Return the status object as UTF-8 JSON."""
    return json.dumps(status, ensure_ascii=False, separators=(",", ":"), default=str).encode()


def _retained(device: str, readings: list[Reading]) -> DeviceView:
    """Show a device that has not spoken yet by what the broker retained of it."""
    return {
        "id": device,
        "last_seen": None,
        "silent": False,
        "metrics": [
            {
                "name": one.metric,
                "value": one.value,
                "unit": one.unit,
                "usual": None,
                "learning": None,
                "recent": [],
            }
            for one in readings
        ],
        "finding": None,
    }


def _metric(view: SeriesView) -> MetricView:
    return {
        "name": view.metric,
        "value": view.last_value,
        "unit": view.unit,
        "usual": list(view.usual) if view.usual else None,
        "learning": None
        if view.progress is None
        else {"seen": view.progress.seen, "needed": view.progress.needed},
        "recent": list(view.recent),
    }
