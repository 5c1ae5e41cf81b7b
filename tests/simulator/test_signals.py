"""Healthy signals are pure functions of a seed and a time."""

import itertools
import math
import statistics

import pytest
from hypothesis import given, settings, strategies as st

from simulator.signals import SIGNALS, Event, Freezer, Noise, Pump, Room, parameters

START = 1_790_000_000.0
MONDAY = 1_767_571_200.0  # 5 January 2026, 00:00 UTC
INSTANTS = st.floats(1.7e9, 2.0e9, allow_nan=False)


@pytest.mark.parametrize("name", sorted(SIGNALS))
def test_same_seed_same_values_in_any_order(name: str) -> None:
    """A signal read backwards gives the same values as forwards."""
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
    """A sensor sends values of its resolution and nothing beyond its range."""
    humidity = Room.METRICS[1]
    assert [humidity.sense(value) for value in (-3.0, 45.678, 120.0)] == [0.0, 45.7, 100.0]


def test_parameters_are_the_fields_of_the_signal() -> None:
    """A scenario may set exactly the numbers that a signal has."""
    assert parameters("freezer") == ("period_s", "duty", "warmest", "coldest")


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(SIGNALS)), seed=st.integers(0, 2**32), at=INSTANTS)
def test_any_instant_has_finite_values_that_depend_on_nothing_else(name: str, seed: int, at: float) -> None:
    """A fresh noise and a used one give the same values."""
    used = Noise(seed=seed, device="d")
    for step in range(5):
        SIGNALS[name]().values(used, at - 40_000.0 * step)
    values = SIGNALS[name]().values(used, at)
    assert values == SIGNALS[name]().values(Noise(seed=seed, device="d"), at)
    assert len(values) == len(SIGNALS[name].METRICS)
    assert all(math.isfinite(value) for value in values)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(
        [name for name in sorted(SIGNALS) if any(one.counter for one in SIGNALS[name].METRICS)]
    ),
    at=INSTANTS,
    later=st.floats(0.0, 3e6),
)
def test_counters_never_fall(name: str, at: float, later: float) -> None:
    """A counter never falls, at any interval."""
    noise, signal = Noise(seed=1, device="d"), SIGNALS[name]()
    for metric, before, after in zip(
        signal.METRICS, signal.values(noise, at), signal.values(noise, at + later), strict=True
    ):
        assert not metric.counter or metric.sense(after) >= metric.sense(before)


@settings(max_examples=100, deadline=None)
@given(at=INSTANTS, longest_s=st.floats(1.0, 1e6), seed=st.integers(0, 1000))
def test_walk_and_wander_stay_in_their_range(at: float, longest_s: float, seed: int) -> None:
    """Neither leaves -1..1."""
    noise = Noise(seed=seed, device="d")
    assert abs(noise.walk(at, longest_s)) <= 1.0
    assert abs(noise.wander(at, longest_s)) <= 1.0


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(sorted(SIGNALS)),
    value=st.floats(-1e5, 1e5, allow_nan=False),
)
def test_what_a_sensor_says_it_would_say_again(name: str, value: float) -> None:
    """Sensing is idempotent: a sent value is one that the sensor can send."""
    for metric in SIGNALS[name].METRICS:
        assert metric.sense(metric.sense(value)) == metric.sense(value)


@settings(max_examples=60, deadline=None)
@given(for_s=st.floats(60.0, 1e6), share=st.floats(0.0, 2.0), rise=st.floats(1.0, 1e5))
def test_events_come_and_go_within_their_size(for_s: float, share: float, rise: float) -> None:
    """Whatever the shape, it stays within 0..1 and is 0 when it is over."""
    event = Event(share * for_s, for_s, 1.0)
    for height in (event.hump(rise), event.plateau(rise)):
        assert 0.0 <= height <= 1.0 + 1e-9
        assert share < 1.0 or height == 0.0


def test_water_counter_is_the_sum_of_the_flow() -> None:
    """The counter rises by the integral of the flow, also while a leak grows."""
    meter, noise, leak = SIGNALS["water_meter"](), Noise(seed=1, device="w"), 7200.0
    litres, first = 0.0, meter.values(noise, MONDAY + 30_000.0, {"leak": Event(0.0, leak, 3.0)})[1]
    for second in range(7200):
        litres += (
            meter.values(noise, MONDAY + 30_000.5 + second, {"leak": Event(second + 0.5, leak, 3.0)})[0] / 60
        )
    last = meter.values(noise, MONDAY + 37_200.0, {"leak": Event(leak, leak, 3.0)})[1]
    assert (last - first) * 1000.0 == pytest.approx(litres, rel=0.01)
    assert litres > 180.0  # 3 l/min at the end is 1.5 l/min in the mean


