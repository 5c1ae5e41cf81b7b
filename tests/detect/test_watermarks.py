"""Water marks: an hour that does not come back, and a value that creeps away."""

import math
import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from agent.detect import Detector
from agent.detect.state import HOURLY_HI, HOURLY_LO, MARK, State
from agent.domain.records import Kind, Reading
from tests.detect import signals
from tests.detect.stream import DEVICE, METRIC, Stream, alarms, incidents, lead

DAY = 1440
DAYS = 8
Signal = Callable[[random.Random, int], float]


def pump(dice: random.Random, minute: int) -> float:
    """A pressure of 0.8 and, for 18 of 40 minutes, 4.2."""
    return round((4.2 if minute % 40 < 18 else 0.8) + dice.gauss(0.0, 0.03), 2)


def meter(dice: random.Random, minute: int) -> float:
    """A flow of up to 12, which is 0 at least for some minutes of each half hour."""
    return round(dice.uniform(0.5, 12.0), 2) if minute // 4 % 3 == 0 else 0.0


def compressor(dice: random.Random, minute: int) -> float:
    """A power of 1, 118 and, three times a day for 25 minutes, 240."""
    if minute % 480 < 25:
        return round(240.0 + dice.gauss(0.0, 1.5), 1)
    return round((118.0 if minute % 30 < 12 else 1.4) + dice.gauss(0.0, 0.3), 1)


def warmth(dice: random.Random, minute: int) -> float:
    """A smooth day between 15 and 25."""
    return round(20.0 + 5.0 * math.sin(2 * math.pi * minute / DAY) + dice.gauss(0.0, 0.05), 2)


def after_days(signal: Signal, days: int = DAYS) -> tuple[Stream, random.Random, int]:
    """Return a stream that has seen the signal for some days, its dice, and the next minute."""
    stream, dice = Stream(), random.Random(4)
    stream.feed(signal(dice, minute) for minute in range(days * DAY))
    return stream, dice, days * DAY


def state_of(stream: Stream) -> State:
    """Return the numbers of a stream's series."""
    return stream.detector._series[DEVICE][METRIC].state


LEAKS = {
    "pressure that no longer reaches its height": (pump, -1.4),
    "flow that no longer ends": (meter, 2.5),
    "power that no longer falls": (compressor, 60.0),
}


@pytest.mark.parametrize("name", LEAKS)
def test_hour_that_does_not_come_back(name: str) -> None:
    """Each value of it is usual; it is found all the same, and the day before is calm."""
    signal, size = LEAKS[name]
    stream, dice, now = after_days(signal)
    assert alarms(stream.feed(signal(dice, now + minute) for minute in range(DAY))) == 0
    low, high = stream.usual()
    leaky = [
        min(high, max(low, signal(dice, now + DAY + minute) + size * min(1.0, minute / 60)))
        for minute in range(240)
    ]
    scores = stream.feed(leaky)
    assert alarms(scores) > 10
    assert lead(scores) in {Kind.LEVEL_SHIFT, Kind.DRIFT}
    assert max(score.value for score in scores) < 3.0


@pytest.mark.parametrize("name", LEAKS)
def test_it_begins_with_a_telling_value(name: str) -> None:
    """The first alarm is a reading of the end that does not come back, not one as ever."""
    signal, size = LEAKS[name]
    stream, dice, now = after_days(signal)
    low, high = stream.usual()
    values = [min(high, max(low, signal(dice, now + minute) + size)) for minute in range(240)]
    scores = stream.feed(values)
    first = next(value for value, score in zip(values, scores, strict=True) if score.alarm)
    assert first > 2.0 if size < 0.0 else first < 100.0


def test_it_ends_with_the_fault() -> None:
    """Within an hour and a half of its end nothing alarms any more."""
    stream, dice, now = after_days(pump)
    stream.feed(pump(dice, now + minute) * 0.7 for minute in range(60))
    scores = stream.feed(pump(dice, now + 60 + minute) for minute in range(DAY))
    assert alarms(scores[90:]) == 0


def test_same_leak_is_found_again() -> None:
    """A leak of four hours teaches a little: two days later the like is found."""
    stream, dice, now = after_days(meter)
    first = stream.feed(meter(dice, now + minute) + 2.5 for minute in range(240))
    stream.feed(meter(dice, now + 240 + minute) for minute in range(2 * DAY))
    second = stream.feed(meter(dice, now + 240 + 2 * DAY + minute) + 2.5 for minute in range(240))
    assert alarms(first) > 10
    assert alarms(second) > 10


def test_creeping_value_is_found() -> None:
    """A value whose every reading is a small record is found as a drift before it is one width away."""
    stream, dice, now = after_days(warmth, 10)
    creeping = [warmth(dice, now + 360) + minute / 12 for minute in range(120)]
    assert max(abs(b - a) for a, b in pairwise(creeping)) < 0.4
    scores = stream.feed([*(warmth(dice, now + minute) for minute in range(360)), *creeping])
    assert alarms(scores[:360]) == 0
    assert alarms(scores) > 20
    assert Kind.DRIFT in {score.kind for score in scores if score.alarm}


