"""An allowed event is not reported again, faults of its series still are."""

import json
import random
from collections.abc import Iterator

import pytest

from agent.detect import Detector
from agent.detect.allowed import MAX_SERIES, Allowed
from agent.domain.records import Do, Kind, Past, Reading, Score, Seen
from tests.detect import signals
from tests.detect.signals import DAY_S, START
from tests.detect.stream import DEVICE, METRIC, Stream, alarms

MINUTE = 60.0


def freezer(rng: random.Random, days: int, *, defrosts: bool) -> Iterator[float]:
    """Minutes of a freezer at -18 degC; with ``defrosts`` it warms to -5 for four minutes at noon."""
    for minute in range(days * 1440):
        warm = defrosts and 720 <= minute % 1440 < 724
        yield (-5.0 if warm else -18.0) + rng.gauss(0.0, 0.2)


def seen_of(scores: list[Score], values: list[float]) -> list[Seen]:
    """Return what verdicts on these readings would cite."""
    found: dict[Kind, list[float]] = {}
    for score, value in zip(scores, values, strict=True):
        if score.alarm:
            found.setdefault(score.kind, []).append(value)
    return [Seen(METRIC, kind, min(each), max(each)) for kind, each in found.items()]


def defrosting(*, allow: bool) -> Stream:
    """Return a freezer after its first defrost, which a person has called normal or not."""
    rng = random.Random(4)
    stream = Stream()
    stream.feed(freezer(rng, 7, defrosts=False))
    values = list(freezer(rng, 1, defrosts=True))
    scores = stream.feed(values)
    assert alarms(scores)
    for seen in seen_of(scores, values) if allow else ():
        stream.detector.allow(DEVICE, seen)
    return stream


def test_an_allowed_event_is_not_reported_again() -> None:
    """The control reports the next one."""
    rng = random.Random(9)
    following = list(freezer(rng, 2, defrosts=True))
    assert alarms(defrosting(allow=False).feed(following))
    assert alarms(defrosting(allow=True).feed(following)) == 0


@pytest.mark.parametrize("value", [2.0, -30.0])
def test_a_fault_beyond_it_is_found(value: float) -> None:
    """On the far side of the allowed values, and on the other side of the usual range as well as before."""
    stream = defrosting(allow=True)
    scores = stream.feed([-18.0] * 30 + [value] * 5)
    assert any(score.alarm for score in scores[30:])


def test_a_stuck_sensor_is_found_all_the_same() -> None:
    """The person allowed a level, not a flatline at it."""
    stream = defrosting(allow=True)
    scores = stream.feed([-10.0] * 600)
    assert any(score.kind is Kind.FLATLINE and score.alarm for score in scores)


def test_a_flatline_is_allowed_at_its_value_only() -> None:
    """A valve that rests at 12 by intent may still be stuck at 40."""
    rng = random.Random(3)
    stream = Stream()
    stream.feed(rng.uniform(10.0, 60.0) for _ in range(5000))
    assert any(score.kind is Kind.FLATLINE for score in stream.feed([12.0] * 200))
    stream.detector.allow(DEVICE, Seen(METRIC, Kind.FLATLINE, 12.0, 12.0))
    stream.feed(rng.uniform(10.0, 60.0) for _ in range(500))
    assert alarms(stream.feed([12.0] * 2000)) == 0
    stream.feed(rng.uniform(10.0, 60.0) for _ in range(500))
    assert alarms(stream.feed([40.0] * 2000))


def test_a_saved_detector_allows_the_same() -> None:
    """After a restart each score is what it would have been."""
    stream = defrosting(allow=True)
    again = Detector()
    again.load(stream.detector.dump())
    for number, value in enumerate(freezer(random.Random(9), 1, defrosts=True)):
        reading = Reading(DEVICE, METRIC, stream.at + 60 * number, value)
        assert stream.detector.update(reading, reading.at) == again.update(reading, reading.at)
    assert stream.detector.dump() == again.dump()


def test_another_unit_ends_it() -> None:
    """Its numbers mean something else."""
    allowed = Allowed()
    allowed.allow("d", "degC", Seen("t", Kind.SPIKE, 1.0, 2.0))
    assert allowed.of("d", "t", "degC") is not None
    assert allowed.of("d", "t", "hPa") is None


def test_it_is_bounded() -> None:
    """Beyond a thousand series the device that was allowed first gives way."""
    allowed = Allowed()
    for number in range(MAX_SERIES + 5):
        allowed.allow(f"d{number}", None, Seen("t", Kind.SPIKE, 1.0, 2.0))
    assert allowed.of("d0", "t", None) is None
    assert sum(map(len, allowed._series.values())) == MAX_SERIES


def test_forget_drops_the_device() -> None:
    """It learns again from its next reading, and its silence is not known."""
    stream = defrosting(allow=True)
    stream.detector.forget(DEVICE)
    assert not stream.detector.knows(DEVICE)
    assert stream.detector.last_seen() == {}
    assert stream.detector.stats.series == 0
    assert stream.detector.next_due() is None
    (score,) = stream.feed([99.0])
    assert score.progress is not None
    stream.detector.forget("nobody")