def test_solar_counter_adds_up_the_days() -> None:
    """Over a week the counter rises by the integral of the power, except for the clouds."""
    panels, noise = SIGNALS["solar"](), Noise(seed=1, device="s")
    wh = sum(panels.values(noise, MONDAY + step * 300.0)[0] for step in range(7 * 288)) / 12
    first, last = (panels.values(noise, MONDAY + at)[1] for at in (0.0, 7 * 86_400.0))
    assert (last - first) * 1000.0 == pytest.approx(wh, rel=0.1)


def test_server_power_heats_and_fans_follow() -> None:
    """Power, fan speed and inlet temperature follow one load."""
    server, noise = SIGNALS["server"](), Noise(seed=1, device="r")
    rows = [server.values(noise, MONDAY + step * 300.0) for step in range(5 * 288)]
    inlet, fan, power, uptime = zip(*rows, strict=True)
    assert statistics.correlation(power, fan) > 0.9
    assert statistics.correlation(power, inlet) > 0.2
    assert uptime[288] - uptime[0] == pytest.approx(86_400.0)


def test_leak_moves_pressure_and_flow_apart() -> None:
    """A leak takes pressure and adds flow: what is coupled when all is well parts."""
    pump, noise = Pump(period_s=200.0), Noise(seed=1, device="p")
    running = [START + at for at in range(600) if pump.values(noise, START + at)[2] > 11.0]
    calm = [pump.values(noise, at) for at in running]
    leaking = [pump.values(noise, at, {"leak": Event(3600.0, 3600.0 + 1e-3, 1.0)}) for at in running]
    assert statistics.fmean(row[3] for row in leaking) < statistics.fmean(row[3] for row in calm) - 0.8
    assert statistics.fmean(row[2] for row in leaking) > statistics.fmean(row[2] for row in calm) + 1.0


def test_office_is_empty_at_night_at_the_weekend_and_on_holidays() -> None:
    """People come on weekdays; a holiday is like a weekend, and summer time brings them an hour earlier."""
    office, noise = SIGNALS["office"](), Noise(seed=1, device="o")
    noon, saturday = MONDAY + 12 * 3600.0, MONDAY + 5 * 86_400.0 + 12 * 3600.0
    assert office.values(noise, noon)[3] > 6.0
    assert office.values(noise, noon + 12 * 3600.0)[3] < 0.1
    assert office.values(noise, saturday)[3] == 0.0
    assert office.values(noise, noon, {"weekend": Event(100.0, 86_400.0, 0.0)})[3] == 0.0
    early = MONDAY + 7.25 * 3600.0
    assert (
        office.values(noise, early, {"dst_change": Event(1.0, 1e9, 0.0)})[3]
        > 2 * office.values(noise, early)[3]
    )


def test_defrost_warms_and_costs_power() -> None:
    """The heater lifts the temperature by its size and takes more power than the compressor."""
    freezer, noise = Freezer(), Noise(seed=1, device="f")
    rows = [
        freezer.values(noise, START + at, {"defrost": Event(float(at), 1500.0, 6.0)}) for at in range(1500)
    ]
    assert max(row[0] for row in rows) == pytest.approx(-12.3, abs=1.2)
    assert rows[300][1] > 200.0


def test_racks_share_the_air_of_their_room() -> None:
    """With ``room`` it moves all of a seed alike, and those of another seed otherwise."""

    def air(seed: int, device: str, at: float) -> float:
        """Return what the shared air adds to the inlet of a rack."""
        noise = Noise(seed=seed, device=device)
        values = (SIGNALS["server"](room=room).values(noise, at)[0] for room in (2.0, 0.0))  # type: ignore[call-arg]
        return next(values) - next(values)

    instants = [START + 1800.0 * step for step in range(200)]
    one, two, other = ([air(*who, at) for at in instants] for who in ((1, "a"), (1, "b"), (2, "a")))
    assert one == pytest.approx(two)
    assert one != pytest.approx(other)
    assert max(one) - min(one) > 1.0
