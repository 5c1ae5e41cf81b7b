"""Alerts over MQTT, decided as Prometheus decides them."""

import json
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from agent.domain.records import Finding, Kind, Severity
from agent.journal import JournalStats
from agent.journal.source_tally import SourceTally
from agent.observe.metrics import Metrics
from agent.observe.registry import PathSnapshot
from agent.status.alerts import RULES, AlertTopics, Facts

REPO = Path(__file__).resolve().parents[2]
SHIPPED = {
    rule["alert"]: rule
    for group in yaml.safe_load((REPO / "configs/prometheus/rules.yml").read_text())["groups"]
    for rule in group["rules"]
    if "alert" in rule
}
CALM: Any = {
    "breaker": "closed",
    "answering": "yes",
    "budget": {period: {"state": "ok"} for period in ("hour", "day", "month")},
}
READ = JournalStats(sources={"s/#": SourceTally(messages={"read": 1})})
UNITS = {"s": 1, "m": 60, "h": 3600}


def facts(
    *, ai: dict[str, Any] | None = None, barren: tuple[str, ...] = (), fault: float | None = None, **path: Any
) -> Facts:
    """Return a calm state with changes."""
    given: Any = {"connected": True, "journal": READ} | path
    snapshot = PathSnapshot(**given)
    return Facts(path=snapshot, ai=CALM | (ai or {}), barren=barren, fault_age_s=fault)


def finding(device: str, kind: Kind, severity: Severity = Severity.WARNING, opened: float = 1.0) -> Finding:
    return Finding(f"f-{device}", device, kind, severity, opened, opened)


@dataclass
class Rig:
    """The alerts of an agent, and their messages."""

    now: float = 0.0
    facts: Facts = field(default_factory=facts)
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = SimpleNamespace(connected=True, generation=1)
        link: Any = SimpleNamespace(announce=self.announce, state=self.state)
        self.topics = AlertTopics(
            link=link,
            facts=lambda: self.facts,
            base="edge-agent/gw",
            wall=lambda: 1000.0 + self.now,
            mono=lambda: self.now,
        )

    def announce(self, topic: str, payload: bytes, *, retain: bool) -> None:
        assert retain
        self.sent.append((topic, json.loads(payload)))

    def look(self, now: float, state: Facts | None = None) -> dict[str, dict[str, Any]]:
        """Judge at ``now``; return the news by name."""
        self.now, self.facts = now, state or self.facts
        self.sent.clear()
        self.topics.look()
        return {topic.removeprefix("edge-agent/gw/alerts/"): body for topic, body in self.sent}


def test_names_severities_and_waits_are_those_of_prometheus() -> None:
    """A site that has both sees one thing."""
    for rule in RULES:
        shipped = SHIPPED[rule.name]
        wait = shipped.get("for", "0s")
        assert rule.severity == shipped["labels"]["severity"], rule.name
        assert rule.hold_s == int(wait[:-1]) * UNITS[wait[-1]], rule.name


def test_the_page_lists_each_alert_once() -> None:
    """docs/mqtt.md has a table of the alerts on MQTT, and one of those left out with the reason."""
    text = (REPO / "docs/mqtt.md").read_text().partition("## Alerts")[2].partition("\n## ")[0]
    on, _, out = text.partition("Left out")
    named = [[name for name in SHIPPED if f"`{name}`" in part] for part in (on, out)]
    assert sorted(named[0] + named[1]) == sorted(SHIPPED)
    assert sorted(named[0]) == sorted(rule.name for rule in RULES)


