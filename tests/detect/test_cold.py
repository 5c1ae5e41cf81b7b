"""The detector with few readings, and with values that no sensor should send."""

import math
import random

import pytest
from hypothesis import given, settings, strategies as st

from agent.detect import Detector, DetectSettings, Limit
from agent.domain.records import CALM, Kind, Reading
from tests.detect import signals
from tests.detect.stream import Stream, alarms

LIMIT = Limit("*/temperature", -40.0, 85.0, "degC")


def test_warm_up_is_quiet() -> None:
    """Nothing but a limit alarms within the first 150 readings."""
    values = signals.take(signals.white, 149, seed=1)
    values[60], values[100:120] = 1e6, [50.0] * 20
    assert alarms(Stream().feed(values)) == 0


def test_limit_alarms_from_the_first_reading() -> None:
    """A configured limit needs no history, is critical, and gives the allowed range."""
    (score,) = Stream(limits=[LIMIT]).feed([99.0], unit="degC")
    assert score.limit
    assert score.kind is Kind.OUT_OF_RANGE
    assert score.value >= 3.0
    assert score.expected == (-40.0, 85.0)


@pytest.mark.parametrize(("value", "broken"), [(-40.0, False), (85.0, False), (85.1, True), (-41.0, True)])
def test_limits_are_inclusive(value: float, broken: bool) -> None:
    """The limit itself is allowed."""
    (score,) = Stream(limits=[LIMIT]).feed([value])
    assert score.limit is broken


def test_limit_of_one_side() -> None:
    """A limit may have one side; the other is open."""
    stream = Stream(limits=[Limit("kitchen/*", None, 30.0)])
    low, high = stream.feed([-1e9, 31.0])
    assert not low.limit
    assert high.expected == (-math.inf, 30.0)


def test_limit_of_another_unit_is_not_applied() -> None:
    """A limit in degC is not applied to a reading in degF."""
    assert not Stream(limits=[LIMIT]).feed([99.0], unit="degF")[0].limit


def test_most_literal_limit_wins() -> None:
    """Of several limits the one with the longest literal text holds, so that an exception can be written."""
    general, oven = Limit("*/temperature", 0.0, 85.0), Limit("kitchen/*/temperature", 0.0, 300.0)
    for limits in ([general, oven], [oven, general]):
        assert not Stream(limits=limits).feed([200.0])[0].limit


def test_reconfigure_changes_limits_of_known_series() -> None:
    """New limits hold from the next reading on."""
    stream = Stream(limits=[LIMIT])
    assert not stream.feed([50.0])[0].limit
    stream.detector.reconfigure([Limit("*/temperature", None, 40.0)])
    assert stream.feed([50.0])[0].limit
    assert stream.view().limits == (None, 40.0)


def test_wild_reading_in_the_warm_up_does_not_blind() -> None:
    """A glitch among the first readings leaves the range narrow enough to find the next one."""
    values = signals.take(signals.white, 4000, seed=2)
    values[50] = 65_535.0
    stream = Stream()
    stream.feed(values)
    assert stream.feed([60.0])[0].alarm


EXTREMES = [1e308, -1e308, 5e-324, -5e-324, 0.0, -0.0, 1.0, 1e-300, 1.7976931348623157e308, 1e150, 42.0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(EXTREMES) | st.floats(allow_nan=False, allow_infinity=False), min_size=20, max_size=60
    ),
    st.sampled_from([0, 30, 400]),
)
def test_any_finite_value_is_scored(values: list[float], learnt: int) -> None:
    """No finite value raises, or makes a score, an expectation or a view that is not finite."""
    stream = Stream(settings=DetectSettings(warm_readings=20))
    stream.feed(signals.take(signals.white, learnt, seed=3))
    for score in stream.feed(values * 10):
        assert 0.0 <= score.value < math.inf
        assert score.expected is None or not any(map(math.isnan, score.expected))
    view = stream.view()
    numbers = [view.median, view.p01, view.p99, view.spread, *view.recent, *(view.usual or ())]
    assert all(number is not None and math.isfinite(number) for number in numbers)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(min_value=-1e12, max_value=1e12), min_size=50, max_size=200))
