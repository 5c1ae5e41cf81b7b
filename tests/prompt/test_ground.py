"""Every claim of an answer is looked up in its window."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from agent.domain.records import Answer, Grounding, Kind, Severity, Status, Window
from agent.prompt import ground
from tests.ai.kit import window

ANSWER = Answer(Status.ANOMALY, Kind.SPIKE, Severity.WARNING, 2, ("r17",), "It jumped.")


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
        "On 2026-11-24T10:15:30Z it rose.",
        "At 2026-11-24 it rose to 99.",
        "CO2 and PM2.5 are not the cause, says p99.",
        "The value is 98.660.",
        "Above the 99th percentile (72.3), so above 99 % of what was seen.",
        "Usual is 70.1..72.3.",
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
        ("r2 stands out.", "summary_ids"),
        ("R999 stands out.", "summary_ids"),
        ("dev_02 is the cause.", "summary_names"),
        ("pump-1 has failed.", "summary_names"),
        ("Sensor TH7 is broken.", "summary_names"),
    ],
)
def test_claims_that_do_not_hold(summary: str, check: str) -> None:
    """A number, id or name that the window does not print is a hallucination."""
    assert failed(replace(ANSWER, summary=summary)) == [check]


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
    assert failed(calm) == ["evidence_known"]


def test_an_anomaly_needs_evidence() -> None:
    """A normal window does not."""
    assert failed(replace(ANSWER, evidence=())) == ["evidence_present"]
    assert failed(replace(ANSWER, status=Status.NORMAL, kind=Kind.NONE, evidence=())) == []


def test_a_limit_claim_is_recomputed() -> None:
    """A cited value must break a printed limit."""
    claim = replace(ANSWER, kind=Kind.OUT_OF_RANGE)
    assert failed(claim, window(value=98.66, limits=(-40.0, 85.0))) == []
    assert failed(claim, window(value=-41.0, limits=(-40.0, None))) == []
    assert failed(claim, window(value=84.0, limits=(-40.0, 85.0))) == ["limit_claim"]
    assert failed(claim, window(value=98.66, limits=(None, None))) == ["limit_claim"]
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
