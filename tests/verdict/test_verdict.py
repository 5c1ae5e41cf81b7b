"""The verdict from both opinions, and its bytes on the wire."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, strategies as st
from jsonschema import Draft202012Validator

from agent.domain.records import (
    Grounding,
    Kind,
    LocalOpinion,
    Outcome,
    Reason,
    Score,
    Severity,
    Source,
    Status,
    Trigger,
)
from agent.verdict.encode import iso, published_schema, to_bytes, to_json
from agent.verdict.verdict import clean, conclude, disagreement
from tests.support.make import T0, answered, score, window
from tests.support.schema import closed

SCHEMA: dict[str, Any] = closed(published_schema("verdict"))
VALIDATOR = Draft202012Validator(SCHEMA)

NORMAL = window(score(0.5))
SPIKE = window(score(2.0))
LIMIT = window(score(1.0, Kind.OUT_OF_RANGE, limit=True))
FLAT = window(score(1.5, Kind.FLATLINE))
N, A, U = Status.NORMAL, Status.ANOMALY, Status.UNCERTAIN
W, C, I = Severity.WARNING, Severity.CRITICAL, Severity.INFO  # noqa: E741 - a table
AI, LOCAL = Source.AI, Source.LOCAL


@pytest.mark.parametrize(
    ("win", "answer", "alone"),
    [
        (NORMAL, A, "ai_only"),
        (NORMAL, N, None),
        (NORMAL, U, None),
        (SPIKE, N, "local_only"),
        (SPIKE, U, None),
        (SPIKE, A, None),
        (LIMIT, N, "local_only"),  # overruled, and a disagreement all the same
    ],
)
def test_who_alone_saw_an_anomaly(win: Any, answer: Status, alone: str | None) -> None:
    """Detector or model, whichever the verdict follows; an ungrounded answer is not an opinion."""
    outcome = answered(win, answer)
    assert disagreement(win, outcome) == alone
    assert disagreement(win, replace(outcome, grounding=Grounding.UNGROUNDED)) is None
    assert disagreement(win, Outcome(win.id, Reason.ERROR)) is None


@pytest.mark.parametrize(
    ("win", "answer", "status", "kind", "severity", "source"),
    [
        (NORMAL, N, N, Kind.NONE, I, AI),
        (NORMAL, A, A, Kind.DRIFT, W, AI),  # only the model sees it: a warning at most
        (NORMAL, U, U, Kind.NONE, I, AI),
        (SPIKE, A, A, Kind.SPIKE, W, AI),  # both see it: kind and severity are the local ones
        (SPIKE, N, N, Kind.NONE, I, AI),
        (SPIKE, U, A, Kind.SPIKE, W, LOCAL),
        (LIMIT, N, A, Kind.OUT_OF_RANGE, C, LOCAL),  # a limit cannot be overruled
        (LIMIT, A, A, Kind.OUT_OF_RANGE, C, AI),
        (FLAT, N, A, Kind.FLATLINE, W, LOCAL),
        (FLAT, U, A, Kind.FLATLINE, W, LOCAL),
    ],
)
def test_who_wins_when_grounded(
    win: Any, answer: Status, status: Status, kind: Kind, severity: Severity, source: Source
) -> None:
    """Soft anomalies may be talked down by a grounded answer, hard ones never."""
    verdict = conclude(win, answered(win, answer, kind=Kind.DRIFT), agent="gw", created=T0)
    assert (verdict.status, verdict.kind, verdict.severity) == (status, kind, severity)
    assert (verdict.source, verdict.reason, verdict.grounded) == (source, Reason.REVIEWED, True)


@pytest.mark.parametrize(("win", "status"), [(NORMAL, U), (SPIKE, A), (LIMIT, A)])
@pytest.mark.parametrize("answer", [N, A, U])
def test_an_ungrounded_answer_never_decides(win: Any, status: Status, answer: Status) -> None:
    """Claims that do not hold leave the local opinion, and make `normal` uncertain at most."""
    outcome = answered(win, answer, grounding=Grounding.UNGROUNDED)
    verdict = conclude(win, outcome, agent="gw", created=T0)
    assert (verdict.status, verdict.kind) == (status, win.local.kind)
    assert (verdict.source, verdict.reason, verdict.grounded) == (LOCAL, Reason.UNGROUNDED, False)
    assert verdict.summary == win.local.summary


@pytest.mark.parametrize("reason", list(Reason))
def test_without_an_answer_the_local_opinion_stands(reason: Reason) -> None:
    """After any failure the verdict is the local one and gives the reason."""
    verdict = conclude(SPIKE, Outcome(SPIKE.id, reason), agent="gw", created=T0)
    assert (verdict.status, verdict.source, verdict.reason) == (A, LOCAL, reason)
    assert (verdict.confidence, verdict.grounded, verdict.model) == (None, None, None)
    VALIDATOR.validate(to_json(verdict))


def test_cache_hits_say_so() -> None:
    """An answer from the cache keeps its source."""
    verdict = conclude(SPIKE, answered(SPIKE, A, source=Source.CACHE), agent="gw", created=T0)
    assert verdict.source is Source.CACHE


def test_late_is_measured_from_the_window_end() -> None:
    """More than a minute after the window's end is late."""
    assert not conclude(SPIKE, Outcome(SPIKE.id, Reason.BUDGET), agent="gw", created=SPIKE.end + 60).late
    assert conclude(SPIKE, Outcome(SPIKE.id, Reason.BUDGET), agent="gw", created=SPIKE.end + 61).late


