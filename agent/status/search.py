"""Search of the page: which findings, incidents and devices the status shows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qs

from agent.domain.records import Finding, Severity
from agent.status.journal_view import SEVERITIES
from agent.status.schema import MAX_DEVICES, MAX_OF_INCIDENT

MAX_SEARCH = 128  # characters
FILTERS = ("critical", "finding", "silent", "unreadable", "learning")


@dataclass(frozen=True, slots=True)
class Search:
    """A search of the page: a part of a device's name in lower case, and one of :data:`FILTERS`.

    The finding or incident with the id ``at`` is shown in any case: a link leads to it.
    """

    text: str = ""
    only: str = ""
    at: str = ""

    def names(self, device: str) -> bool:
        """Return whether the text is a part of the device's name."""
        return self.text in device.casefold()

    def wants(self, finding: Finding) -> bool:
        """Return whether a finding is of such a device, and as severe as is asked for."""
        severe = self.only != "critical" or finding.severity is Severity.CRITICAL
        return severe and self.names(finding.device)


EVERYTHING = Search()


def read_search(query: str) -> Search:
    """Return the search in the query of an address; a filter that is not known is none."""
    try:
        given = parse_qs(query, encoding="utf-8", errors="replace", max_num_fields=8)
    except ValueError:
        return EVERYTHING
    text, only, at = (given.get(name, [""])[0][:MAX_SEARCH] for name in ("q", "only", "at"))
    return Search(text.casefold(), only if only in FILTERS else "", at)


class Card(NamedTuple):
    """An open incident: its findings, and those that are shown."""

    incident: str  # the id of its finding, if that has none
    findings: Sequence[Finding]
    shown: Sequence[Finding]


def choose(findings: Iterable[Finding], search: Search, clock: float) -> list[Card]:
    """Return the incidents that are searched for: the linked one, then the worst, then the newest.

    Of one severity those come first that nobody has acknowledged.
    """
    groups: dict[str, list[Finding]] = {}
    for one in sorted(findings, key=lambda one: _rank(one, clock)):
        groups.setdefault(one.incident or one.id, []).append(one)
    linked = [key for key, group in groups.items() if search.at in (key, *(one.id for one in group))]
    cards: list[Card] = []
    room = MAX_DEVICES
    for key in dict.fromkeys((*linked, *groups)):
        group = groups[key]
        wanted = [one for one in group if key in linked or search.wants(one)]
        shown = sorted(wanted, key=lambda one: one.id != search.at)[: min(MAX_OF_INCIDENT, room)]
        if shown:
            cards.append(Card(key, group, shown))
            room -= len(shown)
    return cards


def _rank(one: Finding, clock: float) -> tuple[int, bool, float, str]:
    return (-SEVERITIES.index(one.severity), one.quiet(clock), -one.opened, one.id)
