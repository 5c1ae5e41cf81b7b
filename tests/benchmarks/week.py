"""A site: findings, incidents, notices and calls of its causes and normal events.

    python -m tests.benchmarks.week [--scenario week|causes] [--seed 1] [--seeds 1] [--days 8] [--hasty]
                                    [--links]

The scenario goes through decoding, detector, findings, incidents, commands and notices in the time of the
messages, with the rules of reviews and notices and the tables of the product; the model agrees with
everything. A night shift answers each notice after ten minutes: a leak with a snooze of a day, all else with
``ack``, and a normal event with ``normal_here`` once it is over (``--hasty``: at once). With ``--links`` the
broker calls devices offline: those of the hall by the last will of their bridge, those of the barn by their
own, up to a minute apart. With ``--seeds`` it prints one line for each, and ends with 1 where two causes
share an incident.
"""

import argparse
import heapq
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from agent.domain.records import Command, Do, FindingState, Purpose
from simulator import scenario as scenarios
from simulator.events import Message, history, live
from simulator.faults import FaultKind, Label, label
from simulator.scenario import Device, History
from simulator.trial.plan import limits_of
from tests.benchmarks.site import Delivered, Site

HOUR_S, DAY_S = 3600.0, 86_400.0
START = datetime(2026, 3, 9, tzinfo=UTC).timestamp()  # a Monday
DAYS = {"week": 8.0, "causes": 1.5}
SOURCES = [
    {"topic": "sensors/{device}"},
    {"topic": "hall/{device}"},
    {"topic": "racks/{device}"},
    {"topic": "barn/{device}"},
]
#: Availability topics of these devices, with ``--links``.
LINKS = {"hall/{device}": "hall/bridge/state", "barn/{device}": "barn/{device}/availability"}
WILL_S = 30.0, 90.0  # until a broker publishes the last will of a client that is gone
ANSWER_S = 600.0  # until the night shift answers a notice
SNOOZED = frozenset({"leak"})
AFTER_S = 2 * HOUR_S  # a finding belongs to an event that ended so long before


def states(labels: Sequence[Label], devices: Collection[Device], *, seed: int) -> list[Message]:
    """Return the states of devices with an availability topic: online, and offline while they are silent."""
    rng, found = random.Random(seed), dict[tuple[str, float], str]()
    topics = {one.id: LINKS[one.topic].format(device=one.id) for one in devices if one.topic in LINKS}
    for topic in topics.values():
        found[topic, START] = "online"
    for one in labels:
        if one.kind == FaultKind.DEVICE_SILENT and one.device in topics:
            topic = topics[one.device]
            found[topic, one.start], found[topic, one.end] = "offline", "online"
    said = []
    for (topic, at), state in found.items():
        late_s = rng.uniform(*WILL_S) if state == "offline" else 0.0
        said.append(Message(at + late_s, "", topic, state.encode(), 1, "", 0))
    return sorted(said, key=lambda one: one.at)


def answer_to(finding_id: str, truth: Label | None) -> Command:
    """Return the first command of the night shift about a finding: it depends on the event."""
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
        found = [one for one in self.labels if one.device == device and one.start <= at <= one.end + AFTER_S]
        return min(found, key=lambda one: (one.normal, -one.start), default=None)

    def causes(self, *, normal: bool) -> dict[str, list[Label]]:
        """Return the labels by cause, in order of time."""
        found: dict[str, list[Label]] = {}
        for one in self.labels:
            if one.normal is normal and one.cause is not None:
                found.setdefault(one.cause, []).append(one)
        return found


