"""Series that fall away while other values of their device go on."""

import random
from collections.abc import Callable, Iterable

import pytest

from agent.detect import Detector, Tuning
from agent.domain.records import Kind, Reading, Seen, Silence

START, HOUR = 1_700_000_000.0 // 3600.0 * 3600.0, 3600.0
DEVICE = "hall/th1"
Values = dict[str, float]


class Room:
    """A device whose messages hold what ``values`` gives for a time; those of the past are taken on."""

    def __init__(self, detector: Detector | None = None) -> None:
        self.detector = detector or Detector()
        self.detector.connected(START)
        self.at = START

    def send(
        self, hours: float, values: Callable[[float], Values], interval_s: float = 300.0
    ) -> list[Silence]:
        """Send a message each interval, as the pipeline takes it; return the silences that were found."""
        found: list[Silence] = []
        until = self.at + hours * HOUR
        while self.at + interval_s <= until:
            self.at += interval_s
            readings = values(self.at)
            for metric, value in readings.items():
                self.detector.update(Reading(DEVICE, metric, self.at, value), self.at)
            if readings:
                self.detector.note_hour(DEVICE, self.at, self.at)
            while (due := self.detector.next_due()) is not None and due <= self.at:
                found += self.detector.tick(due)
        return found


def climate(*metrics: str, seed: int = 1) -> Callable[[float], Values]:
    """Return values that move a little."""
    rng = random.Random(seed)
    return lambda _at: {metric: round(rng.gauss(20.0, 0.5), 1) for metric in metrics}


def absent(found: Iterable[Silence]) -> list[list[str]]:
    """Return the metrics of each silence; none of a whole device."""
    return [[one.metric for one in silence.absent] for silence in found]


def test_a_metric_that_falls_away_is_found_once() -> None:
    """Within three hours, with its last reading, and again only after it was back for long."""
    room = Room()
    assert room.send(30.0, climate("temperature", "humidity")) == []
    last = START + 30 * HOUR
    (silence,) = room.send(3.0, climate("temperature"))
    (one,) = silence.absent
    assert (silence.device, one.metric, one.at) == (DEVICE, "humidity", last)
    assert one.value == pytest.approx(20.0, abs=3.0)
    assert HOUR <= silence.silent_s <= 3 * HOUR
    assert room.detector.absent(DEVICE) == ["humidity"]
    assert room.send(200.0, climate("temperature")) == []
    assert room.send(30.0, climate("temperature", "humidity")) == []
    assert room.send(5.0, climate("temperature")) == []  # it may be its nature
    assert room.send(100.0, climate("temperature", "humidity")) == []
    assert room.detector.absent(DEVICE) == []


@pytest.mark.parametrize("interval_s", [10.0, 60.0, 900.0, HOUR, 4 * HOUR])
def test_it_is_found_at_any_rate(interval_s: float) -> None:
    """Also of a device that sends every few hours."""
    room = Room()
    hours = max(30.0, 120.0 * interval_s / HOUR)
    assert room.send(hours, climate("temperature", "humidity"), interval_s) == []
    found = room.send(3.0 + 6.0 * interval_s / HOUR, climate("temperature"), interval_s)
    assert absent(found) == [["humidity"]]


@pytest.mark.parametrize("minutes", [5.0, 20.0, 30.0, 45.0, 55.0])
def test_it_may_fall_away_within_an_hour(minutes: float) -> None:
    """The part of an hour in which it came is not irregular."""
    room = Room()
    assert room.send(30.0 + minutes / 60.0, climate("temperature", "humidity")) == []
    assert absent(room.send(4.0, climate("temperature"))) == [["humidity"]]


def test_a_wall_clock_that_was_ahead_for_a_while_hides_nothing() -> None:
    """One message of next year, by the wall clock; the agent's own does not jump."""
    room, both = Room(), climate("temperature", "humidity")
    room.send(30.0, both)
    for metric, value in both(room.at).items():
        room.detector.update(Reading(DEVICE, metric, room.at + 365 * 24 * HOUR, value), room.at)
    room.detector.note_hour(DEVICE, room.at + 365 * 24 * HOUR, room.at)
    room.send(0.5, both)
    assert absent(room.send(5.0, climate("temperature"))) == [["humidity"]]


def test_metrics_of_one_chip_are_one_silence() -> None:
    """The battery of the device is left."""
    room = Room()
    room.send(48.0, climate("temperature", "humidity", "pressure", "battery"))
    assert absent(room.send(6.0, climate("battery"))) == [["temperature", "humidity", "pressure"]]


