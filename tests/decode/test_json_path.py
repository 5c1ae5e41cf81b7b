"""Paths into a payload, and the publisher's own id of a message."""

import pytest

from agent.decode.family import Note
from agent.decode.registry import Registry, SourceSpec


@pytest.mark.parametrize(
    ("path", "payload", "expected"),
    [
        ("$.id", '{"id": "a7", "t": 1}', "a7"),
        ("$.id", '\ufeff{"id": "\N{DEGREE SIGN}", "t": 1}', "\N{DEGREE SIGN}"),
        ("$.meta.id", '{"meta": {"id": 9}, "t": 1}', "9"),
        ("$.id", '{"id": 12345678901234567891, "t": 1}', "12345678901234567891"),
        ("$.id", '{"id": 12345678901234567892, "t": 1}', "12345678901234567892"),
        ("$.id", '{"id": 1.50, "t": 1}', "1.50"),
        ("$.id", '{"id": "", "t": 1}', None),
        ("$.id", '{"id": null, "t": 1}', None),
        ("$.id", '{"id": {"x": 1}, "t": 1}', None),
        ("$.id", '{"id": true, "t": 1}', None),
        ("$.meta.id", '{"meta": [1, 2], "t": 1}', None),
        ("$.id", '{"t": 1}', None),
        ("$.id", "21.5", None),
        ("$.id", '[{"id": "a", "value": 1}]', None),
    ],
)
def test_an_id_is_read_as_it_is_written(path: str, payload: str, expected: str | None) -> None:
    """A text, or a number digit by digit; a message without one is read all the same, and it is noted."""
    registry = Registry(sources=[SourceSpec("a/{device}", dedupe=path)], base_topic="x")
    decoded = registry.decode("a/th1", payload.encode(), 0.0)
    assert decoded.message_id == expected
    assert (Note.NO_MESSAGE_ID in decoded.notes) == (expected is None)
    assert decoded.readings


def test_without_dedupe_there_is_no_id() -> None:
    """Nobody asked, so nothing is looked for."""
    registry = Registry(sources=[SourceSpec("a/{device}")], base_topic="x")
    decoded = registry.decode("a/th1", b'{"id": "a7", "t": 1}', 0.0)
    assert (decoded.message_id, decoded.notes) == (None, ())


@pytest.mark.parametrize("path", ["", "$", "id", "$.", "$.a.", "$..a", "$.a[0]", "$.*", "$.a b", ".id"])
def test_a_path_is_keys_only(path: str) -> None:
    """Anything else is refused, with the source's name and what to write."""
    with pytest.raises(ValueError, match=r"source a/\{device\}: dedupe .* write \$\.id"):
        Registry(sources=[SourceSpec("a/{device}", dedupe=path)], base_topic="x")
