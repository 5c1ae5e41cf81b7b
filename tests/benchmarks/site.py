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
    IncidentEvent,
    Place,
    Severity,
    Window,
)
from agent.journal.outbox import Outbox
from agent.journal.schema import migrate
from agent.pipeline.causes import surroundings
from agent.pipeline.notices import Notices, Receiver
from agent.pipeline.offline import Concluded
from agent.verdict.incident import Surroundings
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
        self._path.causes.findings = self.people.findings
        self.incidents = self._path.causes.incidents
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
        finding, step, before = one.finding, one.step, self._before.get(one.window.device)
        if finding is None:
            return
        changed = (finding, *step.moved) if one.event is FindingEvent.OPENED else ()
        for each in changed:
            self.incident_of[each.id] = each.incident or each.id
        for each in step.moved:
            self._keep(each)
        self._keep(finding)
        if one.window.sealed < self._live_from:
            return
        self.now = max(self.now, one.window.sealed)
        self.found.setdefault(finding.id, (one.window.sealed, finding.device))
        self.opened += sum(change.event is IncidentEvent.OPENED for change in step.changes)
        for incident in (change.incident for change in step.changes):
            if incident.merged_into is not None:
                self._write.outbox.notices.merge(incident.id, incident.merged_into)
        rows = self._notices.of_change(
            one.event, finding, one.verdict, before, step.changes, step.spread_s, back=step.back
        )
        self._write(lambda store: store.outbox.add(rows, device=finding.device))

    def _keep(self, finding: Finding) -> None:
        if finding.state.closed:
            self._before.pop(finding.device, None)
        else:
            self._before[finding.device] = finding

    def _around(self, window: Window) -> Surroundings:
        return surroundings(window, self, self.detector)

    def of(self, device: str) -> Place | None:
        """Return the place of a device."""
        return self._places.get(device)

    def count(self, source: str) -> int:
        """Return how many devices a source has."""
        return sum(one.source == source for one in self._places.values())

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
