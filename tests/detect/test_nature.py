"""Batteries, counters with lost or late readings, and names that a fault keeps."""

import random
from itertools import pairwise

import pytest

from agent.detect import Detector
from agent.detect.nature import RESERVE, trait_of
from agent.domain.records import Kind, Reading, Score
from tests.detect import signals
from tests.detect.stream import Stream, alarms

WEEK = 10_080


@pytest.mark.parametrize(
    ("metric", "reserve"),
    [
        ("battery", True),
        ("battery_voltage", True),
        ("Battery-Level", True),
        ("vbat", True),
        ("batt", True),
        ("temperature", False),
        ("bathroom", False),
        ("combat", False),
    ],
)
def test_batteries_are_known_by_name(metric: str, reserve: bool) -> None:
    """A word of the name decides, not a part of a word."""
    assert (trait_of(metric) == RESERVE) is reserve


def battery(values: list[float], metric: str = "battery") -> list[Score]:
    detector = Detector()
    return [
        detector.update(
            Reading("d", metric, signals.START + 60.0 * place, value), signals.START + 60.0 * place
        )
        for place, value in enumerate(values)
    ]


def draining(count: int, top: float, seed: int = 1) -> list[float]:
    """A cell that falls by 0.02 V a week and is read to 10 mV."""
    rng = random.Random(seed)
    return [round(top - 0.02 * place / WEEK + rng.gauss(0, 0.003), 2) for place in range(count)]


def test_battery_swap_and_a_resting_battery_are_calm() -> None:
    """A new battery and its rest of a day are calm; the same values of another metric are an anomaly."""
    values = draining(WEEK, 3.3) + [3.6] * 1440
    assert alarms(battery(values)) == 0
    assert alarms(battery(values, "pressure")) > 0


def test_battery_that_collapses_alarms() -> None:
    """A fall is judged as always, before a swap and some hours after one."""
    values = draining(WEEK, 3.3) + draining(1000, 3.6)
    scores = battery([*values, *[2.9] * 10])
    assert alarms(scores[: len(values)]) == 0
    assert alarms(scores[len(values) :]) > 0
    assert alarms(battery([*draining(WEEK, 3.3), *[2.9] * 10])) > 0


def meter(count: int = WEEK) -> list[tuple[float, float]]:
    """Event time and count of a water meter, one a minute."""
    values = signals.take(signals.counter, count, seed=4)
    return [(signals.START + 60.0 * place, value) for place, value in enumerate(values)]


def read(readings: list[tuple[float, float]]) -> list[Score]:
    detector = Detector()
    return [detector.update(Reading("d", "m", at, value), at) for at, value in readings]


def test_counter_is_judged_by_rate_over_a_gap() -> None:
    """An hour of lost readings makes one large step and is calm; the same step in a minute is not."""
    readings = meter()
    lost = readings[: WEEK - 100] + readings[WEEK - 40 :]
    assert alarms(read(lost)[WEEK - 200 :]) == 0
    hour = readings[WEEK - 40][1] - readings[WEEK - 100][1]
    jump = [
        *readings[: WEEK - 100],
        *((at, value + 3.0 * hour) for at, value in readings[WEEK - 100 : WEEK - 90]),
    ]
    assert alarms(read(jump)[WEEK - 200 :]) > 0


def test_counter_told_out_of_order_is_calm() -> None:
    """A late message of a counter is neither a reset nor a jump."""
    readings = meter()
    for place in range(WEEK - 300, WEEK - 10, 7):
        readings[place : place + 3] = [readings[place + 1], readings[place + 2], readings[place]]
    assert any(later[0] < earlier[0] for earlier, later in pairwise(readings))
    assert alarms(read(readings)[WEEK - 400 :]) == 0