def test_metrics_of_two_steady_rates() -> None:
    """Each with messages of its own."""
    rng = random.Random(3)

    def values(at: float) -> Values:
        found = {"temperature": rng.gauss(20.0, 0.5)}
        if at % 900.0 == 0.0 and at < START + 48 * HOUR:
            found["humidity"] = rng.gauss(50.0, 1.0)
        return found

    room = Room()
    assert room.send(48.0, values, 60.0) == []
    assert absent(room.send(4.0, values, 60.0)) == [["humidity"]]


def test_after_a_silence_of_the_device_the_others_may_come_first() -> None:
    """Hours in which the device sends nothing count for none of its series."""
    room = Room()
    room.send(48.0, climate("temperature", "humidity"))
    assert absent(room.send(20.0, lambda _at: {})) == [[]]
    assert room.send(0.5, climate("temperature")) == []
    assert room.send(20.0, climate("temperature", "humidity")) == []


def test_a_lamp_has_a_colour_while_it_is_on() -> None:
    """Also where it was on for days before."""
    colour = climate("colour", "temperature")
    room = Room()
    assert room.send(4.0, lambda at: {"state": 0.0, "power": 0.0, "rssi": -60.0 + at % 7}) == []
    assert room.send(60.0, lambda at: {"state": 1.0, "rssi": -60.0 + at % 7, **colour(at)}) == []
    assert room.send(30.0, lambda at: {"state": 0.0, "rssi": -60.0 + at % 7}) == []


def test_a_flow_has_a_temperature_while_the_burner_runs() -> None:
    """Its modulation becomes zero as the heating season ends."""
    season = climate("flow_temperature", "outside")
    room = Room()
    assert room.send(72.0, lambda at: {"modulation": 40.0 + at % 11, **season(at)}) == []
    assert room.send(72.0, lambda at: {"modulation": 0.0, "outside": season(at)["outside"]}) == []


def test_a_metric_that_is_renamed_is_not_missed() -> None:
    """Its new name begins as the old one ends."""
    room = Room()
    room.send(48.0, climate("temperature", "humidity"))
    assert room.send(48.0, climate("temperature", "relative_humidity")) == []


@pytest.mark.parametrize(
    "failing",
    [
        {"sensor_fault": 1.0},  # it begins with the failure
        {"error_code": 7.0},
        {"humidity_raw": 1023.0},
    ],
)
def test_a_series_that_begins_with_a_failure_is_no_excuse(failing: Values) -> None:
    """It has none of the values of the metric that it would replace."""
    room, one = Room(), climate("temperature")
    room.send(48.0, climate("temperature", "humidity"))
    assert absent(room.send(4.0, lambda at: {**failing, **one(at)})) == [["humidity"]]


@pytest.mark.parametrize(("name", "well"), [("sensor_fault", 0.0), ("dht_ok", 1.0), ("Störung", 0.0)])
def test_a_state_that_reports_the_failure_is_no_excuse(name: str, well: float) -> None:
    """Another state is."""
    both, one = climate("temperature", "humidity"), climate("temperature")
    for metric, found in ((name, [["humidity"]]), ("relay", [])):
        room = Room()
        room.send(48.0, lambda at, metric=metric: {metric: well, **both(at)})  # type: ignore[misc]
        later = room.send(4.0, lambda at, metric=metric: {metric: 1.0 - well, **one(at)})  # type: ignore[misc]
        assert absent(later) == found, metric


