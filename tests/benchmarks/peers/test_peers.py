"""The comparison on a small load: each contestant takes every message."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.peers.__main__ import chart, figures, ratios
from tests.benchmarks.peers.contestants import ALL, BarePaho, Contestant, LosingPaho, NodeRed
from tests.benchmarks.peers.growth import Growth, grow, rows_of
from tests.benchmarks.peers.load import Load
from tests.benchmarks.peers.measure import Plan, compare

KINDS = [
    pytest.param(kind, marks=pytest.mark.browser) if kind is NodeRed else kind for kind in ALL
]  # its node
PLAN = Plan(series=30, burst=500, rates=(1_000.0,), seconds=0.5)


@pytest.mark.broker
@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_contestant_takes_every_message(tmp_path: Path, kind: type[Contestant]) -> None:
    """A burst and a steady rate, CPU and memory counted, its PUBACKs timed if it subscribes at QoS 1."""
    if (why := kind.missing()) is not None:
        pytest.skip(why)
    (result,) = compare([kind], PLAN, tmp_path)
    assert (result.sent, result.lost) == (1_000, 0)
    assert result.burst_us > 0
    assert result.shares[1_000.0] > 0
    assert result.peak_mib > 1
    assert (result.ack_p99_ms is not None) == kind.acknowledges


@pytest.mark.broker
@pytest.mark.process
@pytest.mark.slow
def test_a_contestant_that_loses_messages_is_reported(tmp_path: Path) -> None:
    """A control: the client acknowledges each tenth message and forgets it."""
    results = list(compare([BarePaho, LosingPaho], PLAN, tmp_path))
    assert [one.lost for one in results] == [0, 100]
    table = str(figures(results, PLAN))
    assert "100 of 1000" in table
    assert "burst, x bare paho" in str(ratios(results))
    assert chart(results).count("<rect") == 1 + 2 + 2 * 2


@pytest.mark.broker
@pytest.mark.process
@pytest.mark.slow
def test_growth_has_a_row_for_each_size(tmp_path: Path) -> None:
    """Cost with other series, devices, payloads and journals, against the first row of its kind."""
    growth = Growth(messages=500, series=(30, 60), metrics=(3,), sizes=(200,), rows=(600,))
    table = grow(growth, tmp_path)
    assert [name for name, _ in table.rows] == [row.name for row in rows_of(growth)]
    ratios_to_first = [cells[1] for _, cells in table.rows]
    assert [ratios_to_first[place] for place in (0, 2, 3, 4)] == ["1.00"] * 4
    assert all(float(str(cells[0])) > 0 for _, cells in table.rows)


def test_payloads_are_json_of_the_size_asked_for() -> None:
    """A value and a unit, as devices send them, and a text as long as it takes."""
    load = Load(prefix="x", series=6, metrics=2, size=300)
    messages = list(load.messages(12))
    assert {len(payload) for _, payload in messages} == {300}
    topics = [topic for topic, _ in messages[:3]]
    assert topics == ["x/d0000/temperature", "x/d0000/humidity", "x/d0001/temperature"]
    body = json.loads(messages[0][1])
    assert (body["unit"], set(body)) == ("°C", {"value", "unit", "note"})
