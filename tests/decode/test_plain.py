"""The short way reads what the long way reads, or leaves the message to it."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agent.decode.registry import Decoded, Registry, SourceSpec
from agent.domain.records import DecodeError
from tests.decode.cases import CASES, FIELD, NOW, Case
from tests.decode.judge import spec_of
from tests.decode.plain import takes_short_way
from tests.decode.test_fuzz import FUZZ

REGISTRY = Registry(
    sources=[SourceSpec("s/{device}/{metric}"), SourceSpec("f/{device}"), SourceSpec("w/#")],
    base_topic="edge-agent/gw1",
)


def read(
    topic: str, payload: bytes, registry: Registry = REGISTRY, received: float = NOW
) -> Decoded | DecodeError:
    """Return what the long way reads, or why it refuses."""
    try:
        return registry.decode(topic, payload, received)
    except DecodeError as refused:
        return refused


def is_short(topic: str, payload: bytes, registry: Registry = REGISTRY, received: float = NOW) -> bool:
    """Return whether a message has the short way, and compare both ways."""
    return takes_short_way(registry, topic, payload, received, read(topic, payload, registry, received))


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("s/d/temperature", b"21.53"),
        ("s/d/pressure", b"1013.25"),
        ("s/d/power", b"-135"),
        ("w/d/level", b"+.5e-3"),
        ("s/d/temperature", b'{"value": 21.5, "unit": "\xc2\xb0C"}'),
        ("s/d/temperature", b'{"value":21}'),
        ("f/d", b'{"value":21,"unit":""}'),
        ("f/d", b'{"temperature":21.5,"humidity":40,"co2":812}'),
        ("s/d/air", b'{"temperature":21.5,"humidity":40}'),
    ],
)
def test_what_most_sensors_send_has_the_short_way(topic: str, payload: bytes) -> None:
    """Numbers, values with their unit, and flat objects of numbers; but not the first of a topic."""
    registry = Registry(
        sources=[*map(SourceSpec, ("s/{device}/{metric}", "f/{device}", "w/#"))], base_topic="e"
    )
    assert registry.plain(topic, payload, NOW) is None
    assert is_short(topic, payload, registry)


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("s/d/temperature", b"nan"),
        ("s/d/temperature", b"1e999"),
        ("s/d/temperature", b"85"),
        ("s/d/counter", b"0012345"),
        ("s/d/uptime", b"1782475200"),
        ("s/d/firmware", b"2.5"),
        ("f/d", b'{"a":1,"a":2}'),
        ("f/d", b'{"a" :1,"a":2}'),
        ("f/d", b'{"a":1,"b":{}}'),
        ("f/d", b'{"a":NaN}'),
        ("f/d", b'{"a":1e999}'),
        ("f/d", b'{"a":1,"time":1782475000}'),
        ("f/d", b'{"a":1,"id":7}'),
        ("f/d", b'{"a":1}{"a":2}'),
        ("f/d", b'{"\\u0061":1,"a":2}'),
        ("f/d", b'{"temp":85}'),
        ("f/d", b'{"value":1,"unit":["C"]}'),
        ("f/d", b"{}"),
        ("f/d", b'{"a":1,"traceparent":"x"}'),
        ("f/d/config", b'{"a":1}'),
        ("s/d/a", b'{"%s":1}' % (b"x" * 127)),
    ],
)
def test_all_that_needs_a_look_has_the_long_way(topic: str, payload: bytes) -> None:
    """Also where the long way finds nothing odd."""
    read(topic, payload)
    assert not is_short(topic, payload)


def test_a_unit_that_is_too_long_is_none() -> None:
    """On both ways."""
    payload = b'{"value":1,"unit":"%s"}' % (b"C" * 200)
    decoded = REGISTRY.decode("s/d/temperature", payload, NOW)
    assert [one.unit for one in decoded.readings] == [None]
    assert is_short("s/d/temperature", payload)


@pytest.mark.parametrize(
    "spec",
    [
        spec_of({"topic": "s/{device}", "device": "{device}-{$.a}"}),
        spec_of({"topic": "s/{device}", "metrics": {"exclude": ["b*"]}}),
        spec_of({"topic": "s/{device}", "dedupe": "$.id"}),
        spec_of({"topic": "s/{device}", "time": {"field": "$.a"}}),
        spec_of({"topic": "s/{device}", "availability": {"topic": "s/{device}/status"}}),
        spec_of({"topic": "s/{device}", "format": "zigbee2mqtt"}),
    ],
    ids=str,
)
def test_a_source_with_rules_has_the_long_way(spec: SourceSpec) -> None:
    """Its rules hold for each message."""
    registry = Registry(sources=[spec], base_topic="e")
    for payload in (b"21.5", b'{"a":1,"b":2}'):
        assert not is_short("s/d", payload, registry)


def registry_of(case: Case) -> Registry:
    """Return the registry of a case."""
    return Registry(sources=[spec_of(case.source)], base_topic="edge-agent/gw1")


@pytest.mark.parametrize("case", [*CASES, *FIELD], ids=str)
def test_payloads_of_the_field(case: Case) -> None:
    """Both ways agree on each payload that we know."""
    registry = registry_of(case)
    is_short(case.topic, case.payload, registry, case.received)


_KEYS = st.sampled_from(
    [
        "value",
        "v",
        "unit",
        "units",
        "t",
        "temp",
        "temperature",
        "id",
        "name",
        "a",
        "a.b",
        "b:c",
        " ",
        "ts",
        "q",
    ]
)
_VALUES: st.SearchStrategy[object] = st.one_of(
    st.floats(), st.integers(), st.sampled_from([NOW, 85, -127, 9999.0, "C", "", "21", None, True, [], {}])
)
_SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")])


@FUZZ
@given(
    st.sampled_from(["s/d/t", "s/d/uptime", "f/d", "w/x"]),
    st.lists(st.tuples(_KEYS, _VALUES), max_size=5),
    _SEPARATORS,
)
def test_flat_objects(topic: str, pairs: list[tuple[str, Any]], separators: tuple[str, str]) -> None:
    """Keys may come twice, and values may be anything."""
    comma, colon = separators
    fields = comma.join(json.dumps(key) + colon + json.dumps(value) for key, value in pairs)
    payload = f"{{{fields}}}".encode()
    read(topic, payload)
    is_short(topic, payload)


_DIGITS = st.text("0123456789+-.eE ", max_size=24)


@FUZZ
@given(st.sampled_from(["s/d/t", "s/d/temp", "s/d/last_seen", "f/d", "w/x"]), _DIGITS)
def test_numbers(topic: str, text: str) -> None:
    """And what nearly is one."""
    read(topic, text.encode())
    is_short(topic, text.encode())
