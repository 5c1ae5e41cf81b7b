"""A coarse sensor goes by single steps; a load that is seldom on does not."""

import math
import random
from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from agent.detect import calm, features, watermarks
from agent.detect.features import MEAN, NOISE, SLOW, VALUE
from agent.detect.settings import DetectSettings
from agent.detect.state import LINE, TRAIT, State
from agent.domain.records import Kind
from tests.detect import signals
from tests.detect.stream import DEVICE, METRIC, Stream, alarms

DAY = 1440
WEEKS = 15 * DAY
SETTINGS = DetectSettings()
MEANS = (MEAN, NOISE, SLOW)


def freezer(
    seed: int, fault: Callable[[int], float] = lambda _: 0.0, *, noise: float = 0.0
) -> Iterator[float]:
    """A freezer in half degrees; the fault adds to its temperature, from the end of two weeks on."""
    rng, true = random.Random(seed), signals.duty_cycle(random.Random(seed), 60.0)
    for minute, value in enumerate(true, start=-WEEKS):
        off = fault(minute) + rng.gauss(0.0, noise) if minute >= 0 else 0.0
        yield round((value + off) * 2.0) / 2.0


def room(seed: int, fault: Callable[[int], float]) -> Iterator[float]:
    """A room in whole degrees, with a day of 6 K."""
    for minute, value in enumerate(signals.day_curve(random.Random(seed), 60.0), start=-WEEKS):
        yield float(round(value + (fault(minute) if minute >= 0 else 0.0)))


def stage(minute: int) -> float:
    """A fan that runs at one of its five stages for hours."""
    return float(minute // 200 * 7919 % 9 % 5)


def rare(minute: int) -> float:
    """A load in whole watts: 1 or 2, and at full 12 for a quarter of an hour of each four."""
    return 12.0 if minute % 240 < 15 else 1.0 + minute // 40 % 2


def settled(values: Iterator[float]) -> Stream:
    """Return a stream that has seen two weeks and raised no alarm in the last three days."""
    stream = Stream()
    stream.feed(islice(values, WEEKS - 3 * DAY))
    assert alarms(stream.feed(islice(values, 3 * DAY))) == 0
    return stream


def state_of(stream: Stream) -> State:
    """Return the numbers of a stream's series."""
    return stream.detector._series[DEVICE][METRIC].state


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_new_level_of_a_coarse_sensor_is_found(seed: int) -> None:
    """Three steps more of a freezer in half degrees are found within a day, though each value is usual."""
    values = freezer(seed, lambda _: 1.5)
    stream = settled(values)
    assert alarms(stream.feed(islice(values, DAY))) > 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_drift_of_a_coarse_sensor_is_found(seed: int) -> None:
    """A room in whole degrees that warms by one of them a day is found on the first."""
    values = room(seed, lambda minute: minute / DAY)
    stream = settled(values)
    assert Kind.DRIFT in {score.kind for score in stream.feed(islice(values, DAY)) if score.alarm}


def test_noise_of_a_coarse_sensor_is_found() -> None:
    """Steps that come far more often are a finding, though each is usual."""
    values = freezer(4, noise=0.4)
    stream = settled(values)
    assert Kind.NOISE in {score.kind for score in stream.feed(islice(values, DAY)) if score.alarm}


def test_without_the_rule_they_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged as loads that are seldom on, the same freezers and the same room are calm."""
    for module in (features, watermarks):
        monkeypatch.setattr(module, "is_coarse", lambda *_: False)
    for values in (freezer(1, lambda _: 1.5), room(1, lambda minute: minute / DAY), freezer(4, noise=0.4)):
        stream = settled(values)
        assert alarms(stream.feed(islice(values, DAY))) == 0


def test_rule_begins_with_the_second_week() -> None:
    """Before it may be a load that did not run yet."""
    values = freezer(1)
    stream = Stream()
    stream.feed(islice(values, 6 * DAY))
    assert all(math.isinf(state_of(stream)[LINE + feature]) for feature in MEANS)
    stream.feed(islice(values, 2 * DAY))
    assert not any(math.isinf(state_of(stream)[LINE + feature]) for feature in MEANS)


@pytest.mark.parametrize("signal", [stage, rare])
def test_stages_and_loads_keep_their_value_alone(signal: Callable[[int], float]) -> None:
    """Few positions are a setting, and far jumps are a load, however coarse their steps are."""
    stream = Stream()
    stream.feed(signal(minute) for minute in range(WEEKS))
    state = state_of(stream)
    assert features.roughness(state) > SETTINGS.load
    assert not features.is_coarse(state)
    assert all(math.isinf(state[LINE + feature]) for feature in MEANS)
    assert state[LINE + VALUE] < 100.0


def test_battery_may_rest() -> None:
    """The charge of a battery rests for days by its nature."""
    state = state_of(settled(freezer(1)))
    assert features.is_coarse(state)
    state[TRAIT] = features.RESERVE
    assert not features.is_coarse(state)


def test_short_way_learns_what_the_long_way_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, through the fault and after it."""
    dumps = []
    for short in (True, False):
        if not short:
            monkeypatch.setattr(calm, "frame_of", lambda *_: None)
        values = freezer(5, lambda _: 1.5)
        stream = Stream()
        scores = stream.feed(islice(values, WEEKS + DAY))
        dumps.append((scores, stream.detector.dump()))
    assert dumps[0] == dumps[1]
