"""Events of devices, verdicts and findings, and their subscribers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from agent.domain.records import (
    CommandOutcome,
    CommandRow,
    Finding,
    FindingEvent,
    Incident,
    IncidentEvent,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class DeviceSeen:
    """The first reading of a device; perhaps again after a restart, or when the device was forgotten."""

    device: str
    clock: float


@dataclass(frozen=True, slots=True)
class VerdictCommitted:
    """A verdict is on disk with its outbox rows."""

    verdict: Verdict
    waited_s: float  # since the window opened
    seen_only_by: str | None  # ai_only | local_only: the side that alone saw an anomaly


@dataclass(frozen=True, slots=True)
class FindingChanged:
    """A finding was opened, updated or cleared by a verdict; both are on disk."""

    change: FindingEvent
    finding: Finding
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class CommandDecided:
    """A person's command was decided; its outcome is on disk, with the findings that it changed."""

    row: CommandRow
    outcome: CommandOutcome
    findings: tuple[Finding, ...]  # as they are now


@dataclass(frozen=True, slots=True)
class IncidentChanged:
    """An incident was opened, updated, merged into an older one or closed; that is on disk."""

    change: IncidentEvent
    incident: Incident
    findings: tuple[Finding, ...]  # the open ones, the worst of them


Event = DeviceSeen | VerdictCommitted | FindingChanged | CommandDecided | IncidentChanged
E = TypeVar("E", DeviceSeen, VerdictCommitted, FindingChanged, CommandDecided, IncidentChanged)


class Subscribers:
    """The receivers of each kind of event, called on the analyst's loop in order of subscription.

    ``note`` gets the exception of a subscriber that fails; the others are called all the same.
    """

    def __init__(self, *, note: Callable[[Exception], None]) -> None:
        self._note = note
        self._of: dict[type[Event], list[Callable[[Any], None]]] = {}

    def subscribe(self, kind: type[E], take: Callable[[E], None]) -> None:
        """Have ``take`` called with each event of this kind. At build only."""
        self._of.setdefault(kind, []).append(take)

    def publish(self, event: Event) -> None:
        """Call each subscriber of the event's kind."""
        for take in self._of.get(type(event), ()):
            try:
                take(event)
            except Exception as error:  # noqa: BLE001 - a subscriber must not end the path
                self._note(error)
