"""Every claim of an answer is looked up in its window."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agent.domain.records import Answer, Grounding, Kind, Severity, Status, Window
from agent.prompt import SYSTEM
from agent.prompt.ground import ground
from agent.prompt.render import FORM_SUMMARY
from agent.prompt.site import ALONE, Shared
from tests.ai.kit import window

ANSWER = Answer(Status.ANOMALY, Kind.SPIKE, Severity.WARNING, 2, ("r17",), "It jumped.")


def details(answer: Answer, one: Window | None = None) -> dict[str, str]:
    """Return the result of each check."""
    return {check.name: check.detail for check in ground(answer, one or window())[1]}


def failed(answer: Answer, one: Window | None = None) -> list[str]:
    grounding, checks = ground(answer, one or window())
    names = [check.name for check in checks if not check.held]
    assert (grounding is Grounding.GROUNDED) == (not names)
    return names


@pytest.mark.parametrize(
    "summary",
    [
        "It jumped.",
        "Temperature jumped to 98.66 degC.",
        "r17 is 98.7 °C, usual is 70.1 to 72.3.",
        "98.7C is far above the usual 70.1-72.3 range.",
        "Values of 70.1–72.3 are usual.",  # noqa: RUF001 - models write dashes
        "The limit of 85 is broken; the low limit is −40.",  # noqa: RUF001 - and minus signs
        "Score 1.7 after 16 s, median 71.2, spread 0.4.",
        "One of 60 readings in 60 seconds, based on 5,000 readings.",
        "On Thursday at 00:17, at 12:17 am, about midnight, in the night of Wednesday it rose to 99.",
        "CO2 and PM2.5 are not the cause, says p99.",
        "The value is 98.660.",
        "Above the 99th percentile (72.3), so above 99 % of what was seen.",
        "Usual is 70.1..72.3.",
        "The low limit is \u201040, not \u201140.",
        "Usual is 70.1\u201472.3.",  # an em dash
        "Usual is 70.1 -72.3 here.",
        "1 -85 is a range.",
        "It is 9.9e1.",
        "The reading is 98.7 degrees Celsius; the usual are 71.2 degrees.",
        "It spiked to 98.66 C within 60 seconds, in 1 minute that is.",
        "The second half of the window is normal, within a minute.",
        "Double-check the wiring.",
        "This is the third reading above the line.",
        "The 85-degree limit is broken.",
        "It is at ninety-nine degC.",
        "The low limit is minus forty degrees.",
        "The lower limit is negative 40 degC.",
        "98.66 > 85.",
    ],
)
def test_claims_that_hold(summary: str) -> None:
    """Values of cited candidates, limits and printed statistics, rounded as people do."""
    assert failed(replace(ANSWER, summary=summary)) == []


@pytest.mark.parametrize(
    ("summary", "check"),
    [
        ("It rose to 98765.4.", "summary_numbers"),
        ("It rose by 27.", "summary_numbers"),
        ("It rose to 90.", "summary_numbers"),
        ("It rose to 98.8.", "summary_numbers"),
        ("It is at 71.1.", "summary_numbers"),  # a candidate that is not cited
        ("It is 38 % too high.", "summary_numbers"),
        ("It was seen at 12:30.", "summary_numbers"),
        ("-98.66 was read.", "summary_numbers"),
        ("9.866e1 became 9.8e9.", "summary_numbers"),
        ("Usual is 70.1..99.9.", "summary_numbers"),
        ("It changed by .25.", "summary_numbers"),
        ("It is above the 97th percentile.", "summary_numbers"),
        ("It reached \uff19\uff10.", "summary_numbers"),  # full-width digits
        ("It is \u00bd of the usual.", "summary_numbers"),
        ("It reached \u2468\u2467.", "summary_numbers"),  # digits in circles
        ("It is 98.66\u00b3.", "summary_numbers"),  # a power of it
        ("It reached \u2167.", "summary_numbers"),  # a Roman numeral
        ("Score 2.", "summary_numbers"),  # 1.7, as rounded as it is printed, but more than 5 % off
        ("It rose to minus five degrees Fahrenheit.", "summary_numbers"),
        ("It rose to 98.66 \u00b0F.", "summary_numbers"),
        ("In Fahrenheit it is high.", "summary_numbers"),
        ("It rose to minus 98.66 degC.", "summary_numbers"),
        ("It doubled.", "summary_numbers"),
        ("It is twice the usual value.", "summary_numbers"),
        ("It is half of the usual.", "summary_numbers"),
        ("It rose by a third.", "summary_numbers"),
        ("A fifth of the values is wrong.", "summary_numbers"),
        ("It is double the usual.", "summary_numbers"),
        ("It is three times higher than usual.", "summary_numbers"),
        ("It rose by ten percent.", "summary_numbers"),
        ("It rose to 98.66 %.", "summary_numbers"),
        ("It rose to 98.66 kPa.", "summary_numbers"),
        ("98.66 W/m\u00b2 was read.", "summary_numbers"),
        ("On Monday it rose.", "summary_numbers"),
        ("On 2026-11-24T10:15:30Z it rose.", "summary_numbers"),
        ("On 24 November it rose.", "summary_numbers"),
        ("At 5 pm it rose.", "summary_numbers"),
        ("At noon it rose.", "summary_numbers"),
        ("It rose by twenty-seven degrees.", "summary_numbers"),
        ("It lasted 16 minutes.", "summary_numbers"),
        ("It was open for half an hour.", "summary_numbers"),
        ("It is so every night.", "summary_numbers"),
        ("It began yesterday.", "summary_numbers"),
        ("The whole site is too warm.", "summary_numbers"),
        ("It is 1.7 degC too high.", "summary_numbers"),
        ("A 3-fold rise.", "summary_numbers"),
        ("98.66k was read.", "summary_numbers"),
        ("It lasted three days.", "summary_numbers"),
        ("r2 stands out.", "summary_ids"),
        ("R999 stands out.", "summary_ids"),
        ("dev_02 is the cause.", "summary_names"),
        ("pump-1 has failed.", "summary_names"),
        ("temperature-1 has failed.", "summary_names"),  # a metric without a digit is a word as any other
        ("Sensor TH7 is broken.", "summary_names"),
    ],
)
def test_claims_that_do_not_hold(summary: str, check: str) -> None:
    """A number, id or name that the window does not print is a hallucination."""
    assert failed(replace(ANSWER, summary=summary)) == [check]


SITE = Shared(
    "freezer-2",
    {
        "k1": "On Tuesdays from 06:30 to 8 am it is half open, two hours at most; 12 degC is allowed.",
        "k2": "On 24 December a defrost doubles the temperature, up to 28,5 degC.",
    },
)


@pytest.mark.parametrize(
    ("summary", "held"),
    [
        ("The door is half open on Tuesday for two hours.", True),
        ("It ends at 8:00, so 98.66 degC is above the 12 degC that k1 allows.", True),
        ("The defrost of December 24th doubles it, up to 28.5 degrees.", True),
        ("The door is open for three hours.", False),
        ("The defrost triples it.", False),
        ("The door is open until 9 am.", False),
        ("The door is open on Fridays.", False),
        ("The defrost of 25 December ends.", False),
        ("12 \u00b0F is allowed.", False),
        ("12 hours are allowed.", False),
    ],
)
def test_a_summary_may_use_words_numbers_and_times_of_a_cited_fact(summary: str, *, held: bool) -> None:
    """With their units, and of no other fact."""
    answer = replace(ANSWER, evidence=("r17", "k1", "k2"), summary=summary)
    assert (ground(answer, window(), SITE)[0] is Grounding.GROUNDED) is held
    if held:
        assert failed(replace(answer, evidence=("r17",))) != []


@pytest.mark.parametrize(
    ("value", "summary"),
    [
        (98.652, "It is 98.7."),  # nearly half a digit off
        (9.51, "It is 10."),  # 4.9 % of 10, 5.2 % of 9.51
        (50.0, "Above the 99th percentile, so above 99 % of what was seen."),
        (50.0, "Below the 1st percentile."),
    ],
)
def test_values_are_rounded_as_people_do(value: float, summary: str) -> None:
    """Half a digit, and 5 % of the larger number; percentiles are names."""
    assert failed(replace(ANSWER, summary=summary), window(value=value)) == []


#: Every number is there once.
SECTION: dict[str, Any] = {
    "readings": 611,
    "span_s": 623,
    "local": {"status": "anomaly", "kind": "spike", "score": 31.7},
    "series": [
        {
            "metric": "flow_2",
            "unit": "m3",
            "n": 5003,
            "median": 71.2,
            "p01": 60.1,
            "p99": 82.3,
            "spread": 10.4,
            "usual": [65.5, 77.7],
            "limits": [-41, 950],
            "still": 7,
            "scale": [50.5, 900.5],
            "past": [{"from": 401.5, "to": 402.5}],
        },
        {"metric": "pm2_5", "limits": [None, 35]},
    ],
    "candidates": [
        {
            "id": "r1",
            "metric": "pm2",
            "value": 198.6,
            "after_s": 116,
            "score": 21.7,
            "expected": [55.1, 188.8],
            "mean": 44.4,
            "partner": {"metric": "flow_2", "value": 512.5},
        },
        {"id": "r2", "metric": "pm2", "value": 333.3, "after_s": 444, "score": 0.0},
        {"id": "r3", "metric": "pm2", "value": 198.6, "after_s": 116, "score": 21.7},
        {"id": "r4", "metric": "pm2", "value": 198.6, "after_s": 116, "score": 21.7},
    ],
}
CITED = ("r1", "r3", "r4")


@pytest.mark.parametrize(
    "number",
    [
        "611",
        "623",
        "31.7",
        "5003",
        "71.2",
        "60.1",
        "82.3",
        "10.4",
        "65.5",
        "77.7",
        "-41",
        "950",
        "7",
        "50.5",
        "900.5",
        "35",
        "198.6",
        "116",
        "21.7",
        "55.1",
        "188.8",
        "3",
        "401.5",
        "402.5 m3",
        "44.4",
        "512.5 m3",
    ],
)
def test_each_number_of_the_section_may_be_used(number: str) -> None:
    """Counts, the local score, statistics, limits, cited candidates, and how many are cited."""
    answer = replace(ANSWER, evidence=CITED, summary=f"It is {number} now.")
    assert failed(answer, replace(window(), section=json.dumps(SECTION))) == []


@pytest.mark.parametrize("number", ["333.3", "444", "4", "-950", "401.5 degC", "512.5 degC"])
def test_no_other_number_may_be_used(number: str) -> None:
    """A candidate that is not cited proves nothing, nor does a number in another unit."""
    answer = replace(ANSWER, evidence=CITED, summary=f"It is {number} now.")
    assert failed(answer, replace(window(), section=json.dumps(SECTION))) == ["summary_numbers"]


def test_words_of_the_section_are_no_names() -> None:
    """Metrics and units with digits, of series without a candidate too; the longest word counts."""
    one = replace(window(), section=json.dumps(SECTION))
    answer = replace(ANSWER, evidence=CITED, summary="flow_2 in m3 is usual, pm2 rose, pm2 5 rose.")
    assert failed(answer, one) == []


def test_checks_name_what_they_looked_at() -> None:
    """The details of an answer that holds, and of one in which every claim is wrong."""
    assert details(ANSWER) == {
        "evidence_known": "all ids are candidates",
        "evidence_present": "cited as needed",
        "summary_own": "in its own words",
        "summary_ids": "all ids are cited",
        "summary_names": "no foreign name",
        "summary_numbers": "all numbers found",
    }
    summary = "On 2026-11-24 dev_02 and pump-1 rose by 27 from 70.1 -90.5, says r2 and r3."
    assert details(replace(ANSWER, evidence=("r8", "r9"), summary=summary)) == {
        "evidence_known": "r8 is not a candidate, r9 is not a candidate",
        "evidence_present": "cited as needed",
        "summary_own": "in its own words",
        "summary_ids": "r2 is not cited, r3 is not cited",
        "summary_names": "dev_02 is not in the data, pump-1 is not in the data",
        "summary_numbers": "2026-11-24 is not in the data, 27 is not in the data, 90.5 is not in the data",
    }
    strange = replace(ANSWER, evidence=("r\x07", "x" * 30))
    assert details(strange)["evidence_known"] == f"r? is not a candidate, {'x' * 24} is not a candidate"
    assert details(replace(ANSWER, evidence=()))["evidence_present"] == "an anomaly cites no reading"


def test_claims_of_a_kind_say_what_was_found() -> None:
    """Limit, flatline and silence, held or not."""
    limit, flat = replace(ANSWER, kind=Kind.OUT_OF_RANGE), replace(ANSWER, kind=Kind.FLATLINE)
    assert details(limit)["limit_claim"] == "a limit is broken"
    assert details(limit, window(value=50.0))["limit_claim"] == "no cited value breaks a limit"
    assert details(flat, window(recent=(5.0,) * 9))["flatline_claim"] == "the newest values are equal"
    assert details(flat)["flatline_claim"] == "no cited series is constant"
    silent = replace(ANSWER, kind=Kind.SILENCE)
    assert details(silent)["silence_claim"] == "the window has readings"


def test_only_an_anomaly_claims_something_by_its_kind() -> None:
    """A normal answer with a kind left over is checked by its words alone."""
    for kind in (Kind.SILENCE, Kind.FLATLINE, Kind.OUT_OF_RANGE):
        assert failed(replace(ANSWER, status=Status.NORMAL, kind=kind)) == []


def test_an_identifier_yields_no_number() -> None:
    """``pump-60`` is a foreign name, though 60 is a number of the window."""
    assert failed(replace(ANSWER, summary="pump-60 failed")) == ["summary_names"]


def test_metric_names_with_digits_are_no_numbers() -> None:
    """``pm2_5`` and ``metric_1`` are words of the section."""
    one = window(metric="pm2_5")
    assert failed(replace(ANSWER, summary="pm2_5 rose, PM2 5 that is."), one) == []
    assert failed(replace(ANSWER, summary="metric_1 rose."), window(metric="Überlauf")) == []
    assert failed(replace(ANSWER, summary="metric_2 rose."), window(metric="Überlauf")) == ["summary_names"]


def test_evidence_must_be_offered() -> None:
    """An id that is not a candidate of this window fails, whatever the status."""
    assert "evidence_known" in failed(replace(ANSWER, evidence=("r17", "r999")))
    calm = replace(ANSWER, status=Status.NORMAL, kind=Kind.NONE, evidence=("r999",))
    assert failed(calm, window(score=0.4)) == ["evidence_known"]


def test_an_anomaly_needs_evidence() -> None:
    """A normal window does not."""
    assert failed(replace(ANSWER, evidence=())) == ["evidence_present"]
    calm = replace(ANSWER, status=Status.NORMAL, kind=Kind.NONE, evidence=())
    assert failed(calm, window(score=0.4)) == []


SOFT = [kind for kind in Kind if not kind.traits.hard and kind is not Kind.NONE]


@pytest.mark.parametrize("kind", SOFT)
def test_normal_needs_evidence_to_overrule_an_alarm(kind: Kind) -> None:
    """A reading of the alarm or a fact of the site; a calm reading does not."""
    alarm = window(kind=kind)
    normal = replace(ANSWER, status=Status.NORMAL, kind=Kind.NONE, summary="This is normal here.")
    site = Shared("th1", {"k1": "It steams on Thursdays."})
    for evidence, shared in [(("r17",), ALONE), (("r1", "r17"), ALONE), (("k1",), site)]:
        assert ground(replace(normal, evidence=evidence), alarm, shared)[0] is Grounding.GROUNDED
    for evidence, shared in [((), ALONE), (("r1",), ALONE), (("r1", "r2"), site), ((), site)]:
        grounding, checks = ground(replace(normal, evidence=evidence), alarm, shared)
        assert grounding is Grounding.UNGROUNDED
        assert [check.name for check in checks if not check.held] == ["evidence_present"]
    assert failed(replace(normal, evidence=("k1",)), alarm) == ["evidence_known", "evidence_present"]
    unsure = replace(normal, status=Status.UNCERTAIN, evidence=())
    assert failed(unsure, alarm) == []  # it overrules nothing


def test_a_limit_claim_is_recomputed() -> None:
    """A cited value must break a printed limit."""
    claim = replace(ANSWER, kind=Kind.OUT_OF_RANGE)
    assert failed(claim, window(value=98.66, limits=(-40.0, 85.0))) == []
    assert failed(claim, window(value=-41.0, limits=(-40.0, None))) == []
    assert failed(claim, window(value=84.0, limits=(-40.0, 85.0))) == ["limit_claim"]
    assert failed(claim, window(value=98.66, limits=(None, None))) == ["limit_claim"]
    for on_it in (-40.0, 85.0):
        assert failed(claim, window(value=on_it, limits=(-40.0, 85.0))) == ["limit_claim"]
    assert failed(claim, window(value=float("inf"), limits=(None, None))) == []
    assert failed(replace(claim, evidence=("r1",)), window(value=98.66)) == ["limit_claim"]


def test_a_flatline_claim_is_recomputed() -> None:
    """The newest values of a cited series must be equal."""
    claim = replace(ANSWER, kind=Kind.FLATLINE)
    assert failed(claim, window(recent=(1.0, 2.0, 5.0, 5.0, 5.0, 5.0, 5.0))) == []
    assert failed(claim, window(recent=(1.0, 2.0, 5.0, 5.0, 5.0, 5.0))) == ["flatline_claim"]


def test_a_window_with_readings_is_not_silent() -> None:
    """Silence is never the model's to see."""
    assert failed(replace(ANSWER, kind=Kind.SILENCE)) == ["silence_claim"]