def test_other_unit_is_a_shift_not_noise() -> None:
    """A duty cycle in thousandths is at another level, whatever it does there."""
    values = signals.take(signals.CALM["duty cycle"], WEEK + 60, seed=2)
    stream = Stream()
    stream.feed(values[:WEEK])
    scores = stream.feed([1000.0 * value for value in values[WEEK:]])
    kinds = [score.kind for score in scores if score.alarm]
    assert kinds[10:]
    assert set(kinds[10:]) == {Kind.LEVEL_SHIFT}


def test_meter_that_rests_every_night_is_not_stuck() -> None:
    """It never rests twice at the same value; from the first night on that is calm."""
    total, values = 19_300.0, []
    for place in range(6 * 1440):
        day = place % 1440
        if day < 700:
            total += 0.01 * min(day, 700 - day) / 350.0 * 30
        values.append(round(total, 2))
    detector = Detector()
    scores = [
        detector.update(
            Reading("d", "energy", signals.START + 60.0 * place, value), signals.START + 60.0 * place
        )
        for place, value in enumerate(values)
    ]
    assert all(score.kind is not Kind.FLATLINE for score in scores)


@pytest.mark.parametrize(
    ("metric", "values", "count"),
    [
        ("water_leak", [0.0] * 60 + [1.0] * 3 + [0.0] * 20, 3),
        ("Kueche/Rauch", [0.0, 0.0, 1.0], 1),  # while it learns, too
        ("tamper", [0.0, 1.0, 0.0, 1.0], 2),
        ("water_leak", [1.0] * 60 + [0.0] * 3 + [1.0] * 20, 0),  # on when all is well
        ("contact", [0.0] * 60 + [1.0] * 3, 0),
        ("gas", [0.0, 1.0, 3.0, 1.0, 2.0, 1.0], 1),  # not a contact, as the third value shows
    ],
)
def test_contact_that_is_an_alarm_by_name(metric: str, values: list[float], count: int) -> None:
    detector = Detector()
    scores = [
        detector.update(Reading("d", metric, 300.0 * n, value, None), 300.0 * n)
        for n, value in enumerate(values)
    ]
    assert alarms(scores) == count
    assert all(score.value < 3.0 for score in scores)


def test_lines_are_farther_for_each_series_of_many() -> None:
    spike = {}
    for count in (1, 8):
        detector, dice = Detector(), random.Random(7)
        for n in range(2000):
            for metric in ("temperature", *(f"t{other}" for other in range(count - 1)), "linkquality"):
                detector.update(Reading("d", metric, 60.0 * n, dice.gauss(20.0, 1.0), None), 60.0 * n)
        copy = Detector()
        copy.load(detector.dump())
        at = 60.0 * 2000
        spike[count] = [
            one.update(Reading("d", "temperature", at, 26.0, None), at).value for one in (detector, copy)
        ]
        assert spike[count][0] == spike[count][1]
    assert spike[8][0] < spike[1][0]


def test_a_load_that_cycles_is_soon_usual() -> None:
    """A compressor that runs for a third of each ten minutes, read each second, is news twice at most."""
    detector, rng, at = Detector(), random.Random(3), signals.START
    alarms = []
    for second in range(3 * 3600):
        running = 300 <= second % 600 < 500
        value = (118.0 if running else 1.4) + rng.gauss(0, 0.1)
        if detector.update(Reading("freezer", "power", at + second, value), at + second).alarm:
            alarms.append(second // 600)
    assert len(set(alarms)) <= 2
    assert max(alarms, default=0) < 3


def test_a_load_that_begins_to_cycle_is_usual_within_half_a_day() -> None:
    """An extent that comes for the third time is usual; its means take some more."""
    detector, rng, at = Detector(), random.Random(4), signals.START
    cycles = set()
    for minute in range(10 * 1440):
        on = minute > 8 * 1440 and minute % 60 >= 45
        value = (80.0 if on else 20.0) + rng.gauss(0, 1)
        if detector.update(Reading("d", "m", at + 60.0 * minute, value), at + 60.0 * minute).alarm:
            cycles.add(minute // 60)
    assert 1 <= len(cycles) <= 10
    assert max(cycles) < 8 * 24 + 12
