"""Tuning of single series and devices by the configuration."""

import random
from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo

import pytest

from agent.detect import LEARNT, Detector, Expect, Limit, QuietHours, Tuning, offset_of
from agent.domain.records import Kind, Reading

DAY, HOUR = 86_400.0, 3600.0
VALUE = 21.8  # a little beyond 20 +- 0.5
MONDAY = datetime(2026, 9, 7, tzinfo=UTC).timestamp()


def teach(detector: Detector, device: str = "pv", metric: str = "power", readings: int = 1500) -> float:
    """Let a series learn a steady signal, one reading a minute; return the time of the last one."""
    rng, at = random.Random(1), MONDAY
    detector.connected(at)
    for _ in range(readings):
        at += 60.0
        detector.update(Reading(device, metric, at, 20.0 + rng.gauss(0, 0.5)), at)
    return at


def score(detector: Detector, value: float, metric: str = "power") -> float:
    at = teach(detector, metric=metric) + 60.0
    return detector.update(Reading("pv", metric, at, value), at).value


def test_sensitivity_moves_the_alarm_line() -> None:
    """A calm series alarms farther away, an eager one nearer."""
    calm, normal, eager = (
        score(Detector(tuning=[Tuning("pv/*", sensitivity=word)]), VALUE, "temperature")
        for word in ("calm", "normal", "eager")
    )
    assert calm < 1.0 < normal < eager
    assert normal == score(Detector(), VALUE, "temperature")


def test_an_ignored_series_alarms_by_its_limit_alone() -> None:
    """No value alarms any more, and a broken limit is critical all the same."""
    detector = Detector(limits=[Limit("pv/power", high=100.0)], tuning=[Tuning("*/power", ignore=True)])
    at = teach(detector) + 60.0
    calm = detector.update(Reading("pv", "power", at, 90.0), at)
    assert (calm.value, calm.ignored, calm.progress) == (0.0, True, None)
    broken = detector.update(Reading("pv", "power", at + 60.0, 120.0), at + 60.0)
    assert (broken.limit, broken.kind, broken.value >= 3.0) == (True, Kind.OUT_OF_RANGE, True)
    (view,) = detector.views("pv")
    assert (view.ignored, view.tuned_by, view.progress, view.usual) == (True, "*/power", None, None)


def test_the_first_match_wins_and_a_reload_changes_it() -> None:
    """The order of the list decides; another list holds from then on, for known series as well."""
    detector = Detector(tuning=[Tuning("pv/*", sensitivity="eager"), Tuning("*/power", ignore=True)])
    teach(detector, readings=3)
    assert [(one.sensitivity, one.ignored) for one in detector.views("pv")] == [("eager", False)]
    detector.reconfigure([], [Tuning("*/power", ignore=True)])
    assert [(one.sensitivity, one.ignored) for one in detector.views("pv")] == [("normal", True)]
    detector.reconfigure([], [])
    assert [one.tuned_by for one in detector.views("pv")] == [None]


def test_a_device_is_silent_by_its_expected_interval_from_the_first_reading() -> None:
    """The configured interval needs no learning, and ends with the rule."""
    detector = Detector(tuning=[Tuning("pv/*", expect=Expect(interval_s=30.0))])
    at = teach(detector, readings=1)
    assert detector.next_due() == at + 150.0
    detector.reconfigure([], [])
    assert detector.next_due() is None


def test_an_announced_interval_shortens_learning() -> None:
    """A device whose family announces an interval has a patience from its first reading on."""
    detector = Detector()
    at = teach(detector, readings=1)
    assert detector.next_due() is None
    detector.expect_interval("pv", 600.0)
    assert detector.next_due() == at + 3000.0
    detector.expect_interval("nobody", 600.0)
    again = Detector()
    again.load(detector.dump())
    assert again.next_due() == at + 3000.0


def test_a_device_of_ignored_metrics_is_never_silent() -> None:
    """Once one of its metrics is judged, its silence is reported."""
    detector = Detector(tuning=[Tuning("pv/power", ignore=True)])
    at = teach(detector)
    assert detector.next_due() is None
    assert detector.device_state("pv", False, at) is None
    detector.update(Reading("pv", "voltage", at, 230.0), at)
    assert detector.next_due() == at + 300.0


def test_quiet_hours_by_the_clock_of_the_site() -> None:
    """From 18 to 7 by the clock on the wall nothing is reported; patience counts from 7 on."""
    berlin = ZoneInfo("Europe/Berlin")
    quiet = Expect(quiet=(QuietHours.parse("18:00-07:00"),))
    detector = Detector(tuning=[Tuning("pv/*", expect=quiet)], zone=berlin)
    at = teach(detector, readings=60 * 17)  # until 17:00 UTC, which is 19:00 in Berlin
    morning = MONDAY + DAY + 5 * HOUR
    assert at < morning
    assert detector.next_due() == morning + 300.0
    without = Detector(zone=berlin)
    assert teach(without, readings=60 * 17) + 300.0 == without.next_due()


