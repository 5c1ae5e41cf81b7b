"""Findings whose metrics have fallen away, and may never come back."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count

from agent.domain.records import (
    CALM,
    Absence,
    Finding,
    FindingEvent,
    FindingState,
    Kind,
    Outcome,
    Reason,
    Score,
    Severity,
    Silence,
    TimerKind,
    TimerRow,
    Trigger,
    Verdict,
    Window,
)
from agent.journal.codec import decode_window, encode_window
from agent.pipeline.seal import Sealer
from agent.pipeline.window import Windows, WindowSettings
from agent.verdict.finding import GONE_S, Findings
from agent.verdict.notice import is_wanted, news
from agent.verdict.verdict import conclude
from tests.support.make import T0, reading

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
MANY = [f"m{number}" for number in range(20)]


class Site:
    """A device whose windows move its finding; what people get is noted."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.notices: list[FindingEvent] = []
        self.absent: list[str] = []
        self._rows: Iterator[int] = count(1)
        self._sealer = Sealer(
            journal="j",
            agent="gw",
            may_ask=lambda *_: False,
            views=lambda *_: (),
            silence=lambda _: None,
            absent=lambda _: self.absent,
        )

    def send(self, at: float, values: Mapping[str, Score]) -> Finding | None:
        row, windows = next(self._rows), Windows(WindowSettings())
        readings = [(reading(20.0, T0 + at, metric=metric), score) for metric, score in values.items()]
        windows.add("d1", row, T0 + at, readings, None)
        (draft,) = windows.seal_device("d1", T0 + at, Trigger.AGE)
        return self._move(self._sealer.seal(draft), at)

    def fall_away(self, at: float, *metrics: str, since: float = 0.0) -> Finding | None:
        self.absent += metrics
        absent = tuple(Absence(metric, T0 + since, 45.2, "%") for metric in metrics)
        silence = Silence("d1", T0 + since, "x", 1.0, 60.0, at - since, 1.0, absent=absent)
        row = TimerRow(next(self._rows), T0 + at, TimerKind.TICK)
        return self._move(self._sealer.seal_silence(silence, row, row.seq - 1), at)

    def _move(self, window: Window, at: float) -> Finding | None:
        window = decode_window(encode_window(window))
        self.verdict: Verdict = conclude(
            window, Outcome(window.id, Reason.REVIEW_OFF), agent="gw", created=T0 + at
        )
        before = self.findings.get("d1")
        finding, event = self.findings.move(self.verdict, window, reviewed=False)
        if finding is not None:
            change = news(event, finding, before)
            if change is not None and is_wanted(finding, before, T0 + at):
                self.notices.append(change)
        return finding


USUAL = {"temperature": CALM}
ALARM = {"temperature": Score(1.5, Kind.SPIKE, (19.0, 21.0))}


def test_it_is_open_until_the_metric_is_back() -> None:
    """Other metrics of the device do not end it."""
    site = Site()
    site.fall_away(0.0, "humidity", since=-2 * HOUR)
    assert site.notices == [FindingEvent.OPENED]
    verdict = site.verdict
    assert (verdict.kind, verdict.severity, verdict.readings) == (Kind.SILENCE, Severity.WARNING, 0)
    assert verdict.summary == (
        "No value of humidity for 2.0 h, while other values of the device go on; humidity was last 45.2 %."
    )
    assert [(one.metric, one.value) for one in verdict.evidence] == [("humidity", 45.2)]
    for minute in range(1, 600):
        finding = site.send(minute * MINUTE, USUAL)
        assert finding is not None
        assert finding.state is FindingState.OPEN
        assert finding.silent_since is None
    for minute in range(600, 603):
        finding = site.send(minute * MINUTE, {**USUAL, "humidity": CALM})
    assert finding is not None
    assert finding.state is FindingState.CLEARED
    assert site.notices == [FindingEvent.OPENED, FindingEvent.CLEARED]


def test_a_device_of_many_metrics() -> None:
    """A window cites a few of them, and the one that is back may not be among these."""
    site = Site()
    rest = dict.fromkeys(MANY, CALM)
    site.fall_away(0.0, "humidity", since=-2 * HOUR)
    for minute in range(1, 20):
        assert site.send(minute * MINUTE, rest) is site.findings.get("d1") is not None
    for minute in range(20, 23):
        site.send(minute * MINUTE, {"humidity": CALM, **rest})
    assert site.findings.get("d1") is None


