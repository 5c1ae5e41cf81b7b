"""Silence of devices that send when something happens, or in batches."""

import random
from collections.abc import Callable, Iterable, Iterator

import pytest

from agent.detect import Detector
from agent.domain.records import Progress, Reading

DAY, HOUR = 86_400.0, 3600.0
BEGIN = 1_788_739_200.0  # a Monday, 0 h UTC
DEVICE = "hall/motion"

Times = Iterator[tuple[float, float]]  # receipt, the device's own time


class Site:
    """A detector, and the silences that it reported."""

    def __init__(self) -> None:
        self.detector = Detector()
        self.detector.connected(BEGIN)
        self.silences: list[float] = []

    def live(self, times: Iterable[tuple[float, float]], until: float) -> list[float]:
        """Let a device send at these times, then time pass; return the clocks of its silences."""
        before = len(self.silences)
        for clock, at in times:
            if clock >= until:
                break
            self._wait(clock)
            self.detector.update(Reading(DEVICE, "value", at, 1.0), clock)
        self._wait(until)
        return self.silences[before:]

    def _wait(self, until: float) -> None:
        while (due := self.detector.next_due()) is not None and due <= until:
            self.silences += [due] * len(self.detector.tick(due))

    def restart(self) -> None:
        """Take the saved state into another detector."""
        again = Detector()
        again.load(self.detector.dump())
        self.detector = again

    @property
    def on_events(self) -> bool:
        return self.detector._watch.rhythms[DEVICE].on_events


def motion(seed: int, by_night: float = 0.5, by_day: float = 6.0) -> Times:
    """Yield events, so many an hour, each with its end 90 s later."""
    dice, at = random.Random(seed), BEGIN
    while True:
        at += dice.expovariate((by_night if at % DAY < 6 * HOUR else by_day) / HOUR)
        yield at, at
        at += 90.0
        yield at, at


def steady(every_s: float, seed: int = 1, *, jitter: float = 0.0, lost: float = 0.0) -> Times:
    dice, at = random.Random(seed), BEGIN
    while True:
        if dice.random() >= lost:
            yield at, at
        at += every_s * (1.0 + jitter * dice.uniform(-1.0, 1.0))


def with_heartbeat(every_s: float, per_hour: float) -> Times:
    """Yield events of a device that also sends whenever nothing has happened for ``every_s``."""
    dice, at = random.Random(3), BEGIN
    while True:
        at += min(every_s, dice.expovariate(per_hour / HOUR))
        yield at, at


def without(times: Times, *outages: tuple[float, float]) -> Times:
    """Leave out the readings of some times, days since the begin."""
    for clock, at in times:
        if not any(first <= (clock - BEGIN) / DAY < last for first, last in outages):
            yield clock, at


@pytest.mark.parametrize("seed", range(5))
def test_a_motion_sensor_is_quiet_from_the_first_night_on(seed: int) -> None:
    """Its nights are not reported; its death is, within two days."""
    site = Site()
    death = BEGIN + 24.5 * DAY
    assert len(site.live(motion(seed), until=death)) <= 1
    assert site.on_events
    (told,) = site.live([], until=death + 5 * DAY)
    assert told - death < 2 * DAY


def test_what_is_young_is_not_judged_by_one_afternoon() -> None:
    """A device that sends on events is reported once it was known, with its silence, for two days."""
    site = Site()
    last = BEGIN + 8 * HOUR
    assert site.live(motion(1, by_night=6.0), until=last + 1.5 * DAY) == []
    assert len(site.live([], until=last + 4 * DAY)) == 1


@pytest.mark.parametrize(
    ("times", "every_s"),
    [
        (steady(60.0), 60.0),
        (steady(60.0, jitter=0.3), 60.0),
        (steady(60.0, jitter=0.1, lost=0.05), 60.0),
        (with_heartbeat(600.0, 6.0), 600.0),
        (with_heartbeat(60.0, 20.0), 60.0),
    ],
)
def test_jitter_losses_and_heartbeats_are_no_events(times: Times, every_s: float) -> None:
    """Such a device has an interval: its death is reported within six of it."""
    site = Site()
    death = BEGIN + 3.5 * DAY
    assert site.live(times, until=death) == []
    assert not site.on_events
    (told,) = site.live([], until=death + DAY)
    assert told - death <= 6 * every_s


@pytest.mark.parametrize("every_s", [1.0, 5.0, 60.0, 900.0])
def test_hiccups_in_the_first_minutes_are_no_events(every_s: float) -> None:
    """A tenth of the first gaps is two to four times as long: the device is never taken for one of events."""
    for seed in range(20):
        dice, site, at = random.Random(seed), Site(), BEGIN
        for _ in range(200):
            site.detector.update(Reading(DEVICE, "value", at, 1.0), at)
            assert not site.on_events
            at += every_s * dice.uniform(0.98, 1.02) * (dice.choice((2, 3, 4)) if dice.random() < 0.1 else 1)
        patience_s = site.detector._watch.rhythms[DEVICE].patience_s
        assert patience_s < max(10.0, 20.0 * every_s)


