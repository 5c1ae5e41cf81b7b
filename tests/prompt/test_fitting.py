"""The facts of a "normal" on an alarm are compared with its time and its values."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.domain.records import Answer, Grounding, Kind, Severity, Status, Window
from agent.domain.units import canonical
from agent.prompt.fitting import Alarm, misfit
from agent.prompt.ground import facts_fit, ground
from agent.prompt.site import Shared
from tests.ai.kit import window

CASES: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    Path(__file__).with_name("cited_facts.yaml").read_text()
)
USUAL = (70.0, 72.0)
DELIVERY = "Goods are delivered on Tuesdays between 06:00 and 08:30."


def alarms_of(case: dict[str, Any]) -> list[Alarm]:
    alarm = case["alarm"]
    return [Alarm(float(alarm["value"]), canonical(alarm["unit"]), "any", tuple(alarm["usual"]))]


@pytest.mark.parametrize(
    "case", [one for part in CASES.values() for one in part], ids=lambda one: one["facts"][0]
)
def test_cited_facts(case: dict[str, Any]) -> None:
    """No answer that holds is refused; of the others those that the file does not except."""
    found = [misfit(fact, case["alarm"]["at"], alarms_of(case)) for fact in case["facts"]]
    assert all(found) is case.get("refused", not case["holds"])
    assert not (all(found) and case["holds"])


@pytest.mark.parametrize("part", CASES)
def test_the_cases_are_worth_it(part: str) -> None:
    """Most of the answers that do not hold are refused, in each part."""
    false = [one for one in CASES[part] if not one["holds"]]
    assert len(false) >= 12
    assert sum(one.get("refused", True) for one in false) / len(false) > 0.6


def at(fact: str, *times: str) -> list[bool]:
    """Return at which times a fact may be the reason."""
    return [not misfit(fact, one, []) for one in times]


@pytest.mark.parametrize(
    ("fact", "before", "first", "last", "after"),
    [
        # half an hour early; as long again, two hours at least
        (DELIVERY, "tue 05:29", "tue 05:30", "tue 11:00", "tue 11:01"),
        ("It is rinsed daily from 12:00 to 13:00.", "fri 11:29", "fri 11:30", "fri 15:00", "fri 15:01"),
        ("It is rinsed on Sundays at 23:00 for 2 hours.", "sun 22:29", "sun 22:30", "mon 03:00", "mon 03:01"),
        ("It is rinsed from 23:30 to 00:30 each night.", "wed 22:59", "wed 23:00", "thu 02:30", "thu 02:31"),
        ("It is rinsed at noon for ten minutes daily.", "wed 11:29", "wed 11:30", "wed 14:10", "wed 14:11"),
        ("Between 06:00 and 08:30 on Tuesdays it runs.", "tue 05:29", "tue 05:30", "tue 11:00", "tue 11:01"),
        ("For 2 hours it runs, at 23:00 on Sundays.", "sun 22:29", "sun 22:30", "mon 03:00", "mon 03:01"),
        ("It is used from 06:00 to 12:00.", "wed 05:29", "wed 05:30", "wed 18:00", "wed 18:01"),
        ("It is used from 06:00 to 12:00 daily.", "wed 05:29", "wed 05:30", "wed 18:00", "wed 18:01"),
        ("It is rinsed each Friday evening.", "thu 23:29", "thu 23:30", "sat 23:59", "sun 00:01"),
        ("It is rinsed every Friday.", "thu 23:29", "thu 23:30", "sat 23:59", "sun 00:01"),
        ("It is rinsed every second Friday.", "thu 23:29", "thu 23:30", "sat 23:59", "sun 00:01"),
        ("It is rinsed on Fridays at 6 am - 7 am.", "fri 05:29", "fri 05:30", "fri 09:00", "fri 09:01"),
        ("On weekdays it is rinsed, 6:00 until 7:00.", "mon 05:29", "mon 05:30", "fri 09:00", "sat 06:30"),
        ("On weekends it is rinsed from 6:00 till 7:00.", "sat 05:29", "sat 05:30", "sun 09:00", "mon 06:30"),
        ("Mondays to Fridays, 6:00 to 7:00, it runs.", "sun 06:30", "mon 05:30", "fri 09:00", "sat 06:30"),
    ],
)  # fmt: skip
def test_hours_end(fact: str, before: str, first: str, last: str, after: str) -> None:
    """To the minute, on their days."""
    assert at(fact, before, first, last, after) == [False, True, True, False]


@pytest.mark.parametrize(
    "fact",
    [
        "The machine is used from 06:00 to 22:00 each day.",  # its other hours follow from it
        "The machine is used from 06:00 to 12:01 each day.",
        "It is rinsed at 06:00 on Tuesdays.",  # no end
        "It is rinsed on Tuesday between 06:00 and 08:00.",  # of one week
        "It was rinsed on 24 November between 06:00 and 08:00.",
        "It is rinsed on Tuesdays at 06:00 and 06:30.",  # two times, not a range
        "It is never rinsed on Tuesdays between 06:00 and 08:00.",
        "It isn't rinsed on Tuesdays between 06:00 and 08:00.",
        "It is rinsed on Tuesdays between 06:00 and 08:00, except in winter.",
        "It is closed on Tuesdays.",
        "From 06:00 to 08:00 on Tuesdays it is off.",
        "Es wird an Tuesdays 06:00 - 08:00 geliefert.",
        "It is rinsed on Tuesdays between six o'clock and seven o'clock.",  # of which half of the day?
        "It is rinsed daily at six o'clock for 20 minutes.",
        "It is rinsed daily from 06:00 to seven o'clock.",
        "It is rinsed often.",
        "It is rinsed on Tuesdays at 06:00, and 20 minutes later it is dry.",
        "It is rinsed for an hour.",
        "It is heated on Wednesdays from 18:00 to 22:00 and cools overnight.",  # words of another time
        "It runs every day from 06:00 to 07:00 and again after lunch.",
        "It runs from 06:00 to 07:00; afterwards the hall is warm for hours.",
        "It runs from 06:00 to 07:00 and is warm in the afternoon.",
        "It runs on Tuesdays from 06:00 to 07:00, sometimes also at the weekend.",
        "It runs on Tuesdays 06:00 - 07:00 and Fri, Sat likewise.",
        "The pump can run any time, the fan runs from 06:00 to 07:00.",
        "It runs every Tuesday and whenever guests come, from 06:00 to 07:00.",
        "It is watered from 05:00 to 06:00 between May and September.",
    ],
)
def test_what_is_not_compared_with_a_time(fact: str) -> None:
    """A sentence without recurring hours, or with words that turn their sense."""
    assert at(fact, "fri 15:00", "sat 03:00") == [True, True]


def test_a_window_without_a_time_is_not_compared() -> None:
    """Where the calendar ends."""
    assert misfit(DELIVERY, "", []) == ""
    assert misfit("Geliefert wird nicht am Wochenende.", "sun 06:00", []) == ""


def alarm(value: float, unit: str | None = "degC", metric: str = "temperature") -> Alarm:
    return Alarm(value, unit, metric, USUAL)


def beyond(fact: str, value: float, unit: str | None = "degC", metric: str = "temperature") -> bool:
    return bool(misfit(fact, "fri 15:00", [alarm(value, unit, metric)]))


@pytest.mark.parametrize(
    ("fact", "least", "most"),
    [
        # a tenth of the way from the usual values to the bound is left: 80 + (80 - 70) / 10
        ("Up to 80 degC are usual.", -1000, 81),
        ("At most 80 degC.", -1000, 81),
        ("At most 80 degC here, no more than 80 degC there.", -1000, 81),
        ("In room 4 it is at most 80 degC.", -1000, 81),
        ("In the room behind the bakery there are no more than 80 degC.", -1000, 81),
        ("No more than 80 degC.", -1000, 81),
        ("It must not exceed 80 degC.", -1000, 81),
        ("Never above 80 degC.", -1000, 81),
        ("The maximum is: max. 80 degC.", -1000, 81),
        ("It must stay below 80 degC.", -1000, 81),
        ("It should always be under 80 degrees.", -1000, 81),
        ("It stays below 176 degF.", -1000, 81),
        ("It is at least 60 degC.", 58.8, 1000),
        ("It is never below 60 degC.", 58.8, 1000),
        ("Not less than 60 degC.", 58.8, 1000),
        ("It must remain above 60 degC.", 58.8, 1000),
        ("It must be between 60 and 80 degC.", 58.8, 81),
        ("It must be between 60 degC and 80 degC.", 58.8, 81),
        ("It is kept between 80 and 60 degC.", 58.8, 81),
        ("It must stay below 80 degC, the coil may have 90 degC.", -1000, 92),
        ("At least 60 degC, the coil 50 degC.", 47.8, 1000),
        ("It must be at least 60 degC and at most 80 degC.", 58.8, 81),
        ("It must stay below 60 degC.", -1000, 72.2),  # no usual value is beyond a bound
    ],
)
def test_bounds(fact: str, least: float, most: float) -> None:
    """A value beyond the bound, all other values of the sentence, and what is usual."""
    assert [beyond(fact, least + 0.01), beyond(fact, most - 0.01)] == [False, False]
    assert beyond(fact, least - 0.01) is (least > -1000)
    assert beyond(fact, most + 0.01) is (most < 1000)
    assert not beyond("At most 80 degC.", 81.0)
    assert not beyond("At least 62 degC.", 61.0)


@pytest.mark.parametrize(
    "fact",
    [
        "It is 80 degC.",
        "It can be below 80 degC.",
        "It may be above 60 degC.",
        "Above 80 degC the fan runs.",
        "Below 80 degC it is dry.",
        "It must stay below 80 degC when the fan runs.",
        "Usually at most 80 degC.",
        "Up to 80 K more.",
        "It must stay below 80 K.",
        "It must stay below 80 %.",
        "It must stay below 80.",
        "It must be between 60 and 80 %.",
        "It must be between 60 degC and 80 %.",
        "It must stay below 80 kelvin.",
        "It must stay below 80 degC for a minute.",
        "It must stay below 80 degC, short peaks are fine.",
        "Es ist nicht above 80 degC.",
        "It is never closed. 80 degC.",
    ],
)
def test_what_is_no_bound(fact: str) -> None:
    """A value alone, a condition, a difference, another unit or language."""
    assert not beyond(fact, 500.0)
    assert not beyond(fact, -500.0)


def test_each_reading_of_the_alarm_must_be_beyond() -> None:
    """One within the bound may be the subject of the fact; one of another quantity is not."""
    low, high = alarm(71.0), alarm(98.0)
    assert misfit("At most 80 degC.", "fri 15:00", [high, high]) == "has at most 80"
    assert misfit("At most 80 degC.", "fri 15:00", [high, low]) == ""
    humid = alarm(91.0, "%", "humidity")
    assert misfit("At most 80 degC.", "fri 15:00", [humid, high]) == "has at most 80"
    assert misfit("At most 80 degC.", "fri 15:00", [humid]) == ""
    assert misfit("It is kept between 80 and 60 degC.", "", [high]) == "has at most 80"
    assert misfit("It is kept between 80 and 60 degC.", "", [alarm(1.0)]) == "has at least 60"
    assert misfit("At least 75 degC.", "", [alarm(1.0)]) == "has at least 75"
    assert misfit("At most 80 degC.", "fri 15:00", []) == ""


# ------------------------------------------------------------------------------ in the check of an answer

NORMAL = Answer(Status.NORMAL, Kind.NONE, Severity.INFO, 2, ("k1",), "This is normal here.")
FACTS = {"k1": DELIVERY, "k2": "The door stands open then.", "k3": "It must stay below 80 degC."}
SHARED = Shared("th1", FACTS)


def placed(when: str, one: Window) -> Window:
    """Return a window with another time in its section."""
    return replace(one, section=json.dumps({**json.loads(one.section), "at": when}))


def wrong(answer: Answer, one: Window) -> dict[str, str]:
    grounding, checks = ground(answer, one, SHARED)
    failed = {check.name: check.detail for check in checks if not check.held}
    assert (grounding is Grounding.GROUNDED) == (not failed)
    return failed


def test_a_normal_on_facts_of_another_time_or_value_is_ungrounded() -> None:
    """Whatever readings it cites; one fact that may be the reason is enough."""
    tuesday, friday = placed("tue 07:00", window()), placed("fri 15:00", window())
    assert wrong(NORMAL, tuesday) == {}
    assert wrong(NORMAL, friday) == {"facts_fit": "k1 is on another time"}
    assert list(wrong(replace(NORMAL, evidence=("r17", "k1")), friday)) == ["facts_fit"]
    assert wrong(replace(NORMAL, evidence=("k1", "k2")), friday) == {}
    assert wrong(replace(NORMAL, evidence=("k3",)), friday) == {"facts_fit": "k3 has at most 80"}
    both = replace(NORMAL, evidence=("k1", "k3"))
    assert wrong(both, friday) == {"facts_fit": "k1 is on another time, k3 has at most 80"}
    assert wrong(both, tuesday) == {}
    assert wrong(replace(NORMAL, evidence=("k3",)), placed("fri 15:00", window(value=79.0))) == {}


def test_only_a_normal_that_overrules_is_compared() -> None:
    """An anomaly may cite what excludes it, and a calm window needs no reason."""
    friday = placed("fri 15:00", window())
    anomaly = Answer(Status.ANOMALY, Kind.SPIKE, Severity.WARNING, 2, ("r17", "k1", "k3"), "It jumped.")
    assert wrong(anomaly, friday) == {}
    assert wrong(replace(anomaly, status=Status.UNCERTAIN), friday) == {}
    assert wrong(NORMAL, placed("fri 15:00", window(score=0.4))) == {}
    assert wrong(replace(NORMAL, evidence=("r17",)), friday) == {}


@pytest.mark.parametrize(
    ("metric", "fact", "refused"),
    [
        ("temperature", "It must stay below 80 degC.", True),
        ("supply_temperature_2", "It must stay below 80 degrees.", True),
        ("temperature", "It must stay above 75 degF.", False),  # its usual values do not keep that
        ("temperature", "It must be between 60 and 71 degC.", False),
        ("temperature", "It must stay below 80 %.", False),
        ("temperature", "It must stay below 80 K.", False),
        ("humidity", "It must stay below 80 degC.", False),
        ("humidity", "It must stay below 80 %.", True),
        ("metric_1", "It must stay below 80 degC.", False),
    ],
)
def test_a_series_without_a_unit_takes_that_of_the_fact(metric: str, fact: str, *, refused: bool) -> None:
    """Where it fits its metric, and the usual values are within the bound."""
    assert beyond(fact, 98.0, None, metric) is refused
    assert not beyond(fact, 76.0, None, metric)


def test_the_usual_values_of_a_series_without_a_unit_keep_one_of_several_bounds() -> None:
    """The widest one, and to the last digit."""
    assert beyond("It must stay below 72 degC.", 98.0, None)
    assert beyond("It must stay above 70 degC.", -98.0, None)
    assert beyond("At most 60 degC at the tap, at most 80 degC at the coil.", 98.0, None)
    assert beyond("At least 75 degC at the coil, at least 60 degC at the tap.", -98.0, None)


def test_a_reading_without_a_usual_range_has_no_bound() -> None:
    """Nor has one that is not finite."""
    bound = replace(NORMAL, evidence=("k3",))
    assert list(wrong(bound, placed("fri 15:00", window(unit=None)))) == ["facts_fit"]
    assert wrong(bound, placed("fri 15:00", window(value=float("inf")))) == {}
    bare = replace(window(), section="")  # sealed while nothing was reviewed
    assert wrong(bound, bare) == {}


def test_a_reading_in_a_unit_of_its_own() -> None:
    """98.66 degF are below 80 degC."""
    one = placed("fri 15:00", window())
    section = json.loads(one.section)
    for candidate in section["candidates"]:
        candidate["unit"] = "degF"
    bound = replace(NORMAL, evidence=("k3",))
    assert list(wrong(bound, one)) == ["facts_fit"]
    assert wrong(bound, replace(one, section=json.dumps(section))) == {}


def test_facts_that_fit_a_later_window() -> None:
    """They may be the reason of its alarm; a window without an alarm needs none."""
    assert facts_fit(NORMAL, placed("tue 07:00", window()), SHARED) is True
    assert facts_fit(NORMAL, placed("fri 15:00", window()), SHARED) is False
    assert facts_fit(NORMAL, placed("fri 15:00", window(score=0.4)), SHARED) is True


def details(answer: Answer, shared: Shared, when: str = "tue 07:00") -> dict[str, str]:
    return {check.name: check.detail for check in ground(answer, placed(when, window()), shared)[1]}


def test_the_words_of_the_checks() -> None:
    """The cited facts are named; without facts nothing is written about them."""
    both = details(replace(NORMAL, evidence=("k2", "k3")), SHARED)
    assert both["evidence_known"] == f"k2: {FACTS['k2']}; k3: {FACTS['k3']}"
    assert both["facts_fit"] == "no fact is contradicted"
    unknown, calm = replace(NORMAL, evidence=("r99",)), replace(NORMAL, evidence=("r1",))
    alone = Shared("th1", {})
    assert details(unknown, SHARED)["evidence_known"] == "r99 is neither a candidate nor a fact"
    assert details(unknown, alone)["evidence_known"] == "r99 is not a candidate"
    none = "normal cites no reading of the alarm"
    assert details(calm, SHARED)["evidence_present"] == f"{none} and no fact"
    assert details(calm, alone)["evidence_present"] == none
