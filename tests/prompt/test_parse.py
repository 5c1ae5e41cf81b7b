"""Replies that are accepted, and those that are mended."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agent.domain.records import Answer, Kind, Reason, Severity, Status
from agent.prompt.parse import Parsed, Problem, parse
from tests.ai.kit import two_windows

GOOD = {
    "w": 1,
    "status": "anomaly",
    "kind": "spike",
    "severity": "warning",
    "confidence": 2,
    "evidence": ["r17"],
    "summary": "It jumped.",
}
ANSWER = Answer(Status.ANOMALY, Kind.SPIKE, Severity.WARNING, 2, ("r17",), "It jumped.")


def reply(*changes: dict[str, Any]) -> str:
    return json.dumps({"windows": [{**GOOD, "w": place, **one} for place, one in enumerate(changes, 1)]})


def reasons(parsed: Parsed) -> list[Reason | None]:
    return [one.reason if isinstance(one, Problem) else None for one in parsed.answers.values()]


def test_a_good_reply_needs_no_repair() -> None:
    """Both windows answered, nothing mended."""
    parsed = parse(reply({}, {}), two_windows())
    assert parsed.answers == {"w1": ANSWER, "w2": ANSWER}
    assert parsed.repaired is None
    assert not parsed.invalid


@pytest.mark.parametrize(
    "wrap",
    [
        "```json\n{}\n```",
        "```\n{}\n```",
        "Here you are:\n{}\nAnything else?",
        '<think>maybe {{}} or {{"windows": []}}</think>{}',
        "\ufeff{}",
    ],
)
def test_wrapping_is_taken_off(wrap: str) -> None:
    """Fences, talk around the object and thinking aloud are mended, and counted."""
    parsed = parse(wrap.format(reply({}, {})), two_windows())
    assert parsed.answers["w1"] == ANSWER
    assert parsed.repaired is True


def test_trailing_commas_and_nan_are_mended() -> None:
    """Strings that look alike are left alone."""
    text = reply({"summary": "a,] NaN, {"}, {}).replace('"r17"]', '"r17",]').replace('"w"', '"x":NaN,"w"')
    parsed = parse(text, two_windows())
    assert parsed.repaired is True
    answer = parsed.answers["w1"]
    assert isinstance(answer, Answer)
    assert answer.summary == "a,] NaN, {"


@pytest.mark.parametrize("text", ["", "no", "{", "{'windows': 1}", "[" * 100_000, '{"a":' * 50_000, "[1, 2"])
def test_what_is_no_json_is_invalid(text: str) -> None:
    """All windows fall, the repair has failed, and no word of the reply is in the detail."""
    parsed = parse(text, two_windows())
    assert reasons(parsed) == [Reason.INVALID, Reason.INVALID]
    assert parsed.repaired is False
    assert parsed.invalid


@pytest.mark.parametrize("text", ['{"verdicts": []}', "3", '"text"', "null", '{"windows": {"w": 1}}'])
def test_json_of_another_shape_is_invalid(text: str) -> None:
    """JSON without a list of windows is not an answer."""
    assert reasons(parse(text, two_windows())) == [Reason.INVALID, Reason.INVALID]


def test_small_models_may_answer_bare() -> None:
    """A bare list, or a lone object for a lone window, will do."""
    assert parse(json.dumps([GOOD]), two_windows()).answers["w1"] == ANSWER
    assert parse(json.dumps(GOOD), two_windows()).answers["w1"] == ANSWER


@pytest.mark.parametrize(
    "change",
    [
        {"status": "bad"},
        {"kind": "unheard"},
        {"severity": None},
        {"confidence": 0},
        {"confidence": 4},
        {"confidence": "high"},
        {"evidence": "r17"},
        {"evidence": [17]},
        {"evidence": ["r" * 100]},
        {"evidence": ["r1"] * 100},
        {"summary": 5},
    ],
)
def test_a_bad_window_falls_alone(change: dict[str, Any]) -> None:
    """The other window of the reply keeps its answer."""
    parsed = parse(reply(change, {}), two_windows())
    assert reasons(parsed) == [Reason.INVALID, None]
    assert parsed.invalid


def test_a_missing_field_is_invalid() -> None:
    """Every field is required."""
    items = [{**GOOD}, {**GOOD, "w": 2}]
    del items[0]["evidence"]
    assert reasons(parse(json.dumps({"windows": items}), two_windows())) == [Reason.INVALID, None]


def test_a_window_left_out_is_omitted() -> None:
    """That is not a schema failure."""
    parsed = parse(reply({}), two_windows())
    assert reasons(parsed) == [None, Reason.MODEL_OMITTED]
    assert not parsed.invalid


def test_windows_that_were_not_asked_are_named() -> None:
    """Strangers are returned apart and answer nothing."""
    parsed = parse(reply({}, {}, {"w": 9}, {"w": -1}), two_windows())
    assert parsed.strangers == (9, -1)


def test_two_different_answers_to_one_window_are_none() -> None:
    """Equal repeats are one answer."""
    parsed = parse(reply({}, {}, {"w": 1, "status": "normal"}), two_windows())
    assert reasons(parsed) == [Reason.INVALID, None]
    assert reasons(parse(reply({}, {}, {"w": 1}), two_windows())) == [None, None]


def test_complete_windows_of_a_cut_reply_stand() -> None:
    """A window that the output limit cut off is omitted, not invalid."""
    text = reply({}, {})
    for cut in range(text.index("}") + 1, len(text) - 3):
        parsed = parse(text[:cut], two_windows(), truncated=True)
        assert reasons(parsed) == [None, Reason.MODEL_OMITTED]
    assert reasons(parse(text[:20], two_windows(), truncated=True)) == [Reason.MODEL_OMITTED] * 2


def test_our_alias_does_not_reach_people() -> None:
    """``dev_01`` in a summary about that device becomes words; another alias is left to grounding."""
    parsed = parse(reply({"summary": "Device dev_01 rose, dev_02 fell."}, {}), two_windows())
    answer = parsed.answers["w1"]
    assert isinstance(answer, Answer)
    assert answer.summary == "the device rose, dev_02 fell."


def test_a_summary_is_one_printable_line() -> None:
    """Control and zero-width characters go, length is capped between words."""
    parsed = parse(reply({"summary": "a\nb\x00c\u200bd " + "word " * 100}, {}), two_windows())
    answer = parsed.answers["w1"]
    assert isinstance(answer, Answer)
    assert answer.summary.startswith("a b c d word")
    assert answer.summary.endswith("word...")
    assert len(answer.summary) <= 300
    assert answer.summary.isprintable()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*GOOD, "windows", "x"]), inner, max_size=7)
    ),
    max_leaves=20,
)


@given(json_values)
def test_any_json_is_survived(value: Any) -> None:
    """Every window gets an answer or a problem, whatever comes."""
    parsed = parse(json.dumps({"windows": [value, {**GOOD, "w": 2}]}), two_windows())
    assert list(parsed.answers) == ["w1", "w2"]


@given(st.text(max_size=300))
def test_any_text_is_survived(text: str) -> None:
    """Also when it was reported as cut off."""
    for truncated in (False, True):
        assert list(parse(text, two_windows(), truncated=truncated).answers) == ["w1", "w2"]
