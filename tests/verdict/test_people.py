"""Findings are acknowledged, snoozed, closed and forgotten by people."""

from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from agent.domain.records import (
    Command,
    CommandOutcome,
    CommandReason,
    CommandRow,
    Do,
    Finding,
    FindingEvent,
    FindingState,
    Kind,
    Outcome,
    Reason,
    Score,
    Seen,
    Severity,
    Silence,
    TimerKind,
    TimerRow,
    Window,
)
from agent.pipeline.seal import Sealer
from agent.verdict.encode import iso
from agent.verdict.finding import CLEAR_AFTER
from agent.verdict.people import MAX_KNOWN, MAX_WORKS, Decision, People
from agent.verdict.verdict import conclude
from tests.support.make import T0, score, window

HOUR = 3600.0
SPIKE = score(2.0)
LIMIT = Score(3.0, Kind.OUT_OF_RANGE, (0.0, 15.0), limit=True)


class Site:
    """Findings and people; each row comes a minute after the one before."""

    def __init__(self) -> None:
        self.people = People(knows=lambda device: device == "d1", devices=lambda: ("d1", "d2"))
        self.rows = count(1)
        self.said: list[CommandRow] = []

    def judge(self, *scores: Score, device: str = "d1", lo: int | None = None) -> FindingEvent | None:
        seq = next(self.rows)
        one = window(*scores, device=device, lo=seq if lo is None else lo, sealed=T0 + 60 * seq)
        return self.move(one)

    def silence(self, device: str = "d1", *, silent_s: float = 600.0) -> FindingEvent | None:
        seq = next(self.rows)
        sealer = Sealer(
            journal="j", agent="gw", may_ask=lambda *_: False, views=lambda *_: [], silence=lambda _: None
        )
        found = Silence(device, T0, "temperature", 20.0, 60.0, silent_s, 1.0)
        return self.move(sealer.seal_silence(found, TimerRow(seq, T0 + 60 * seq, TimerKind.TICK), 0))

    def move(self, one: Window) -> FindingEvent | None:
        verdict = conclude(one, Outcome(one.id, Reason.REVIEW_OFF), agent="gw", created=one.sealed)
        return self.people.findings.move(verdict, one, reviewed=False)[1]

    def say(self, do: Do, **keys: object) -> CommandOutcome:
        return self.decide(do, **keys).outcome

    def decide(self, do: Do, **keys: object) -> Decision:
        seq = next(self.rows)
        row = CommandRow(seq, T0 + 60 * seq, Command(do, **keys))  # type: ignore[arg-type]
        decision = self.people.take(row)
        self.said.append(replace(row, outcome=decision.outcome))
        return decision

    def open(self, device: str = "d1") -> Finding:
        return self.people.findings[device]


@pytest.fixture
def site() -> Site:
    """A site with one open finding."""
    site = Site()
    assert site.judge(SPIKE) is FindingEvent.OPENED
    return site


def test_an_acknowledged_finding_is_quiet_until_it_clears(site: Site) -> None:
    """Nothing that verdicts do to it makes it loud again, except a broken limit or silence."""
    outcome = site.say(Do.ACK, finding_id=site.open().id[:6])
    assert (outcome.accepted, outcome.state) == (True, FindingState.ACKNOWLEDGED)
    assert outcome.finding_id == site.open().id
    assert site.judge(score(4.0, Kind.DRIFT)) is FindingEvent.UPDATED
    assert site.open().quiet(T0)
    for _ in range(CLEAR_AFTER):
        site.judge(Score(0.0))
    assert "d1" not in site.people.findings
    (over,) = site.people.findings.closed.values()
    assert over.state is FindingState.CLEARED
    assert site.say(Do.ACK, finding_id=over.id).reason is CommandReason.CLOSED


def test_a_limit_that_breaks_later_is_news(site: Site) -> None:
    """A person knew of a spike, not of this."""
    site.say(Do.ACK, device="d1")
    assert site.judge(LIMIT) is FindingEvent.UPDATED
    assert not site.open().quiet(T0)
    assert site.judge(LIMIT) is None
    site.say(Do.ACK, device="d1")
    assert site.judge(LIMIT) is None
    assert site.open().quiet(T0)


