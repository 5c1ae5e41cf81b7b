"""A week at a site: which findings and notices each cause makes, and each normal event.

    python -m tests.benchmarks.week [--seed 1] [--days 8] [--hasty]

The scenario ``week`` goes through decoding, detector, findings, commands and notices in the time of the
messages, with the rules of notices and tables of the product. A night shift answers each notice after ten
minutes: a leak with a snooze of a day, all else with ``ack``, and a normal event with ``normal_here`` once it
is over (``--hasty``: at once).
"""

import argparse
import heapq
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from agent.domain.records import Command, CommandRow, Do, Finding, FindingState, Severity
from agent.journal.outbox import Outbox
from agent.journal.schema import migrate
from agent.pipeline.notices import Notices, Receiver
from agent.pipeline.offline import Concluded
from agent.verdict.notice import NoticeRules, key_of
from agent.verdict.people import People
from simulator import scenario as scenarios
from simulator.events import history, live
from simulator.faults import Label, label
from simulator.scenario import History, Scenario
from simulator.trial.plan import limits_of
from tests.benchmarks.inprocess import LocalAgent

HOUR_S, DAY_S = 3600.0, 86_400.0
START = datetime(2026, 3, 9, tzinfo=UTC).timestamp()  # a Monday
SOURCES = [
    {"topic": "sensors/{device}"},
    {"topic": "hall/{device}"},
    {"topic": "racks/{device}"},
]
SINK = "webhook"
STEP_S = 30.0  # between two looks at notices and answers
ANSWER_S = 600.0  # until the night shift answers a notice
SNOOZED = frozenset({"leak"})
AFTER_S = 2 * HOUR_S  # a finding belongs to an event that ended so long before


@dataclass(frozen=True, slots=True)
class Delivered:
    """A notice about one finding that the webhook took, an item of a summary too."""

    at: float
    finding_id: str
    device: str
    kind: str
    event: str
    cause: str | None  # None: nothing happened to the device
    known: bool = False  # a person had acknowledged or snoozed the finding


