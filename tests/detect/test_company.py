"""Series that move together, and those that only share the day."""

import math
import random
from collections.abc import Callable

import pytest

from agent.detect import Detector
from agent.detect.company import ENOUGH, HOURS, Hourly, alike, load, share_day
from agent.domain.records import Reading
from tests.detect.signals import START

HOUR = 3600.0
LAST = START + 200 * HOUR


Level = Callable[[int], float]
Pair = tuple[Hourly, Hourly]


def hourly(level: Level, *, hours: int = HOURS, skip: frozenset[int] = frozenset()) -> Hourly:
    """Return what is known of a series whose level at each of the last hours is given."""
    first = int(LAST // HOUR) - hours
    found = Hourly(first, level(0))
    for place in range(1, hours + 1):
        if place not in skip:
            found.note(first + place, level(place))
    return found


def pair(one: Level, two: Level, hours: int = HOURS, skip: frozenset[int] = frozenset()) -> Pair:
    return hourly(one, hours=hours, skip=skip), hourly(two, hours=hours, skip=skip)


def walk(seed: int, share: float = 0.0) -> Level:
    """Return a random level; ``share`` of it is common to all."""
    own, common = random.Random(seed), random.Random(0)
    steps = [(1 - share) * own.gauss(0, 1) + share * common.gauss(0, 1) for _ in range(2 * HOURS)]
    return steps.__getitem__


def together(both: Pair, before: float = LAST + HOUR) -> bool:
    return alike(*both, before=before)


@pytest.mark.parametrize("seed", range(1, 40, 2))
def test_only_what_is_common_counts(seed: int) -> None:
    """Two thirds in common are, also at another scale; independent and opposite series are not."""
    one, two = walk(seed, 0.67), walk(seed + 1, 0.67)
    assert together(pair(one, two))
    assert together(pair(one, lambda place: 1000.0 + 50.0 * two(place)))
    assert not together(pair(walk(seed), walk(seed + 1)))
    assert not together(pair(one, lambda place: -one(place)))


def test_one_event_does_not_make_two_alike() -> None:
    """However large it was: two faults may come in the same hour."""

    def with_event(level: Level) -> Level:
        return lambda place: level(place) + (100.0 if 40 <= place < 44 else 0.0)

    assert not together(pair(with_event(walk(1)), with_event(walk(2))))


def test_little_or_old_knowledge_is_not_enough() -> None:
    """A few hours, hours with gaps, a device that has stopped, an unknown one."""
    one, two = walk(1, 0.9), walk(2, 0.9)
    assert not together(pair(one, two, hours=ENOUGH - 1))
    assert together(pair(one, two, hours=ENOUGH + 1))
    assert not together(pair(one, two, skip=frozenset(range(0, HOURS, 2))))
    assert not together(pair(one, two), before=LAST - (HOURS - ENOUGH) * HOUR)
    kept, gone = pair(one, two)
    gone.note(int(LAST // HOUR) + HOURS, 3.0)
    assert not together((kept, gone), before=LAST + 2 * HOURS * HOUR)


def test_the_hours_of_the_anomaly_do_not_count() -> None:
    """Whatever they do, the answer is that of the hours before."""
    one, two = walk(1), walk(2)
    both = pair(one, two)
    before = together(both, LAST - 3 * HOUR)
    for hour in range(1, 60):
        for series in both:
            series.note(int(LAST // HOUR) + hour, 50.0 * math.sin(hour))
    assert together(both, LAST + 60 * HOUR)
    assert before is False
    assert load([0, 1.0, 1.0, "AAAA"]) is None  # of another version


def test_a_detector_keeps_it_over_a_restart() -> None:
    """Two series share the air, a third one only the day; saved and loaded, nothing is lost."""
    rng = random.Random(5)
    air = [rng.gauss(0, 1) for _ in range(400)]
    noise = [random.Random(seed) for seed in range(3)]
    detector = Detector()
    for step in range(6 * 24 * 6):
        at = START + 600.0 * step
        day = 3.0 * math.sin(at / 86_400.0 * 2 * math.pi)
        for number, share in enumerate((1.0, 0.8, 0.0)):
            hour = step // 6
            value = 20.0 + day + share * air[hour] + 0.3 * noise[number].gauss(0, 1)
            detector.update(Reading(f"room-{number}", "temperature", at, value), at)
            detector.note_hour(f"room-{number}", at, at)
    again = Detector()
    again.load(detector.dump())
    now = START + 6 * 86_400.0
    for one in (detector, again):
        assert one.alike("temperature", "room-0", "room-1", now)
        assert not one.alike("temperature", "room-0", "room-2", now)
        assert not one.alike("humidity", "room-0", "room-1", now)
        assert one.share_day("temperature", "room-0", "room-2")
        assert not one.share_day("humidity", "room-0", "room-1")
    assert again.dump() == detector.dump()
    again.forget("room-1")
    assert not again.alike("temperature", "room-0", "room-1", now)


def test_days_are_compared_by_their_shape() -> None:
    """At any scale; a flat one, an opposite one and noise are not alike, and nothing overflows."""
    rng = random.Random(1)
    day = [math.sin(hour / 24 * 2 * math.pi) + 0.1 * rng.gauss(0, 1) for hour in range(24)]
    assert share_day(day, [1e150 * value for value in day])
    assert share_day(day, [20.0 + value + 0.3 * rng.gauss(0, 1) for value in day])
    for other in ([21.0] * 24, [-value for value in day], [rng.gauss(0, 1) for _ in day]):
        assert not share_day(day, other)
