"""A profile of their own for weekends, after three weeks."""

import random
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

import pytest

from agent.detect import Detector, DetectStateError, calm
from agent.detect.state import SIZE
from agent.detect.week import LONG
from agent.domain.records import Reading, Score
from tests.benchmarks.detect.bases import MONDAY, Healthy, office_week, weather
from tests.detect.stream import DEVICE, METRIC

STEP_S = 300.0
HOUR = 12  # readings
DAY = 24 * HOUR
WEEK = 7 * DAY


def co2(dice: random.Random, begin: float, step_s: float) -> Iterator[float]:
    """An office's CO2: people breathe on working days, windows are open now and then."""
    for load in office_week(dice, begin, step_s):
        yield round(420.0 + 40.0 * max(0.0, load - 10.0) + dice.gauss(0.0, 6.0))


SIGNALS: dict[str, Healthy] = {"power": office_week, "co2": co2, "weather": weather}


class Series:
    """One series that has seen some weeks, one reading in five minutes."""

    def __init__(self, name: str, weeks: int, seed: int = 1) -> None:
        self.values = SIGNALS[name](random.Random(seed), MONDAY, STEP_S)
        self.detector, self.at = Detector(), MONDAY
        self.weeks = [self.live(WEEK) for _ in range(weeks)]

    def live(self, count: int) -> list[Score]:
        """Return the scores of the next readings."""
        return self.judge(list(islice(self.values, count)))

    def judge(self, values: list[float]) -> list[Score]:
        """Return the scores of readings."""
        scores = []
        for value in values:
            scores.append(self.detector.update(Reading(DEVICE, METRIC, self.at, value), self.at))
            self.at += STEP_S
        return scores

    @property
    def length(self) -> int:
        """How many numbers the series has."""
        return len(self.detector._series[DEVICE][METRIC].state)


@lru_cache
def dump(name: str, weeks: int) -> tuple[bytes, tuple[float, ...]]:
    """Return the state after some weeks, and the values of the next one."""
    series = Series(name, weeks)
    return series.detector.dump(), tuple(islice(series.values, WEEK))


def after(name: str, weeks: int) -> Series:
    """Return a series that has seen some weeks."""
    series = Series(name, 0)
    blob, values = dump(name, weeks)
    series.detector.load(blob)
    series.at, series.values = MONDAY + weeks * WEEK * STEP_S, iter(values)
    return series


@pytest.mark.parametrize("name", ["power", "co2"])
@pytest.mark.parametrize(("begin", "other"), [(DAY, 5 * DAY), (0, 5 * DAY), (5 * DAY, 2 * DAY)])
def test_day_like_one_of_the_other_kind(name: str, begin: int, other: int) -> None:
    """A Tuesday or Monday like a Saturday and a Saturday like a Wednesday alarm within two hours of ten."""
    series = after(name, 6)
    _, values = dump(name, 6)
    assert not any(score.alarm for score in series.live(begin + 10 * HOUR))
    scores = series.judge(list(values[other + 10 * HOUR : other + 12 * HOUR]))
    assert any(score.alarm for score in scores)
    expected = next(score for score in scores if score.alarm).expected
    assert expected is not None
    assert not expected[0] <= values[other + 10 * HOUR] <= expected[1]


def test_hours_alone_do_not_show_it() -> None:
    """In the third week, when there is one profile for all days, the same Tuesday is taken as usual."""
    series = after("power", 3)
    _, values = dump("power", 3)
    series.live(DAY + 10 * HOUR)
    scores = series.judge(list(values[5 * DAY + 10 * HOUR : 5 * DAY + 12 * HOUR]))
    assert not any(score.alarm for score in scores)


@pytest.mark.parametrize("name", ["power", "co2"])
def test_usual_values_are_those_of_the_day(name: str) -> None:
    """The usual range at noon is another on Friday than on Saturday, and the value is in it."""
    series = after(name, 6)
    noons: list[tuple[float, float]] = []
    for _ in range(2):
        series.live((4 * DAY if not noons else 0) + 12 * HOUR)
        view = series.detector.view(DEVICE, METRIC)
        assert view is not None
        assert view.usual is not None
        assert view.last_value is not None
        assert view.usual[0] <= view.last_value <= view.usual[1]
        noons.append(view.usual)
        series.live(12 * HOUR)
    friday, saturday = noons
    assert saturday[1] < friday[0]


@pytest.mark.parametrize("name", ["power", "co2"])
def test_healthy_weeks_stay_calm(name: str) -> None:
    """From the second week on one reading alarms at most, while the weekends get their profile and later."""
    series = Series(name, 9, seed=2)
    assert series.length == LONG
    assert sum(score.alarm for week in series.weeks[1:] for score in week) <= 1


def test_series_without_weekends_pays_nothing() -> None:
    """The weather has no weekends, and an office gets a second profile at its fourth Monday only."""
    assert after("weather", 6).length == SIZE
    assert after("power", 3).length == SIZE
    series = after("power", 3)
    series.live(1)
    assert series.length == LONG


@pytest.mark.parametrize("days", [1, 5, 6])
def test_saved_on_any_day_it_goes_on_the_same(days: int) -> None:
    """Saved and loaded on a working day or within a weekend, the scores are the very same."""
    whole, cut = after("power", 5), after("power", 5)
    whole.live(days * DAY + 100)
    cut.live(days * DAY + 100)
    blob = cut.detector.dump()
    cut.detector = Detector()
    cut.detector.load(blob)
    assert whole.live(300) == cut.live(300)
    assert whole.detector.dump() == cut.detector.dump()


def test_short_way_goes_on_the_same_through_the_weeks(monkeypatch: pytest.MonkeyPatch) -> None:
    """While profiles change and residuals are learnt again, the short way learns what the long one does."""
    short = after("power", 3)
    short.live(WEEK)
    scores = [short.judge(list(dump("power", 3)[1])) for _ in range(2)]
    monkeypatch.setattr(calm, "frame_of", lambda *_: None)
    long = after("power", 3)
    long.live(WEEK)
    assert scores == [long.judge(list(dump("power", 3)[1])) for _ in range(2)]
    assert short.length == LONG
    assert short.detector.dump() == long.detector.dump()


def test_length_that_no_series_has_is_refused() -> None:
    """A state with the numbers of another length is damaged."""
    series = after("power", 5)
    blob = series.detector.dump()
    with pytest.raises(DetectStateError):
        series.detector.load(blob.replace(f",{LONG}]".encode(), f",{LONG + 1}]".encode()) + bytes(8))
