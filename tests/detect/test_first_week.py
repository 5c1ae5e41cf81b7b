"""Events of the first week: peaks of use, weekends, levels that come back."""

import math
import random
from itertools import pairwise

import pytest

from agent.detect import Detector
from agent.detect.features import STOCK, USE
from agent.detect.nature import DIRECTION, PLAIN, RESERVE, trait_of
from agent.domain.records import Kind, Reading, Score
from tests.detect import signals
from tests.detect.stream import Stream, alarms

DAY = 1440


@pytest.mark.parametrize(
    ("metric", "trait"),
    [
        ("power", USE),
        ("a_act_power", USE),
        ("battery_power", USE),
        ("windgustmph", USE),
        ("noise_level", USE),
        ("output_load", USE),
        ("flow_temperature", PLAIN),
        ("vibration", PLAIN),
        ("window_open", PLAIN),
        ("voltage", PLAIN),
        ("wind_dir", DIRECTION),
        ("water_level", STOCK),
        ("weight", STOCK),
        ("fuel_level", RESERVE),
        ("tank_temperature", PLAIN),
        ("soc", RESERVE),
    ],
)
def test_a_name_gives_the_nature(metric: str, trait: float) -> None:
    """The last quantity of a name decides."""
    assert trait_of(metric) == trait


def household(days: int, metric: str, *, mate: bool, kettle: int) -> tuple[Detector, list[Score]]:
    """Return the detector and the scores of a load with one peak, next to a temperature or alone."""
    detector, rng, scores = Detector(), random.Random(3), []
    for minute in range(days * DAY):
        at = signals.START + 60.0 * minute
        value = rng.gauss(120.0, 8.0) + (2100.0 if kettle <= minute < kettle + 4 else 0.0)
        scores.append(detector.update(Reading("d", metric, at, round(value, 1), None), at))
        if mate:
            detector.update(Reading("d", "temperature", at, rng.gauss(21.0, 0.1), None), at)
    return detector, scores


def test_the_first_peak_of_use_is_calm() -> None:
    """On the second day, whether it is alone or not; that of another quantity is an anomaly."""
    for mate in (True, False):
        assert alarms(household(2, "power", mate=mate, kettle=DAY + 700)[1]) == 0
        assert alarms(household(2, "pressure", mate=mate, kettle=DAY + 700)[1]) > 0


def test_use_that_is_not_judged_yet_shows_that_it_learns() -> None:
    """Each reading of three days has the progress, however it is scored; other quantities learn for hours."""
    detector, scores = household(4, "power", mate=False, kettle=DAY)
    missing = [score.progress is None for score in scores]
    assert missing.index(True) == 3 * DAY + 1  # the first reading after one that is three days old
    assert all(missing[3 * DAY + 1 :])
    assert detector.learning_count() == 0
    assert household(2, "power", mate=True, kettle=DAY)[0].learning_count() == 1
    other = household(1, "pressure", mate=False, kettle=DAY)[1]
    assert sum(score.progress is not None for score in other) < 200


def test_use_is_judged_after_three_days() -> None:
    """The same peak, when days had none; until then `inspect` shows the progress."""
    detector, _ = household(2, "power", mate=True, kettle=-9)
    view = detector.view("d", "power")
    assert view is not None
    assert view.progress is not None
    assert (view.progress.seen, view.progress.needed) == (2 * DAY, 3 * DAY)
    detector, scores = household(9, "power", mate=True, kettle=8 * DAY + 700)
    view = detector.view("d", "power")
    assert view is not None
    assert view.progress is None
    assert alarms(scores[: 8 * DAY]) == 0
    assert alarms(scores) > 0


def jobs(days: list[int], count: int) -> list[float]:
    """Return a machine's temperature: warm for three hours on some days, else that of the room."""
    rng, value, values = random.Random(5), 21.0, []
    for minute in range(count * DAY):
        warm = minute // DAY in days and 600 <= minute % DAY < 780
        aim = 215.0 if warm else 21.0
        value += max(-0.09 * (value - aim), 0.0) if warm else 0.05 * (aim - value)
        values.append(round(value + rng.gauss(0.0, 0.3), 1))
    return values


def test_a_level_of_hours_that_comes_back_another_day_is_usual() -> None:
    """A printer's jobs: the first three may be news, others are not, though each one was left again."""
    scores = Stream().feed(jobs([2, 4, 6, 8, 10], 11))
    assert alarms(scores[2 * DAY : 3 * DAY]) > 0
    assert alarms(scores[7 * DAY :]) == 0