def test_an_incident_is_answered_at_once(site: Site) -> None:
    """All its open findings but those with a broken limit, which are to be named; others stay as they are."""
    for device in ("d2", "d3", "d4"):
        site.judge(LIMIT if device == "d3" else SPIKE, device=device)
    for device in ("d1", "d2", "d3"):
        site.people.findings.put(replace(site.open(device), incident="1f1f"))
    decision = site.decide(Do.ACK, incident_id="1f1f")
    assert (decision.outcome.accepted, decision.outcome.detail) == (True, "2 of 3 open findings")
    assert {one.device for one in decision.changed} == {"d1", "d2"}
    assert [site.open(device).quiet(T0) for device in ("d1", "d2", "d3", "d4")] == [True, True, False, False]
    assert site.say(Do.SNOOZE, incident_id="1f1f", for_s=HOUR).until is not None
    assert site.open("d2").state is FindingState.SNOOZED
    assert site.say(Do.SNOOZE, incident_id="1f1f", for_s=0.0).reason is CommandReason.BAD_TIME
    assert site.say(Do.ACK, incident_id="2f2f").reason is CommandReason.UNKNOWN_FINDING
    site.people.findings.put(replace(site.open("d3"), incident="3f3f"))
    assert site.say(Do.ACK, incident_id="3f3f").reason is CommandReason.LIMIT


@pytest.mark.parametrize("known", [{"do": Do.ACK}, {"do": Do.SNOOZE, "for_s": 24 * HOUR}])
def test_a_device_that_stops_later_is_news(site: Site, known: dict[str, Any]) -> None:
    """A person knew of a spike, not that nobody measures any more; known once, it stays known."""
    site.say(device="d1", **known)
    assert site.silence() is FindingEvent.UPDATED
    assert not site.open().quiet(T0)
    site.say(device="d1", **known)
    site.judge(SPIKE)
    site.silence()
    assert site.open().quiet(T0)


def test_a_snooze_ends(site: Site) -> None:
    """At its time the finding is open again without any row."""
    assert site.say(Do.SNOOZE, device="d1", for_s=2 * HOUR).accepted
    until = site.open().until
    assert until is not None
    assert site.open().state_at(until - 1) is FindingState.SNOOZED
    assert site.open().state_at(until) is FindingState.OPEN
    for bad in ({"until": T0 - 1}, {"until": T0 + 40 * 86_400.0}, {"for_s": 0.0}):
        refusal = site.say(Do.SNOOZE, device="d1", **bad)
        assert refusal.reason is CommandReason.BAD_TIME
        assert f"the agent's clock is at {iso(site.said[-1].clock)}" in refusal.detail


def test_normal_here_closes_and_allows_what_was_cited(site: Site) -> None:
    """The lowest and the highest cited value of each metric and kind."""
    site.judge(SPIKE, SPIKE, SPIKE)
    outcome = site.say(Do.NORMAL_HERE, device="d1")
    assert outcome.state is FindingState.NORMAL_HERE
    (allowed,) = outcome.allow
    assert allowed == Seen("temperature", Kind.SPIKE, 20.0, 22.0)
    assert "d1" not in site.people.findings
    assert site.say(Do.NORMAL_HERE, device="d1").reason is CommandReason.CLOSED


def test_a_window_that_began_before_does_not_open_it_again(site: Site) -> None:
    """It may hold the same event; a limit in it is news, and so is a window that begins later."""
    site.say(Do.NORMAL_HERE, device="d1")
    assert site.judge(SPIKE, lo=1) is None
    assert "d1" not in site.people.findings
    assert site.judge(LIMIT, lo=1) is FindingEvent.OPENED
    other = Site()
    other.judge(SPIKE)
    other.say(Do.NORMAL_HERE, device="d1")
    assert other.judge(SPIKE) is FindingEvent.OPENED


def test_a_limit_is_not_a_persons_to_widen(site: Site) -> None:
    """Refused with the advice to plan maintenance, and nothing changes."""
    site.judge(LIMIT)
    before = site.open()
    outcome = site.say(Do.NORMAL_HERE, device="d1")
    assert outcome.reason is CommandReason.LIMIT
    assert "maintenance" in outcome.detail
    assert outcome.allow == ()
    assert site.open() == before


