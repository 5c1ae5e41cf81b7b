"""A device of very many series: each new one costs the same."""

import random
from typing import Any

import pytest

from agent.detect import Detector, Tuning
from agent.detect.detector import CROWD
from agent.detect.state import MATES
from agent.domain.records import Reading

DEVICE, AT = "big", 1_700_000_000.0


def meet(detector: Detector, first: int, last: int) -> None:
    """Let a device send new metrics, each third of them ignored."""
    rng = random.Random(first)
    for number in range(first, last):
        name = f"m{number}" if number % 3 else f"ignored{number}"
        detector.judge(Reading(DEVICE, name, AT + number, rng.random()), AT + number)


def fresh() -> Detector:
    """Return a detector that ignores some metrics."""
    detector = Detector(tuning=[Tuning("*/ignored*", ignore=True)])
    detector.connected(AT)
    return detector


def mates(detector: Detector) -> set[float]:
    """Return how many judged series the series of the device count."""
    return {series.state[MATES] for series in detector._series[DEVICE].values()}


def test_few_series_are_counted_exactly() -> None:
    """Without those that are ignored."""
    detector = fresh()
    for known in range(1, CROWD + 1):
        meet(detector, known, known + 1)
        assert mates(detector) == {known - known // 3}


@pytest.mark.parametrize("count", [CROWD + 1, 60, 100, 500, 3000])
def test_many_are_counted_to_an_eighth(count: int) -> None:
    """All of them know the same number, also after a restart and when some are forgotten."""
    detector, judged = fresh(), count - (count + 2) // 3
    meet(detector, 0, count)
    (known,) = mates(detector)
    assert 0.875 * judged < known <= judged
    again = fresh()
    again.load(detector.dump())
    for one in (detector, again):
        meet(one, count, count + 50)
    assert again.dump() == detector.dump()
    detector.forget(DEVICE)
    meet(detector, 1, 3)
    assert mates(detector) == {2.0}


def test_the_others_are_seldom_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """3,000 new series took 3,000 passes over all of them."""
    passes: list[int] = []
    through = Detector._set_mates

    def counted(self: Detector, device: str, count: int) -> Any:
        passes.append(count)
        return through(self, device, count)

    monkeypatch.setattr(Detector, "_set_mates", counted)
    meet(fresh(), 0, 3000)
    assert CROWD < len(passes) < 100
