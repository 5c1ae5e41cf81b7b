"""Quiet hours, digests and the words of notices."""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from agent.domain.records import (
    Cause,
    Finding,
    FindingEvent,
    FindingState,
    Incident,
    IncidentEvent,
    Kind,
    Outcome,
    Place,
    Reason,
    Severity,
    Verdict,
)
from agent.verdict.incident import MAX_SPREAD_S, Change, Surroundings
from agent.verdict.notice import (
    MAX_FINDINGS,
    MAX_ITEMS,
    Notice,
    NoticeRules,
    at_once,
    end_of,
    is_wanted,
    item_of,
    joined,
    news,
    of_finding,
    summarise,
    without,
)
from agent.verdict.verdict import conclude
from tests.support.make import T0, score, window

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = NoticeRules(quiet=(22 * 60, 7 * 60), zone=BERLIN, digest=7 * 60 + 30)


def at(text: str) -> float:
    """Return Unix seconds of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def verdict_of_a_spike(device: str) -> Verdict:
    """Return a local verdict."""
    win = window(score(2.0), device=device)
    return conclude(win, Outcome(win.id, Reason.REVIEW_OFF), agent="gw1", created=T0)


@pytest.mark.parametrize(
    ("now", "severity", "until"),
    [
        ("2026-11-27T12:00", Severity.WARNING, "2026-11-27T12:01"),
        ("2026-11-27T21:59:30", Severity.WARNING, "2026-11-28T07:00"),
        ("2026-11-28T06:58:59", Severity.INFO, "2026-11-28T07:00"),
        ("2026-11-28T06:59", Severity.WARNING, "2026-11-28T07:00"),
        ("2026-11-27T23:00", Severity.CRITICAL, "2026-11-27T23:01"),
        ("2026-10-24T23:00", Severity.WARNING, "2026-10-25T07:00"),  # the hour that is twice
        ("2026-03-28T23:00", Severity.WARNING, "2026-03-29T07:00"),  # the hour that is not there
    ],
)
def test_quiet_hours(now: str, severity: Severity, until: str) -> None:
    """All but critical ones are held to their end, in local time."""
    assert at(now) + NIGHT.held_s(at(now), severity, wait_s=60.0) == at(until)


def test_quiet_hours_within_a_day() -> None:
    """The begin belongs to them, the end does not."""
    lunch = replace(NIGHT, quiet=(12 * 60, 13 * 60))
    assert lunch.held_s(at("2026-11-27T12:00"), Severity.INFO, wait_s=0.0) == 3600.0
    assert lunch.held_s(at("2026-11-27T13:00"), Severity.INFO, wait_s=0.0) == 0.0


@pytest.mark.parametrize(
    ("zone", "quiet", "now", "until"),  # UTC
    [
        ("Europe/Berlin", (22 * 60, 150), "2026-10-25T00:20", "2026-10-25T01:30"),  # the first 02:20
        ("Europe/Berlin", (22 * 60, 150), "2026-10-25T00:40", "2026-10-25T01:30"),  # the first 02:40
        ("Europe/Berlin", (22 * 60, 150), "2026-10-25T01:20", "2026-10-25T01:30"),  # the second 02:20
        ("Europe/Berlin", (22 * 60, 150), "2026-10-25T01:40", "2026-10-25T01:40"),  # the second 02:40
        ("Europe/Berlin", (22 * 60, 150), "2026-03-29T00:59", "2026-03-29T01:00"),  # 01:59, then 03:00
        ("America/New_York", (60, 90), "2026-11-01T05:45", "2026-11-01T06:30"),
        ("Australia/Lord_Howe", (22 * 60, 105), "2026-04-04T14:50", "2026-04-04T15:15"),
    ],
)
def test_quiet_hours_that_end_at_a_change_of_the_clock(
    zone: str, quiet: tuple[int, int], now: str, until: str
) -> None:
    """An hour that comes twice does not break them; one that does not come does not prolong them."""
    rules = NoticeRules(quiet=quiet, zone=ZoneInfo(zone))
    wall, end = (datetime.fromisoformat(f"{time}+00:00").timestamp() for time in (now, until))
    assert rules.held_s(wall, Severity.WARNING, wait_s=0.0) == end - wall


def test_a_digest_in_the_hour_that_is_twice() -> None:
    """It is due once, at the first one; in the hour that is left out at the change."""
    rules = NoticeRules(digest=150, zone=BERLIN)
    begin = at("2026-10-24T22:00")
    days = [rules.digest_day(begin + 600.0 * step) for step in range(60)]
    assert days == sorted(days, key=str)
    assert days.index("2026-10-25") == 27  # 4 h 30 min later
    assert rules.next_digest_s(at("2026-03-29T01:50")) == 600.0
    assert NoticeRules(digest=150).next_digest_s(begin)


def test_the_day_of_a_digest() -> None:
    """It is the last whose time has come."""
    assert NIGHT.digest_day(at("2026-11-27T07:29:59")) == "2026-11-26"
    assert NIGHT.digest_day(at("2026-11-27T07:30")) == "2026-11-27"
    assert NIGHT.next_digest_s(at("2026-11-27T07:29")) == 60.0
    assert NIGHT.next_digest_s(at("2026-11-27T07:30")) == 86_400.0
    assert NoticeRules().digest_day(0.0) is None
    assert NIGHT.digest_day(1e30) is not None  # a clock beyond any calendar


def test_news_of_a_finding() -> None:
    """A name that becomes surer is none, a higher severity is, and the end of maintenance."""
    before = Finding("f", "d1", Kind.SPIKE, Severity.WARNING, 1.0, 1.0)
    renamed = replace(before, kind=Kind.DRIFT)
    worse = replace(before, severity=Severity.CRITICAL)
    opened, updated, cleared = FindingEvent.OPENED, FindingEvent.UPDATED, FindingEvent.CLEARED
    assert news(opened, before, None) is opened
    assert news(updated, renamed, before) is None
    assert news(None, before, before) is None
    assert news(updated, worse, before) is updated
    assert news(None, before, replace(before, maintenance=True)) is updated
    assert news(cleared, before, before) is cleared


def test_a_finding_that_people_know_is_not_notified() -> None:
    """Acknowledged, snoozed, or under maintenance; a snooze ends."""
    one = Finding("f", "d1", Kind.SPIKE, Severity.WARNING, 1.0, 1.0)
    over = replace(one, state=FindingState.CLEARED)
    assert is_wanted(one, None, 10.0)
    assert is_wanted(over, one, 10.0)
    for known in (
        replace(one, state=FindingState.ACKNOWLEDGED),
        replace(one, state=FindingState.SNOOZED, until=20.0),
    ):
        assert not is_wanted(known, known, 10.0)
        assert not is_wanted(over, known, 10.0)
    assert not is_wanted(replace(one, maintenance=True), one, 10.0)
    snoozed = replace(one, state=FindingState.SNOOZED, until=20.0)
    assert is_wanted(snoozed, snoozed, 20.0)


@pytest.mark.parametrize("state", [FindingState.ACKNOWLEDGED, FindingState.SNOOZED])
def test_a_limit_that_breaks_after_a_persons_word_is_notified(state: FindingState) -> None:
    """Also where the severity was the same before: the person knew of another anomaly."""
    known = Finding("f", "d1", Kind.DRIFT, Severity.CRITICAL, 1.0, 1.0, state=state, until=20.0)
    again = replace(known, state=FindingState.OPEN, until=None, limit=True)
    assert news(FindingEvent.UPDATED, again, known) is FindingEvent.UPDATED
    assert is_wanted(again, known, 10.0)
    assert news(None, again, again) is None


def test_a_limit_or_silence_of_a_finding_that_is_open_is_news_once() -> None:
    """Of equal severity too; that of a limit does not wait, whatever the verdict calls it."""
    opened = Finding("f", "d1", Kind.DRIFT, Severity.CRITICAL, 1.0, 1.0)
    for later in (replace(opened, limit=True), replace(opened, silent_since=5.0)):
        assert news(FindingEvent.UPDATED, later, opened) is FindingEvent.UPDATED
        assert news(FindingEvent.UPDATED, later, later) is None
    spike = verdict_of_a_spike("d1")
    broken = replace(opened, limit=True)
    assert at_once(broken, None, spike)
    assert at_once(broken, opened, spike)
    assert not at_once(broken, broken, spike)
    assert not at_once(opened, None, spike)


def test_words_of_a_notice_are_bounded_and_printable() -> None:
    """The name of a device is foreign text."""
    device = "a\nBcc: x\u202e" + "x" * 300
    finding = Finding("f", device, Kind.SPIKE, Severity.CRITICAL, 1.0, 1.0)
    notice = of_finding(FindingEvent.OPENED, finding, verdict_of_a_spike(device), since="2026-01-01 10:00")
    assert len(notice["title"]) <= 80
    assert notice["title"].isprintable()
    assert notice["id"] == of_finding(
        FindingEvent.OPENED, finding, verdict_of_a_spike(device), since="2026-01-01 10:00"
    )["id"]  # fmt: skip


def test_a_summary_lists_the_worst_and_counts_the_rest() -> None:
    """Whatever the number, its size has a bound."""
    items = []
    for number in range(MAX_ITEMS + 50):
        severity = Severity.CRITICAL if number == MAX_ITEMS + 49 else Severity.WARNING
        finding = Finding(f"f{number}", f"d{number}", Kind.SPIKE, severity, 1.0, 1.0)
        items.append(item_of(of_finding(FindingEvent.OPENED, finding, verdict_of_a_spike("d"), since="now")))
    summary = summarise("ops", items, 3, agent="gw1", at=0.0)
    assert (summary["count"], summary["more"], len(summary["notices"])) == (MAX_ITEMS + 53, 53, MAX_ITEMS)
    assert summary["severity"] == summary["notices"][0]["severity"] == "critical"
    assert f"and {MAX_ITEMS + 33} more" in summary["text"]


def notice_of(number: int, event: FindingEvent = FindingEvent.OPENED, kind: Kind = Kind.SILENCE) -> Notice:
    """Return the notice of one of the findings of an incident."""
    finding = Finding(f"f{number}", f"d{number}\n", kind, Severity.WARNING, 1.0, 1.0, incident="i")
    return of_finding(event, finding, verdict_of_a_spike(f"d{number}\n"), since="now", link="http://gw/")


def test_a_notice_leads_to_the_card_of_its_finding() -> None:
    """Of several to that of the worst; without an address of the page to none."""
    assert notice_of(1)["link"] == "http://gw/#finding-f1"
    worse = {**notice_of(0), "severity": Severity.CRITICAL}
    assert joined(worse, notice_of(1))["link"] == "http://gw/#finding-f0"
    finding = Finding("f1", "d1", Kind.SPIKE, Severity.WARNING, 1.0, 1.0)
    assert of_finding(FindingEvent.OPENED, finding, verdict_of_a_spike("d1"), since="now")["link"] is None


def test_a_notice_of_many_findings_is_bounded() -> None:
    """All devices are counted, the first are named and listed."""
    total = MAX_FINDINGS + 50
    held = notice_of(0)
    for number in range(1, total):
        held = joined(held, notice_of(number))
    assert (held["device_count"], held["more"], len(held["findings"])) == (total, 50, MAX_FINDINGS)
    assert held["incident_id"] == "i"
    assert held["title"] == f"Warning: d0 and {total - 1} more devices"
    assert held["text"].startswith(f"{total} devices: d0, d1, d2, d3, d4 and {total - 5} more.\n")
    assert joined(notice_of(0), notice_of(1))["title"] == "Warning: d0 and 1 more device"


def test_findings_that_are_over_come_last_in_a_notice() -> None:
    """It is over with the last of them; of one finding it is that of the finding."""
    both = joined(notice_of(0), notice_of(1))
    first = joined(both, notice_of(0, FindingEvent.CLEARED))
    assert (first["event"], first["device"], first["device_count"]) == ("opened", "d1\n", 2)
    over = joined(first, notice_of(1, FindingEvent.CLEARED))
    assert over["event"] == "cleared"
    assert without(both, "f1") == notice_of(0)
    assert without(notice_of(0), "f0") is None
    assert joined(notice_of(0), notice_of(0, kind=Kind.DRIFT)) == notice_of(0, kind=Kind.DRIFT)


def test_an_incident_ends_with_the_last_finding_that_nobody_knows_of() -> None:
    """Its severity is the highest that it had."""
    last = Finding("f", "d1", Kind.SILENCE, Severity.WARNING, 1.0, 1.0, state=FindingState.CLEARED)
    other = replace(last, id="g", device="d2", state=FindingState.OPEN)
    incident = Incident("i", 1.0, Cause.SILENCE, Severity.CRITICAL)

    def end(*still: Finding) -> Severity | None:
        return end_of(last, [Change(IncidentEvent.UPDATED, incident, still, still)], 10.0)

    assert end(other) is None
    assert end(replace(other, state=FindingState.ACKNOWLEDGED)) is Severity.CRITICAL
    assert end() is Severity.CRITICAL
    assert end_of(last, [], 10.0) is Severity.WARNING


def test_a_silence_waits_for_others_of_its_source() -> None:
    """Not one that is alone, called offline or critical, nor another kind of finding."""
    silence = Finding("f", "d1", Kind.SILENCE, Severity.WARNING, 1.0, 1.0)
    around = Surroundings(place=Place("s"), interval_s=720.0, siblings=3)
    assert around.spread_s(silence) == 720.0
    assert replace(around, interval_s=86_400.0).spread_s(silence) == MAX_SPREAD_S
    for one in (replace(around, siblings=2), replace(around, offline=True), replace(around, place=None)):
        assert one.spread_s(silence) == 0.0
    assert around.spread_s(replace(silence, kind=Kind.SPIKE)) == 0.0
    assert around.spread_s(replace(silence, severity=Severity.CRITICAL)) == 0.0


def test_the_end_of_an_incident_counts_its_devices() -> None:
    """Alone, and in a notice that had not gone out."""
    finding = Finding("f9", "d9", Kind.SILENCE, Severity.WARNING, 1.0, 1.0, incident="i")
    verdict = verdict_of_a_spike("d9")
    over = of_finding(FindingEvent.CLEARED, finding, verdict, since="now", devices=25)
    assert (over["title"], over["device_count"]) == ("Over: d9 and 24 more devices", 25)
    assert over["text"].startswith("25 devices: d9 and 24 more.\n")
    both = joined(joined(notice_of(0), notice_of(0, FindingEvent.CLEARED)), over)
    assert both["device_count"] == 25
    assert both["title"].endswith(" and 24 more devices")
    assert both["title"].startswith("Over: ")
    alone = of_finding(FindingEvent.CLEARED, finding, verdict, since="now")
    assert alone["title"] == "Over: d9"


@pytest.mark.parametrize(
    ("severities", "title"),
    [
        ("ccc", "3 more notices, all critical"),
        ("cww", "3 more notices, 1 critical"),
        ("ww", "2 more notices"),
        ("c", "1 more notice, critical"),
        ("c" * (MAX_ITEMS + 2), f"{MAX_ITEMS + 2} more notices, at least {MAX_ITEMS} critical"),
        ("c" + "w" * MAX_ITEMS, f"{MAX_ITEMS + 1} more notices, 1 critical"),
    ],
)
def test_the_title_of_a_summary_says_what_is_critical(severities: str, title: str) -> None:
    """It may be all that a phone shows."""
    names = {"c": Severity.CRITICAL, "w": Severity.WARNING}
    items = [{**item_of(notice_of(n)), "severity": names[one]} for n, one in enumerate(severities)]
    assert summarise("ops", items, 0, agent="gw1", at=0.0)["title"] == title
