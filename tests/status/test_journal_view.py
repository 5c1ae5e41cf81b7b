"""The status shows rows of the journal's file, and the worst findings first."""

from agent.domain.records import Finding, Kind, Severity
from agent.status.journal_view import worst_first
from tests.support.make import T0


def test_the_worst_findings_come_first_then_the_newest() -> None:
    """Of 61 the critical one is never left out, whenever it opened."""
    warnings = [
        Finding(f"w{place}", f"d{place}", Kind.SPIKE, Severity.WARNING, T0 + place, T0) for place in range(60)
    ]
    critical = Finding("c", "boiler", Kind.OUT_OF_RANGE, Severity.CRITICAL, T0 - 9e5, T0)
    shown = [one.id for one in worst_first([*warnings, critical])]
    assert shown == ["c", *(f"w{place}" for place in reversed(range(60)))]