def test_a_finding_that_cleared_by_itself_can_still_be_called_normal(site: Site) -> None:
    """A defrost at three in the morning is over when somebody looks."""
    for _ in range(CLEAR_AFTER):
        site.judge(Score(0.0))
    outcome = site.say(Do.NORMAL_HERE, device="d1")
    assert outcome.accepted
    assert outcome.allow
    assert site.say(Do.NORMAL_HERE, finding_id=outcome.finding_id).reason is CommandReason.CLOSED


def test_a_silence_is_allowed_from_its_begin_to_its_end() -> None:
    """Still silent: without an end. Back again: up to the first window after it."""
    site = Site()
    assert site.silence(silent_s=90.0) is FindingEvent.OPENED
    begin = T0 + 60 - 90.0
    assert site.say(Do.NORMAL_HERE, device="d1").silence == (begin, None)
    back = Site()
    back.silence(silent_s=90.0)
    for _ in range(CLEAR_AFTER):
        back.judge(Score(0.0))
    begin_and_end = back.say(Do.NORMAL_HERE, device="d1").silence
    assert begin_and_end == (begin, T0)


def test_what_a_finding_is_called_is_normal_and_nothing_else(site: Site) -> None:
    """A silence that is called normal leaves the value before it alone, and the other way round."""
    site.silence(silent_s=90.0)
    silent = site.decide(Do.NORMAL_HERE, device="d1").outcome
    assert (silent.series, silent.allow) == (("silence",), ())
    assert silent.silence is not None
    site.judge(SPIKE)
    site.silence()
    site.judge(SPIKE)
    loud = site.decide(Do.NORMAL_HERE, device="d1").outcome
    assert (loud.series, loud.silence) == (("temperature",), None)
    assert [one.metric for one in loud.allow] == ["temperature"]


def test_maintenance_begins_and_ends_for_a_device_that_sends_nothing(site: Site) -> None:
    """At a tick: its finding is quiet from the begin on, and open from the end on."""
    people, now = site.people, T0 + 60 * 2
    site.say(Do.MAINTENANCE, device="d1", since=now + 600.0, for_s=HOUR)
    assert (people.next_change(), site.open().maintenance) == (now + 600.0, False)
    begun = people.pass_time(now + 600.0)
    assert ([one.device for one in begun.begun], begun.resumed) == (["d1"], [])
    assert (people.next_change(), site.open().maintenance) == (now + 600.0 + HOUR, True)
    assert people.pass_time(now + HOUR) == ([], [], [])
    over = people.pass_time(now + 600.0 + HOUR)
    assert (over.begun, [one.device for one in over.resumed]) == ([], ["d1"])
    assert (people.next_change(), site.open().maintenance) == (None, False)


def test_a_finding_that_is_about_to_clear_does_not_outlast_the_work(site: Site) -> None:
    """Its next anomaly would; one that a person knows is quiet all the same."""
    site.judge(SPIKE, device="e1")
    site.say(Do.MAINTENANCE, device="?1", for_s=HOUR)
    site.judge(Score(0.0))
    site.say(Do.SNOOZE, device="e1", for_s=2 * HOUR)
    opened, begun, resumed = site.people.pass_time(T0 + HOUR + 600.0)
    assert (opened, begun, [one.device for one in resumed]) == ([], [], ["e1"])
    assert site.open("e1").quiet(T0 + HOUR + 600.0)
    assert site.open("d1").maintenance
    assert site.judge(SPIKE) is FindingEvent.UPDATED
    assert not site.open("d1").maintenance


def test_both_are_over_at_once(site: Site) -> None:
    """The finding is named once."""
    site.say(Do.SNOOZE, device="d1", until=T0 + HOUR)
    site.say(Do.MAINTENANCE, device="d1", until=T0 + HOUR)
    opened, begun, resumed = site.people.pass_time(T0 + HOUR)
    assert (opened, begun, [one.device for one in resumed]) == ([], [], ["d1"])
    assert not site.open().quiet(T0 + HOUR)


