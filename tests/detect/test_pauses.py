"""Silence that is usual at its hour of the day or of the week."""

import random
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from agent.detect import Detector, DetectSettings
from agent.detect.rhythm import Watch
from agent.domain.records import Reading

DAY, HOUR = 86_400.0, 3600.0
MONDAY = datetime(2026, 9, 7, tzinfo=UTC).timestamp()
DEVICE = "roof/inverter"

Awake = Callable[[float], bool]


def hour(at: float) -> float:
    return at % DAY / HOUR


def weekday(at: float) -> int:
    return (int(at // DAY) + 3) % 7


def by_day(at: float) -> bool:
    return 6.5 < hour(at) < 18.5


def on_working_days(at: float) -> bool:
    return 8 < hour(at) < 18 and weekday(at) < 5


def reports(every_s: float, awake: Awake, days: float, since: float = MONDAY) -> Iterator[float]:
    at = since
    while at < since + days * DAY:
        if awake(at):
            yield at
        at += every_s


class Site:
    """A detector, and the silences that it reported."""

    def __init__(self, detector: Detector | None = None, clock: float = MONDAY) -> None:
        self.detector = detector or Detector()
        self.detector.connected(clock)
        self.silences: list[float] = []

    def live(self, times: Iterable[float], until: float | None = None) -> list[float]:
        """Let a device send at these times; return when it was reported silent."""
        before = len(self.silences)
        for at in times:
            self.wait(at)
            self.detector.update(Reading(DEVICE, "power", at, 1.0), at)
        if until is not None:
            self.wait(until)
        return self.silences[before:]

    def wait(self, until: float) -> None:
        while (due := self.detector.next_due()) is not None and due <= until:
            self.silences += [due] * len(self.detector.tick(due))


@pytest.mark.parametrize("every_s", [180.0, 300.0, 900.0])
def test_a_night_is_usual_after_the_first(every_s: float) -> None:
    """An inverter is reported in its first night, and then at noon within 6 of its usual gaps."""
    site = Site()
    nights = site.live(reports(every_s, by_day, 30))
    assert len(nights) == 1
    assert nights[0] < MONDAY + DAY
    death = MONDAY + 30 * DAY + 12 * HOUR
    (told,) = site.live(reports(every_s, by_day, 0.5, MONDAY + 30 * DAY), until=death + DAY)
    assert told - death <= 6 * every_s


def test_a_device_that_is_never_off_has_no_usual_night() -> None:
    """The control: the same death at night of a device that is awake then is reported within minutes."""
    site = Site()
    assert site.live(reports(60.0, lambda _: True, 5.9)) == []
    (told,) = site.live([], until=MONDAY + 8 * DAY)
    assert told - (MONDAY + 5.9 * DAY) <= 360.0


def test_weekends_are_usual_after_the_first() -> None:
    """A machine of working days: its first night and its first weekend, then a death on a weekday at noon."""
    site = Site()
    told = site.live(reports(60.0, on_working_days, 28))
    assert [round((at - MONDAY) // DAY) for at in told] == [0, 5]
    death = MONDAY + 29 * DAY + 12 * HOUR
    (late,) = site.live(reports(60.0, on_working_days, 1.5, MONDAY + 28 * DAY), until=death + DAY)
    assert late - death <= 360.0


def test_only_weekends_off() -> None:
    """A device that is awake at night is off at weekends: one silence."""
    told = Site().live(reports(120.0, lambda at: weekday(at) < 5, 30))
    assert [round((at - MONDAY) // DAY) for at in told] == [5]


def test_a_long_outage_by_day_excuses_no_other_hour() -> None:
    """After one from 8 to 16 h the death at noon of the next day is reported at once."""

    def awake(at: float) -> bool:
        return not 8 < (at - MONDAY) / HOUR - 4 * 24 < 16

    site = Site()
    assert len(site.live(reports(60.0, awake, 5.5))) == 1
    death = MONDAY + 5.5 * DAY
    (told,) = site.live([], until=death + DAY)
    assert told - death <= 360.0


def test_a_reconnect_in_a_pause_that_came_once_changes_nothing() -> None:
    """Off from 8 to 16 h one day, it may be off so long on the next, however its silence is counted."""

    def told_after(*reconnects: float) -> float:
        site = Site()
        site.live(reports(60.0, lambda at: not 8 < (at - MONDAY) / HOUR - 4 * 24 < 16, 5 + 8.5 / 24))
        before = len(site.silences)
        last = MONDAY + 5 * DAY + 8.5 * HOUR
        for at in reconnects:
            site.wait(last + at * HOUR)
            site.detector.disconnected(last + at * HOUR)
            site.detector.connected(last + at * HOUR)
        site.wait(last + DAY)
        (told,) = site.silences[before:]
        return (told - last) / HOUR

    assert 7.5 < told_after() < 9.0
    assert told_after(0.5, 2.5, 5.0) == told_after()


def test_a_silence_counted_from_a_later_time_may_be_due_sooner() -> None:
    """The first reconnect falls into the hours of a pause that came once, the second does not."""
    site = Site()
    site.live(reports(60.0, lambda at: not 8 < (at - MONDAY) / HOUR - 4 * 24 < 16, 5.25))
    begin = MONDAY + 5.25 * DAY  # two hours before those of the pause
    site.detector.disconnected(begin + 60.0)
    site.detector.connected(begin + 2 * HOUR)
    site.wait(begin + 2 * HOUR + 1200.0)
    site.detector.disconnected(begin + 2 * HOUR + 1200.0)
    site.detector.connected(begin + 4.5 * HOUR)
    before = len(site.silences)
    site.wait(begin + DAY)
    (told,) = site.silences[before:]
    assert told - begin - 4.5 * HOUR <= 360.0


def test_a_silence_counted_from_online_may_be_due_sooner() -> None:
    """The reconnect falls into the hours of a pause that came once, `online` does not."""
    site = Site()
    site.live(reports(60.0, lambda at: not 8 < (at - MONDAY) / HOUR - 4 * 24 < 16, 5.25))
    begin = MONDAY + 5.25 * DAY  # two hours before those of the pause
    site.detector.disconnected(begin + 60.0)
    site.detector.connected(begin + 2 * HOUR)
    site.wait(begin + 4.5 * HOUR)
    assert site.detector.device_state(DEVICE, True, begin + 4.5 * HOUR) is None
    before = len(site.silences)
    site.wait(begin + DAY)
    (told,) = site.silences[before:]
    assert told - begin - 4.5 * HOUR <= 360.0


def test_what_a_person_switches_on_is_soon_known() -> None:
    """A laptop of no hours: its first two absences are reported, a third one as long is not."""
    on = [(0.0, 7.0), (15.0, 18.0), (40.0, 45.0), (62.0, 66.0)]
    site = Site()
    told = site.live(reports(60.0, lambda at: any(a <= (at - MONDAY) / HOUR < b for a, b in on), 2.75))
    assert len(told) == 2


def test_two_outages_of_the_same_hour_a_week_apart_excuse_none() -> None:
    """Both were at noon by chance. Two days in a row would be usual; the day after the second stays so."""

    def told_after(*days: int) -> float:
        def awake(at: float) -> bool:
            return not any(10 < (at - MONDAY) / HOUR - day * 24 < 17 for day in days)

        site = Site()
        last = days[-1] + 5.5
        assert len(site.live(reports(60.0, awake, last))) == 2
        (told,) = site.live([], until=MONDAY + (last + 1) * DAY)
        return (told - MONDAY - last * DAY) / HOUR

    assert told_after(10, 16) < 0.1
    assert told_after(10, 12) > 4.0


@pytest.mark.parametrize("minutes", [8, 20, 55])
def test_short_outages_are_reported_twice(minutes: int) -> None:
    """A link that fails at any hour, every other day. Its death is reported after twice as long.

    So it is by a detector that was saved; and as before once two weeks have passed without an outage.
    """
    odd = (3.1, 11.7, 20.3, 6.2, 15.4, 1.9, 17.8, 9.0, 22.6, 13.2)

    def awake(at: float) -> bool:
        day, now = divmod((at - MONDAY) / HOUR, 24)
        return day % 2 < 1 or not 0 < now - odd[int(day // 2) % len(odd)] < minutes / 60

    site = Site()
    assert len(site.live(reports(60.0, awake, 20.5))) == 2
    restored = Site(Detector(), MONDAY + 20.5 * DAY)
    restored.detector.load(site.detector.dump())
    (told,) = site.live([], until=MONDAY + 22 * DAY)
    assert restored.live([], until=MONDAY + 22 * DAY) == [told]
    assert minutes * 60 < told - (MONDAY + 20.5 * DAY) <= (2 * minutes + 3) * 60
    later = reports(60.0, lambda _: True, 15, MONDAY + 22 * DAY)
    site.live(later)
    (told,) = site.live([], until=MONDAY + 38 * DAY)
    assert told - (MONDAY + 37 * DAY) <= 360.0


def test_death_in_a_usual_pause_is_told_after_it() -> None:
    """The morning on which nothing comes is reported within an hour and a half."""
    site = Site()
    site.live(reports(60.0, by_day, 12))
    (told,) = site.live([], until=MONDAY + 14 * DAY)
    assert 6.5 <= (told - MONDAY - 12 * DAY) / HOUR <= 8.0


def test_hours_move_with_the_sun() -> None:
    """Over a year dusk and dawn move by hours: no night is reported after the first two."""

    def awake(at: float) -> bool:
        day = (at - MONDAY) // DAY
        half = 6.0 + 2.0 * (1 - abs(1 - day % 365 / 182.5) * 2)
        return abs(hour(at) - 12.0) < half

    told = Site().live(reports(1800.0, awake, 365))
    assert len(told) <= 2


def test_hours_follow_the_clock_on_the_wall() -> None:
    """A change to winter time moves an office by an hour against UTC, and reports nothing."""
    berlin = ZoneInfo("Europe/Berlin")

    def awake(at: float) -> bool:
        local = datetime.fromtimestamp(at, berlin)
        return 8 <= local.hour < 18

    since = datetime(2026, 10, 5, tzinfo=UTC).timestamp()
    site = Site(Detector(zone=berlin), since)
    assert len(site.live(reports(300.0, awake, 40, since))) <= 2


def test_two_pauses_a_day_are_two() -> None:
    """A machine that rests at noon and is off at night: a death before the rest is reported at once."""

    def awake(at: float) -> bool:
        return 7 < hour(at) < 12 or 13 < hour(at) < 17

    site = Site()
    assert len(site.live(reports(30.0, awake, 14))) <= 4
    death = MONDAY + 14 * DAY + 10 * HOUR
    (told,) = site.live(reports(30.0, awake, 10 / 24, MONDAY + 14 * DAY), until=death + DAY)
    assert told - death <= 180.0


def test_an_irregular_office_is_learnt() -> None:
    """Begin and end that differ by hours from day to day: few silences, and noon stays noon."""
    rng = random.Random(5)
    times = [
        at
        for day in range(28)
        if day % 7 < 5
        for at in reports(
            60.0, lambda _: True, rng.uniform(8, 10) / 24, MONDAY + day * DAY + rng.uniform(7.5, 9) * HOUR
        )
    ]
    site = Site()
    assert len(site.live(times)) <= 6
    death = MONDAY + 28 * DAY + 12 * HOUR
    (told,) = site.live(reports(60.0, on_working_days, 0.5, MONDAY + 28 * DAY), until=death + DAY)
    assert told - death <= 360.0


def test_a_holiday_teaches_nothing() -> None:
    """Two weeks away are one silence; afterwards noon and night are as before."""
    site = Site()
    site.live(reports(60.0, by_day, 10))
    assert len(site.live([], until=MONDAY + 24 * DAY)) == 1
    assert site.live(reports(60.0, by_day, 5, MONDAY + 24 * DAY)) == []
    death = MONDAY + 29 * DAY + 12 * HOUR
    (told,) = site.live(reports(60.0, by_day, 0.5, MONDAY + 29 * DAY), until=death + HOUR)
    assert told - death <= 360.0


def test_another_interval_is_learnt_after_three_gaps() -> None:
    """A device that is set from 30 s to 10 min is reported three times at most."""
    site = Site()
    site.live(reports(30.0, lambda _: True, 3))
    assert len(site.live(reports(600.0, lambda _: True, 5, MONDAY + 3 * DAY))) <= 3


def test_offline_at_a_usual_hour_is_usual() -> None:
    """A plug that is switched off each night reports itself offline: reported at noon, not at night."""
    site = Site()
    site.live(reports(60.0, by_day, 5))
    evening = MONDAY + 4 * DAY + 18.6 * HOUR
    assert site.detector.device_state(DEVICE, False, evening) is None
    site.live(reports(60.0, by_day, 0.5, MONDAY + 5 * DAY))
    assert site.detector.device_state(DEVICE, False, MONDAY + 5.5 * DAY) is not None


def test_a_restart_at_night_spoils_no_night() -> None:
    """An agent that is restarted each night for a minute still learns the nights."""
    site = Site()
    for day in range(8):
        site.live(reports(60.0, by_day, 1, MONDAY + day * DAY), until=MONDAY + (day + 1) * DAY)
        again = Detector()
        again.load(site.detector.dump())
        again.disconnected(MONDAY + (day + 1) * DAY)
        again.connected(MONDAY + (day + 1) * DAY + 60.0)
        site.detector = again
    assert len(site.silences) <= 3
    assert all(at < MONDAY + 3 * DAY for at in site.silences)


def test_saved_and_restored_it_reports_the_same() -> None:
    """A detector that is saved each noon reports as one that never is."""
    straight, saved = Site(), Site()
    for day in range(9):
        times = list(reports(300.0, on_working_days, 1, MONDAY + day * DAY))
        straight.live(times)
        saved.live(times)
        again = Detector()
        again.load(saved.detector.dump())
        saved.detector = again
    assert saved.silences == straight.silences
    assert saved.detector.dump() == straight.detector.dump()


def test_a_fleet_that_stops_at_noon_is_reported() -> None:
    """All of 40 devices that are off at night stop at noon: each is reported within 6 gaps."""
    detector, told = Detector(), []
    detector.connected(MONDAY)
    for at in reports(300.0, by_day, 6.5):
        while (due := detector.next_due()) is not None and due <= at:
            detector.tick(due)
        for number in range(40):
            detector.update(Reading(f"d{number}", "power", at, 1.0), at)
    noon = MONDAY + 6.5 * DAY
    while (due := detector.next_due()) is not None and due <= noon + 1800.0:
        told += detector.tick(due)
    assert len(told) == 40


def test_pauses_are_bounded() -> None:
    """A year of nights and weekends takes no more room than a month."""
    site = Site()
    site.live(reports(1800.0, on_working_days, 60))
    before = len(site.detector.dump())
    site.live(reports(1800.0, on_working_days, 300, MONDAY + 60 * DAY))
    assert len(site.detector.dump()) < before + 200


def test_the_silence_names_its_usual_hours() -> None:
    """The usual hours are part of the silence and of the view."""
    site = Site()
    site.live(reports(60.0, by_day, 6))
    view = site.detector.rhythm(DEVICE, MONDAY + 5.5 * DAY)
    assert view is not None
    assert (view.interval_s, view.rests) == (60.0, ["from about 18:30 to 06:30 UTC"])
    site.live(reports(60.0, by_day, 0.5, MONDAY + 6 * DAY))
    (silence,) = site.detector.tick(MONDAY + 6.5 * DAY + 600.0)
    assert silence.usually == "from about 18:30 to 06:30 UTC"
    assert silence.expected_interval_s == 60.0


def test_a_device_with_pauses_is_small() -> None:
    """A device that is off each night takes less than 640 bytes more than one that never is."""

    def grow(awake: Awake) -> float:
        watch = Watch(DetectSettings())
        watch.connected(MONDAY)
        tracemalloc.start()
        for at in reports(HOUR, awake, 16):
            for number in range(50):
                watch.hear(str(number), at, at)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size / 50

    assert grow(by_day) - grow(lambda _: True) < 640.0
