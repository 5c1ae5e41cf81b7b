"""Findings and their incidents, moved on by verdicts; live, and in event time."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from agent.detect import Detector
from agent.domain.records import Finding, FindingEvent, Place, Status, Verdict, Window
from agent.verdict.finding import Findings
from agent.verdict.incident import Change, Incidents, Shared, Surroundings, move_of


class Places(Protocol):
    """The source of each device, and how many devices a source has."""

    def of(self, device: str) -> Place | None:
        """Return the place of a device."""
        ...

    def count(self, source: str) -> int:
        """Return how many devices a source has."""
        ...


class Step(NamedTuple):
    """Changes by one verdict: of the finding of its device, and of incidents."""

    finding: Finding | None
    event: FindingEvent | None
    moved: Sequence[Finding] = ()  # to another incident
    changes: Sequence[Change] = ()
    spread_s: float = 0.0  # for how long others may come with the cause of a finding that opens
    back: bool = False  # it opens in the incident of the last one of its device


class Causes:
    """The open findings, one per device, and their incidents.

    ``around`` returns the surroundings of the device of a window.
    """

    def __init__(self, findings: Findings, around: Callable[[Window], Surroundings]) -> None:
        self.findings = findings
        self.incidents = Incidents()
        self._around = around

    def shared(self, window: Window) -> Shared:
        """Return the incident of a window's device, or what its anomaly would share with others."""
        finding = self.findings.get(window.device)
        if finding is not None and finding.awaits == window.id:
            return self.incidents.beside(finding)
        if finding is not None:
            return Shared(self.incidents.of(finding))
        if window.local.status is not Status.ANOMALY:
            return Shared()
        around = self._around(window)
        return self.incidents.shared_by(window.device, window.local.kind, window.sealed, around)

    def move(self, verdict: Verdict, window: Window, *, reviewed: bool, early: bool = False) -> Step:
        """Move the finding and its incident on; see :meth:`agent.verdict.finding.Findings.move`."""
        finding, event = self.findings.move(verdict, window, reviewed=reviewed, early=early)
        if finding is None:
            return Step(None, event)
        if finding.incident is not None or event is not FindingEvent.OPENED:
            return Step(finding, event, (), self.incidents.update(finding))
        around = self._around(window)
        spread_s = around.spread_s(finding)
        finding, moved, changes = self.incidents.open(finding, around)
        for one in (*moved, finding):
            self.findings.put(one)
        return Step(finding, event, moved, changes, spread_s, self.incidents.had(finding))


def surroundings(window: Window, places: Places, detector: Detector) -> Surroundings:
    """Return the surroundings of the device of a window."""
    device = window.device
    place = places.of(device)
    if place is None:
        return Surroundings()
    return Surroundings(
        place=place,
        offline=place.link is not None,
        interval_s=detector.usual_interval(device),
        siblings=places.count(place.source),
        move=move_of(window.local),
        alike=detector.alike,
        share_day=detector.share_day,
    )