class NightShift(Site):
    """A site whose notices are answered by people who know the truth."""

    def __init__(
        self, *, truth: Truth, limits: Mapping[str, Any], hasty: bool = False, links: bool = False
    ) -> None:
        sources = [
            {**one, "availability": {"topic": LINKS[one["topic"]]}}
            if links and one["topic"] in LINKS
            else one
            for one in SOURCES
        ]
        super().__init__(sources=sources, live_from=START, limits=limits)
        self.truth, self._hasty = truth, hasty
        self._due: list[tuple[float, int, Command]] = []  # answers
        self._count = count()
        self.refused: list[str] = []
        self.taught: dict[str, float] = {}  # normal event -> its first normal_here

    def step(self, clock: float) -> None:
        """Pass a short time, and send the answers that are due."""
        super().step(clock)
        while self._due and self._due[0][0] <= self.now:
            command = heapq.heappop(self._due)[2]
            outcome = self.say(command)
            if not outcome.accepted:
                self.refused.append(f"{command.do}: {outcome.reason}")
            elif outcome.state is FindingState.NORMAL_HERE:
                self.taught.setdefault(self.cause_of(command.finding_id or "") or "", self.now)

    def take_notice(self, notice: Delivered) -> None:
        """Plan the answers to a notice."""
        super().take_notice(notice)
        truth = self._truth_of(notice.finding_id)
        normal = truth is not None and truth.normal
        if not (normal and self._hasty):
            self._answer(self.now, answer_to(notice.finding_id, truth))
        if normal and truth is not None and notice.event == "opened":
            over = self.now if self._hasty else max(self.now, truth.end)
            self._answer(over, Command(Do.NORMAL_HERE, finding_id=notice.finding_id))

    def cause_of(self, finding_id: str) -> str | None:
        """Return the cause or the normal event that a finding belongs to."""
        truth = self._truth_of(finding_id)
        return None if truth is None else truth.cause

    def merged_wrongly(self) -> list[set[str]]:
        """Return the causes of each incident that has findings of several."""
        causes: dict[str, set[str]] = {}
        for finding_id, incident in self.incident_of.items():
            if finding_id in self.found and (cause := self.cause_of(finding_id)) is not None:
                causes.setdefault(incident, set()).add(cause)
        return [each for each in causes.values() if len(each) > 1]

    def _truth_of(self, finding_id: str) -> Label | None:
        at, device = self.found[finding_id]
        return self.truth.of(device, at)

    def _answer(self, since: float, command: Command) -> None:
        heapq.heappush(self._due, (since + ANSWER_S, next(self._count), command))


@dataclass(slots=True)
class Tally:
    """Findings and notices of one cause, or of one normal event before and after its ``normal_here``."""

    name: str
    events: int
    devices: int
    findings: int = 0
    incidents: int = 0
    notices: int = 0  # with those of a higher severity or a broken limit
    raised: int = 0
    findings_after: int = 0
    notices_after: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


def tallies(site: NightShift, *, normal: bool) -> list[Tally]:
    """Return the counts of each cause, in order of time."""
    rows = []
    for name, labels in site.truth.causes(normal=normal).items():
        tally = Tally(name, len(labels), len({one.device for one in labels}))
        until = site.taught.get(name, float("inf"))
        own = [(at, key) for key, (at, _) in site.found.items() if site.cause_of(key) == name]
        tally.findings = sum(at <= until for at, _ in own)
        tally.findings_after = len(own) - tally.findings
        tally.incidents = len({site.incident_of[key] for _, key in own})
        for one in site.delivered:
            if site.cause_of(one.finding_id) == name:
                tally.notices += one.at <= until
                tally.notices_after += one.at > until
                tally.raised += one.event == "updated"
                tally.kinds[one.kind] += 1
        rows.append(tally)
    return rows


def week(
    name: str = "week",
    *,
    seed: int = 1,
    days: float | None = None,
    hasty: bool = False,
    links: bool = False,
    devices: Collection[str] | None = None,
) -> NightShift:
    """Return the site of a scenario after its days; ``devices`` takes some of them only."""
    whole = scenarios.load(name)
    kept = tuple(one for one in whole.devices if devices is None or one.id in devices)
    names = {one.id for one in kept}
    # A device sends each reading by itself, in the history as well: that is the rhythm to learn.
    scenario = replace(
        whole,
        history=History(span_s=whole.history.span_s),
        devices=kept,
        faults=tuple(one for one in whole.faults if one.device in names),
    )
    until = START + (days or DAYS[name]) * DAY_S
    truth = Truth(label(scenario.faults, start=START, until=until))
    site = NightShift(truth=truth, limits=limits_of(scenario), hasty=hasty, links=links)
    said = states(truth.labels, kept, seed=seed) if links else []
    site.hear(history(scenario, seed=seed, start=START))
    messages = live(scenario, seed=seed, start=START, until=until)
    site.hear(heapq.merge(said, messages, key=lambda one: one.at))
    site.pass_time(until)
    return site


