"""Findings open, are updated and clear."""

from agent.domain.records import Finding, FindingEvent, Kind, Severity, Status
from agent.verdict.finding import CLEAR_AFTER, advance
from tests.support.make import T0


def step(
    finding: Finding | None,
    status: Status,
    kind: Kind = Kind.SPIKE,
    severity: Severity = Severity.WARNING,
    *,
    reviewed: bool = False,
    clock: float = T0,
) -> tuple[Finding | None, FindingEvent | None]:
    return advance(
        finding,
        device="d",
        status=status,
        kind=kind,
        severity=severity,
        verdict_id="v1",
        clock=clock,
        reviewed=reviewed,
    )


def test_life_of_a_finding() -> None:
    """It opens with an anomaly, stays silent while nothing changes, and clears after three normal windows."""
    finding, event = step(None, Status.ANOMALY)
    assert event is FindingEvent.OPENED
    assert finding is not None
    first = finding.id
    finding, event = step(finding, Status.ANOMALY)
    assert event is None
    events = []
    for _ in range(CLEAR_AFTER):
        finding, event = step(finding, Status.NORMAL)
        events.append(event)
        assert finding is not None
        assert finding.id == first
    assert events == [None, None, FindingEvent.CLEARED]


def test_normal_and_uncertain_open_nothing() -> None:
    """Only an anomaly opens a finding."""
    assert step(None, Status.NORMAL) == (None, None)
    assert step(None, Status.UNCERTAIN) == (None, None)


def test_change_of_kind_or_rise_of_severity_is_told() -> None:
    """A new kind or a higher severity updates; a lower severity does not, and the peak is kept."""
    finding, _ = step(None, Status.ANOMALY)
    finding, event = step(finding, Status.ANOMALY, Kind.DRIFT)
    assert event is FindingEvent.UPDATED
    finding, event = step(finding, Status.ANOMALY, Kind.DRIFT, Severity.CRITICAL)
    assert event is FindingEvent.UPDATED
    finding, event = step(finding, Status.ANOMALY, Kind.DRIFT, Severity.WARNING)
    assert event is None
    assert finding is not None
    assert finding.severity is Severity.CRITICAL


def test_name_only_becomes_surer() -> None:
    """A spike becomes a shift, a shift a drift; the way back is not news, another anomaly is."""
    finding, _ = step(None, Status.ANOMALY)
    told = []
    for kind in (
        Kind.LEVEL_SHIFT,
        Kind.NOISE,
        Kind.SPIKE,
        Kind.DRIFT,
        Kind.LEVEL_SHIFT,
        Kind.FLATLINE,
        Kind.SPIKE,
    ):
        finding, event = step(finding, Status.ANOMALY, kind)
        assert finding is not None
        told.append((event is FindingEvent.UPDATED, finding.kind))
    assert told == [
        (True, Kind.LEVEL_SHIFT),
        (False, Kind.LEVEL_SHIFT),
        (False, Kind.LEVEL_SHIFT),
        (True, Kind.DRIFT),
        (False, Kind.DRIFT),
        (True, Kind.FLATLINE),
        (True, Kind.SPIKE),
    ]


def test_an_anomaly_between_normals_starts_the_count_again() -> None:
    """Three normal windows must come in a row; an uncertain one neither counts nor resets."""
    finding, _ = step(None, Status.ANOMALY)
    for status in (
        Status.NORMAL,
        Status.NORMAL,
        Status.ANOMALY,
        Status.NORMAL,
        Status.UNCERTAIN,
        Status.NORMAL,
    ):
        finding, event = step(finding, status)
        assert event is None
    _, event = step(finding, Status.NORMAL)
    assert event is FindingEvent.CLEARED


def test_reviews_are_remembered() -> None:
    """The clock of the last review is kept, for the six hours until the next."""
    finding, _ = step(None, Status.ANOMALY)
    finding, _ = step(finding, Status.ANOMALY, clock=T0 + 50)
    assert finding is not None
    assert finding.last_reviewed == T0
    finding, _ = step(finding, Status.ANOMALY, clock=T0 + 90, reviewed=True)
    assert finding is not None
    assert finding.last_reviewed == T0 + 90