@pytest.mark.parametrize(("first", "news"), [(3, False), (20, True)])
def test_a_level_held_for_a_good_part_of_the_age_is_usual(first: int, *, news: bool) -> None:
    """Four hours of the first days are a mode of a machine; after weeks they are an event, and news again."""
    rng = random.Random(8)
    works = {first, first + 2}
    values = [
        rng.gauss(28.0 if minute // DAY in works and 600 <= minute % DAY < 840 else 20.0, 1.0)
        for minute in range((first + 3) * DAY)
    ]
    scores = Stream().feed(values)
    assert alarms(scores[first * DAY : (first + 1) * DAY]) > 0
    assert (alarms(scores[(first + 2) * DAY :]) > 0) is news


def test_a_fall_to_zero_that_comes_back_another_day_is_usual() -> None:
    """Shore power of a boat that is away on some days: 0 is a value like others."""
    rng, values = random.Random(9), []
    for place in range(15 * 288):
        away = place // 288 in {5, 8, 11, 14} and 108 <= place % 288 < 160
        values.append(0.0 if away else round(rng.gauss(229.0, 0.9), 1))
    scores = Stream(step_s=300.0).feed(values)
    assert alarms(scores[5 * 288 : 6 * 288]) > 0
    assert alarms(scores[11 * 288 :]) == 0


def test_a_machine_that_is_off_for_its_first_weekend_is_not_stuck() -> None:
    """It rests at its lowest value, where it has rested at night; stuck while it runs it is found."""
    rng, values = random.Random(4), []
    for minute in range(7 * DAY):
        hour, day = minute % DAY // 60, minute // DAY
        works = day < 5 and 6 <= hour < 20
        values.append(round(rng.gauss(6.5, 0.4), 1) if works else 0.4)
    assert not [score for score in Stream().feed(values) if score.kind is Kind.FLATLINE]
    values[4 * DAY + 600 :] = [6.3] * 300
    assert [score for score in Stream().feed(values[: 4 * DAY + 900]) if score.kind is Kind.FLATLINE]


def test_a_weekend_is_no_drift() -> None:
    """An office: warm by day on working days, cold from Friday on."""
    rng, value, values = random.Random(6), 18.0, []
    for minute in range(9 * DAY):
        hour, day = minute % DAY / 60, (minute // DAY + 4) % 7  # begins on a Friday
        warm = 21.5 if day < 5 and 6 < hour < 18 else 17.5
        value += (warm - value) * 0.006
        values.append(round(value + rng.gauss(0.0, 0.05), 2))
    assert alarms(Stream().feed(values)) == 0


def test_a_refill_is_a_warning_and_a_hot_room_is_critical() -> None:
    """A store has no natural bound; a temperature that was never near such a value is critical."""
    for metric, critical in (("level", False), ("temperature", True)):
        detector, rng, worst = Detector(), random.Random(7), 0.0
        for minute in range(8 * DAY):
            at = signals.START + 60.0 * minute
            value = 40.0 - minute / 3000.0 + rng.gauss(0.0, 0.2) + (55.0 if minute > 7.5 * DAY else 0.0)
            worst = max(worst, detector.update(Reading("d", metric, at, round(value, 2), None), at).value)
        assert (worst >= 3.0) is critical


def test_filling_a_fuel_tank_is_calm() -> None:
    """It rises at once by most of its range."""
    rng, level, values = random.Random(8), 80.0, []
    for _ in range(8 * DAY):
        level = 98.0 if level < 15.0 else level - 0.025
        values.append(round(level + rng.gauss(0.0, 0.3), 1))
    detector = Detector()
    scores = [
        detector.update(Reading("d", "fuel_level", at, value, None), at)
        for at, value in zip((signals.START + 60.0 * n for n in range(len(values))), values, strict=True)
    ]
    assert max(b - a for a, b in pairwise(values)) > 70.0
    assert alarms(scores) == 0


@pytest.mark.parametrize("jitter_s", [0.0, 30.0, 120.0])
def test_an_hourly_sensor_with_a_day_curve_is_judged_on_its_third_day(jitter_s: float) -> None:
    """It sends on the hour, give or take: so some hours have two readings and some none."""
    found = 0
    for seed in range(20):
        rng, stream, scores = random.Random(seed), Stream(), []
        for place in range(74):
            stream.at = signals.START + 3600.0 * place + rng.uniform(-jitter_s, jitter_s)
            curve = 20.0 + 3.0 * math.sin(2.0 * math.pi * (place + seed) / 24.0) + rng.gauss(0.0, 0.3)
            scores += stream.feed([curve + (3.0 if place >= 72 else 0.0)])
        found += alarms(scores[72:]) > 0
        assert alarms(scores[:72]) == 0
    assert found >= 18


def office(days: int) -> list[Score]:
    """Return the scores of a power that follows people on weekdays, next to two other series."""
    detector, rng, scores = Detector(), random.Random(3), []
    for step in range(days * 288):
        at = signals.START + 300.0 * step
        hour, weekday = step % 288 / 12.0, int(step // 288 % 7)
        there = weekday < 5 and 8.5 <= hour < 17.5
        value = 240.0 + (50.0 if there else 0.0) + rng.gauss(0.0, 18.0)
        scores.append(detector.update(Reading("d", "power", at, round(value), None), at))
        for mate in ("temperature", "humidity"):
            detector.update(Reading("d", mate, at, rng.gauss(21.0, 0.1), None), at)
    return scores


def test_the_second_weekend_is_like_the_first() -> None:
    """The first one is excused and learnt, so that closer lines do not report the next."""
    assert alarms(office(21)) == 0


@pytest.mark.parametrize("first", [False, True])
def test_a_lone_wild_reading_blinds_no_mean(first: bool) -> None:
    """A freezer whose sensor sent 85 once, in its tenth minute or on its fourth day; it warms by 2 K."""
    rng, values = random.Random(9), []
    for minute in range(12 * DAY):
        cycle = abs(minute % 47 / 47.0 - 0.5) * 4.0  # 2 K up and down with the compressor
        values.append(round(5 * (-21.0 + cycle + rng.gauss(0.0, 0.02))) / 5)
    values[10 if first else 3 * DAY + 600] = 85.0
    assert alarms(Stream().feed(values)) <= 1
    values[9 * DAY : 9 * DAY + 360] = [value + 2.0 for value in values[9 * DAY : 9 * DAY + 360]]
    stream = Stream()
    stream.feed(values[: 9 * DAY])
    assert alarms(stream.feed(values[9 * DAY : 9 * DAY + 360])) > 0