def lines_of(site: NightShift) -> list[str]:
    """Return the tables."""
    lines = [f"{'cause':18}{'devices':>8}{'findings':>10}{'incidents':>11}{'notices':>9}{'raised':>8}  kinds"]
    for one in tallies(site, normal=False):
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(one.kinds.items()))
        counts = f"{one.devices:>8}{one.findings:>10}{one.incidents:>11}{one.notices:>9}{one.raised:>8}"
        lines.append(f"{one.name:18}{counts}  {kinds}")
    lines.append("")
    lines.append(
        f"{'normal event':18}{'times':>8}{'findings':>10}{'notices':>9}{'raised':>8}  after its normal_here"
    )
    for one in tallies(site, normal=True):
        after = f"{one.findings_after} findings, {one.notices_after} notices"
        lines.append(
            f"{one.name:18}{one.events:>8}{one.findings:>10}{one.notices:>9}{one.raised:>8}  {after}"
        )
    other = Counter(device for key, (_, device) in site.found.items() if site.cause_of(key) is None)
    notified = sum(site.cause_of(one.finding_id) is None for one in site.delivered)
    again = sum(one.known for one in site.delivered)
    lines += [
        "",
        f"of no event: {sum(other.values())} findings, {notified} notices {dict(other) or ''}",
        f"all: {len(site.delivered)} notices; {again} about an acknowledged or snoozed finding",
        f"{site.opened} incidents opened; {calls_of(site)}; causes merged wrongly: {site.merged_wrongly()}",
        f"refused answers: {dict(Counter(site.refused)) or 'none'}",
    ]
    return lines


def calls_of(site: NightShift) -> str:
    """Return how often the model would be asked, by purpose."""
    asked = site.counts.asked
    return "model calls: " + (", ".join(f"{asked[one]} {one}" for one in Purpose if asked[one]) or "none")


def line_of(site: NightShift, seed: int) -> str:
    """Return the counts of a seed in one line."""
    causes = tallies(site, normal=False)
    found = sum(one.findings > 0 for one in causes)
    incidents = sum(one.incidents for one in causes)
    notices = sum(one.notices - one.raised for one in causes)
    other = sum(site.cause_of(key) is None for key in site.found)
    return (
        f"seed {seed}: {found} of {len(causes)} causes found, {incidents} incidents, {notices} notices, "
        f"{sum(one.raised for one in causes)} raised, {other} findings of no event, {site.opened} opened; "
        f"{calls_of(site)}; merged wrongly: {len(site.merged_wrongly())}"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenario", choices=DAYS, default="week")
    parser.add_argument("--seeds", type=int, default=1, help="so many, one line for each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=float)
    parser.add_argument("--links", action="store_true", help="with availability topics")
    parser.add_argument("--hasty", action="store_true", help="normal_here while the event goes on")
    given = parser.parse_args()
    if given.seeds > 1:
        wrong = 0
        for seed in range(given.seed, given.seed + given.seeds):
            site = week(given.scenario, seed=seed, days=given.days, hasty=given.hasty, links=given.links)
            print(line_of(site, seed), flush=True)
            wrong += len(site.merged_wrongly())
        raise SystemExit(int(wrong > 0))
    site = week(given.scenario, seed=given.seed, days=given.days, hasty=given.hasty, links=given.links)
    print("\n".join(lines_of(site)))
    for key, (at, device) in site.found.items():
        when = datetime.fromtimestamp(at, UTC)
        print(f"    {when:%a %H:%M} {device}: {site.cause_of(key) or 'of no event'}")


if __name__ == "__main__":
    main()
