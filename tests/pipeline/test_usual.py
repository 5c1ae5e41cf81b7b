"""Usual ranges that are journaled for charts: which, and how often."""

from dataclasses import replace

from agent.detect import Detector
from agent.domain.records import Reading
from agent.pipeline.usual import MAX_SERIES, UsualRanges
from tests.journal.rig import window

HOUR_S = 3600.0


def learnt(device: str, metrics: int, unit: str | None = None) -> Detector:
    """Return a detector that knows series of a device with values from 0 to 4."""
    detector = Detector()
    for place in range(400):
        for metric in range(metrics):
            detector.judge(
                Reading(device, f"m{metric}", 300.0 * place, float(place % 5), unit), 300.0 * place
            )
    return detector


def test_they_are_given_once_an_hour_of_the_device() -> None:
    """With the first window of an hour, by the time of its readings; an older window gives none."""
    ranges = UsualRanges(learnt("d1", 2))
    first = ranges.take(replace(window(device="d1"), end=50 * HOUR_S))
    assert sorted(metric for metric, _, _ in first) == ["m0", "m1"]
    assert all(low < 2.0 < high for _, low, high in first)
    assert ranges.take(replace(window(device="d1"), end=50 * HOUR_S + 900)) == []
    assert ranges.take(replace(window(device="d1"), end=49 * HOUR_S)) == []
    assert ranges.take(replace(window(device="d1"), end=51 * HOUR_S)) != []


def test_a_silence_and_an_unknown_device_have_none() -> None:
    ranges = UsualRanges(learnt("d1", 1))
    assert ranges.take(replace(window(device="d1"), end=50 * HOUR_S, count=0)) == []
    assert ranges.take(replace(window(device="d2"), end=50 * HOUR_S)) == []
    assert ranges.take(replace(window(device="d1"), end=50 * HOUR_S)) != []


def test_a_series_that_is_converted_has_none() -> None:
    """Its rows are in the unit that was sent, and the range is not."""
    detector = learnt("d1", 1, "degC")
    ranges = UsualRanges(detector)
    detector.judge(Reading("d1", "m0", 120_300.0, 36.0, "degF"), 120_300.0)
    assert ranges.take(replace(window(device="d1"), end=50 * HOUR_S)) == []


def test_there_is_a_bound_of_series() -> None:
    ranges = UsualRanges(learnt("d1", MAX_SERIES + 8))
    assert len(ranges.take(replace(window(device="d1"), end=50 * HOUR_S))) == MAX_SERIES
