"""Strict JSON: refuses, with the reason, what ``json.loads`` accepts."""

import pytest

from agent.decode.family import DecodeLimits
from agent.decode.strict_json import parse
from agent.domain.records import DecodeError, DecodeReason

LIMITS = DecodeLimits()


def keys(count: int) -> str:
    return "{" + ",".join(f'"k{n}":1' for n in range(count)) + "}"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"a":NaN}', DecodeReason.NOT_FINITE),
        (b'{"a":Infinity}', DecodeReason.NOT_FINITE),
        (b'{"a":-Infinity}', DecodeReason.NOT_FINITE),
        (b'{"a":1e999}', DecodeReason.NOT_FINITE),
        (b'[{"x":[-1e999]}]', DecodeReason.NOT_FINITE),
        (b'{"a":' + b"9" * 5000 + b"}", DecodeReason.NOT_FINITE),
        (b'{"a":1,"a":2}', DecodeReason.DUPLICATE_KEY),
        (b'{"x":{"a":1,"b":1,"a":1}}', DecodeReason.DUPLICATE_KEY),
        (b'{"a":1,"\\u0061":2}', DecodeReason.DUPLICATE_KEY),
        (b'{"a":"\xff"}', DecodeReason.BAD_UTF8),
        (b'{"a":"\xed\xa0\x80"}', DecodeReason.BAD_UTF8),
        (b'{"a":"\\ud800"}', DecodeReason.BAD_UTF8),
        (b'{"\\udfff":1}', DecodeReason.BAD_UTF8),
        (b'{"a":' * 8 + b"{}" + b"}" * 8, DecodeReason.TOO_DEEP),
        (b'{"a":' + b"[" * 8 + b"1" + b"]" * 8 + b"}", DecodeReason.TOO_DEEP),
        (b"[" * 100_000, DecodeReason.TOO_DEEP),
        (b'{"a":' * 40_000, DecodeReason.TOO_DEEP),
        (keys(257).encode(), DecodeReason.TOO_MANY_KEYS),
        (f'{{"a":{keys(200)},"b":{keys(200)}}}'.encode(), DecodeReason.TOO_MANY_KEYS),
        (f"[{keys(257)}]".encode(), DecodeReason.TOO_MANY_KEYS),
        (b"[" + b",".join([b"{}"] * 4097) + b"]", DecodeReason.TOO_MANY_KEYS),
        (b'{"a":"' + b"x" * 129 + b'"}', DecodeReason.STRING_TOO_LONG),
        (b'{"' + b"x" * 129 + b'":1}', DecodeReason.STRING_TOO_LONG),
        (b" " * (256 * 1024) + b"1", DecodeReason.TOO_LARGE),
        (b"", DecodeReason.BAD_JSON),
        (b"{", DecodeReason.BAD_JSON),
        (b'{"a":1', DecodeReason.BAD_JSON),
        (b'{"a":1}x', DecodeReason.BAD_JSON),
        (b'{"a":1}{"b":2}', DecodeReason.BAD_JSON),
        (b"{'a':1}", DecodeReason.BAD_JSON),
        (b'{"a":01}', DecodeReason.BAD_JSON),
        (b'{"a":1,}', DecodeReason.BAD_JSON),
        (b'{"a":"line\nbreak"}', DecodeReason.BAD_JSON),
        ("{\u00a0}".encode(), DecodeReason.BAD_JSON),
        (b"\xef\xbb\xbf\xef\xbb\xbf{}", DecodeReason.BAD_JSON),
    ],
)
def test_refused_with_its_reason(payload: bytes, reason: DecodeReason) -> None:
    """Whatever must not enter the journal raises DecodeError with the reason and a bounded detail."""
    with pytest.raises(DecodeError) as caught:
        parse(payload, LIMITS)
    assert reason is caught.value.reason
    assert 0 < len(caught.value.detail) <= 200
    assert caught.value.detail.isprintable()


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"a":1,"b":-2.5e3}', {"a": 1.0, "b": -2500.0}),
        (b'\xef\xbb\xbf {"a":1}\r\n', {"a": 1.0}),
        (b'{"a":{"b":{"c":{"d":1}}}}', {"a": {"b": {"c": {"d": 1.0}}}}),
        (b'{"a":123456789012345678901234567890}', {"a": 123456789012345678901234567890.0}),
        (b'{"a":"\\ud83c\\udf21"}', {"a": "\U0001f321"}),
        (b'[true,null,"x"]', [True, None, "x"]),
        (keys(256).encode(), {f"k{n}": 1.0 for n in range(256)}),
    ],
)
def test_accepted(payload: bytes, expected: object) -> None:
    """Valid JSON within the limits is returned, every number as a float."""
    assert expected == parse(payload, LIMITS)


def test_backlog_repeats_its_keys() -> None:
    """An array counts as its largest element: 1,000 measurements are 3 keys."""
    record = b'{"name":"t","value":1.5,"ts":1780000000}'
    assert len(parse(b"[" + b",".join([record] * 1000) + b"]", LIMITS)) == 1000


def test_limits_are_the_callers() -> None:
    """A family whose payloads are deeper gives limits of its own."""
    assert parse(b"[[[[[1]]]]]", DecodeLimits(max_depth=5)) == [[[[[1.0]]]]]
