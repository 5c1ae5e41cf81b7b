"""Payloads that are accepted as a person's answer to a verdict."""

import json
from typing import Any

import pytest

from agent.domain.records import DecodeError
from agent.verdict.feedback import MAX_NOTE, Feedback, read_feedback

GOOD: dict[str, Any] = {"verdict_id": "0123456789abcdef", "outcome": "confirmed"}


def test_a_note_is_one_bounded_line() -> None:
    """Control characters become spaces, and 500 characters are kept."""
    said = read_feedback(json.dumps({**GOOD, "note": "pump\n\x1b[2Jreplaced " + "x" * 2000}).encode())
    assert said.note.startswith("pump [2Jreplaced x")
    assert len(said.note) == MAX_NOTE
    assert read_feedback(json.dumps(GOOD).encode()) == Feedback("0123456789abcdef", "confirmed")
    assert read_feedback(json.dumps({**GOOD, "note": None}).encode()).note == ""


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "bad_json"),
        (b"[]", "is not an object"),
        (json.dumps({**GOOD, "outcome": "yes"}).encode(), "use confirmed or false_alarm"),
        (json.dumps({**GOOD, "outcome": ["confirmed"]}).encode(), "use confirmed or false_alarm"),
        (json.dumps({**GOOD, "verdict_id": "%"}).encode(), "copy the id of the verdict"),
        (json.dumps({**GOOD, "verdict_id": 5}).encode(), "copy the id of the verdict"),
        (json.dumps({**GOOD, "note": {}}).encode(), "send text or null"),
        (json.dumps({**GOOD, "temperature": 21.5}).encode(), "has the key 'temperature'"),
        (b'{"outcome":"confirmed","outcome":"false_alarm"}', "duplicate_key"),
        (json.dumps({**GOOD, "note": "x" * 9000}).encode(), "too_large"),
    ],
)
def test_anything_else_is_refused_with_a_remedy(payload: bytes, said: str) -> None:
    """It goes to quarantine with the fault."""
    with pytest.raises(DecodeError) as caught:
        read_feedback(payload)
    assert said in str(caught.value)
