"""Healthy signals are pure functions of a seed and a time."""

import itertools
import statistics

import pytest

from simulator.signals import SIGNALS, Freezer, Noise, Pump, Room, parameters

START = 1_790_000_000.0


@pytest.mark.parametrize("name", sorted(SIGNALS))
def test_same_seed_same_values_in_any_order(name: str) -> None:
    """A signal asked backwards says what it said forwards."""
    instants = [START + step * 0.5 for step in range(200)]
    forwards = [SIGNALS[name]().values(Noise(seed=3, device="d"), at) for at in instants]
    backwards = [SIGNALS[name]().values(Noise(seed=3, device="d"), at) for at in reversed(instants)]
    assert forwards == backwards[::-1]


@pytest.mark.parametrize("name", sorted(SIGNALS))
def test_seed_and_device_both_change_the_noise(name: str) -> None:
    """Another seed or another device gives other values at the same instant."""
    values = {
        SIGNALS[name]().values(Noise(seed=seed, device=device), START)
        for seed, device in ((1, "a"), (2, "a"), (1, "b"))
    }
    assert len(values) == 3


def test_noise_is_standard_normal() -> None:
    """Noise has mean 0 and deviation 1, and its eight numbers are independent."""
    noise = Noise(seed=1, device="d")
    rows = [noise.normals(START + step) for step in range(4000)]
    for column in zip(*rows, strict=True):
        assert abs(statistics.fmean(column)) < 0.08
        assert 0.95 < statistics.stdev(column) < 1.05
    first, second, *_ = zip(*rows, strict=True)
    assert abs(statistics.correlation(first, second)) < 0.06


def test_wander_is_bounded_and_smooth() -> None:
    """Wander stays within -1..1 and moves little from second to second."""
    noise = Noise(seed=1, device="d")
    values = [noise.wander(START + step, 60.0) for step in range(2000)]
    assert max(map(abs, values)) <= 1.0
    assert max(abs(b - a) for a, b in itertools.pairwise(values)) < 0.06


def test_pump_channels_follow_one_load() -> None:
    """Vibration, current and flow rise and fall together with the duty cycle."""
    pump, noise = Pump(period_s=100.0, duty=0.6), Noise(seed=1, device="p")
    rows = [pump.values(noise, START + step) for step in range(1000)]
    vibration, current, flow, pressure = zip(*rows, strict=True)
    assert statistics.correlation(vibration, current) > 0.9
    assert statistics.correlation(current, flow) > 0.9
    assert statistics.correlation(flow, pressure) > 0.9
    running = sum(value > 10.0 for value in flow) / len(flow)
    assert 0.5 < running < 0.65


def test_freezer_swings_between_its_set_points() -> None:
    """The compressor keeps the freezer between its coldest and its warmest temperature."""
    freezer, noise = Freezer(), Noise(seed=1, device="f")
    rows = [freezer.values(noise, START + step * 5) for step in range(2000)]
    temperature, power = zip(*rows, strict=True)
    assert freezer.coldest - 0.5 < min(temperature) < max(temperature) < freezer.warmest + 0.5
    assert sum(watts > 50 for watts in power) / len(power) == pytest.approx(freezer.duty, abs=0.03)


def test_room_is_warmest_in_the_afternoon() -> None:
    """The day curve peaks at the configured hour."""
    room, noise = Room(warmest_hour=15.0), Noise(seed=1, device="r")
    midnight = START - START % 86_400
    by_hour = {hour: room.values(noise, midnight + hour * 3600)[0] for hour in range(24)}
    assert abs(max(by_hour, key=lambda hour: by_hour[hour]) - 15) <= 3
    assert by_hour[15] - by_hour[3] > 1.5


def test_sensor_rounds_and_stays_in_its_range() -> None:
    """A sensor says what it can resolve and nothing beyond its range."""
    humidity = Room.METRICS[1]
    assert [humidity.sense(value) for value in (-3.0, 45.678, 120.0)] == [0.0, 45.7, 100.0]


def test_parameters_are_the_fields_of_the_signal() -> None:
    """A scenario may set exactly the numbers that a signal has."""
    assert parameters("freezer") == ("period_s", "duty", "warmest", "coldest")
