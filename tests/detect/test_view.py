"""The detector's view of a series."""

import pytest

from agent.detect import Detector
from agent.domain.records import Reading
from tests.detect import signals
from tests.detect.stream import DEVICE, METRIC, Stream


def test_view_of_nothing() -> None:
    """An unknown series has no view."""
    assert Stream().detector.view(DEVICE, METRIC) is None
    assert Stream().detector.views(DEVICE) == []


def test_view_of_a_few_readings_is_exact() -> None:
    """Up to 30 readings the statistics are those of the readings."""
    stream = Stream()
    stream.feed([3.0, 1.0, 2.0])
    view = stream.view()
    assert (view.n, view.warm, view.median, view.p01, view.p99) == (3, False, 2.0, 1.0, 3.0)
    assert view.recent == (3.0, 1.0, 2.0)
    assert view.usual is None
    assert view.last_value == 2.0


def test_a_series_that_is_still_learning_misses_a_reading() -> None:
    """Its warm-up ends up to 16 readings after the last one that is needed."""
    stream = Stream()
    seen = []
    for value in signals.take(signals.white, 400, seed=1):
        stream.feed([value])
        progress = stream.view().progress
        if progress is not None:
            seen.append((progress.needed - progress.seen, progress.of))
    assert len(seen) < 400
    assert min(seen)[0] == 1


@pytest.mark.parametrize("count", [29, 30, 31, 60, 1000, 5003])
def test_recent_values_are_the_last_thirty(count: int) -> None:
    """The last values come oldest first."""
    stream = Stream()
    values = signals.take(signals.white, count, seed=1)
    stream.feed(values)
    assert stream.view().recent == tuple(values[-30:])


def test_quantiles_are_near() -> None:
    """The streaming estimates are within a fraction of the spread of the truth."""
    stream = Stream()
    stream.feed(signals.take(signals.white, 20_000, seed=2), unit="degC")
    view = stream.view()
    assert view.median == pytest.approx(20.0, abs=0.2)
    assert view.p01 == pytest.approx(20.0 - 2.33, abs=0.5)
    assert view.p99 == pytest.approx(20.0 + 2.33, abs=0.5)
    assert view.spread == pytest.approx(1.0, abs=0.2)
    assert view.unit == "degC"
    assert view.warm


def test_the_word_behind_the_last_value_is_shown() -> None:
    """It is kept over a restart, and gone with the next plain number."""
    detector = Detector()
    detector.update(Reading("door", "contact", 1.0, 1.0, None, "Open"), 1.0)
    again = Detector()
    again.load(detector.dump())
    for one in (detector, again):
        (view,) = one.views("door")
        assert (view.last_value, view.word) == (1.0, "Open")
        one.update(Reading("door", "contact", 2.0, 0.0), 2.0)
        (view,) = one.views("door")
        assert view.word is None