# ------------------------------------------------------------------------------------------- silence


class Night:
    """A device that reports every minute, except from 18:00 to 07:00."""

    def __init__(self) -> None:
        self.detector = Detector()
        self.detector.connected(START)
        self.clock = START

    def run(self, to: float, *, speaks: bool) -> list[float]:
        """Let time pass; return the clocks at which a silence was found."""
        found = []
        while self.clock < to:
            if speaks:
                self.detector.update(Reading("lamp", "power", self.clock, 5.0), self.clock)
            elif self.detector.tick(self.clock):
                found.append(self.clock)
            self.clock += MINUTE
        return found


def day(number: int, hour: float) -> float:
    return START + number * DAY_S + hour * 3600.0


def test_an_allowed_silence_is_usual_at_its_hour_only() -> None:
    """The next night is calm, noon is not, and a night without an end is reported after its usual one."""
    site = Night()
    site.run(day(0, 18), speaks=True)
    assert len(site.run(day(1, 7), speaks=False)) == 1
    site.run(day(1, 8), speaks=True)
    site.detector.allow_silence("lamp", day(0, 18) - MINUTE, day(1, 7))
    site.run(day(1, 18), speaks=True)
    assert site.run(day(2, 7), speaks=False) == []
    site.run(day(2, 12), speaks=True)
    assert len(site.run(day(2, 13), speaks=False)) == 1
    site.run(day(2, 18.5), speaks=True)
    late = site.run(day(3, 12), speaks=False)
    assert len(late) == 1
    assert day(3, 7) <= late[0] <= day(3, 9)


def test_a_silence_that_lasts_is_allowed_up_to_its_end() -> None:
    """Its length is known when the device speaks again."""
    site = Night()
    site.run(day(0, 18), speaks=True)
    assert len(site.run(day(0, 20), speaks=False)) == 1
    site.detector.allow_silence("lamp", day(0, 18) - MINUTE, None)
    again = Detector()
    again.load(site.detector.dump())
    site.detector = again
    assert site.run(day(1, 7), speaks=False) == []
    site.run(day(1, 18), speaks=True)
    assert site.run(day(2, 7), speaks=False) == []


def test_a_last_will_at_an_allowed_hour_is_no_silence() -> None:
    """The device is switched off every night by intent."""
    site = Night()
    site.run(day(0, 18), speaks=True)
    site.detector.allow_silence("lamp", day(0, 18) - MINUTE, day(1, 7))
    site.run(day(1, 18), speaks=True)
    assert site.detector.device_state("lamp", online=False, clock=day(1, 18)) is None
    site.run(day(2, 12), speaks=True)
    assert site.detector.device_state("lamp", online=False, clock=day(2, 12)) is not None


def test_signals_without_an_allowance_are_judged_as_ever() -> None:
    """Another series of the device is not touched."""
    plain, other = Stream(), Stream()
    values = signals.take(signals.white, 3000, seed=2)
    plain.feed(values)
    other.feed(values)
    other.detector.allow(DEVICE, Seen("humidity", Kind.SPIKE, 0.0, 100.0))
    assert plain.feed([60.0] * 20) == other.feed([60.0] * 20)


def test_judged_anomalies_are_kept_by_series() -> None:
    """The last three of a series in its unit, each finding once, also after a restart."""
    known = Allowed()
    for finding in "abcd":
        outcome = Do.FALSE_ALARM if finding == "b" else Do.CONFIRMED
        known.judge("d1", "degC", "m", Past(finding, outcome, Kind.SPIKE, 1.0, 2.0))
    known.judge("d1", "degC", "m", Past("c", Do.FALSE_ALARM, Kind.SPIKE, 1.0, 3.0))
    again = Allowed()
    again.load(json.loads(json.dumps(known.dump())))
    for one in (known, again):
        cases = one.past("d1", "m", "degC")
        assert [(case.finding, case.outcome) for case in cases] == [
            ("b", Do.FALSE_ALARM), ("d", Do.CONFIRMED), ("c", Do.FALSE_ALARM)
        ]  # fmt: skip
        assert one.past("d1", "m", "degF") == ()
        assert one.past("d2", "m", "degC") == ()
        assert not one  # nothing is allowed by it
    again.judge("d1", "degF", "m", Past("e", Do.CONFIRMED, Kind.SPIKE, 1.0, 2.0))
    assert [case.finding for case in again.past("d1", "m", "degF")] == ["e"]
    again.forget("d1")
    assert again.past("d1", "m", "degF") == ()


def test_judged_anomalies_are_bounded() -> None:
    """The series that people spoke of long ago give way."""
    known = Allowed()
    every = [(f"d{number // 2}", f"m{number % 2}") for number in range(MAX_SERIES + 10)]
    for device, metric in every:
        known.judge(device, None, metric, Past("f", Do.CONFIRMED, Kind.SPIKE, 1.0, 2.0))
    assert [series for series in every if known.past(*series, None)] == every[10:]
