"""Retained alerts on MQTT for sites without Prometheus, from the present state.

Names, severities and waiting times are those of ``configs/prometheus/rules.yml``; a test compares them.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.domain.records import Kind, Severity
from agent.mqtt.link import Link
from agent.observe.registry import PathSnapshot
from agent.status.schema import Ai
from agent.verdict.encode import iso
from agent.verdict.verdict import clean

EVERY_S = 5.0
FULL = 0.8  # of a queue
RECENT_S = 900.0  # a fault of the agent
MAX_SUBJECTS = 20  # that a message names
_IN_SUMMARY = 3
_MAX_NAME = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The state that the alerts are decided by."""

    path: PathSnapshot
    ai: Ai
    barren: Sequence[str] = ()  # sources whose messages hold no reading
    fault_age_s: float | None = None  # since the newest fault of the agent itself


class Subject(NamedTuple):
    """A device, source, queue or period that an alert is about."""

    name: str
    since: float | None = None  # Unix seconds, None: since the alert began


@dataclass(frozen=True, slots=True)
class Rule:
    """One alert.

    Attributes:
        name: as in the rules of Prometheus.
        severity: likewise.
        hold_s: for how long it has to be true.
        words: the end of its summary, for one subject and for several.
        find: the subjects that it is true of.
    """

    name: str
    severity: str
    hold_s: float
    words: tuple[str, str]
    find: Callable[[Facts], Iterable[Subject]]

    def summarize(self, found: Sequence[Subject]) -> str:
        """Return the alert in a sentence."""
        named = ", ".join(clean(one.name)[:_MAX_NAME] for one in found[:_IN_SUMMARY])
        more = f" and {len(found) - _IN_SUMMARY} more" if len(found) > _IN_SUMMARY else ""
        return f"{named}{more} {self.words[len(found) > 1]}"


def _findings(facts: Facts, kinds: frozenset[Kind], severity: Severity | None = None) -> Iterable[Subject]:
    """Return the devices with such a finding, worst first."""
    return (
        Subject(one.device, one.opened)
        for one in facts.path.alarming
        if one.alarm in kinds and severity in {None, one.severity}
    )


def _alone(name: str, *, when: bool) -> list[Subject]:
    return [Subject(name)] if when else []


def _shared_causes(facts: Facts) -> int:
    """Return how many findings share an incident with another one."""
    return len(facts.path.findings) - sum(facts.path.incidents_open.values())


def _received(facts: Facts) -> bool:
    return any(count for one in list(facts.path.journal.sources.values()) for count in one.messages.values())


def _periods(facts: Facts, *states: str) -> Iterable[Subject]:
    money = facts.ai["budget"]
    every = (("hour", money["hour"]), ("day", money["day"]), ("month", money["month"]))
    return (Subject(f"The budget of the {period}") for period, one in every if one["state"] in states)


_LIMIT, _SILENCE = frozenset({Kind.OUT_OF_RANGE}), frozenset({Kind.SILENCE})
_OTHERS = frozenset(Kind) - _LIMIT - _SILENCE - {Kind.NONE}