def test_a_battery_that_is_replaced_is_no_excuse() -> None:
    """Its charge is learnt again, but is not a new metric."""
    both, one = climate("temperature", "humidity"), climate("temperature")
    room = Room()
    room.send(48.0, lambda at: {"battery": 30.0 - (at - START) / HOUR // 8, **both(at)})
    found = room.send(4.0, lambda at: {"battery": 100.0 - at % 7 // 3, **one(at)})
    assert absent(found) == [["humidity"]]


def test_a_last_value_of_zero_excuses_nothing() -> None:
    """Neither itself nor what fell away with it."""
    room = Room()
    room.send(48.0, climate("temperature", "humidity", "pressure"))
    dying = climate("temperature", "humidity")
    room.send(0.1, lambda at: {"pressure": 0.0, **dying(at)})
    assert absent(room.send(4.0, climate("temperature"))) == [["humidity", "pressure"]]


def test_a_metric_that_was_often_gone_is_missed_when_it_stays_away() -> None:
    """After four times its longest absence, a day at least."""
    room, one = Room(), climate("temperature")
    both = climate("temperature", "humidity")
    for _ in range(6):
        room.send(30.0, both)
        room.send(7.0, one)
    room.send(30.0, both)
    assert room.send(26.0, one) == []
    assert absent(room.send(4.0, one)) == [["humidity"]]
    assert room.send(24.0 * 14, one) == []


def test_what_was_excused_is_so_until_it_is_back() -> None:
    """Though the state that excused it changes again."""
    both = climate("temperature", "colour")
    room = Room()
    room.send(60.0, lambda at: {"state": 1.0, **both(at)})
    for _ in range(3):
        room.send(5.0, lambda at: {"state": 0.0, "temperature": both(at)["temperature"]})
        room.send(5.0, lambda at: {"state": 1.0, **both(at)})
    away = room.send(5.0, lambda at: {"state": 0.0, "temperature": both(at)["temperature"]})
    away += room.send(24.0 * 20, lambda at: {"state": at // 7200 % 2, "temperature": both(at)["temperature"]})
    assert away == []


@pytest.mark.parametrize("per_hour", [0.3, 1.0, 3.0, 12.0, 40.0])
@pytest.mark.parametrize("series", [2, 5])
def test_metrics_that_are_sent_on_change(per_hour: float, series: int) -> None:
    """They come at any time, each for itself; by night hardly any of them."""
    rng = random.Random(5)

    def values(at: float) -> Values:
        found = {}
        for number in range(series):
            calm = 0.05 if (at + number * HOUR) % (24 * HOUR) < 7 * HOUR else 1.0
            if rng.random() < calm * per_hour / 60.0:
                found[f"m{number}"] = round(rng.gauss(20.0, 2.0), 1)
        return found

    room = Room()
    assert [one for one in absent(room.send(24.0 * 20, values, 60.0)) if one] == []


def test_a_metric_that_is_seldom_or_for_some_hours() -> None:
    """As that of a heating by day, and of a battery each day."""
    both = climate("temperature", "flow")

    def values(at: float) -> Values:
        found = both(at)
        if not 6 * HOUR <= at % (24 * HOUR) < 22 * HOUR:
            del found["flow"]
        if at % (24 * HOUR) == 0.0:
            found["battery_level"] = 90.0 - at % 11
        return found

    assert Room().send(24.0 * 14, values) == []


def test_states_alarms_and_ignored_metrics_are_not_missed() -> None:
    """A contact is sent when it changes, and one is ignored by the configuration."""
    room = Room(Detector(tuning=[Tuning("*/noise", ignore=True)]))
    both = climate("temperature", "noise", "linkquality")
    assert room.send(72.0, lambda at: {"contact": float(at % 600 == 0), "leak": 0.0, **both(at)}) == []
    assert room.send(72.0, climate("temperature")) == []


def test_what_people_called_usual_is_not_reported_again() -> None:
    """Nor after it was back."""
    room = Room()
    room.send(48.0, climate("temperature", "humidity"))
    assert absent(room.send(4.0, climate("temperature"))) == [["humidity"]]
    room.detector.allow(DEVICE, Seen("humidity", Kind.SILENCE, 50.0, 50.0))
    room.send(24.0 * 30, climate("temperature", "humidity"), 900.0)
    assert room.send(24.0, climate("temperature"), 900.0) == []
    assert room.detector.absent(DEVICE) == []


def test_a_saved_state_finds_the_same() -> None:
    """At each step, also between the look and the silence."""
    room = Room()
    room.send(31.0, climate("temperature", "humidity"))
    rng = random.Random(9)
    copies: list[Detector] = []
    for step in range(40):
        at = room.at + 300.0 * (step + 1)
        again = Detector()
        again.load(room.detector.dump())
        copies.append(again)
        for one in copies:
            rng.seed(step)
            one.update(Reading(DEVICE, "temperature", at, rng.gauss(20.0, 0.5)), at)
            one.note_hour(DEVICE, at, at)
        rng.seed(step)
        room.detector.update(Reading(DEVICE, "temperature", at, rng.gauss(20.0, 0.5)), at)
        room.detector.note_hour(DEVICE, at, at)
        later = Detector()
        later.load(room.detector.dump())
        assert later.next_due() == room.detector.next_due()
        found = [one.tick(at) for one in (room.detector, *copies, later)]
        assert all(one == found[0] for one in found)
        if found[0]:
            assert absent(found[0]) == [["humidity"]]
            return
    raise AssertionError("it is not found")


def test_a_device_that_is_forgotten_or_evicted_is_not_told() -> None:
    """The look has seen it, the silence comes too late."""
    room = Room()
    room.send(48.0, climate("temperature", "humidity"))
    detector, values = room.detector, climate("temperature")
    while not detector.next_due() or (detector.next_due() or 0.0) > room.at:
        room.at += 300.0
        detector.update(Reading(DEVICE, "temperature", room.at, values(room.at)["temperature"]), room.at)
        detector.note_hour(DEVICE, room.at, room.at)
    detector.forget(DEVICE)
    assert detector.tick(room.at) == []