@given(st.text(max_size=600), st.text(min_size=1, max_size=50), st.sampled_from(list(Status)))
def test_every_verdict_validates(summary: str, device: str, status: Status) -> None:
    """Whatever the model or the device is called, the bytes are valid UTF-8 JSON of schema 1."""
    device = device.encode("utf-8", "replace").decode()
    win = window(score(2.0), device=device)
    outcome = answered(win, status)
    assert outcome.answer is not None
    outcome = replace(
        outcome, answer=replace(outcome.answer, summary=summary.encode("utf-8", "replace").decode())
    )
    verdict = conclude(win, outcome, agent="gw", created=T0)
    VALIDATOR.validate(json.loads(to_bytes(verdict)))
    assert len(verdict.summary) <= 300


def test_open_sides_of_a_limit_are_null() -> None:
    """A range without an upper limit is written with null, never Infinity."""
    win = window(Score(1.0, Kind.OUT_OF_RANGE, (5.0, float("inf")), limit=True))
    verdict = conclude(win, Outcome(win.id, Reason.REVIEW_OFF), agent="gw", created=T0)
    assert json.loads(to_bytes(verdict))["evidence"][0]["expected"] == [5.0, None]


def test_bytes_are_stable() -> None:
    """The same verdict is always the same bytes."""
    verdict = conclude(SPIKE, answered(SPIKE, A), agent="gw", created=T0)
    assert to_bytes(verdict) == to_bytes(verdict)
    assert list(json.loads(to_bytes(verdict))) == SCHEMA["required"]


def test_times_that_no_calendar_holds_are_clamped() -> None:
    """A device's clock may be anything; the verdict is still valid."""
    assert iso(T0) == "2023-11-14T22:13:20.000Z"
    assert iso(1e18) == "9999-12-31T23:59:59.000Z"
    assert iso(-1e18) == "1970-01-01T00:00:00.000Z"


def test_summaries_are_one_printable_line() -> None:
    """Control characters and line ends of a model never reach a consumer."""
    assert clean("a\x1b[31m\nb\u202e c") == "a [31m b c"
    assert len(clean("x" * 400)) == 300


def test_silence_has_no_readings() -> None:
    """The verdict of a silence validates and counts none."""
    win = window(trigger=Trigger.SILENCE)
    opinion = LocalOpinion(A, 1.2, Kind.SILENCE, W, (), "No reading for 10 min.")
    verdict = conclude(
        replace(win, local=opinion), Outcome(win.id, Reason.NO_READINGS), agent="g", created=T0
    )
    VALIDATOR.validate(to_json(verdict))
    assert verdict.readings == 0
