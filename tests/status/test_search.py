"""Order and number of the findings that the page shows, and its search."""

import pytest

from agent.domain.records import Finding, FindingState, Kind, Severity
from agent.status.schema import MAX_DEVICES, MAX_OF_INCIDENT
from agent.status.search import EVERYTHING, MAX_SEARCH, Search, choose, read_search

NOW = 1000.0


def found(
    name: str,
    incident: str | None,
    severity: Severity = Severity.WARNING,
    opened: float = 0.0,
    **more: object,
) -> Finding:
    return Finding(name, f"hall/{name}", Kind.SPIKE, severity, opened, opened, incident=incident, **more)  # type: ignore[arg-type]


CRITICAL = Severity.CRITICAL
SITE = [
    found("old", "i1", opened=1.0),
    found("new", "i2", opened=2.0),
    found("known", "i3", CRITICAL, opened=9.0, state=FindingState.ACKNOWLEDGED),
    found("worst", "i4", CRITICAL, opened=3.0),
    found("mild", "i4", opened=99.0),
    found("alone", None, opened=0.5),
]


def shown(search: Search) -> list[tuple[str, list[str]]]:
    return [(card.incident, [one.id for one in card.shown]) for card in choose(SITE, search, NOW)]


def test_the_worst_comes_first_with_the_findings_of_its_incident() -> None:
    """Then what is known already, then the newest; a finding without an incident has a card of its own."""
    assert shown(EVERYTHING) == [
        ("i4", ["worst", "mild"]),
        ("i3", ["known"]),
        ("i2", ["new"]),
        ("i1", ["old"]),
        ("alone", ["alone"]),
    ]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("q=HALL%2Fm", [("i4", ["mild"])]),
        ("only=critical", [("i4", ["worst"]), ("i3", ["known"])]),
        ("q=old&only=critical", []),
        ("q=old&at=mild", [("i4", ["mild", "worst"]), ("i1", ["old"])]),
        ("q=old&at=i2", [("i2", ["new"]), ("i1", ["old"])]),
        ("q=old&at=gone", [("i1", ["old"])]),
    ],
)
def test_a_search_leaves_out_all_but_the_linked_incident(
    query: str, wanted: list[tuple[str, list[str]]]
) -> None:
    assert shown(read_search(query)) == wanted


def test_a_large_incident_hides_no_other() -> None:
    """Six findings of it, in all as many as there is room for; it has all of them still."""
    many = [found(f"a{place:03}", "big", opened=float(place)) for place in range(400)]
    others = [found(f"b{place:03}", f"i{place}", opened=-float(place)) for place in range(60)]
    cards = choose([*many, *others], EVERYTHING, NOW)
    assert len(cards[0].shown) == MAX_OF_INCIDENT
    assert len(cards[0].findings) == 400
    assert sum(len(card.shown) for card in cards) == MAX_DEVICES
    assert cards[1].incident == "i0"
    linked = choose(many, Search(at="a000"), NOW)[0]
    assert linked.shown[0].id == "a000"


@pytest.mark.parametrize(
    "query", ["&" * 40, "only=all", "q=" + "x" * 9000, "only=%ff&q=%00", "at=" + "9" * 999]
)
def test_a_hostile_query_is_a_bounded_search(query: str) -> None:
    search = read_search(query)
    assert search.only == ""
    assert max(len(search.text), len(search.at)) <= MAX_SEARCH