def test_a_snooze_is_kept_over_the_end_of_its_finding(site: Site) -> None:
    """An acknowledgement is not."""
    for do, keys, until in ((Do.SNOOZE, {"until": T0 + HOUR}, T0 + HOUR), (Do.ACK, {}, None)):
        site.say(do, device="d1", **keys)
        for _ in range(CLEAR_AFTER):
            site.judge(Score(0.0))
        over = list(site.people.findings.closed.values())[-1]
        assert (over.state, over.until, over.snoozed_to(T0)) == (FindingState.CLEARED, until, None)
        site.judge(SPIKE)


def test_forget_closes_the_finding_and_nothing_before_opens_one(site: Site) -> None:
    """Not even a broken limit: the device is gone."""
    assert site.say(Do.FORGET, device="nobody").reason is CommandReason.UNKNOWN_DEVICE
    decision = site.decide(Do.FORGET, device="d1")
    assert decision.outcome.forget
    assert [one.state for one in decision.changed] == [FindingState.FORGOTTEN]
    assert site.judge(LIMIT, lo=1) is None
    assert site.judge(SPIKE) is FindingEvent.OPENED


def test_maintenance_flags_findings_and_ends(site: Site) -> None:
    """Those that are open and those that open, limits as well; one that outlasts it is reported again."""
    decision = site.decide(Do.MAINTENANCE, device="d*", for_s=HOUR)
    assert [one.maintenance for one in decision.changed] == [True]
    assert site.judge(LIMIT, device="d2") is FindingEvent.OPENED
    assert site.open("d2").quiet(T0)
    assert site.judge(SPIKE, device="e") is FindingEvent.OPENED
    assert not site.open("e").quiet(T0)
    ended = site.decide(Do.MAINTENANCE, device="d*", for_s=0.0)
    assert {one.device: one.maintenance for one in ended.changed} == {"d1": False, "d2": False}


def test_a_finding_that_outlasts_the_maintenance_is_reported(site: Site) -> None:
    """With its next anomaly."""
    site.say(Do.MAINTENANCE, device="d1", for_s=120.0)
    assert site.judge(SPIKE) is None
    assert site.judge(SPIKE) is FindingEvent.UPDATED
    assert not site.open().maintenance


def test_maintenance_reports_what_it_covers_and_what_it_does_not_end(site: Site) -> None:
    """A wrong name, a stale end and a glob without a plan do not succeed in silence."""
    details = [site.say(Do.MAINTENANCE, device=one, for_s=HOUR).detail for one in ("d*", "d1", "oven")]
    assert details == ["2 known devices", "1 known device", "0 known devices"]
    assert site.say(Do.MAINTENANCE, device="d1", for_s=0.0).detail == ""
    for bad in (
        {"device": "d1", "for_s": 0.0},  # ended already, and d* goes on
        {"device": "d2", "for_s": 0.0},
        {"device": "e1", "until": T0},
        {"device": "e1", "since": T0 + 9 * HOUR, "until": T0 + 8 * HOUR},
    ):
        refusal = site.say(Do.MAINTENANCE, **bad)
        assert (refusal.reason, refusal.accepted) == (CommandReason.BAD_TIME, False)
        assert "nothing is planned under this name" in refusal.detail
    assert [one.glob for one in site.people.maintenance.works(T0)] == ["d*", "oven"]


def test_maintenance_is_bounded() -> None:
    """In its length and in its number; one that is over makes room."""
    site = Site()
    for bad in ({"for_s": 32 * 86_400.0}, {"since": T0 + 400 * 86_400.0, "for_s": 60.0}):
        assert site.say(Do.MAINTENANCE, device="x", **bad).reason is CommandReason.BAD_TIME
    for number in range(MAX_WORKS):
        assert site.say(Do.MAINTENANCE, device=f"x{number}", for_s=86_400.0).accepted
    assert site.say(Do.MAINTENANCE, device="y", for_s=HOUR).reason is CommandReason.TOO_MANY
    assert site.say(Do.MAINTENANCE, device="x1", for_s=0.0).accepted
    assert site.say(Do.MAINTENANCE, device="y", for_s=HOUR).accepted


