"""Review policy: which windows a model reviews."""

from dataclasses import replace

import pytest

from agent.domain.records import (
    Answer,
    Cause,
    Finding,
    Grounding,
    Incident,
    Kind,
    Outcome,
    Purpose,
    Reason,
    Severity,
    Source,
    Status,
    Trigger,
    Window,
)
from agent.verdict.review_policy import (
    DISMISSED_S,
    OF_INCIDENT,
    CalmRate,
    Decision,
    Doubts,
    Reviewer,
    ReviewSettings,
    decide,
)
from agent.verdict.verdict import conclude
from tests.support.make import T0, score, window

OPEN = Finding("f", "d1", Kind.SPIKE, Severity.WARNING, T0, T0)
SUSPICIOUS = ReviewSettings()


def gate(
    win: Window,
    finding: Finding | None = None,
    *,
    share: float = 0.0,
    clock: float = T0,
    incident: Incident | None = None,
    **kw: object,
) -> Decision:
    settings = ReviewSettings(**kw)  # type: ignore[arg-type]
    return decide(win, finding, settings=settings, audit_share=share, clock=clock, incident=incident)


@pytest.mark.parametrize(
    ("level", "finding", "clock", "purpose", "reason"),
    [
        (0.0, None, T0, None, Reason.NOT_SUSPICIOUS),
        (0.24, None, T0, None, Reason.NOT_SUSPICIOUS),
        (0.25, None, T0, Purpose.SUSPECT, Reason.REVIEWED),
        (2.0, None, T0, Purpose.OPENING, Reason.REVIEWED),
        (0.5, OPEN, T0, None, Reason.OPEN_FINDING),
        (2.0, OPEN, T0, None, Reason.OPEN_FINDING),
        (3.5, OPEN, T0, Purpose.AGAIN, Reason.REVIEWED),
        (2.0, OPEN, T0 + 6 * 3600, Purpose.AGAIN, Reason.REVIEWED),
        (0.0, OPEN, T0 + 6 * 3600, None, Reason.NOT_SUSPICIOUS),
    ],
)
def test_suspicious_mode(
    level: float, finding: Finding | None, clock: float, purpose: Purpose | None, reason: Reason
) -> None:
    """Suspicion asks once; an open finding asks again on news or after six hours."""
    wanted = Decision(purpose is not None, reason, purpose)
    assert gate(window(score(level)), finding, clock=clock) == wanted


def test_one_answer_serves_an_incident_for_six_hours() -> None:
    """For devices that join it and for its open findings, unless one is more severe."""
    incident = Incident("i", T0, Cause.TOGETHER, Severity.WARNING, reviewed=T0)
    loud, critical = window(score(2.0)), window(score(3.5))
    known = Decision(ask=False, reason=Reason.OPEN_FINDING, detail=OF_INCIDENT)
    assert gate(loud, incident=incident, clock=T0 + 60) == known
    assert gate(critical, incident=incident, clock=T0 + 60).purpose is Purpose.AGAIN
    assert gate(loud, incident=replace(incident, reviewed=None)).purpose is Purpose.OPENING
    later = T0 + 6 * 3600
    assert gate(loud, incident=incident, clock=later).purpose is Purpose.AGAIN
    joined = replace(incident, reviewed=T0 + 3600)
    assert not gate(loud, OPEN, incident=joined, clock=later).ask
    assert gate(loud, OPEN, incident=joined, clock=later + 3600).purpose is Purpose.AGAIN
    assert gate(window(score(0.3)), incident=incident, clock=T0 + 60).purpose is Purpose.SUSPECT


def test_a_window_whose_limit_was_notified_is_asked_about_as_any_other() -> None:
    """Whether it opened the finding or changed it, but once for an incident that is as severe."""
    broken = window(score(3.5, Kind.OUT_OF_RANGE, limit=True))
    opened = replace(OPEN, severity=Severity.CRITICAL, kind=Kind.OUT_OF_RANGE, awaits=broken.id, verdicts=0)
    incident = Incident("i", T0, Cause.DEVICE, Severity.INFO)
    assert gate(broken, opened, incident=incident).purpose is Purpose.OPENING
    assert gate(broken, replace(opened, verdicts=3), incident=incident).purpose is Purpose.AGAIN
    answered = replace(incident, reviewed=T0, severity=Severity.CRITICAL)
    assert gate(broken, opened, incident=answered).reason is Reason.OPEN_FINDING
    later = window(score(3.5, Kind.OUT_OF_RANGE, limit=True), lo=9)
    assert gate(later, opened, incident=incident).reason is Reason.OPEN_FINDING


