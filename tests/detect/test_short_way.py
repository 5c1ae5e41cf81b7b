"""The short way of calm readings learns what the long way learns."""

import random
from collections.abc import Iterator

import pytest

from agent.detect import Detector, DetectSettings, Limit, Tuning, calm
from agent.detect.tracked import Series
from agent.domain.records import Reading, Score
from tests.detect import signals

SIGNALS = {
    "white": signals.white,
    "day": signals.day_curve,
    "wander": signals.walk(0.9),
    "freezer": signals.duty_cycle,
    "power": signals.power,
}
STEP_S = 60.0


def spoilt(name: str, count: int) -> Iterator[Reading]:
    """Four series, in turn, with spikes, shifts, stuck values, late readings and pauses."""
    dice = random.Random(name)
    values, off, last, at = SIGNALS[name](random.Random(1), STEP_S), 0.0, 0.0, signals.START
    for place in range(count):
        at += STEP_S if dice.random() > 0.002 else 7000.0
        off = dice.choice((0.0, 0.0, 8.0, -8.0)) if dice.random() < 0.002 else off
        value = next(values) + off + (30.0 if dice.random() < 0.001 else 0.0)
        last = value = last if dice.random() < 0.1 else value
        late = 90.0 if dice.random() < 0.01 else 0.0
        metric = ("exact", "rounded", "battery", "rssi")[place % 4]
        unit = dice.choice(("W", "W", "W", None)) if place > 300 else None
        yield Reading("d", metric, at - late, value if metric == "exact" else round(value, 1), unit)


def scores(name: str) -> tuple[list[Score], bytes]:
    limits = [Limit("*/rounded", low=-100.0, high=40.0)]
    detector = Detector(DetectSettings(flat_readings=8), limits, [Tuning("*/exact", sensitivity="eager")])
    found = [detector.update(reading, reading.at) for reading in spoilt(name, 5000)]
    return found, detector.dump()


@pytest.mark.parametrize("name", SIGNALS)
def test_short_way_learns_what_the_long_way_learns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, and most readings take it."""
    taken, take = [], calm.take

    def count(series: Series, frame: calm.Frame, x: float, at: float, k: DetectSettings) -> bool:
        taken.append(take(series, frame, x, at, k))
        return taken[-1]

    with monkeypatch.context() as patch:
        patch.setattr(calm, "take", count)
        short = scores(name)
    monkeypatch.setattr(calm, "frame_of", lambda *_: None)
    assert short == scores(name)
    assert sum(taken) > 1000


def test_a_series_that_is_learning_takes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of its readings do, and each shows how far it has come."""
    closely, long_way = [], Detector._judge_closely

    def count(detector: Detector, reading: Reading, series: Series) -> tuple[Reading, Score]:
        closely.append(reading)
        return long_way(detector, reading, series)

    monkeypatch.setattr(Detector, "_judge_closely", count)
    detector, values = Detector(), signals.white(random.Random(5), STEP_S)
    found = [
        detector.update(Reading("d", "w", signals.START + place * STEP_S, next(values), None), 0.0)
        for place in range(140)
    ]
    assert [score.progress.seen for score in found if score.progress] == list(range(1, 141))
    assert len(closely) < 50


def test_a_restart_changes_nothing_when_a_series_joins_late() -> None:
    """A detector from a dump goes on bit for bit, also where a series joined the device late."""
    on, values = Detector(), signals.white(random.Random(3), STEP_S)
    stream = [Reading("d", "w", signals.START + place * STEP_S, next(values), None) for place in range(2000)]
    late = [Reading("d", name, reading.at, reading.value, None) for reading in stream for name in "xyz"]
    for reading in stream[:1000]:
        on.update(reading, reading.at)
    for reading in late[3000:3003]:
        on.update(reading, reading.at)
    again = Detector()
    again.load(on.dump())
    for reading in stream[1000:]:
        assert on.update(reading, reading.at) == again.update(reading, reading.at)
    assert on.dump() == again.dump()