def test_the_model_is_paused_and_resumed(site: Site) -> None:
    """For a time of 31 days at most; the next process knows it from the rows."""
    assert site.people.paused_to(T0) is None
    until = site.say(Do.PAUSE_MODEL).until
    assert until is not None
    assert until <= T0 + 31 * 86_400.0 + HOUR
    assert site.people.paused_to(until) is None
    assert site.say(Do.PAUSE_MODEL, for_s=32 * 86_400.0).reason is CommandReason.BAD_TIME
    assert site.say(Do.PAUSE_MODEL, for_s=0.0).reason is CommandReason.BAD_TIME
    assert site.people.paused_to(T0) == until
    again = Site()
    again.people.restore((), site.said)
    assert again.people.paused_to(T0) == until
    resumed = site.say(Do.RESUME_MODEL)
    assert (resumed.accepted, resumed.ends) == (True, until)
    assert site.people.paused_to(T0) is None
    again.people.restore((), site.said)
    assert again.people.paused_to(T0) is None


def test_a_command_is_kept_as_long_as_the_one_that_it_ends(site: Site) -> None:
    """Or a restart, once it is pruned, would bring the work or the pause back."""
    first = site.say(Do.MAINTENANCE, device="d*", for_s=20 * 86_400.0)
    ended = site.say(Do.MAINTENANCE, device="d*", for_s=0.0)
    assert ended.until is not None
    assert first.until is not None
    assert ended.until < first.until
    assert ended.ends == first.until


def test_a_repeated_id_is_answered_and_not_done_again(site: Site) -> None:
    """With the first answer; another command under the same id is refused."""
    first = site.say(Do.NORMAL_HERE, id="c1", device="d1")
    site.judge(SPIKE)
    again = site.decide(Do.NORMAL_HERE, id="c1", device="d1")
    assert again.changed == ()
    assert again.outcome.reason is CommandReason.REPEATED
    assert (again.outcome.finding_id, again.outcome.allow) == (first.finding_id, ())
    assert "d1" in site.people.findings
    assert site.say(Do.ACK, id="c1", device="d1").reason is CommandReason.ID_REUSED
    for number in range(MAX_KNOWN):
        site.say(Do.CONFIRMED, id=f"n{number}", device="d1")
    assert site.say(Do.ACK, id="c1", device="d1").accepted


def test_unknown_and_ambiguous_findings_are_refused(site: Site) -> None:
    """Nothing changes."""
    findings = site.people.findings
    findings.put(Finding("abcd1", "a", Kind.SPIKE, Severity.WARNING, T0, T0))
    findings.put(Finding("abcd2", "b", Kind.SPIKE, Severity.WARNING, T0, T0))
    before = dict(findings)
    for keys in ({"finding_id": "abcd"}, {"finding_id": "ffff"}, {"device": "nobody"}):
        assert site.say(Do.ACK, **keys).reason is CommandReason.UNKNOWN_FINDING
    assert site.say(Do.ACK, finding_id="abcd1").accepted
    assert {**before, "a": findings["a"]} == findings


def test_feedback_names_the_series(site: Site) -> None:
    """And leaves the finding as it is."""
    before = site.open()
    decision = site.decide(Do.FALSE_ALARM, device="d1")
    assert decision.outcome.series == ("temperature",)
    assert (decision.changed, site.open()) == ((), before)


def test_the_next_process_knows_all_of_it(site: Site) -> None:
    """Ids, maintenance, and what a person closed, from the decided rows alone."""
    site.say(Do.NORMAL_HERE, id="c1", device="d1")
    site.say(Do.FORGET, id="c2", device="d1")
    site.say(Do.MAINTENANCE, device="e*", for_s=HOUR)
    again = Site()
    again.rows = site.rows
    findings = site.people.findings
    again.people.restore((*findings.closed.values(), *findings.values()), site.said)
    assert again.say(Do.NORMAL_HERE, id="c1", device="d1").reason is CommandReason.REPEATED
    assert again.judge(LIMIT, lo=1) is None
    again.judge(LIMIT, device="e1")
    assert again.open("e1").maintenance
    assert again.people.findings.closed == findings.closed


def test_a_silence_window_has_its_row_as_its_place() -> None:
    """So a silence that is found after the command is a new one."""
    site = Site()
    site.silence()
    site.say(Do.NORMAL_HERE, device="d1")
    assert site.silence() is FindingEvent.OPENED
    assert site.people.findings["d1"].kind is Kind.SILENCE
