"""The table of kinds is the only list: all else follows it or is compared with it."""

from pathlib import Path
from typing import Any

import pytest

from agent.domain.kinds import OFFERED, Kind, Traits
from agent.verdict.encode import published_schema
from simulator.faults import FINDING_KINDS
from simulator.model import judge

DETECTION = (Path(__file__).parents[2] / "docs" / "detection.md").read_text(encoding="utf-8")


def test_a_row_without_a_part_is_refused() -> None:
    """A forgotten part fails where the row is made: at import."""
    with pytest.raises(TypeError, match="advice"):
        Traits(summary="is odd", sureness=None, hard=False, prompt=None, claim=None)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", list(Kind))
def test_a_kind_is_found_by_its_word(kind: Kind) -> None:
    """Journaled rows and replies hold the word alone."""
    assert Kind(kind.value) is kind
    assert str(kind) == f"{kind}" == kind.value


def test_no_word_is_taken_twice() -> None:
    """An enumeration would take a second row of one word as an alias of the first."""
    assert len(Kind.__members__) == len(list(Kind))


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.NONE])
def test_a_kind_has_words_for_people(kind: Kind) -> None:
    """Each anomaly has a predicate and an advice that end and begin as their sentences need it."""
    traits = kind.traits
    assert traits.summary.strip()
    assert not traits.summary.endswith(".")
    assert traits.advice is not None
    assert traits.advice.endswith(".")


def test_published_schemas_list_every_kind() -> None:
    """The verdict, its local opinion, the findings and the recent verdicts of the status."""
    verdict, status = (published_schema(name)["properties"] for name in ("verdict", "status"))
    places: list[dict[str, Any]] = [
        verdict["kind"],
        verdict["local"]["properties"]["kind"],
        status["findings"]["items"]["properties"]["kind"],
        status["recent_verdicts"]["items"]["properties"]["kind"],
    ]
    assert places == [{"enum": [str(kind) for kind in Kind]}] * len(places)


def test_the_simulator_knows_no_other_kind() -> None:
    """Its faults and its model name kinds of the agent, in a list of their own."""
    assert frozenset().union(*FINDING_KINDS.values()) <= set(Kind)
    assert set(OFFERED) >= judge.KINDS


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in {Kind.NONE, Kind.OTHER}])
def test_the_page_on_detection_has_a_row(kind: Kind) -> None:
    """The local detector finds each kind but ``other``, and the page names its rule."""
    assert f"\n| {kind.replace('_', ' ')} | " in DETECTION
