"""Quiet hours, digests and the words of notices."""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from agent.domain.records import Finding, FindingEvent, Kind, Outcome, Reason, Severity, Verdict
from agent.verdict.notice import MAX_ITEMS, NoticeRules, is_news, item_of, of_finding, summarise
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


def test_the_day_of_a_digest() -> None:
    """It is the last whose time has come."""
    assert NIGHT.digest_day(at("2026-11-27T07:29:59")) == "2026-11-26"
    assert NIGHT.digest_day(at("2026-11-27T07:30")) == "2026-11-27"
    assert NIGHT.next_digest_s(at("2026-11-27T07:29")) == 60.0
    assert NIGHT.next_digest_s(at("2026-11-27T07:30")) == 86_400.0
    assert NoticeRules().digest_day(0.0) is None
    assert NIGHT.digest_day(1e30) is not None  # a clock beyond any calendar


def test_what_is_news() -> None:
    """A name that becomes surer is none, a higher severity is."""
    before = Finding("f", "d1", Kind.SPIKE, Severity.WARNING, 1.0, 1.0)
    renamed = replace(before, kind=Kind.DRIFT)
    worse = replace(before, severity=Severity.CRITICAL)
    assert is_news(FindingEvent.OPENED, before, None)
    assert not is_news(FindingEvent.UPDATED, renamed, before)
    assert is_news(FindingEvent.UPDATED, worse, before)
    assert is_news(FindingEvent.CLEARED, before, before)


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
