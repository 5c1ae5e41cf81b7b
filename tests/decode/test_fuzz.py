"""Hostile bytes always become a bounded Decoded or a DecodeError.

``EDGE_FUZZ_EXAMPLES`` sets how many examples each test runs.
"""

import json
import os
from math import isfinite
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from agent.decode.families import formats
from agent.decode.registry import Decoded, Registry, SourceSpec
from agent.decode.values import is_name
from agent.domain.records import DecodeError, DecodeReason
from tests.decode.cases import CASES, Case
from tests.decode.plain import takes_short_way

EXAMPLES = int(os.environ.get("EDGE_FUZZ_EXAMPLES", "200"))
NOW = 1_782_475_200.0
REGISTRY = Registry(
    sources=[
        SourceSpec("s/{device}/{metric}"),
        SourceSpec("f/{device}"),
        SourceSpec("z/{device+}"),
        SourceSpec("w/#"),
    ],
    base_topic="edge-agent/gw1",
)
FAMILY_REGISTRIES = {
    word: Registry(sources=[SourceSpec("#", word)], base_topic="edge-agent/gw1") for word in formats()
}
FUZZ = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES <= 1000, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip

_KEYS = st.one_of(
    st.sampled_from(
        [
            "ts",
            "time",
            "timestamp",
            "value",
            "v",
            "name",
            "n",
            "unit",
            "u",
            "action",
            "id",
            "traceparent",
            "temperature",
            "a",
            "a.b",
            "b",
            "measurements",
            "data",
        ]
    ),
    st.text(max_size=6),
)
_NUMBERS = st.one_of(
    st.floats(), st.integers(), st.sampled_from([NOW, NOW * 1e3, NOW + 1e9, 0, 1e308, 10**400])
)
_TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["ON", "21.5", "21.5 °C", "nan", "2026-06-26T12:00:00", "2026-06-26T12:00:00Z", "\ud800", "x" * 200]
    ),
)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=20), st.dictionaries(_KEYS, inner, max_size=6)),
    max_leaves=30,
)
_VALID = _JSON.map(lambda value: json.dumps(value).encode())
_TOPICS = st.sampled_from(["s/th1/t", "f/th1", "z/a/b", "w", "w/x"])
_PROPERTIES = st.lists(
    st.tuples(st.sampled_from(["time", "ts", "traceparent", "x"]), _TEXTS), max_size=3
).map(tuple)


@st.composite
def _damaged(draw: st.DrawFn, valid: bytes) -> bytes:
    """Return ``valid`` with some bytes cut, doubled or exchanged."""
    payload = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(payload)))
        cut = draw(st.integers(0, 3))
        payload[place : place + cut] = draw(st.one_of(st.binary(max_size=3), st.just(payload[:place][-4:])))
    return bytes(payload)


def _survives(
    topic: str, payload: bytes, properties: Any = (), registry: Registry = REGISTRY
) -> Decoded | DecodeError:
    """Decode, and check the result."""
    try:
        decoded = registry.decode(topic, payload, NOW, properties)
    except DecodeError as refused:
        assert registry.plain(topic, payload, NOW) is None
        return _checked(refused)
    if not properties:
        takes_short_way(registry, topic, payload, NOW, decoded)
    for reading in decoded.readings:
        assert isfinite(reading.value)
        assert isfinite(reading.at)
        assert reading.at <= NOW + 300
        assert type(reading.value) is type(reading.at) is float
        assert 0 < len(reading.metric) <= 128
        f"{reading.device}{reading.metric}{reading.unit}".encode()
        assert is_name(reading.device)
        assert is_name(reading.metric)
        assert reading.unit is None or (len(reading.unit) <= 16 and reading.unit.isprintable())
    nothing = decoded.source is not None and not decoded.readings and decoded.online is None
    assert decoded.text_only == nothing
    assert len(decoded.skipped) <= 16
    return decoded


def _checked(refused: DecodeError) -> DecodeError:
    assert refused.reason is not DecodeReason.DECODER_FAULT, refused.__cause__
    assert len(refused.detail) <= 200
    assert refused.detail.isprintable()
    return refused


@FUZZ
@given(_TOPICS, st.binary(max_size=200), _PROPERTIES)
def test_arbitrary_bytes(topic: str, payload: bytes, properties: Any) -> None:
    """Random bytes only ever give Decoded or DecodeError."""
    _survives(topic, payload, properties)


@FUZZ
@given(_TOPICS, _VALID, _PROPERTIES)
def test_arbitrary_json(topic: str, payload: bytes, properties: Any) -> None:
    """Random JSON with the words that we read only ever gives Decoded or DecodeError."""
    _survives(topic, payload, properties)


@FUZZ
@given(_TOPICS, _VALID.flatmap(_damaged))
def test_mutated_payload(topic: str, payload: bytes) -> None:
    """Damaged JSON only ever gives Decoded or DecodeError."""
    _survives(topic, payload)


@FUZZ
@given(st.data(), st.sampled_from(CASES))
def test_damaged_message_of_a_family(data: st.DataObject, case: Case) -> None:
    """A damaged message of a family only ever gives Decoded or DecodeError, under its own word and auto."""
    payload = data.draw(_damaged(case.payload))
    _survives(case.topic, payload, registry=FAMILY_REGISTRIES[case.family])
    _survives(case.topic, payload, registry=FAMILY_REGISTRIES["auto"])


@FUZZ
@given(st.text(max_size=40))
def test_arbitrary_topic(topic: str) -> None:
    """Random topics only ever give Decoded or DecodeError."""
    _survives(topic, b"21.5")
    _survives("z/" + topic, b"21.5")


@pytest.mark.slow
@FUZZ
@given(_TOPICS, _VALID)
def test_decoding_is_a_function(topic: str, payload: bytes) -> None:
    """The same message gives the same readings every time, whatever the caches hold."""
    fresh = Registry(
        sources=[
            SourceSpec("s/{device}/{metric}"),
            SourceSpec("f/{device}"),
            SourceSpec("z/{device+}"),
            SourceSpec("w/#"),
        ],
        base_topic="edge-agent/gw1",
    )
    try:
        expected: Any = fresh.decode(topic, payload, NOW)
    except DecodeError as error:
        expected = (error.reason, error.detail)
    again = _survives(topic, payload)
    assert expected == ((again.reason, again.detail) if isinstance(again, DecodeError) else again)
