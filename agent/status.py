"""What the agent says of itself: the status object and readiness."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from itertools import islice
from typing import TYPE_CHECKING, cast

from agent import __version__
from agent.journal import JournalError, Reader
from agent.link_words import link_notes, link_problems
from agent.records import Finding, Reading, SeriesView
from agent.verdict import iso
from agent.web import Response, json_response, page
from agent.web.status import (
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

if TYPE_CHECKING:
    from agent.rooms import Rooms

ANSWER_S = 0.5  # then the last answer is given again: a scrape must not wait
WEB_STUCK_S = 20.0
QUARANTINE_EVERY_S = 10.0
PACE_S = 60.0
_VERDICT_KEYS = VerdictView.__annotations__


class Reporter:
    """Reads the rooms. The status is put together on the analyst's loop, the rest on the asking thread."""

    def __init__(self, rooms: "Rooms", *, loop: asyncio.AbstractEventLoop) -> None:
        self._rooms = rooms
        self._loop = loop
        self._started = time.time()
        self._started_mono = time.monotonic()
        self._quarantine: list[QuarantineView] = []
        self._quarantine_at = 0.0
        self._undeliverable = 0
        self.outbox_depth = 0
        self._last = b""

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
        problems = self.problems()
        ready = self._rooms.link.state.subscribed and self._rooms.journal.stats.state != "full"
        text = "ready\n" if ready else "not ready\n"
        lines = [*problems, *(f"note: {line}" for line in self.notes())]
        return Response((text + "".join(f"{line}\n" for line in lines)).encode(), 200 if ready else 503)

    def _status_json(self) -> Response:
        future = asyncio.run_coroutine_threadsafe(self._collect(), self._loop)
        try:
            self._last = encode_status(future.result(ANSWER_S))
        except FutureTimeoutError:
            future.cancel()
        if not self._last:
            return Response(b"the analyst is busy; try again\n", 503)
        return json_response(lambda: self._last)

    async def _collect(self) -> Status:
        return self.status()

    # ------------------------------------------------------------------------------------- status

    def problems(self) -> list[str]:
        """Return what is wrong, in sentences; empty when all is well."""
        rooms = self._rooms
        journal = rooms.journal.stats
        found = link_problems(
            rooms.link.state, rooms.link.stats, url=rooms.config.mqtt.url, now=time.monotonic()
        )
        if journal.problem:
            found.append(journal.problem)
        if self._undeliverable:
            found.append(
                f"{self._undeliverable} messages could not be delivered for 24 h: see the broker's ACL."
            )
        if rooms.web_hangs(WEB_STUCK_S):
            found.append("The web server hangs, the rest goes on: restart the agent.")
        return found + rooms.asking.problems() + rooms.recorder.fault_log.problems()

    def notes(self) -> list[str]:
        """Return what is weaker than it could be, in sentences."""
        return link_notes(self._rooms.link.state, ids_reused=self._rooms.journal.stats.ids_reused)

    def state(self) -> State:
        """Return the state in one word."""
        if not self._rooms.link.state.subscribed or self._rooms.journal.stats.state == "full":
            return "down"
        return "degraded" if self.problems() else "ok"

    def status(self) -> Status:
        """Return the whole status object; call it on the analyst's loop."""
        rooms, now = self._rooms, time.time()
        self.look_into_journal()
        findings = rooms.pipeline.conclusions.findings()
        return {
            "schema": 1,
            "agent": rooms.config.agent.id,
            "version": __version__,
            "started": iso(self._started),
            "now": iso(now),
            "uptime_s": round(time.monotonic() - self._started_mono, 1),
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
            "quarantined": sum(journal.quarantined.values()),
            "dropped": sum(rooms.link.stats.dropped.values()),
            "duplicates": journal.duplicates,
        }

    def _devices(self, findings: dict[str, Finding]) -> list[DeviceView]:
        """Return the devices worth a look: with a finding, then the most recent, then those only retained."""
        detector = self._rooms.detector
        times = detector.last_seen()
        order = sorted(times, key=lambda device: (device not in findings, -times[device]))
        shown: list[DeviceView] = [
            {
                "id": device,
                "last_seen": iso(times[device]),
                "silent": detector.silent(device),
                "metrics": [_metric(view) for view in detector.views(device)],
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
        return {
            "id": finding.id,
            "device": finding.device,
            "kind": finding.kind,
            "severity": finding.severity,
            "opened_at": iso(finding.opened),
            "verdicts": finding.verdicts,
            "summary": self._rooms.pipeline.conclusions.summary(finding.device),
        }

    def look_into_journal(self) -> None:
        """Read from its file, at most every ten seconds, what no room keeps in memory; from any thread."""
        now = time.monotonic()
        if now - self._quarantine_at < QUARANTINE_EVERY_S and self._quarantine_at:
            return
        self._quarantine_at = now
        try:
            with Reader.open(self._rooms.config.agent.state_dir) as reader:
                self.outbox_depth, self._undeliverable = reader.undelivered()
                self._quarantine = [
                    {
                        "topic": row.topic[:120],
                        "reason": row.reason,
                        "detail": row.detail,
                        "received_at": iso(row.received),
                    }
                    for row in reader.quarantine(limit=MAX_QUARANTINE)
                ]
        except JournalError:
            return  # the journal's own thread says what is wrong with it


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
            {"name": one.metric, "value": one.value, "unit": one.unit, "usual": None, "recent": []}
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
        "recent": list(view.recent),
    }