def items_of(notice: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the notices of findings in a delivered one: itself, or those that a summary lists."""
    if notice["type"] == "finding":
        return [notice]
    return list(notice.get("notices", ()))


def answer_to(finding_id: str, truth: Label | None) -> Command:
    """Return the first command of the night shift about a finding, by what happened to the device."""
    if truth is None:
        return Command(Do.FALSE_ALARM, finding_id=finding_id)
    if truth.cause in SNOOZED:
        return Command(Do.SNOOZE, finding_id=finding_id, for_s=DAY_S)
    return Command(Do.ACK, finding_id=finding_id)


@dataclass(frozen=True, slots=True)
class Truth:
    """The labels of a run."""

    labels: Sequence[Label]

    def of(self, device: str, at: float) -> Label | None:
        """Return the event that a finding of ``device`` at ``at`` belongs to; a fault before a normal one."""
        found = [
            one for one in self.labels if one.device == device and one.start <= at <= one.end + AFTER_S
        ]
        return min(found, key=lambda one: (one.normal, -one.start), default=None)

    def causes(self, *, normal: bool) -> dict[str, list[Label]]:
        """Return the labels by cause, in order of time."""
        found: dict[str, list[Label]] = {}
        for one in self.labels:
            if one.normal is normal and one.cause is not None:
                found.setdefault(one.cause, []).append(one)
        return found


class _Transaction:
    """The part of the journal's transaction that notices use, over tables in memory."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self.connection, version=0)
        self.outbox = Outbox(self.connection, now)

    def __call__(self, job: Callable[[Any], Any], then: Callable[[Any], None] | None = None) -> None:
        result = job(self)
        if then is not None:
            then(result)


class NightShift(LocalAgent):
    """An agent with a webhook, and people who answer its notices."""

    def __init__(self, *, truth: Truth, scenario: Scenario, hasty: bool = False) -> None:
        super().__init__(live_from=START, limits=limits_of(scenario), sources=SOURCES)
        self.truth, self._hasty = truth, hasty
        self._now = START - scenario.history.span_s
        self._write = _Transaction(lambda: self._now)
        self.people = People(knows=self.detector.knows)
        self._path.findings = self.people.findings
        self._before: dict[str, Finding] = {}
        self._due: list[tuple[float, int, Command]] = []  # answers of people
        self._count = count()
        self.delivered: list[Delivered] = []
        self.found: dict[str, tuple[float, str, str | None]] = {}  # finding -> when, device, cause
        self.refused: list[str] = []
        self.taught: dict[str, float] = {}  # normal event -> its first normal_here
        self.notices = Notices(
            agent="week",
            receivers=[Receiver(SINK, Severity.INFO)],
            rules=NoticeRules(zone=UTC),
            link=None,
            write=self._write,
            wake=self._deliver,
            clock=lambda: self._now,
            wall=lambda: self._now,
        )

    def pass_time(self, clock: float) -> None:
        """Let windows, silences, notices and answers that are due until ``clock`` come about."""
        while self._now + STEP_S < clock:
            self._step(self._now + STEP_S)
        self._step(clock)

    def _step(self, clock: float) -> None:
        super().pass_time(clock)
        self._now = max(self._now, clock)
        while self._due and self._due[0][0] <= clock:
            self._obey(heapq.heappop(self._due)[2])
        if clock >= self._live_from:
            self.notices.turn(clock)

    def _conclude(self, one: Concluded) -> None:
        super()._conclude(one)
        finding, device = one.finding, one.window.device
        before = self._before.pop(device, None)
        if finding is None:
            return
        if not finding.state.closed:
            self._before[device] = finding
        if one.window.sealed < self._live_from:
            return
        self._now = max(self._now, one.window.sealed)
        if finding.id not in self.found:
            truth = self.truth.of(device, one.window.end)
            self.found[finding.id] = one.window.sealed, device, None if truth is None else truth.cause
        rows = self.notices.of_change(one.event, finding, one.verdict, before)
        self._write(lambda store: store.outbox.add(rows, device=device))

    def _deliver(self, sink: str) -> None:
        rows, _ = self._write.outbox.pending(sink, after=0, limit=1000)
        self._write.outbox.finish([row.outbox_id for row in rows])
        for row in rows:
            for item in items_of(json.loads(row.payload)):
                self._take_notice(item)

    def _take_notice(self, item: dict[str, Any]) -> None:
        finding = self.people.findings.find(item["finding_id"])
        known = finding is not None and finding.quiet(self._now)
        truth = self.truth.of(item["device"], self.found[item["finding_id"]][0])
        cause = None if truth is None else truth.cause
        self.delivered.append(
            Delivered(
                self._now, item["finding_id"], item["device"], item["kind"], item["event"], cause, known
            )
        )
        normal = truth is not None and truth.normal
        if not (normal and self._hasty):
            self._answer(self._now + ANSWER_S, answer_to(item["finding_id"], truth))
        if normal and truth is not None:
            over = self._now if self._hasty else max(self._now, truth.end)
            self._answer(over + ANSWER_S, Command(Do.NORMAL_HERE, finding_id=item["finding_id"]))

    def _answer(self, at: float, command: Command) -> None:
        heapq.heappush(self._due, (at, next(self._count), command))

    def _obey(self, command: Command) -> None:
        row = CommandRow(self._next(), self._now, command)
        decision = self.people.take(row)
        if not decision.outcome.accepted:
            self.refused.append(f"{command.do}: {decision.outcome.reason}")
        for finding in decision.changed:
            self._before.pop(finding.device, None)
            if not finding.state.closed:
                self._before[finding.device] = finding
            if finding.quiet(self._now):
                self._write.outbox.notices.withdraw(key_of(finding))
        if decision.outcome.state is FindingState.NORMAL_HERE and command.finding_id is not None:
            cause = self.found[command.finding_id][2]
            self.taught.setdefault(cause or "", self._now)
        self._path.take(replace(row, outcome=decision.outcome))


@dataclass(slots=True)
class Tally:
    """Findings and notices of one cause, or of one normal event before and after its ``normal_here``."""

    name: str
    events: int
    devices: int
    findings: int = 0
    notices: int = 0
    findings_after: int = 0
    notices_after: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


def tallies(truth: Truth, site: NightShift, *, normal: bool) -> list[Tally]:
    """Return the counts of each cause, in order of time."""
    rows = []
    for name, labels in truth.causes(normal=normal).items():
        tally = Tally(name, len(labels), len({one.device for one in labels}))
        until = site.taught.get(name, float("inf"))
        for at, _, cause in site.found.values():
            if cause == name:
                tally.findings += at <= until
                tally.findings_after += at > until
        for one in site.delivered:
            if one.cause == name:
                tally.notices += one.at <= until
                tally.notices_after += one.at > until
                tally.kinds[one.kind] += 1
        rows.append(tally)
    return rows


def week(
    *, seed: int = 1, days: float = 8.0, hasty: bool = False, devices: Collection[str] | None = None
) -> NightShift:
    """Return the site after its week; ``devices`` takes some of them only."""
    whole = scenarios.load("week")
    kept = tuple(one for one in whole.devices if devices is None or one.id in devices)
    names = {one.id for one in kept}
    # A device sends each reading by itself, in the history as well: that is the rhythm to learn.
    scenario = replace(
        whole,
        history=History(span_s=whole.history.span_s),
        devices=kept,
        faults=tuple(one for one in whole.faults if one.device in names),
    )
    until = START + days * DAY_S
    site = NightShift(
        truth=Truth(label(scenario.faults, start=START, until=until)), scenario=scenario, hasty=hasty
    )
    site.hear(history(scenario, seed=seed, start=START))
    site.hear(live(scenario, seed=seed, start=START, until=until))
    site.pass_time(until)
    return site


def lines_of(site: NightShift, truth: Truth) -> list[str]:
    """Return the tables."""
    lines = [f"{'cause':18}{'devices':>8}{'findings':>10}{'notices':>9}  kinds"]
    for one in tallies(truth, site, normal=False):
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(one.kinds.items()))
        lines.append(f"{one.name:18}{one.devices:>8}{one.findings:>10}{one.notices:>9}  {kinds}")
    lines.append("")
    lines.append(f"{'normal event':18}{'times':>8}{'findings':>10}{'notices':>9}   after its normal_here")
    for one in tallies(truth, site, normal=True):
        after = f"{one.findings_after} findings, {one.notices_after} notices"
        lines.append(f"{one.name:18}{one.events:>8}{one.findings:>10}{one.notices:>9}   {after}")
    other = Counter(device for _, device, cause in site.found.values() if cause is None)
    told = sum(one.cause is None for one in site.delivered)
    again = sum(one.known for one in site.delivered)
    lines += [
        "",
        f"of no event: {sum(other.values())} findings, {told} notices {dict(other) or ''}",
        f"all: {len(site.delivered)} notices; {again} about an acknowledged or snoozed finding",
        f"refused answers: {dict(Counter(site.refused)) or 'none'}",
    ]
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=float, default=8.0)
    parser.add_argument("--hasty", action="store_true", help="normal_here while the event goes on")
    given = parser.parse_args()
    site = week(seed=given.seed, days=given.days, hasty=given.hasty)
    print("\n".join(lines_of(site, site.truth)))
    for at, device, cause in site.found.values():
        when = datetime.fromtimestamp(at, UTC)
        print(f"    {when:%a %H:%M} {device}: {cause or 'of no event'}")


if __name__ == "__main__":
    main()
