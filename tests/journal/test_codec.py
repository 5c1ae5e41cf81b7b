"""Windows as JSON and back."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from agent.domain.records import (
    Kind,
    LocalOpinion,
    Partner,
    Score,
    Severity,
    Status,
    Trigger,
    Window,
    WindowReading,
)
from agent.journal.codec import decode_properties, decode_window, encode_properties, encode_window
from tests.journal.rig import window

numbers = st.floats(allow_nan=False)
texts = st.text(max_size=20)
scores = st.builds(
    Score, numbers, st.sampled_from(Kind), st.none() | st.tuples(numbers, numbers), limit=st.booleans()
)
readings = st.builds(WindowReading, texts, texts, numbers, numbers, st.none() | texts, scores)
opinions = st.builds(
    LocalOpinion,
    st.sampled_from(Status),
    numbers,
    st.sampled_from(Kind),
    st.sampled_from(Severity),
    st.lists(readings, max_size=5).map(tuple),
    texts,
)
windows = st.builds(
    Window,
    id=texts,
    device=texts,
    trigger=st.sampled_from(Trigger),
    lo=st.integers(),
    hi=st.integers(),
    count=st.integers(),
    start=numbers,
    end=numbers,
    opened=numbers,
    sealed=numbers,
    local=opinions,
    candidates=st.lists(readings, max_size=12).map(tuple),
    section=texts,
    traceparents=st.lists(texts, max_size=8).map(tuple),
)


@given(windows)
def test_windows_come_back_as_they_were(one: Window) -> None:
    """Any window, with any text and any finite or infinite number, survives exactly, types included."""
    back = decode_window(encode_window(one))
    assert one == back
    assert repr(one) == repr(back)


def test_a_surrogate_can_be_stored() -> None:
    """The JSON is plain ASCII, so that SQLite takes it whatever a device called itself."""
    assert encode_window(window(device="d\udcff")).isascii()


@given(st.lists(st.tuples(texts, texts)).map(tuple))
def test_properties_come_back_in_order(properties: tuple[tuple[str, str], ...]) -> None:
    """Names may repeat."""
    assert properties == decode_properties(encode_properties(properties))


def test_the_word_behind_a_number_is_kept() -> None:
    """Windows of older versions have none."""
    one = window()
    worded = replace(one, candidates=(replace(one.candidates[0], word="open"), *one.candidates[1:]))
    assert decode_window(encode_window(worded)) == worded


@pytest.mark.parametrize("said", [None, (100.4, "degF")])
def test_the_partner_of_a_series_is_kept(said: tuple[float, str] | None) -> None:
    """With and without a value as sent before it."""
    one = window()
    score = Score(1.4, Kind.OTHER, (30.0, 33.0), said=said, partner=Partner("flow", 41.0, None, 38.0, "x"))
    parted = replace(one, candidates=(replace(one.candidates[0], score=score), *one.candidates[1:]))
    assert decode_window(encode_window(parted)) == parted
