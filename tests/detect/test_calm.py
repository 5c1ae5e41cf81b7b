"""Healthy series raise few alarms or none: false-alarm rates and hard negatives."""

import random

import pytest

from agent.domain.records import Kind
from tests.detect import signals
from tests.detect.stream import Stream, alarms, incidents

FORTNIGHT = 20_160


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    "name",
    [
        "white noise",
        "AR(1) 0.9",
        "AR(1) 0.99",
        "day curve",
        "duty cycle",
        "power on/off",
        "counter",
        "dead band",
    ],
)
def test_at_most_two_false_alarms_in_ten_thousand(name: str, seed: int) -> None:
    """A fortnight of minutes of a healthy series raises at most 2 alarms per 10,000 readings."""
    scores = Stream().feed(signals.take(signals.CALM[name], FORTNIGHT, seed=seed))
    assert incidents(scores) <= 4


@pytest.mark.parametrize("name", ["quantised", "constant", "ON/OFF"])
def test_coarse_series_never_alarm(name: str) -> None:
    """Steps of half a degree, a constant and a switch are nothing to alarm about."""
    assert alarms(Stream().feed(signals.take(signals.CALM[name], FORTNIGHT, seed=3))) == 0


@pytest.mark.parametrize("name", ["sunrise", "office", "weather"])
def test_days_are_calm_after_a_week(name: str) -> None:
    """Sunrise with clouds, an office with its weekends and changing weather: 3 alarms in three weeks."""
    stream = Stream()
    values = signals.take(signals.CALM[name], 2 * FORTNIGHT, seed=4)
    stream.feed(values[:10_080])
    assert incidents(stream.feed(values[10_080:])) <= 3


@pytest.mark.parametrize("step_s", [1.0, 10.0])
def test_first_hours_are_calm(step_s: float) -> None:
    """A fast series that has seen a part of its first day only keeps quiet about the rest of it."""
    for name in ("day curve", "duty cycle", "white noise", "power on/off"):
        values = signals.take(signals.CALM[name], 15_000, seed=5, step_s=step_s)
        assert alarms(Stream(step_s=step_s).feed(values)) == 0, name


def test_suspicions_are_rare() -> None:
    """White noise asks for the model at most 2 times per 10,000 readings after its first 3,000."""
    stream = Stream()
    scores = stream.feed(signals.take(signals.white, 33_000, seed=6))
    assert incidents(scores[3000:], line=0.25) <= 6


def _freezer(rng: random.Random, minutes: int, opened: frozenset[int]) -> list[float]:
    """A freezer's minutes; its door is opened for two minutes at ``opened``."""
    values, warmth = [], 0.0
    cycle = signals.take(signals.duty_cycle, minutes, seed=rng.randrange(1000))
    for minute in range(minutes):
        if minute in opened or minute - 1 in opened:
            warmth += 3.0
        warmth *= 0.75
        values.append(cycle[minute] + warmth)
    return values


def test_door_that_was_seen_before_is_calm() -> None:
    """The two-minute opening of a freezer's door alarms on its first days and is usual after a few."""
    rng = random.Random(7)
    opened = frozenset(day * 1440 + rng.randrange(600, 1200) for day in range(14))
    scores = Stream().feed(_freezer(rng, 14 * 1440, opened))
    assert alarms(scores[: 3 * 1440]) > 0
    assert alarms(scores[7 * 1440 :]) <= 1


def test_daily_spike_becomes_usual() -> None:
    """A spike that comes every day (a defrost, a backup) is usual after two days."""
    values = signals.take(signals.white, 14 * 1440, seed=8)
    for day in range(2, 14):
        values[day * 1440 + 240 + day] += 30.0
    scores = Stream().feed(values)
    assert incidents(scores[: 5 * 1440]) in {2, 3}
    assert incidents(scores[5 * 1440 :]) <= 1


def test_counter_reset_is_calm() -> None:
    """A counter that restarts at zero is calm; a jump of it is an anomaly."""
    rng = random.Random(9)
    total, values = 500.0, []
    for _ in range(5000):
        total += rng.uniform(0.0, 0.2)
        values.append(total)
    stream = Stream()
    stream.feed(values)
    total, values = 0.0, []
    for _ in range(500):
        total += rng.uniform(0.0, 0.2)
        values.append(total)
    assert alarms(stream.feed(values)) == 0
    assert stream.feed([total + 50.0])[0].alarm


def test_sensor_that_rests_every_night_is_calm() -> None:
    """A value that rests every night is not stuck, once the first night was seen."""
    rng = random.Random(10)
    values = [
        round(30.0 + rng.gauss(0.0, 2.0), 1) if place % 1440 < 900 else 21.0 for place in range(14 * 1440)
    ]
    assert all(score.kind is not Kind.FLATLINE for score in Stream().feed(values)[1440:])


def test_constant_that_changes_is_calm() -> None:
    """A value that never moved gives no measure of distance; its first move is learnt."""
    stream = Stream()
    stream.feed([20.0] * 2000)
    assert alarms(stream.feed([25.0, 25.0, 20.0, 25.0] * 50)) == 0


def test_switch_left_on_is_calm() -> None:
    """A door that stays open or shut for days is neither drift nor flatline."""
    stream = Stream()
    stream.feed(signals.take(signals.on_off, 10_080, seed=11))
    assert alarms(stream.feed([1.0] * 5000 + [0.0] * 10_000 + [1.0] * 3000)) == 0