def test_any_time_is_taken(times: list[float]) -> None:
    """Event times may jump, stop and run backwards."""
    detector = Detector(DetectSettings(warm_readings=20))
    for place, at in enumerate(times * 5):
        score = detector.update(Reading("d", "m", at, float(place % 7)), float(place))
        assert 0.0 <= score.value < math.inf


def test_calm_readings_share_one_score() -> None:
    """A reading inside its range costs no new object."""
    stream = Stream()
    stream.feed(signals.take(signals.white, 1000, seed=4))
    assert stream.feed([20.0])[0] is CALM


def test_least_recently_seen_series_are_evicted() -> None:
    """Beyond the cap the series that were not seen for longest go, and are counted."""
    detector = Detector(DetectSettings(max_series=50))
    for number in range(80):
        detector.update(Reading(f"d{number}", "m", 0.0, 1.0), 0.0)
        detector.update(Reading("d0", "m", 0.0, 1.0), 0.0)
    assert detector.stats.series <= 50
    assert detector.stats.evicted == 80 - detector.stats.series
    assert detector.view("d0", "m") is not None
    assert detector.view("d1", "m") is None
    assert detector.device_count == detector.stats.series


def test_series_that_were_never_judged_are_evicted_first() -> None:
    """A flood of new ids pushes out its own, not the device that is known for long and speaks seldom."""
    detector = Detector(DetectSettings(max_series=50))
    for number in range(300):
        detector.update(Reading("known", "m", float(number), 1.0), float(number))
    for number in range(500):
        detector.update(Reading(f"d{number}", "m", 400.0, 1.0), 400.0)
    view = detector.view("known", "m")
    assert detector.knows("known")
    assert view is not None
    assert detector.stats.series <= 50


def test_what_gives_way_next_is_ranked_once_and_as_at_each_eviction() -> None:
    """Devices come, come again, are judged, change their unit and go: the same ones stay."""
    few = DetectSettings(max_series=50, warm_readings=4)
    ranked, each_time, chance = Detector(few), Detector(few), random.Random(5)
    for number in range(3000):
        each_time._next.clear()
        device = f"d{int(chance.paretovariate(0.4)) % 400}"
        reading = Reading(device, "m", float(number), 1.0, chance.choice(["V"] * 40 + ["mV"]))
        for detector in (ranked, each_time):
            detector.update(reading, float(number))
        assert list(ranked._series) == list(each_time._series), number
    assert ranked.stats.evicted == each_time.stats.evicted > 500


def test_a_device_with_many_metrics_makes_room_before_the_others() -> None:
    """Names that one device invents, judged or not, never cost another device what it has learnt."""
    detector = Detector(DetectSettings(max_series=50, warm_readings=2))
    detector.update(Reading("young", "m", 0.0, 1.0), 0.0)
    for number in range(300):
        detector.update(Reading("known", "m", float(number), 1.0), float(number))
    for number in range(500):
        for _ in range(3):
            detector.update(Reading("evil", f"m{number}", 400.0, 1.0), 400.0)
    known, young = detector.view("known", "m"), detector.view("young", "m")
    assert (known and known.n, young and young.n) == (300, 1)
    assert detector.stats.series <= 50


def test_some_views_are_the_named_ones_then_others_by_name() -> None:
    """As many as asked for, whatever the device has; the newest of many are those last seen."""
    detector = Detector()
    for number in range(40):
        detector.update(Reading("d", f"m{number:02}", 0.0, 1.0), 0.0)
    views = detector.some_views("d", ["m30", "no", "m30"], 3)
    assert [view.metric for view in views] == ["m30", "m00", "m01"]
    assert [view.metric for view in detector.newest_views("d", 2)] == ["m39", "m38"]
    assert detector.largest() == ("d", 40)
