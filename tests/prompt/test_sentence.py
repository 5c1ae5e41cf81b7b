"""Dates and times of a sentence."""

import calendar

import pytest

from agent.prompt.sentence import Moment, around, clocks, foreign_moments, moments

HOURS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def only(text: str) -> Moment:
    ((_, moment),) = moments(text)
    return moment


@pytest.mark.parametrize("number", range(1, 13))
def test_each_month(number: int) -> None:
    """By its name, and by the first letters of it; with a day or alone."""
    name = calendar.month_name[number]
    for form in (name, name.upper(), name[:3], f"{name[:3]}."):
        assert only(f"It began on 3 {form} 2026.") == Moment(2026, number, 3)
        assert only(f"It began on {form} 3rd.") == Moment(None, number, 3)
    assert only(f"It has risen since {name}.") == Moment(None, number)


@pytest.mark.parametrize(("place", "word"), list(enumerate(HOURS, 1)))
def test_each_hour(place: int, word: str) -> None:
    """In either half of the day, unless its part is named; twelve is noon in the afternoon."""
    assert only(f"At {word} o'clock it rose.") == Moment(minute=60 * place, hourly=True, either=True)
    evening = only(f"At {word} in the evening it rose.")
    assert evening == Moment(minute=60 * (place % 12 + 12), hourly=True)


@pytest.mark.parametrize(
    ("words", "minutes"),
    [
        ("five", 5),
        ("ten", 10),
        ("a quarter", 15),
        ("twenty", 20),
        ("twenty-five", 25),
        ("half", 30),
        ("7", 7),
    ],
)
def test_minutes_of_an_hour(words: str, minutes: int) -> None:
    """Past it, and to it; half is only past."""
    assert only(f"At {words} past two in the morning.") == Moment(minute=120 + minutes)
    if words != "half":
        unit = "" if "quarter" in words else " minutes"
        assert only(f"At {words}{unit} to two in the morning.") == Moment(minute=120 - minutes)


@pytest.mark.parametrize("end", [".", ", and fell.", "; it fell", "!", ")", ""])
def test_at_the_end_of_a_clause(end: str) -> None:
    """A part of the day is not lost there, nor is the time."""
    assert only(f"It rose at half past two in the afternoon{end}") == Moment(minute=870)
    assert only(f"It rose at two o'clock{end}") == Moment(minute=120, hourly=True, either=True)
    assert list(moments("It is at version two o'clock.5")) == []


def test_noon_and_midnight() -> None:
    assert only("At noon.") == only("At midday.") == Moment(minute=720, hourly=True)
    assert only("At midnight.") == Moment(minute=0, hourly=True)


def test_as_printed() -> None:
    """White space is one space, whatever it was."""
    assert [text for text, _ in moments("on 3\tJanuary\n2026")] == ["3 January 2026"]


def test_the_minute_of_a_clock() -> None:
    """A date has none, with its time neither, nor has an hour in either half of the day."""
    assert clocks("2026-01-03T10:00, 10:00, 2 o'clock") == [(0, 16, None), (18, 23, 600), (25, 34, None)]
    assert [minute for _, _, minute in clocks("on 3 January, since May")] == [None, None]


def test_an_hour_is_half_an_hour_wide() -> None:
    """A time that is printed to the minute is exact."""
    for minute, wrong in ((30, []), (31, ["2 am"])):
        assert foreign_moments("It rose at 2 am.", [Moment(minute=120 + minute)]) == wrong
        assert foreign_moments("It rose at 2 am.", [Moment(minute=120 - minute)]) == wrong
    assert foreign_moments("It rose at 02:00.", [Moment(minute=121)]) == ["02:00"]


def test_the_night_belongs_to_the_day_before() -> None:
    assert around(3, 359) == {3, 2}
    assert around(0, 0) == {0, 6}
    assert around(3, 360) == around(3, None) == {3}