RULES = (
    Rule(
        "EdgeLimitBroken",
        "critical",
        0.0,
        ("is outside of its limits", "are outside of their limits"),
        lambda now: _findings(now, _LIMIT),
    ),
    Rule(
        "EdgeFindingCritical",
        "critical",
        0.0,
        ("has a critical anomaly", "have critical anomalies"),
        lambda now: _findings(now, _OTHERS, Severity.CRITICAL),
    ),
    Rule(
        "EdgeFindingWarning",
        "warning",
        300.0,
        ("has an anomaly", "have anomalies"),
        lambda now: _findings(now, _OTHERS, Severity.WARNING),
    ),
    Rule(
        "EdgeDeviceSilent",
        "warning",
        60.0,
        ("is silent", "are silent"),
        lambda now: _findings(now, _SILENCE),
    ),
    Rule(
        "EdgeSharedCause",
        "warning",
        60.0,
        ("have one cause: see the open incidents", ""),
        lambda now: _alone("Several findings", when=_shared_causes(now) > 0),
    ),
    Rule(
        "EdgeSourceQuiet",
        "warning",
        60.0,
        ("has sent nothing for longer than usual", "have sent nothing for longer than usual"),
        lambda now: [Subject(source) for source, quiet in now.path.sources_quiet.items() if quiet],
    ),
    Rule(
        "EdgeAllSilent",
        "critical",
        60.0,
        ("have sent nothing for longer than usual", ""),
        lambda now: _alone(
            "All sources", when=bool(now.path.sources_quiet) and all(now.path.sources_quiet.values())
        ),
    ),
    Rule(
        "EdgeNothingReceived",
        "warning",
        3600.0,
        ("has arrived since the start of the agent", ""),
        lambda now: _alone("Not one message", when=now.path.connected and not _received(now)),
    ),
    Rule(
        "EdgeSourceYieldsNothing",
        "warning",
        900.0,
        ("sends messages without a reading", "send messages without a reading"),
        lambda now: map(Subject, now.barren),
    ),
    Rule(
        "EdgeBacklogGrowing",
        "warning",
        300.0,
        ("is nearly full", "are nearly full"),
        lambda now: [
            Subject(f"The queue {queue}")
            for queue, (used, room) in now.path.queues.items()
            if room and used > FULL * room
        ],
    ),
    Rule(
        "EdgeInternalFault",
        "warning",
        0.0,
        ("of edge-agent was logged in the last 15 minutes", ""),
        lambda now: _alone("A fault", when=now.fault_age_s is not None and now.fault_age_s < RECENT_S),
    ),
    Rule(
        "EdgeNoticesFailing",
        "warning",
        900.0,
        ("takes no notices", "take no notices"),
        lambda now: [
            Subject(f"The sink {sink}", since)
            for sink, since in now.path.notices_failing.items()
            if since is not None
        ],
    ),
    Rule(
        "EdgeNoticesLost",
        "warning",
        0.0,
        ("did not get notices that are given up", "did not get notices that are given up"),
        lambda now: [Subject(f"The sink {sink}") for sink, lost in now.path.notices_lost.items() if lost],
    ),
    Rule(
        "AIBudgetSoftLimit",
        "warning",
        0.0,
        ("is spent to 80 %: audits have stopped", "are spent to 80 %: audits have stopped"),
        lambda now: _periods(now, "soft", "hard"),
    ),
    Rule(
        "AIBudgetExhausted",
        "critical",
        0.0,
        ("is used up: verdicts are local", "are used up: verdicts are local"),
        lambda now: _periods(now, "hard"),
    ),
    Rule(
        "AIProviderDown",
        "critical",
        120.0,
        ("is not being asked: the circuit breaker is open", ""),
        lambda now: _alone("The model", when=now.ai["breaker"] == "open"),
    ),
    Rule(
        "AINeverAnswered",
        "warning",
        600.0,
        ("has never answered: name, address or key is wrong", ""),
        lambda now: _alone("The model", when=now.ai["answering"] == "never"),
    ),
)


@dataclass(slots=True)
class _Alert:
    """The state of one alert, and what was published of it."""

    since: float  # wall, of the state
    true_from: float | None = None  # monotonic
    firing: bool = False
    sent: tuple[int, str] | None = None  # generation of the connection, and content


@dataclass(slots=True, kw_only=True)
class AlertTopics:
    """Publishes each alert when it changes, and all of them on each connection.

    ``facts`` takes the state of the agent; ``base`` is its topic root.
    """

    link: Link
    facts: Callable[[], Facts]
    base: str
    wall: Callable[[], float] = time.time
    mono: Callable[[], float] = time.monotonic
    _alerts: dict[str, _Alert] = field(default_factory=dict)

    async def run(self) -> None:
        """Look until the process ends."""
        while True:
            self.look()
            await asyncio.sleep(EVERY_S)

    def look(self) -> None:
        """Judge the state and publish news; while there is no connection nothing is published."""
        facts, now, wall = self.facts(), self.mono(), self.wall()
        for rule in RULES:
            alert = self._alerts.setdefault(rule.name, _Alert(wall))
            found = list(rule.find(facts))
            alert.true_from = None if not found else now if alert.true_from is None else alert.true_from
            firing = alert.true_from is not None and now - alert.true_from >= rule.hold_s
            if firing != alert.firing:
                known = [one.since for one in found if one.since is not None]
                alert.firing, alert.since = firing, min(known, default=wall)
            self._publish(rule, alert, found if firing else [])

    def _publish(self, rule: Rule, alert: _Alert, found: Sequence[Subject]) -> None:
        state = self.link.state
        body = {
            "state": "firing" if alert.firing else "resolved",
            "severity": rule.severity,
            "summary": rule.summarize(found) if found else "",
            "since": iso(alert.since),
            "subjects": [clean(one.name)[:_MAX_NAME] for one in found[:MAX_SUBJECTS]],
            "count": len(found),
        }
        text = json.dumps(body, ensure_ascii=False)
        if state.connected and alert.sent != (state.generation, text):
            alert.sent = state.generation, text
            self.link.announce(
                f"{self.base}/alerts/{rule.name}", text.encode("utf-8", "replace"), retain=True
            )
