"""Thinned readings of a device, and bounds of the query."""

import json
from pathlib import Path

import pytest

from agent.status.device_history import HOURS, MAX_ID, POINTS, read_device, thin

END = HOURS * 3600.0


def test_a_peak_survives_the_thinning() -> None:
    """100,000 values are 120 points, and the one that differs is in its place."""
    values = [(place * END / 100_000, 99.0 if place == 70_001 else 20.0) for place in range(100_000)]
    points = thin(values, 0.0, END)
    assert len(points) == POINTS
    assert [place for place, (_, low, high) in enumerate(points) if (low, high) != (20.0, 20.0)] == [84]
    assert points[84][1:] == (20.0, 99.0)


def test_a_gap_has_no_point() -> None:
    """Silence is not drawn as a value."""
    points = thin([(0.0, 1.0), (END, 2.0)], 0.0, END)
    assert [(low, high) for _, low, high in points] == [(1.0, 1.0), (2.0, 2.0)]


@pytest.mark.parametrize(
    "query", ["", "id=", "id=nobody", "x", "id=%ff%00", "id=" + "a" * 9000, "&" * 50, "id=<script>"]
)
def test_a_hostile_query_is_an_empty_answer(query: str, tmp_path: Path) -> None:
    """Nothing is found, the id is bounded, and the answer is JSON."""
    answer = json.loads(read_device(tmp_path, query, now=END))
    assert (answer["series"], answer["findings"], answer["read_from"]) == ([], [], None)
    assert len(answer["id"]) <= MAX_ID