@pytest.mark.parametrize(
    ("text", "local", "end"),
    [
        ("18:00-07:00", "Mon 18:00", "Tue 07:00"),
        ("18:00-07:00", "Tue 06:59", "Tue 07:00"),
        ("18:00-07:00", "Tue 07:00", None),
        ("fri 18:00-07:00", "Sat 06:00", "Sat 07:00"),
        ("fri 18:00-07:00", "Fri 06:00", None),
        ("sat-sun 00:00-24:00", "Sat 12:00", "Sun 00:00"),
        ("fri-mon 12:00-13:00", "Mon 12:30", "Mon 13:00"),
        ("fri-mon 12:00-13:00", "Tue 12:30", None),
        ("Mon 9:30-10:00", "Mon 09:45", "Mon 10:00"),
    ],
)
def test_hours_of_the_week(text: str, local: str, end: str | None) -> None:
    """A range belongs to the day on which it begins, and may pass midnight."""

    def seconds(moment: str) -> float:
        day, _, clock = moment.partition(" ")
        hours, minutes = map(int, clock.split(":"))
        days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
        return MONDAY + days.index(day) * DAY + hours * HOUR + minutes * 60.0

    assert QuietHours.parse(str(QuietHours.parse("mon-sun 22:00-07:00"))) == QuietHours.parse("22:00-7:00")
    assert QuietHours.parse(text).until(seconds(local), None) == seconds(end or local)


CHANGES = [  # zone, begin and end of the hours, and when they hold, UTC
    ("Europe/Berlin", "22:00-02:30", "2026-10-24T20:00", "2026-10-25T01:30"),  # ends in the second 02:30
    ("Europe/Berlin", "02:30-06:00", "2026-10-25T00:30", "2026-10-25T05:00"),  # begins in it
    ("Europe/Berlin", "02:15-02:45", "2026-10-25T00:15", "2026-10-25T01:45"),
    ("Europe/Berlin", "22:00-07:00", "2026-10-24T20:00", "2026-10-25T06:00"),
    ("Europe/Berlin", "22:00-02:30", "2026-03-28T21:00", "2026-03-29T01:00"),  # ends in an hour left out
    ("Europe/Berlin", "02:30-06:00", "2026-03-29T01:00", "2026-03-29T04:00"),  # begins in it
    ("America/New_York", "23:00-01:30", "2026-11-01T03:00", "2026-11-01T06:30"),
    ("America/New_York", "23:00-02:30", "2026-03-08T04:00", "2026-03-08T07:00"),
    ("Australia/Lord_Howe", "22:00-01:45", "2026-04-04T11:00", "2026-04-04T15:15"),  # half an hour
    ("Asia/Beirut", "22:00-00:30", "2026-03-28T20:00", "2026-03-28T22:00"),  # at midnight
    ("America/Havana", "22:00-00:30", "2026-11-01T02:00", "2026-11-01T05:30"),
    ("Pacific/Apia", "22:00-07:00", "2011-12-30T08:00", "2011-12-30T10:00"),  # a day that is not
    ("Asia/Kolkata", "22:00-02:30", "2026-10-24T16:30", "2026-10-24T21:00"),  # no change
]


@pytest.mark.parametrize(("zone", "hours", "begin", "end"), CHANGES)
def test_hours_at_a_change_of_the_clock(zone: str, hours: str, begin: str, end: str) -> None:
    """They hold without a break from their first begin to their last end."""
    first, last = (datetime.fromisoformat(f"{time}+00:00").timestamp() for time in (begin, end))
    offset, quiet = partial(offset_of, ZoneInfo(zone)), QuietHours.parse(hours)
    inside = [first + 60.0 * minute for minute in range(int((last - first) / 60.0))]
    assert {quiet.until(clock, offset) for clock in inside} == {last}
    assert quiet.until(first - 60.0, offset) == first - 60.0
    assert zone == "Pacific/Apia" or quiet.until(last, offset) == last


@pytest.mark.parametrize(
    "text", ["", "18-7", "18:00", "25:00-26:00", "24:30-25:00", "07:00-07:00", "some 18:00-07:00", "1:1-2:2"]
)
def test_a_wrong_range_is_refused(text: str) -> None:
    """A text that is not a range of hours is named."""
    with pytest.raises(ValueError, match="write"):
        QuietHours.parse(text)


def test_quiet_ranges_that_follow_one_another_are_one() -> None:
    """Weekend and nights together: from Friday evening to Monday morning."""
    ranges = ("mon-fri 18:00-08:00", "sat-sun 08:00-24:00", "sun-mon 00:00-08:00")
    quiet = Expect(quiet=tuple(QuietHours.parse(text) for text in ranges))
    friday = MONDAY + 4 * DAY + 19 * HOUR
    assert quiet.allow(friday, friday + 60.0, 60.0, None) == MONDAY + 7 * DAY + 8 * HOUR + 60.0


def test_rules_without_series_are_named() -> None:
    """A rule that covers nothing known is reported with the name that it may have meant."""
    detector = Detector(tuning=[Tuning("pv/*"), Tuning("pv/pwoer", ignore=True)])
    assert detector.tuning_use() == []
    teach(detector, readings=1)
    assert [(use.covered, use.nearest) for use in detector.tuning_use()] == [(1, None), (0, "pv/power")]


def test_what_was_learnt_is_the_same_under_any_tuning() -> None:
    """Nothing of the configuration is in the saved rhythm but the interval that it was reckoned with."""
    detector = Detector(tuning=[Tuning("pv/*", expect=Expect(interval_s=30.0))])
    at = teach(detector)
    again = Detector()
    again.load(detector.dump())
    assert again.next_due() == at + 300.0
    assert Expect() == LEARNT