@pytest.mark.parametrize(
    ("kind", "calm", "level", "ask"),
    [
        (Kind.LEVEL_SHIFT, 0, 2.0, False),
        (Kind.NOISE, 0, 2.0, False),
        (Kind.LEVEL_SHIFT, 0, 3.5, True),
        (Kind.LEVEL_SHIFT, 1, 2.0, True),
        (Kind.FLATLINE, 0, 2.0, True),
    ],
)
def test_spike_that_lasts_is_asked_about_once(kind: Kind, calm: int, level: float, ask: bool) -> None:
    """The first reading of a shift looks like a spike; the shift is news only if it grew or was over."""
    finding = replace(OPEN, normal_streak=calm)
    assert gate(window(score(level, kind)), finding).ask is ask


def test_suspicion_that_the_model_did_not_share_rests_for_ten_minutes() -> None:
    """It is asked again when it has doubled, is an alarm, after that time, and of other devices."""
    doubts = Doubts()
    doubts.note(window(score(0.3), sealed=T0))
    for level, sealed, settled in (
        (0.3, T0 + 60, True),
        (0.59, T0 + 599, True),
        (0.6, T0 + 60, False),
        (0.3, T0 + 600, False),
    ):
        assert doubts.settled("d1", level, sealed) is settled, (level, sealed)
    assert not doubts.settled("d2", 0.3, T0 + 60)
    again = decide(
        window(score(0.3)), None, settings=SUSPICIOUS, audit_share=0.0, clock=T0 + 60, settled=True
    )
    assert again == Decision(ask=False, reason=Reason.NOT_SUSPICIOUS)
    doubts.note(window(score(2.0), sealed=T0 + 30))
    assert not doubts.settled("d1", 0.3, T0 + 60)


def test_modes_and_endpoints() -> None:
    """`none` and a missing endpoint never ask, `all` always does, a silence never reaches a model."""
    loud = window(score(2.0))
    assert gate(loud, mode="none") == Decision(ask=False, reason=Reason.REVIEW_OFF)
    assert gate(loud, endpoint=False) == Decision(ask=False, reason=Reason.NO_ENDPOINT)
    assert gate(window(score(0.0)), mode="all").purpose is Purpose.EVERY
    silent = window(trigger=Trigger.SILENCE)
    for mode in ("suspicious", "all", "none"):
        assert gate(silent, mode=mode) == Decision(ask=False, reason=Reason.NO_READINGS)


def test_audits_are_drawn_by_the_window_id() -> None:
    """A share of the calm windows is audited, the same ones every time."""
    calm = [window(score(0.0), lo=number) for number in range(1, 2001)]
    drawn = [win.id for win in calm if gate(win, share=0.1).audit]
    assert 140 < len(drawn) < 260
    assert drawn == [win.id for win in calm if gate(win, share=0.1).audit]
    assert not any(gate(win, share=0.0).ask for win in calm)


def test_audit_share_follows_the_rate_of_calm_windows() -> None:
    """24 audits a day out of 1440 calm windows a day are one in sixty, from early on."""
    rate = CalmRate()
    assert rate.share(24, T0) == 0.0
    for minute in range(3 * 1440):
        rate.count(T0 + 60 * minute)
        if minute in (30, 1440, 4000):
            assert rate.share(24, T0 + 60 * minute) == pytest.approx(24 / 1440, rel=0.1)
    again = CalmRate()
    again.load(rate.dump())
    assert again.share(24, T0 + 300_000) == rate.share(24, T0 + 300_000)


# ------------------------------------------------------------------- alarms that the model found normal


def judged(status: Status = Status.NORMAL, grounding: Grounding = Grounding.GROUNDED) -> Outcome:
    answer = Answer(status, Kind.NONE, Severity.INFO, 2, ("k1",), "It is planned.")
    return Outcome("w", Reason.REVIEWED, answer=answer, grounding=grounding, source=Source.AI, model="m")


def alarm(level: float = 2.0, kind: Kind = Kind.SPIKE, after_s: float = 0.0) -> Window:
    return replace(window(score(level, kind), sealed=T0 + after_s), end=T0 + after_s)