def test_another_window_proves_nothing() -> None:
    """A value of the batch's other window does not ground a claim."""
    assert failed(replace(ANSWER, summary="It rose to 55."), window(value=98.66)) == ["summary_numbers"]


@given(st.text(max_size=300), st.lists(st.text(max_size=16), max_size=5))
def test_any_answer_is_checked(summary: str, evidence: list[str]) -> None:
    """No text makes the checks fail to run, and details stay short and printable."""
    _, checks = ground(replace(ANSWER, summary=summary, evidence=tuple(evidence)), window())
    assert all(len(check.detail) <= 120 and check.detail.isprintable() for check in checks)


@given(st.floats(min_value=-1e6, max_value=1e6), st.integers(min_value=0, max_value=4))
def test_a_printed_value_is_always_grounded(value: float, decimals: int) -> None:
    """However a cited value is rounded: if it keeps 5 % precision, it holds."""
    one = window(value=value)
    shown = float(f"{value:.6g}")
    text = f"{shown:.{decimals}f}"
    if abs(float(text) - shown) <= 0.05 * abs(shown):
        assert failed(replace(ANSWER, summary=f"It is {text}."), one) == []


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("summary", ["text", " Text "])
def test_an_answer_that_repeats_the_form_holds_nothing(status: Status, summary: str) -> None:
    """A model too weak for the question fills in the form: its "normal" must not silence an alarm."""
    assert FORM_SUMMARY in SYSTEM
    assert failed(replace(ANSWER, status=status, summary=summary)) == ["summary_own"]
    assert details(replace(ANSWER, summary=summary))["summary_own"] == "the summary repeats the form"
    assert failed(replace(ANSWER, status=status, summary="The text is wrong.")) == []
