"""An agent in event time, with incidents, a webhook and commands of people.

Detector, findings, incidents, the rules of notices and their tables are those of the product; the journal's
thread, the broker and the webhook are not there.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

from agent.decode.registry import Decoded
from agent.domain.records import (
    Command,
    CommandOutcome,
    CommandRow,
    Finding,
    FindingEvent,
    Incident,
    IncidentEvent,
    Place,
    Severity,
    Window,
)
from agent.journal.outbox import Outbox
from agent.journal.schema import migrate
from agent.pipeline.notices import Notices, Receiver
from agent.pipeline.offline import Concluded
from agent.verdict.incident import Change, Incidents, Surroundings, move_of
from agent.verdict.notice import NoticeRules, key_of
from agent.verdict.people import People
from tests.benchmarks.inprocess import LocalAgent

SINK = "webhook"
STEP_S = 30.0  # between two looks at notices


@dataclass(frozen=True, slots=True)
class Delivered:
    """A notice about one finding that the webhook took, an item of a summary too."""

    at: float
    finding_id: str
    device: str
    kind: str
    event: str
    known: bool  # a person had acknowledged or snoozed the finding


class Transaction:
    """The part of the journal's transaction that notices use, over tables in memory."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.connection, version=0)
        self.outbox = Outbox(self.connection, now)

    def __call__(self, job: Callable[[Any], Any], then: Callable[[Any], None] | None = None) -> None:
        """Do a job of the writer at once."""
        result = job(self)
        if then is not None:
            then(result)


class Site(LocalAgent):
    """An agent with a webhook; nothing is notified before ``live_from``."""

    def __init__(
        self,
        *,
        sources: Sequence[Mapping[str, Any]],
        live_from: float,
        limits: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(live_from=live_from, limits=limits, sources=sources)
        self.now = 0.0
        self._write = Transaction(lambda: self.now)
        self.people = People(knows=self.detector.knows)
        self._path.findings = self.people.findings
        self.incidents = Incidents()
        self.incident_of: dict[str, str] = {}  # finding -> incident
        self.opened = 0  # incidents
        self.found: dict[str, tuple[float, str]] = {}  # finding -> when it was reported, device
        self.delivered: list[Delivered] = []
        self._before: dict[str, Finding] = {}
        self._places: dict[str, Place] = {}
        self._notices = Notices(
            agent="site",
            receivers=[Receiver(SINK, Severity.INFO)],
            rules=NoticeRules(zone=UTC),
            link=None,
            write=self._write,
            wake=self._deliver,
            clock=lambda: self.now,
            wall=lambda: self.now,
        )

    def pass_time(self, clock: float) -> None:
        """Let windows, silences and notices that are due until ``clock`` come about."""
        while 0.0 < self.now < clock - STEP_S:
            self.step(self.now + STEP_S)
        self.step(clock)

    def step(self, clock: float) -> None:
        """Pass a short time."""
        super().pass_time(clock)
        self.now = max(self.now, clock)
        if self.now >= self._live_from:
            self._notices.turn(self.now)

    def say(self, command: Command) -> CommandOutcome:
        """Let a person send a command now."""
        row = CommandRow(self._next(), self.now, command)
        decision = self.people.take(row)
        for finding in decision.changed:
            self.incidents.update(finding)
            self._keep(finding)
            if finding.quiet(self.now):
                self._write.outbox.notices.withdraw(key_of(finding), finding.id, again=finding.maintenance)
        self._path.take(replace(row, outcome=decision.outcome))
        return decision.outcome

    def take_notice(self, notice: Delivered) -> None:
        """Take a delivered notice."""
        self.delivered.append(notice)

    def _place(self, decoded: Decoded) -> None:
        self._places.update((one.device, Place(decoded.source or "")) for one in decoded.readings)

    def _take_state(self, decoded: Decoded, device: str, topic: str, *, online: bool) -> None:
        known = self._places.get(device, Place(decoded.source or ""))
        self._places[device] = Place(known.source, None if online else topic)

    def _conclude(self, one: Concluded) -> None:
        super()._conclude(one)
        finding, before, spread_s, back = one.finding, self._before.get(one.window.device), 0.0, False
        if finding is None:
            return
        if one.event is FindingEvent.OPENED:
            around = self._around(one.window)
            spread_s = around.spread_s(finding)
            finding, changes = self._join(finding, around)
            back = self.incidents.had(finding)
        else:
            changes = self.incidents.update(finding)
        if one.decision.ask:
            self.incidents.note_review(finding.incident, one.window.sealed)
        self._keep(finding)
        if one.window.sealed < self._live_from:
            return
        self.now = max(self.now, one.window.sealed)
        self.found.setdefault(finding.id, (one.window.sealed, finding.device))
        self.opened += sum(change.event is IncidentEvent.OPENED for change in changes)
        for incident in (change.incident for change in changes):
            if incident.merged_into is not None:
                self._write.outbox.notices.merge(incident.id, incident.merged_into)
        rows = self._notices.of_change(one.event, finding, one.verdict, before, changes, spread_s, back=back)
        self._write(lambda store: store.outbox.add(rows, device=finding.device))

    def _incident(self, window: Window, finding: Finding | None) -> Incident | None:
        if finding is not None:
            return self.incidents.of(finding)
        around = self._around(window)
        return self.incidents.shared_by(window.device, window.local.kind, window.sealed, around).incident

    def _keep(self, finding: Finding) -> None:
        if finding.state.closed:
            self._before.pop(finding.device, None)
        else:
            self._before[finding.device] = finding

    def _around(self, window: Window) -> Surroundings:
        device = window.device
        place = self._places[device]
        return Surroundings(
            place=place,
            offline=place.link is not None,
            interval_s=self.detector.usual_interval(device),
            siblings=sum(one.source == place.source for one in self._places.values()),
            move=move_of(window.local),
            alike=self.detector.alike,
            share_day=self.detector.share_day,
        )

    def _join(self, finding: Finding, around: Surroundings) -> tuple[Finding, list[Change]]:
        """Return an opening finding with its incident, and the changes, as the pipeline does."""
        finding, moved, changes = self.incidents.open(finding, around)
        for changed in (finding, *moved):
            self.people.findings.put(changed)
            self._keep(changed)
            self.incident_of[changed.id] = changed.incident or changed.id
        return finding, changes

    def _deliver(self, sink: str) -> None:
        rows, _ = self._write.outbox.pending(sink, after=0, limit=1000)
        self._write.outbox.finish([row.outbox_id for row in rows])
        for row in rows:
            body = json.loads(row.payload)
            for item in [body] if body["type"] == "finding" else body.get("notices", ()):
                finding = self.people.findings.find(item["finding_id"])
                known = finding is not None and finding.quiet(self.now) and not finding.state.closed
                notice = Delivered(
                    self.now, item["finding_id"], item["device"], item["kind"], item["event"], known
                )
                self.take_notice(notice)