def test_another_fault_is_told_meanwhile() -> None:
    """Once, and what has fallen away is not over with it."""
    site = Site()
    site.fall_away(0.0, "humidity", since=-2 * HOUR)
    for minute in range(1, 4):
        site.send(minute * MINUTE, USUAL)
    for minute in range(4, 8):
        site.send(minute * MINUTE, ALARM)
    assert site.notices == [FindingEvent.OPENED, FindingEvent.UPDATED]
    for minute in range(8, 60):
        site.send(minute * MINUTE, USUAL)
    assert "d1" in site.findings
    site.fall_away(HOUR, "pressure", since=-HOUR)
    assert site.notices == [FindingEvent.OPENED, FindingEvent.UPDATED, FindingEvent.UPDATED]


def test_it_is_news_to_who_knew_of_another_anomaly() -> None:
    """Also where they acknowledged that."""
    site = Site()
    finding = site.send(0.0, ALARM)
    assert finding is not None
    site.findings.put(replace(finding, state=FindingState.ACKNOWLEDGED))
    finding = site.fall_away(HOUR, "humidity")
    assert finding is not None
    assert finding.state is FindingState.OPEN
    assert site.notices == [FindingEvent.OPENED, FindingEvent.UPDATED]


def test_what_never_comes_back_is_forgotten() -> None:
    """After a week in which the device lives, and the next anomaly opens a finding of its own."""
    site = Site()
    site.fall_away(0.0, "humidity", since=-2 * HOUR)
    site.send(HOUR, USUAL)
    assert "d1" in site.findings
    finding = site.send(HOUR + GONE_S - 1.0, USUAL)
    assert finding is not None
    assert finding.state is FindingState.OPEN
    gone = site.send(HOUR + GONE_S, USUAL)
    assert gone is not None
    assert (gone.state, gone.ended) == (FindingState.FORGOTTEN, T0 + HOUR + GONE_S)
    assert "d1" not in site.findings
    again = site.send(2 * HOUR + GONE_S, ALARM)
    assert again is not None
    assert again.id != gone.id
    assert (again.state, again.calm_s) == (FindingState.OPEN, 0.0)


def test_a_value_of_the_metric_within_the_week_prolongs_it() -> None:
    """Of any finding: what counts is the time since the last of its values."""
    site = Site()
    site.send(0.0, ALARM)
    other = {"humidity": CALM}
    for day in range(1, 6):
        site.send(day * DAY, other)
    site.send(6 * DAY, ALARM)
    for day in range(7, 14):
        finding = site.send(day * DAY, other)
        assert finding is not None
        assert finding.state is FindingState.OPEN
    finding = site.send(14 * DAY, other)
    assert finding is not None
    assert finding.state is FindingState.FORGOTTEN


def test_a_device_that_is_silent_is_not_forgotten() -> None:
    """Nothing of it comes at all."""
    site = Site()
    site.fall_away(0.0, "humidity", since=-2 * HOUR)
    site.send(HOUR, USUAL)
    finding = site.fall_away(30 * DAY, "temperature", since=HOUR)
    assert finding is not None
    assert finding.state is FindingState.OPEN
    assert "d1" in site.findings


def test_a_limit_that_is_kept_again_is_over_while_a_metric_is_away() -> None:
    """Its alert ends; the finding goes on without a notice, about the metric alone."""
    site = Site()
    site.fall_away(0.0, "humidity", since=-2 * HOUR)
    broken = {"temperature": Score(3.5, Kind.OUT_OF_RANGE, (19.0, 21.0), limit=True)}
    for minute in range(1, 4):
        finding = site.send(minute * MINUTE, broken)
        assert finding is not None
        assert finding.alarm is Kind.OUT_OF_RANGE
    notices = list(site.notices)
    for minute in range(4, 9):
        finding = site.send(minute * MINUTE, USUAL)
    assert finding is not None
    assert (finding.alarm, finding.severity, finding.limit) == (Kind.SILENCE, Severity.WARNING, False)
    assert [one.metric for one in finding.seen] == ["humidity"]
    assert site.notices == notices
    site.send(10 * MINUTE, broken)
    assert len(site.notices) == len(notices) + 1