def decided(reviewer: Reviewer, win: Window) -> Decision:
    return reviewer.decide(win, None, None, audits=False)


def test_an_alarm_that_the_model_found_normal_is_not_a_new_question_with_each_window() -> None:
    """Its answer serves what goes on; nothing of its claims is repeated, because they held elsewhere."""
    reviewer = Reviewer(SUSPICIOUS)
    assert decided(reviewer, alarm()).purpose is Purpose.OPENING
    reviewer.note(alarm(), judged())
    decision = decided(reviewer, alarm(kind=Kind.LEVEL_SHIFT, after_s=600))
    assert (decision.ask, decision.reason) == (False, Reason.CACHED)
    served = decision.served
    assert served is not None
    assert served.answer is not None
    assert (served.source, served.answer.status, served.answer.evidence) == (Source.CACHE, Status.NORMAL, ())
    assert "planned" not in served.answer.summary
    verdict = conclude(alarm(), served, agent="gw", created=T0)
    assert (verdict.status, verdict.source, verdict.reason) == (Status.NORMAL, Source.CACHE, Reason.CACHED)
    assert (verdict.grounded, verdict.cost_usd, verdict.local.status) == (True, 0.0, Status.ANOMALY)


@pytest.mark.parametrize(
    "later",
    [
        alarm(3.5, after_s=60),  # critical
        alarm(kind=Kind.FLATLINE, after_s=60),  # cannot be overruled
        alarm(after_s=DISMISSED_S),
    ],
)
def test_a_dismissed_alarm_is_asked_about_again_when_it_changes(later: Window) -> None:
    """As a re-review, not as another opening."""
    reviewer = Reviewer(SUSPICIOUS)
    reviewer.note(alarm(), judged())
    assert decided(reviewer, later).purpose is Purpose.AGAIN


@pytest.mark.parametrize(
    "outcome",
    [
        judged(grounding=Grounding.UNGROUNDED),
        judged(Status.ANOMALY),
        judged(Status.UNCERTAIN),
        Outcome("w", Reason.TIMEOUT),
    ],
)
def test_only_a_grounded_normal_dismisses_an_alarm(outcome: Outcome) -> None:
    """A claim that did not hold, another opinion and silence do not."""
    reviewer = Reviewer(SUSPICIOUS)
    reviewer.note(alarm(), outcome)
    assert decided(reviewer, alarm(after_s=60)).purpose is Purpose.OPENING


def test_a_dismissed_alarm_rests_longer_each_time_and_is_over_after_calm_windows() -> None:
    """Half an hour, an hour; three windows without it, and the next one is another alarm."""
    reviewer = Reviewer(SUSPICIOUS)
    reviewer.note(alarm(), judged())
    reviewer.note(alarm(after_s=DISMISSED_S), judged())
    assert not decided(reviewer, alarm(after_s=3 * DISMISSED_S - 1)).ask
    assert decided(reviewer, alarm(after_s=3 * DISMISSED_S)).ask
    for place in range(2):
        decided(reviewer, window(score(0.0), sealed=T0 + 1900 + place))
    assert not decided(reviewer, alarm(after_s=2000)).ask
    for place in range(3):
        decided(reviewer, window(score(0.0), sealed=T0 + 2100 + place))
    assert decided(reviewer, alarm(after_s=2200)).purpose is Purpose.OPENING


def test_a_dismissed_alarm_does_not_rest_for_ever_where_the_clock_of_a_device_stands_still() -> None:
    """Then agent time ends its rest."""
    reviewer = Reviewer(SUSPICIOUS)
    reviewer.note(alarm(), judged())
    assert not decided(reviewer, replace(alarm(after_s=DISMISSED_S), end=T0)).ask
    assert decided(reviewer, replace(alarm(after_s=2 * DISMISSED_S), end=T0)).ask


def test_a_broken_limit_is_never_dismissed() -> None:
    """The model cannot overrule it, so its answer serves nothing."""
    reviewer = Reviewer(SUSPICIOUS)
    reviewer.note(alarm(kind=Kind.OUT_OF_RANGE), judged())
    assert decided(reviewer, alarm(kind=Kind.OUT_OF_RANGE, after_s=60)).purpose is Purpose.OPENING
