"""Each kind of fault is found, named and over when it is over."""

import math
import random

import pytest

from agent.domain.records import Kind
from tests.detect import signals
from tests.detect.stream import Stream, alarms, lead

WEEK = 10_080


@pytest.fixture
def white() -> tuple[Stream, list[float]]:
    """A stream that has seen a week of white noise (20, sd 1), and the noise that follows."""
    values = signals.take(signals.white, WEEK + 5000, seed=3)
    stream = Stream()
    stream.feed(values[:WEEK])
    return stream, values[WEEK:]


def test_spike_alarms_alone(white: tuple[Stream, list[float]]) -> None:
    """One wild reading alarms as a spike, its neighbours do not."""
    stream, after = white
    scores = stream.feed([*after[:5], 32.0, *after[5:30]])
    assert [place for place, score in enumerate(scores) if score.alarm] == [5]
    assert scores[5].kind is Kind.SPIKE


def test_spike_expects_the_usual_range(white: tuple[Stream, list[float]]) -> None:
    """The expected range of an alarm is what is usual, and does not hold the value."""
    stream, _ = white
    (score,) = stream.feed([32.0])
    assert score.expected is not None
    low, high = score.expected
    assert 15.0 < low < 18.0
    assert 22.0 < high < 25.0


def test_wild_reading_does_not_blind(white: tuple[Stream, list[float]]) -> None:
    """After a reading a million sd away an ordinary spike alarms as before."""
    stream, after = white
    before = stream.usual()
    stream.feed([1e6, *after[:200]])
    low, high = stream.usual()
    assert high - low < 1.3 * (before[1] - before[0])
    assert stream.feed([32.0])[0].alarm


def test_level_shift_is_named(white: tuple[Stream, list[float]]) -> None:
    """A new level is a level shift from its third reading on, and outweighs its first."""
    stream, after = white
    scores = stream.feed(value + 10.0 for value in after[:60])
    assert scores[0].alarm
    assert {score.kind for score in scores[2:]} == {Kind.LEVEL_SHIFT}
    assert lead(scores) is Kind.LEVEL_SHIFT


def test_small_level_shift_is_found(white: tuple[Stream, list[float]]) -> None:
    """A shift that stays inside the range of single readings is found by their mean."""
    stream, after = white
    scores = stream.feed(value + 3.0 for value in after[:60])
    assert alarms(scores) > 10
    assert lead(scores) is Kind.LEVEL_SHIFT


def test_level_shift_becomes_usual(white: tuple[Stream, list[float]]) -> None:
    """A level that stays alarms for an hour and 60 readings, then it is normal."""
    stream, after = white
    scores = stream.feed(value + 10.0 for value in after[:1000])
    assert alarms(scores[:60]) == 60
    assert alarms(scores[70:]) == 0


def test_old_level_stays_usual(white: tuple[Stream, list[float]]) -> None:
    """The way back from an adopted level does not alarm."""
    stream, after = white
    stream.feed(value + 10.0 for value in after[:1000])
    assert alarms(stream.feed(after[1000:2000])) == 0


def test_noise_is_named(white: tuple[Stream, list[float]]) -> None:
    """Three times the noise is found within 60 readings and named."""
    stream, after = white
    rng = random.Random(4)
    scores = stream.feed(value + rng.gauss(0.0, math.sqrt(8.0)) for value in after[:60])
    assert lead(scores) is Kind.NOISE


def test_drift_is_named(white: tuple[Stream, list[float]]) -> None:
    """A drift of 10 sd a day is found within the day and named."""
    stream, after = white
    scores = stream.feed(value + place * 10.0 / 1440.0 for place, value in enumerate(after[:1440]))
    assert lead(scores) is Kind.DRIFT


def test_fast_drift_is_named() -> None:
    """A smooth value that creeps out of its range in its first hours is a drift, not a level shift."""
    rng = random.Random(5)
    stream = Stream(step_s=1.0)
    stream.feed(46.0 + 2.0 * math.sin(place / 400.0) + rng.gauss(0.0, 0.1) for place in range(5000))
    scores = stream.feed(46.0 + place * 0.6 for place in range(60))
    assert lead(scores) is Kind.DRIFT


def test_stuck_sensor_is_found(white: tuple[Stream, list[float]]) -> None:
    """A value that stays equal is a flatline after 30 readings, for as long as it lasts, and a warning."""
    stream, after = white
    scores = stream.feed([after[0]] * 300)
    assert alarms(scores[:29]) == 0
    assert {score.kind for score in scores[30:]} == {Kind.FLATLINE}
    assert max(score.value for score in scores) <= 2.0
    assert alarms(stream.feed(after[1:100])) == 0


def test_stuck_sensor_is_usual_after_a_day(white: tuple[Stream, list[float]]) -> None:
    """A value that has been stuck for a day is taken as usual, so that the finding clears; for good."""
    stream, after = white
    stream.feed([after[0]] * 1500)
    assert alarms(stream.feed([after[0]] * 4000)) == 0


def test_stuck_off_rest_is_found_soon() -> None:
    """A pump may rest at zero for long; stuck anywhere else it is found as soon as any sensor."""
    rng = random.Random(6)
    values = [round(12.0 + rng.gauss(0.0, 0.2), 2) if place % 100 < 40 else 0.0 for place in range(WEEK)]
    stream = Stream()
    assert alarms(stream.feed(values)) == 0
    assert alarms(stream.feed([0.0] * 400)) == 0
    assert lead(stream.feed([12.07] * 60)) is Kind.FLATLINE


@pytest.mark.parametrize("name", ["white noise", "day curve", "AR(1) 0.9", "quantised"])
def test_ten_sd_are_found_on_each_base(name: str) -> None:
    """A spike of ten times the noise is found on any signal."""
    sd = {"day curve": 0.2, "quantised": 0.5}.get(name, 1.0)
    values = signals.take(signals.CALM[name], WEEK + 1, seed=8)
    stream = Stream()
    stream.feed(values[:-1])
    assert stream.feed([values[-1] + 10.0 * sd])[0].alarm


def test_hour_of_day_is_known() -> None:
    """A value that is usual at noon alarms at midnight, once the days are known."""
    values = signals.take(signals.day_curve, 20 * 1440, seed=9)
    stream = Stream()
    stream.feed(values)
    noon = max(values[-1440:])
    assert stream.feed([noon])[0].alarm
    low, high = stream.usual()
    assert high < noon - 1.0
    assert high - low < 4.0


def test_hour_of_day_is_known_of_a_slow_series() -> None:
    """One reading an hour teaches the hours too."""
    values = signals.take(signals.day_curve, 40 * 24, seed=10, step_s=3600.0)
    stream = Stream(step_s=3600.0)
    stream.feed(values)
    assert stream.feed([max(values[-24:])])[0].alarm
