"""The end of a window: verdict, finding and outbox rows, committed together."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from agent.domain.records import (
    CommandRow,
    Finding,
    FindingEvent,
    Outcome,
    Outgoing,
    Reason,
    Recovered,
    Source,
    Status,
    Verdict,
    Window,
)
from agent.journal.store import Store
from agent.pipeline.causes import Causes, Step
from agent.pipeline.events import (
    CommandDecided,
    Event,
    FindingChanged,
    IncidentChanged,
    VerdictCommitted,
)
from agent.pipeline.journal_writes import Writes
from agent.pipeline.notices import Notices
from agent.sinks import MessageKind, Route
from agent.verdict import incident as incident_form
from agent.verdict.encode import encode, to_json
from agent.verdict.finding import breaks_limit
from agent.verdict.incident import Change, Shared, Surroundings
from agent.verdict.notice import SNOOZE_OVER, WORKS_OVER, key_of
from agent.verdict.people import Decision, People
from agent.verdict.verdict import conclude, disagreement

MAX_RECENT = 20
MAX_SPANS = 200
MAX_ANOMALIES = 1000  # the journal has the others
PROPERTIES = (("schema", "1"),)


class PublishSpan(Protocol):
    """The span of one publish; ``traceparent`` goes out with the message."""

    traceparent: str | None

    def end(self) -> None:
        """End it."""


class Trace(Protocol):
    """Starts the publish span below the trace of the AI call that the verdict came from."""

    def __call__(self, *, trace_id: str | None, destination: str, device: str) -> PublishSpan:
        """Return a span, one that is off without a trace id."""
        ...


@dataclass(slots=True)
class ConclusionStats:
    """Verdicts of this process, by source."""

    verdicts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(Source, 0))


class _Reported(NamedTuple):
    """A step, and the messages about it."""

    step: Step
    outgoing: Sequence[Outgoing]
    works: bool  # maintenance began, and people want no notice

    @property
    def events(self) -> list[Event]:
        return [IncidentChanged(*one[:3]) for one in self.step.changes]

    def amend_notices(self, store: Store) -> None:
        """Change the notices that are held."""
        for one in self.step.changes:
            if one.incident.merged_into is not None:
                store.outbox.notices.merge(one.incident.id, one.incident.merged_into)
        if self.works and self.step.finding is not None:
            store.outbox.notices.withdraw(key_of(self.step.finding), self.step.finding.id, again=True)


class Conclusions:
    """Concludes windows and commands of people, and keeps the open findings, one per device.

    ``publish`` gets the outbox rows of a verdict, ``publish_event`` its events, both after the commit.
    """

    def __init__(
        self,
        *,
        agent: str,
        routes: Sequence[Route],
        people: People,
        surroundings: Callable[[Window], Surroundings],
        write: Writes,
        publish: Callable[[Sequence[Outgoing], str], None],
        trace: Trace,
        publish_event: Callable[[Event], None],
        notices: Notices | None = None,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._agent = agent
        self._routes = routes
        self._notices = notices
        self._write = write
        self._publish = publish
        self._trace = trace
        self._spans: dict[int, PublishSpan] = {}  # outbox id -> span of a verdict on its way
        self._publish_event = publish_event
        self._clock = clock
        self._wall = wall
        #: Whether this agent publishes; another one may in its place.
        self.active: Callable[[], bool] = lambda: True
        #: Whether the incidents of a window that another agent has published about are to be seen.
        self.shows: Callable[[Window], bool] = lambda _window: False
        self.people = people
        self._causes = Causes(people.findings, surroundings)
        self.incidents = self._causes.incidents
        self._findings = people.findings
        #: Finding -> the last verdict on it that is an anomaly, newest last; open findings only.
        self._anomalies: dict[str, dict[str, Any]] = {}
        #: Finding -> the last verdict on it that the model gave; open findings of this process only.
        self._reviews: dict[str, dict[str, Any]] = {}
        #: Finding -> the parts of the verdict that it awaits which the status shows.
        self._early: dict[str, dict[str, Any]] = {}
        self.recent: deque[dict[str, Any]] = deque(maxlen=MAX_RECENT)
        self.stats = ConclusionStats()

    def finding(self, device: str) -> Finding | None:
        """Return the device's open finding."""
        return self._findings.get(device)

    def find(self, finding_id: str) -> Finding | None:
        """Return a finding, also one that is over; from any thread."""
        found = next((one for one in self.findings() if one.id == finding_id), None)
        return found or self._findings.closed.get(finding_id)

    def shared(self, window: Window) -> Shared:
        """Return the incident of a window's device, or what its anomaly would share with others."""
        return self._causes.shared(window)

    def last_anomaly(self, finding_id: str) -> dict[str, Any] | None:
        """Return the last verdict on an open finding that was an anomaly, as JSON values.

        Of a verdict that is on its way only what the status shows.
        """
        return self._early.get(finding_id) or self._anomalies.get(finding_id)

    def last_review(self, finding_id: str) -> dict[str, Any] | None:
        """Return the last verdict of the model on an open finding, as JSON values."""
        return self._reviews.get(finding_id)

    def findings(self) -> list[Finding]:
        """Return all open findings."""
        return list(self._findings.values())

    def restore(self, left: Recovered) -> None:
        """Take findings and decided commands of the last process."""
        self.people.restore((*left.closed, *left.findings), left.commands)
        self.incidents.restore(left.incidents, left.findings, left.past_incidents, left.closed)
        self._anomalies.update((finding_id, json.loads(body)) for finding_id, body in left.told.items())
        self._reviews.update(
            (finding_id, verdict)
            for finding_id, verdict in self._anomalies.items()
            if verdict.get("source") != Source.LOCAL
        )

    def conclude(self, window: Window, outcome: Outcome, *, silent: bool = False) -> None:
        """Make the verdict, move the finding on, and commit both with the outbox rows.

        ``silent``: another agent has published about the window, so there are no rows, but of its incidents
        where those of the other agent do not stay.
        """
        device = window.device
        verdict = conclude(window, outcome, agent=self._agent, created=self._wall())
        reviewed = outcome.answer is not None
        reported = self._move(verdict, window, reviewed=reviewed)
        step = reported.step
        finding, event = step.finding, step.event
        incidents = [change.incident for change in step.changes]
        if finding is not None and reviewed:
            noted = self.incidents.note_review(finding.incident, window.sealed)
            incidents = [one for one in incidents if noted is None or one.id != noted.id]
            incidents += [] if noted is None else [noted]
        if finding is not None:
            verdict = replace(verdict, finding_id=finding.id, incident_id=finding.incident)
        body = to_json(verdict)
        payload = encode(body)
        span = self._trace(trace_id=verdict.trace_id, destination="verdicts", device=device)
        outgoing = self._outgoing(verdict, payload, finding, event, span.traceparent)
        if not silent:
            outgoing = [*outgoing, *reported.outgoing]
        else:
            outgoing = self._outgoing_of_incidents(step.changes) if self.shows(window) else []
        detail = detail_of(outcome)
        waited_s = max(0.0, self._clock() - window.opened)
        events: list[Event] = [VerdictCommitted(verdict, waited_s, disagreement(window, outcome))]
        if finding is not None and event is not None:
            events.append(FindingChanged(event, finding, verdict))
        events += reported.events

        def job(store: Store) -> Sequence[Outgoing]:
            reported.amend_notices(store)
            return store.conclude(
                window=window,
                verdict=payload,
                finding=finding,
                outgoing=outgoing,
                detail=detail,
                anomaly=verdict.status is Status.ANOMALY,
                moved=step.moved,
                changed=incidents,
            )

        self._write(job, lambda added: self._committed(added, device, span, events))
        if finding is not None:
            self._keep_anomaly(finding, verdict)
        self.stats.verdicts[verdict.source] += 1
        self.recent.appendleft(body)

    def warn(self, window: Window) -> None:
        """Open or change the finding of a broken limit now, for people, while its window has no verdict yet.

        No answer of a model can overrule a limit. The verdict, and the event of the finding, follow.
        """
        if not breaks_limit(window):
            return
        before = self._findings.get(window.device)
        outcome = Outcome(window.id, Reason.REVIEWED)
        opinion = conclude(window, outcome, agent=self._agent, created=self._wall())
        if before is not None and before.limit:
            if before.awaits == window.id:  # the last process has notified people
                self._early[before.id] = _shown(opinion)
            return
        reported = self._move(opinion, window, reviewed=False, early=True)
        step = reported.step
        if step.finding is None:
            return
        self._early[step.finding.id] = _shown(opinion)
        changed = [step.finding, *step.moved]
        incidents = [change.incident for change in step.changes]

        def job(store: Store) -> Sequence[tuple[str, Outgoing]]:
            reported.amend_notices(store)
            return store.change(changed, incidents, [(window.device, one) for one in reported.outgoing])

        self._write(job, lambda added: self._decided(added, reported.events))

    def _move(self, verdict: Verdict, window: Window, *, reviewed: bool, early: bool = False) -> _Reported:
        """Move the finding and its incident on, and make the messages about it."""
        before = self._findings.get(window.device)
        step = self._causes.move(verdict, window, reviewed=reviewed, early=early)
        finding = step.finding
        if finding is None:
            return _Reported(step, (), works=False)
        outgoing = self._outgoing_of_incidents(step.changes)
        if self._notices is not None:
            outgoing += self._notices.of_change(
                step.event, finding, verdict, before, step.changes, step.spread_s, back=step.back
            )
        return _Reported(
            step, outgoing, works=finding.maintenance and before is not None and not before.maintenance
        )

    def _keep_anomaly(self, finding: Finding, verdict: Verdict) -> None:
        if finding.awaits is None:
            self._early.pop(finding.id, None)
        if finding.state.closed:
            self._forget(finding)
            return
        if verdict.status is Status.ANOMALY:
            _keep_newest(self._anomalies, finding.id, verdict)
        if verdict.source is not Source.LOCAL:
            _keep_newest(self._reviews, finding.id, verdict)

    def _forget(self, finding: Finding) -> None:
        for kept in (self._anomalies, self._reviews, self._early):
            kept.pop(finding.id, None)

    def decide(self, row: CommandRow) -> CommandRow:
        """Decide about a person's command, commit it with its findings, and return it with its outcome."""
        decision = self.people.take(row)
        outcome = decision.outcome
        outgoing = self._outgoing_of(decision)
        changes = [change for finding in decision.changed for change in self.incidents.update(finding)]
        outgoing += [("", one) for one in self._outgoing_of_incidents(changes)]
        outgoing = outgoing if self.active() else []
        closed = [one.incident for one in changes]
        for finding in decision.changed:
            if finding.state.closed:
                self._forget(finding)
        known = [finding for finding in decision.changed if finding.quiet(row.clock)]
        outgoing += self._notices_of_end(decision.resumed, WORKS_OVER)

        def job(store: Store) -> list[tuple[str, Outgoing]]:
            for one in known:
                store.outbox.notices.withdraw(key_of(one), one.id, again=one.maintenance)
            return store.decide(row.seq, outcome, changed=decision.changed, closed=closed, outgoing=outgoing)

        events: list[Event] = [IncidentChanged(*one[:3]) for one in changes]
        events.append(CommandDecided(row, outcome, decision.changed))
        self._write(job, lambda added: self._decided(added, events))
        return replace(row, outcome=outcome)

    def next_change(self) -> float | None:
        """Return the clock at which the next snooze ends, or maintenance begins or ends."""
        return self.people.next_change()

    def pass_time(self, clock: float) -> None:
        """End snoozes, begin and end maintenance, and notify people of the findings that outlast them."""
        opened, begun, resumed = self.people.pass_time(clock)
        changed = list({one.device: one for one in (*opened, *begun, *resumed)}.values())
        if not changed:
            return
        changes = [change for finding in changed for change in self.incidents.update(finding)]
        outgoing = self._outgoing_of_events(changed)
        outgoing += [("", one) for one in self._outgoing_of_incidents(changes)]
        outgoing += self._notices_of_end(resumed, WORKS_OVER)
        outgoing += self._notices_of_end(opened, SNOOZE_OVER)
        outgoing = outgoing if self.active() else []
        incidents = [change.incident for change in changes]
        events = [IncidentChanged(*one[:3]) for one in changes]

        def job(store: Store) -> list[tuple[str, Outgoing]]:
            for one in begun:
                store.outbox.notices.withdraw(key_of(one), one.id, again=True)
            return store.change(changed, incidents, outgoing)

        self._write(job, lambda added: self._decided(added, events))

    def _notices_of_end(self, findings: Iterable[Finding], words: str) -> list[tuple[str, Outgoing]]:
        """Return the notices of findings that outlast what kept them quiet, each with its device."""
        if self._notices is None:
            return []
        return [
            (finding.device, row)
            for finding in findings
            for row in self._notices.of_end(finding, words, self._anomalies.get(finding.id))
        ]

    def show_incidents(self) -> None:
        """Publish the open incidents: those of the time of another agent have no message."""
        changes = [one for incident in self.incidents if (one := self.incidents.current(incident.id))]
        outgoing = [("", one) for one in self._outgoing_of_incidents(changes)]
        self._write(lambda store: store.change((), (), outgoing), lambda added: self._decided(added, ()))

    def incident_topics(self) -> list[str]:
        """Return the topics on which the open incidents are retained."""
        return [
            one.key
            for incident in self.incidents
            for one in self._messages(incident.id, {MessageKind.INCIDENT: b""}, ())
            if one.retain
        ]

    def _decided(self, added: Sequence[tuple[str, Outgoing]], events: Iterable[Event]) -> None:
        for device, message in added:
            self._publish([message], device)
        for event in events:
            self._publish_event(event)

    def _outgoing_of_incidents(self, changes: Iterable[Change]) -> list[Outgoing]:
        """Return incidents for the sinks; one that is over is published once more and then deleted."""
        outgoing: list[Outgoing] = []
        for change in changes:
            key, body = change.incident.id, encode(incident_form.to_json(change))
            messages = self._messages(key, {MessageKind.INCIDENT: body}, PROPERTIES)
            if change.incident.closed:
                outgoing += [replace(one, retain=False) for one in messages]
                empty = self._messages(key, {MessageKind.INCIDENT: b""}, ())
                outgoing += [one for one in empty if one.retain]
            else:
                outgoing += messages
        return outgoing

    def _outgoing_of(self, decision: Decision) -> list[tuple[str, Outgoing]]:
        """Return the messages about what a command changes, each with its device."""
        outgoing = self._outgoing_of_events(decision.changed)
        gone = decision.outcome.device
        if decision.outcome.forget and gone is not None:  # an empty payload deletes what is retained
            empty = self._messages(gone, {MessageKind.VERDICT: b""}, ())
            outgoing += [(gone, one) for one in empty if one.retain]
        return outgoing

    def _outgoing_of_events(self, findings: Iterable[Finding]) -> list[tuple[str, Outgoing]]:
        """Return the messages about findings that no verdict changed, each with its device."""
        return [
            (finding.device, one)
            for finding in findings
            for one in self._messages(
                finding.device, {MessageKind.EVENT: encode(self._event_of(finding))}, PROPERTIES
            )
        ]

    def _event_of(self, finding: Finding) -> dict[str, Any]:
        closed = finding.state.closed
        return {
            "event_type": FindingEvent.CLEARED if closed else FindingEvent.UPDATED,
            "finding_id": finding.id,
            "incident_id": finding.incident,
            "state": finding.state,
            "verdict": self._anomalies.get(finding.id),
        }

    def _committed(
        self, added: Sequence[Outgoing], device: str, span: PublishSpan, events: Iterable[Event]
    ) -> None:
        """Hand committed rows to the outbox; the verdict's span ends with the first one's answer."""
        if added and span.traceparent is not None and len(self._spans) < MAX_SPANS:
            self._spans[added[0].outbox_id] = span
        else:
            span.end()
        self._publish(added, device)
        for event in events:
            self._publish_event(event)

    def settled(self, outbox_id: int) -> None:
        """End the span of a row that its sink has answered."""
        span = self._spans.pop(outbox_id, None)
        if span is not None:
            span.end()

    def _outgoing(
        self,
        verdict: Verdict,
        payload: bytes,
        finding: Finding | None,
        event: FindingEvent | None,
        traceparent: str | None,
    ) -> list[Outgoing]:
        """Return the messages for the sinks; the journal gives the ids."""
        properties = PROPERTIES if traceparent is None else (*PROPERTIES, ("traceparent", traceparent))
        payloads = {MessageKind.VERDICT: payload}
        if event is not None and finding is not None:
            body = {
                "event_type": event,
                "finding_id": verdict.finding_id,
                "incident_id": finding.incident,
                "state": finding.state,
                "verdict": to_json(verdict),
            }
            payloads[MessageKind.EVENT] = encode(body)
        return self._messages(verdict.device, payloads, properties)

    def _messages(
        self,
        device: str,
        payloads: Mapping[MessageKind, bytes],
        properties: tuple[tuple[str, str], ...],
    ) -> list[Outgoing]:
        return [
            Outgoing(
                outbox_id=0,
                sink=route.sink,
                key=route.key(device),
                payload=payloads[route.kind],
                retain=route.retain,
                properties=properties,
                settles=route.settles,
            )
            for route in self._routes
            if route.kind in payloads
        ]


def _shown(verdict: Verdict) -> dict[str, Any]:
    told = to_json(verdict)
    return {key: told[key] for key in ("summary", "advice", "evidence")}


def _keep_newest(kept: dict[str, dict[str, Any]], finding_id: str, verdict: Verdict) -> None:
    kept.pop(finding_id, None)
    kept[finding_id] = to_json(verdict)
    if len(kept) > MAX_ANOMALIES:
        del kept[next(iter(kept))]


def detail_of(outcome: Outcome) -> bytes | None:
    """Return the answer and its checks, which `edge-agent show` prints with the verdict."""
    if outcome.answer is None and not outcome.checks:
        return None
    return encode(
        {
            "answer": None if outcome.answer is None else asdict(outcome.answer),
            "grounding": outcome.grounding,
            "checks": [asdict(check) for check in outcome.checks],
        }
    )