def test_machine_that_is_off_is_calm() -> None:
    """A pump that nobody needs for a day has no score of the marks."""
    stream, dice, _ = after_days(pump)
    scores = []
    for _ in range(DAY // 10):
        stream.feed(round(0.8 + dice.gauss(0.0, 0.03), 2) for _ in range(10))
        scores.append(state_of(stream)[MARK])
    assert not any(scores)


def test_load_that_is_seldom_on_may_stay_on() -> None:
    """Of a load that runs now and then, a run of hours is not news because the runs before were short."""
    stream, dice = Stream(), random.Random(5)
    values = []
    for day in range(14):
        length = 50 if day < 9 else 240
        values += [
            round(7000.0 + dice.gauss(0.0, 40.0)) if day % 2 and 600 <= minute < 600 + length else 0.0
            for minute in range(DAY)
        ]
    stream.feed(values[: 9 * DAY])
    assert alarms(stream.feed(values[9 * DAY :])) == 0


def test_battery_and_meter_have_no_marks() -> None:
    """A battery that empties and a total that rises are judged by their own rules."""
    detector, at = Detector(), signals.START
    alarm = 0
    for minute in range(12 * DAY):
        at += 60.0
        total, charge = minute * 0.01, 100.0 - minute / 200 + minute % 7 * 0.1
        for metric, value in (("total", total), ("battery", charge)):
            alarm += detector.update(Reading("d", metric, at, value), at).alarm
    assert alarm == 0


def test_far_level_stays_open() -> None:
    """A freezer that thaws is reported until it is cold again: nothing like it was ever seen."""
    stream = Stream()
    values = signals.take(signals.duty_cycle, DAYS * DAY + 1000, seed=3)
    stream.feed(values[: DAYS * DAY])
    thawing = [min(15.0, -15.0 + minute / 10) for minute in range(1500)]
    scores = stream.feed(thawing)
    first = next(place for place, score in enumerate(scores) if score.alarm)
    assert first < 60
    assert all(score.alarm for score in scores[first + 120 :])
    assert scores[-1].value >= 3.0
    assert alarms(stream.feed(values[DAYS * DAY :])[120:]) == 0


def test_level_that_moves_on_is_not_adopted() -> None:
    """A value that rises by an alarm line an hour and more is one finding as long as it rises."""
    stream = Stream()
    values = signals.take(signals.white, DAYS * DAY + 3000, seed=3)
    stream.feed(values[: DAYS * DAY])
    scores = stream.feed(value + minute / 12 for minute, value in enumerate(values[DAYS * DAY :][:600]))
    first = next(place for place, score in enumerate(scores) if score.alarm)
    assert alarms(scores[first + 60 :]) > 0.95 * len(scores[first + 60 :])


def test_slow_rise_beyond_all_that_was_seen_is_critical() -> None:
    """Where its marks and means alarm, no reading is beyond the range, which has followed it."""
    stream = Stream()
    values = signals.take(signals.white, (DAYS + 1) * DAY, seed=3)
    stream.feed(values[: DAYS * DAY])
    scores = stream.feed(value + minute / 12 for minute, value in enumerate(values[DAYS * DAY :][:600]))
    assert all(score.value < 3.0 for score in scores[:90])
    assert all(score.value >= 3.0 for score in scores[400:])


def test_creep_beyond_an_adopted_level_is_found() -> None:
    """A level that was adopted is usual; a rise of several widths beyond it within its probation is not."""
    stream = Stream()
    values = signals.take(signals.white, (DAYS + 3) * DAY, seed=3)
    stream.feed(values[: DAYS * DAY])
    stays = stream.feed(value + 8.0 for value in values[DAYS * DAY :][: DAY // 2])
    assert alarms(stays[120:]) == 0
    rising = values[DAYS * DAY + DAY // 2 :][:DAY]
    scores = stream.feed(value + 8.0 + minute / 60 for minute, value in enumerate(rising))
    assert incidents(scores) >= 1


def test_level_of_the_usual_size_is_adopted_all_the_same() -> None:
    """A shift by less than the width of all that was seen is usual after an hour, and once for all."""
    stream = Stream()
    values = signals.take(signals.white, DAYS * DAY + 3000, seed=3)
    stream.feed(values[: DAYS * DAY])
    scores = stream.feed(value + 8.0 for value in values[DAYS * DAY :])
    assert incidents(scores) == 1
    assert alarms(scores[90:]) == 0


def test_marks_are_those_of_the_hours() -> None:
    """The marks of the hours are their extremes."""
    stream, _, _ = after_days(pump)
    state = state_of(stream)
    assert 0.7 < state[HOURLY_LO] < 1.0
    assert 4.1 < state[HOURLY_HI] < 4.3