def test_outages_of_a_regular_device_teach_no_patience() -> None:
    """Three in a week, at any hours, leave the next one as noticeable."""
    outages = ((2.3, 2.5), (2.8, 2.9), (3.9, 4.1))
    site = Site()
    death = BEGIN + 5.5 * DAY
    assert len(site.live(without(steady(60.0), *outages), until=death)) == 3
    (told,) = site.live([], until=death + DAY)
    assert told - death <= 360.0


def test_a_device_that_was_put_away_at_first_is_regular_again() -> None:
    """Half an hour, then half a day of nothing: after another half a day its death is reported in minutes."""
    times = without(steady(60.0), (0.02, 0.5))
    site = Site()
    death = BEGIN + 1.2 * DAY
    assert len(site.live(times, until=death)) == 1
    (told,) = site.live([], until=death + DAY)
    assert told - death <= 360.0


def pump(seed: int) -> Times:
    """Yield runs of some minutes at a reading each ten seconds, hours apart."""
    dice, at = random.Random(seed), BEGIN
    while True:
        for _ in range(dice.randint(25, 60)):
            yield at, at
            at += 10.0
        at += dice.uniform(2.0, 8.0) * HOUR


@pytest.mark.parametrize("seed", range(3))
def test_runs_of_a_pump_are_learnt_on_the_first_day(seed: int) -> None:
    """A device that mostly rests, at any hour: at most two of its rests are reported, and its death."""
    site = Site()
    death = BEGIN + 20.5 * DAY
    told = site.live(pump(seed), until=death)
    assert len(told) <= 2
    assert all(at < BEGIN + DAY for at in told)
    assert len(site.live([], until=death + 2 * DAY)) == 1


def batches() -> Times:
    """Yield 48 readings of ten minutes each, thrice a day."""
    at = BEGIN
    while True:
        clock = at + 8 * HOUR
        for number in range(48):
            at += 600.0
            yield clock + 0.01 * number, at


def test_batches_are_learnt_at_the_second_one() -> None:
    """A logger's own times show that it keeps readings: two waits are reported, and its death in a day."""
    site = Site()
    death = BEGIN + 10.1 * DAY
    told = site.live(batches(), until=death)
    assert len(told) <= 2
    assert all(at < BEGIN + DAY for at in told)
    (at,) = site.live([], until=death + 3 * DAY)
    assert at - death < DAY


def test_the_progress_of_a_rhythm_is_shown() -> None:
    """Twenty gaps, then half a minute; then none, and the sort of the device is known."""
    site, at = Site(), BEGIN
    seen = []
    assert site.detector.silence_progress(DEVICE) is None
    for _ in range(40):
        at += 1.0
        site.detector.update(Reading(DEVICE, "value", at, 1.0), at)
        seen.append(site.detector.silence_progress(DEVICE))
    assert [seen[place] for place in (0, 2, 20, 29, 30)] == [
        Progress(0, 20, of="gaps"),
        Progress(2, 20, of="gaps"),
        Progress(20, 30, of="seconds"),
        Progress(29, 30, of="seconds"),
        None,
    ]
    site = Site()
    site.live(motion(1), until=BEGIN + 5 * DAY)
    view = site.detector.rhythm(DEVICE, BEGIN + 5 * DAY)
    assert view is not None
    assert (view.on_events, view.progress) == (True, None)
    death = site.detector.tick(BEGIN + 20 * DAY)
    assert [one.on_events for one in death] == [True]


def test_a_clock_that_is_set_teaches_nothing() -> None:
    """Fifty years between two readings are not a pause of the device."""
    site = Site()
    years = 50 * 365 * DAY
    site.live(motion(2), until=BEGIN + 5 * DAY)
    later = ((clock + years, at + years) for clock, at in motion(3))
    site.live(later, until=BEGIN + years + 2 * DAY)
    assert len(site.live([], until=BEGIN + years + 5 * DAY)) == 1


@pytest.mark.parametrize("life", [motion, pump])
def test_restarts_change_no_silence(life: Callable[[int], Times]) -> None:
    """A detector that is saved and restored each noon reports as one that never is."""
    straight, saved = Site(), Site()
    times, same = life(4), life(4)
    for day in range(12):
        until = BEGIN + (day + 0.5) * DAY
        straight.live(times, until)
        saved.live(same, until)
        saved.restart()
    straight.live([], BEGIN + 20 * DAY)
    saved.live([], BEGIN + 20 * DAY)
    assert straight.silences
    assert saved.silences == straight.silences
    assert saved.detector.dump() == straight.detector.dump()
