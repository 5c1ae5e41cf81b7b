"""The words of a question: its time, and the devices that it names."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from agent.commands.asking.names import HIDDEN, MAX_DEVICES, Named, Names
from agent.commands.asking.period import local, read_period
from agent.commands.printing import UnknownError

ZONE = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 28, 10, 30, tzinfo=ZONE)  # a Saturday


def period(question: str, now: datetime = NOW) -> tuple[str, str]:
    found, _ = read_period(question, now=now.timestamp(), zone=ZONE)
    return local(found.begin, ZONE)[5:], local(found.end, ZONE)[5:]


@pytest.mark.parametrize(
    ("words", "begin", "end"),
    [
        ("", "11-27 10:30", "11-28 10:30"),
        ("Last Night", "11-27 18:00", "11-28 08:00"),
        ("during the night", "11-27 18:00", "11-28 08:00"),
        ("today", "11-28 00:00", "11-28 10:30"),
        ("this morning", "11-28 05:00", "11-28 10:30"),
        ("yesterday", "11-27 00:00", "11-28 00:00"),
        ("yesterday evening", "11-27 17:00", "11-28 00:00"),
        ("the day before yesterday", "11-26 00:00", "11-27 00:00"),
        ("since 14:00", "11-27 14:00", "11-28 10:30"),
        ("since 9 am", "11-28 09:00", "11-28 10:30"),
        ("since yesterday 18:00", "11-27 18:00", "11-28 10:30"),
        ("since monday", "11-23 00:00", "11-28 10:30"),
        ("since two days ago", "11-26 10:30", "11-28 10:30"),
        ("around 14:00 yesterday", "11-27 13:00", "11-27 15:00"),
        ("last night at 2:00", "11-28 01:00", "11-28 03:00"),
        ("between 22:00 and 2:00", "11-27 22:00", "11-28 02:00"),
        ("yesterday from 14:00 to 16:30", "11-27 14:00", "11-27 16:30"),
        ("yesterday before noon", "11-27 00:00", "11-27 12:00"),
        ("last week", "11-16 00:00", "11-23 00:00"),
        ("this week", "11-23 00:00", "11-28 10:30"),
        ("last month", "10-01 00:00", "11-01 00:00"),
        ("last weekend", "11-21 00:00", "11-23 00:00"),
        ("on saturday", "11-28 00:00", "11-28 10:30"),
        ("last saturday", "11-21 00:00", "11-22 00:00"),
        ("monday night", "11-23 18:00", "11-24 08:00"),
        ("in the last 3 hours", "11-28 07:30", "11-28 10:30"),
        ("past 90min", "11-28 09:00", "11-28 10:30"),
        ("3 days ago", "11-25 00:00", "11-26 00:00"),
        ("an hour ago", "11-28 08:30", "11-28 10:30"),
        ("on 2026-11-20", "11-20 00:00", "11-21 00:00"),
        ("at 2026-11-20T14:00", "11-20 13:00", "11-20 15:00"),
    ],
)
def test_times(words: str, begin: str, end: str) -> None:
    """Simple words, by the clock of the site, never beyond now."""
    assert period(f"why did it alarm {words}?") == (begin, end)


def test_a_night_that_goes_on() -> None:
    """In the small hours it is the same night."""
    early = NOW.replace(hour=2)
    assert period("tonight", early) == period("last night", early) == ("11-27 18:00", "11-28 02:30")


def test_a_day_with_25_hours() -> None:
    """The clock of the site counts, not 24 hours."""
    found, _ = read_period("yesterday", now=datetime(2026, 10, 26, 9, tzinfo=ZONE).timestamp(), zone=ZONE)
    assert found.end - found.begin == 25 * 3600


@pytest.mark.parametrize(
    "words", ["tonight", "on 2026-12-24", "on 9999-12-31", "on 2026-13-01", "at 25:00", "since 14:75"]
)
def test_times_that_are_none(words: str) -> None:
    """They are refused with the words, not read as another time."""
    with pytest.raises(UnknownError, match=words.rsplit(maxsplit=1)[-1]):
        period(f"why {words}?")


def test_the_words_of_a_time_are_no_names() -> None:
    """They are blanked out, and given back as they were written."""
    found, rest = read_period("is it hot at 14:00 Yesterday, or not", now=NOW.timestamp(), zone=ZONE)
    assert found.words == "at 14:00 Yesterday"
    assert rest.split() == ["is", "it", "hot", ",", "or", "not"]


DEVICES = [
    "cold/freezer-2",
    "cold/freezer-21",
    "hall/th1",
    "shop/freezer-3",
    "door",
    "temperature",
    "why",
    "温室/泵",
]


def find(question: str) -> Named:
    names = Names(DEVICES)
    exact, rest = names.exact(question)
    return names.find(exact, read_period(rest, now=NOW.timestamp(), zone=ZONE)[1])


@pytest.mark.parametrize(
    ("question", "devices"),
    [
        ("why did freezer-2 alarm?", ["cold/freezer-2"]),
        ("why did Freezer 21's alarm ring?", ["cold/freezer-21"]),
        ("freezer-2 in the cold room", ["cold/freezer-2"]),
        ("what of cold", ["cold/freezer-2", "cold/freezer-21"]),
        ("cold/freezer-2 and TH1", ["cold/freezer-2", "hall/th1"]),
        ("the freezers, last 2 hours", ["cold/freezer-2", "cold/freezer-21", "shop/freezer-3"]),
        ("the freezer in the shop", ["shop/freezer-3"]),
        ("what is wrong with hall", ["hall/th1"]),
        ("is the door open", ["door"]),
        ("temperature of freezer-3", ["shop/freezer-3"]),
        ("what is the temperature doing", ["temperature"]),
        ("why?", []),
        ("of 'why' and 14 others", ["why"]),
        ("what happened today", []),
    ],
)
def test_names(question: str, devices: list[str]) -> None:
    """Whole names, parts between slashes, words of names; common words in quotes only."""
    assert list(find(question).devices) == devices


def test_an_unknown_name_is_not_taken_for_a_similar_one() -> None:
    """It is given back with close ones."""
    found = find("why did freezer-9 alarm?")
    assert found.devices == ()
    assert set(found.unknown["freezer-9"]) == {"cold/freezer-2", "cold/freezer-21", "shop/freezer-3"}
    assert find("compare freezer-2 with freezer-9").unknown.keys() == {"freezer-9"}


def test_many_devices_are_bounded() -> None:
    """The rest is counted."""
    names = Names([f"line/pump-{n}" for n in range(100)])
    exact, rest = names.exact("what of line?")
    found = names.find(exact, rest)
    assert (len(found.devices), found.more) == (MAX_DEVICES, 100 - MAX_DEVICES)


@pytest.mark.parametrize(
    ("question", "sent"),
    [
        ("did freezer-2 warm freezer-21?", "did d1 warm d2?"),
        ("is freezer-2 near 温室 or 温室的泵", f"is d1 near d2 or {HIDDEN}的{HIDDEN}"),
        ("freezer-2 in the cold shop, th2 and co2", f"d1 in the d1 d2, {HIDDEN}2 and co2"),
        ("is it hot", "is it hot"),
    ],
)
def test_no_part_of_a_name_is_sent(question: str, sent: str) -> None:
    """Aliases for the devices that are meant, nothing of the others."""
    names = Names(DEVICES)
    found = find(question)
    aliases = {device: f"d{place}" for place, device in enumerate(found.devices, 1)}
    hidden = names.hide(question, found, aliases)
    assert hidden == sent