SPIKE = finding("pump", Kind.SPIKE, Severity.CRITICAL)
FAULTS: dict[str, tuple[Facts, str]] = {
    "EdgeLimitBroken": (
        facts(alarming=[finding("freezer", Kind.OUT_OF_RANGE, Severity.CRITICAL)]),
        "freezer is",
    ),
    "EdgeFindingCritical": (facts(alarming=[SPIKE]), "pump has a critical"),
    "EdgeFindingWarning": (facts(alarming=[finding("pump", Kind.DRIFT)]), "pump has an anomaly"),
    "EdgeDeviceSilent": (facts(alarming=[finding("attic", Kind.SILENCE)]), "attic is silent"),
    "EdgeSharedCause": (
        facts(findings=[SPIKE, finding("attic", Kind.SILENCE)], incidents_open={"warning": 1}),
        "Several findings have one cause",
    ),
    "EdgeSourceQuiet": (facts(sources_quiet={"s/#": True, "t/#": False}), "s/# has sent nothing"),
    "EdgeAllSilent": (facts(sources_quiet={"s/#": True}), "All sources have sent nothing"),
    "EdgeNothingReceived": (facts(journal=JournalStats()), "Not one message"),
    "EdgeSourceYieldsNothing": (facts(barren=("s/#",)), "s/# sends messages without"),
    "EdgeBacklogGrowing": (
        facts(queues={"intake_bytes": (81, 100)}),
        "The queue intake_bytes is nearly full",
    ),
    "EdgeNoticesFailing": (facts(notices_failing={"a": None, "mail": 5.0}), "The sink mail takes no notices"),
    "EdgeNoticesLost": (facts(notices_lost={"a": 0, "mail": 2}), "The sink mail did not get notices"),
    "EdgeInternalFault": (facts(fault=60.0), "A fault of edge-agent"),
    "AIBudgetSoftLimit": (
        facts(ai={"budget": CALM["budget"] | {"day": {"state": "soft"}}}),
        "The budget of the day is spent to 80 %",
    ),
    "AIBudgetExhausted": (
        facts(ai={"budget": CALM["budget"] | {"hour": {"state": "hard"}}}),
        "The budget of the hour is used up",
    ),
    "AIProviderDown": (facts(ai={"breaker": "open"}), "The model is not being asked"),
    "AINeverAnswered": (facts(ai={"answering": "never"}), "The model has never answered"),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_alert_fires_after_its_wait_and_ends(rule: Any) -> None:
    """Calm one moment before; firing, with words; resolved with the cause; nothing in between is repeated."""
    fault, words = FAULTS[rule.name]
    rig = Rig()
    first = rig.look(0.0)
    assert set(first) == {one.name for one in RULES}
    assert {body["state"] for body in first.values()} == {"resolved"}
    begun = rig.look(10.0, fault)
    if rule.hold_s:
        assert rule.name not in begun
        assert rule.name not in rig.look(9.0 + rule.hold_s)
        begun = rig.look(10.0 + rule.hold_s)
    sent = begun[rule.name]
    assert (sent["state"], sent["severity"]) == ("firing", rule.severity)
    assert sent["summary"].startswith(words)
    assert rule.name not in rig.look(11.0 + rule.hold_s)
    ended = rig.look(20.0 + rule.hold_s, facts())[rule.name]
    assert (ended["state"], ended["summary"], ended["subjects"]) == ("resolved", "", [])


@pytest.mark.parametrize(
    ("state", "calm"),
    [
        (facts(alarming=[finding("attic", Kind.SILENCE, Severity.CRITICAL)]), "EdgeFindingCritical"),
        (facts(sources_quiet={"s/#": True, "t/#": False}), "EdgeAllSilent"),
        (facts(sources_quiet={}), "EdgeAllSilent"),
        (facts(journal=JournalStats(), connected=False), "EdgeNothingReceived"),
        (facts(findings=[SPIKE], incidents_open={"warning": 1}), "EdgeSharedCause"),
        (facts(findings=[SPIKE]), "EdgeFindingCritical"),
        (facts(fault=901.0), "EdgeInternalFault"),
        (facts(ai={"answering": "failing"}), "AINeverAnswered"),
        (facts(ai={"breaker": "half_open"}), "AIProviderDown"),
        (facts(queues={"intake_bytes": (80, 100), "none": (0, 0)}), "EdgeBacklogGrowing"),
    ],
)
def test_a_neighbour_of_a_fault_is_calm(state: Facts, calm: str) -> None:
    """One step away from its fault an alert stays resolved, however long."""
    rig = Rig()
    rig.look(0.0, state)
    assert calm not in rig.look(1e6)


def test_a_limit_that_broke_is_not_resolved_while_its_finding_is_open() -> None:
    """Not when the value is only unusual by now, nor when its device dies: in no metric either."""
    rig = Rig()
    for now, kind in enumerate((Kind.OUT_OF_RANGE, Kind.SPIKE, Kind.SILENCE)):
        one = replace(finding("freezer", kind, Severity.CRITICAL), limit=True)
        news = rig.look(float(now), facts(alarming=[one]))
        assert (not news) == bool(now)
        metrics = Metrics(models=["m"], sources=["s/#"])
        metrics.read_path(partial(PathSnapshot, alarming=[one], findings=[one]))
        text = metrics.render()[0].decode()
        labels = '{device="freezer",kind="out_of_range",severity="critical"}'
        assert f"edge_finding_open_timestamp_seconds{labels}" in text
        assert 'edge_findings_open{kind="out_of_range",severity="critical"} 1.0' in text
    assert rig.look(9.0, facts())["EdgeLimitBroken"]["state"] == "resolved"


def test_a_fault_that_comes_and_goes_does_not_fire() -> None:
    """The wait begins again each time."""
    rig, fault = Rig(), facts(alarming=[finding("attic", Kind.SILENCE)])
    rig.look(0.0)
    for minute in range(20):
        assert "EdgeDeviceSilent" not in rig.look(60.0 * minute, fault if minute % 2 else facts())


def test_many_devices_are_one_bounded_message() -> None:
    """The first three are in the summary, twenty in the list, all in the count; since the oldest one."""
    rig = Rig()
    names = ["a\n" + "x" * 300, "b\x1b[2J", "c\ud800", *(f"d{place}" for place in range(997))]
    fault = facts(
        alarming=[finding(name, Kind.SILENCE, opened=500.0 - place / 10) for place, name in enumerate(names)]
    )
    rig.look(0.0, fault)
    sent = rig.look(60.0)["EdgeDeviceSilent"]
    assert sent["summary"].endswith("and 997 more are silent")
    assert len(sent["summary"]) < 300
    assert (len(sent["subjects"]), sent["count"]) == (20, 1000)
    assert sent["summary"].isprintable()
    assert sent["since"] == "1970-01-01T00:06:40.100Z"
    more = rig.look(61.0, facts(alarming=[*fault.path.alarming, finding("new", Kind.SILENCE)]))
    assert more["EdgeDeviceSilent"]["count"] == 1001


def test_a_new_connection_gets_all_of_them() -> None:
    """Nothing is published while there is none; the next one gets each state, changed or not."""
    rig = Rig()
    rig.look(0.0)
    assert rig.look(1.0) == {}
    rig.state.connected = False
    assert rig.look(2.0, facts(alarming=[SPIKE])) == {}
    rig.state.connected, rig.state.generation = True, 2
    sent = rig.look(3.0)
    assert set(sent) == {rule.name for rule in RULES}
    assert sent["EdgeFindingCritical"]["state"] == "firing"
    assert sent["EdgeFindingCritical"]["since"] == "1970-01-01T00:00:01.000Z"
