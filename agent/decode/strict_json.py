"""Strict JSON: refuses, by reason, values that a journal must not hold."""

import json
from collections import Counter
from math import isfinite
from typing import Any, NoReturn

from agent.decode.family import DecodeLimits
from agent.domain.records import DecodeError, DecodeReason

BOM = "\ufeff"


def parse(payload: bytes, limits: DecodeLimits) -> Any:
    """Return the JSON value of ``payload``; every number is a finite float.

    Raises:
        DecodeError: with the reason, for anything outside RFC 8259 or ``limits``.
    """
    if len(payload) > limits.max_bytes:
        raise too_large(payload, limits)
    text = to_text(payload).strip(_SPACE)
    try:
        value, end = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        raise DecodeError(DecodeReason.BAD_JSON, f"{error.msg} at character {error.pos}") from None
    except RecursionError:
        raise DecodeError(DecodeReason.TOO_DEEP, _depth_detail(limits)) from None
    if end != len(text):
        raise DecodeError(DecodeReason.BAD_JSON, f"more text after the value at character {end}")
    if _keys_in(value, 1, limits) > limits.max_keys:
        raise DecodeError(DecodeReason.TOO_MANY_KEYS, f"more than {limits.max_keys} keys")
    if "\\u" in text:
        _refuse_surrogates(value)
    return value


def to_text(payload: bytes) -> str:
    """Return ``payload`` as text without its byte order mark.

    Raises:
        DecodeError: where it is not UTF-8.
    """
    try:
        return payload.decode().removeprefix(BOM)
    except UnicodeDecodeError as error:
        detail = f"{error.reason} at byte {error.start}"
        raise DecodeError(DecodeReason.BAD_UTF8, detail) from None


def too_large(payload: bytes, limits: DecodeLimits) -> DecodeError:
    """Return the error for a payload above ``limits.max_bytes``."""
    return DecodeError(DecodeReason.TOO_LARGE, f"{len(payload)} bytes, at most {limits.max_bytes} are read")


_SPACE = " \t\r\n"  # what RFC 8259 calls whitespace, and no more


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise DecodeError(DecodeReason.DUPLICATE_KEY, f"key {twice!a} twice in one object")
    return made


def _constant(name: str) -> NoReturn:
    raise DecodeError(DecodeReason.NOT_FINITE, f"{name} is not a JSON number")


# Whole numbers become floats at once: 5,000 digits are then infinite instead of a ValueError of int().
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=float)


def _keys_in(value: Any, depth: int, limits: DecodeLimits) -> int:
    """Check ``value`` against every limit but the number of keys, which is returned."""
    kind = type(value)
    if kind is float:
        if not isfinite(value):
            raise DecodeError(DecodeReason.NOT_FINITE, "a number beyond the range of a double")
        return 0
    if kind is str:
        if len(value) > limits.max_string:
            raise _long_string("a string", value, limits)
        return 0
    if kind is dict:
        return _object_keys(value, depth, limits)
    if kind is list:
        if depth > limits.max_depth:
            raise DecodeError(DecodeReason.TOO_DEEP, _depth_detail(limits))
        if len(value) > limits.max_readings:
            detail = f"an array of {len(value)}, at most {limits.max_readings} are read"
            raise DecodeError(DecodeReason.TOO_MANY_KEYS, detail)
        return max((_keys_in(item, depth + 1, limits) for item in value), default=0)
    return 0


def _object_keys(value: dict[str, Any], depth: int, limits: DecodeLimits) -> int:
    if depth > limits.max_depth:
        raise DecodeError(DecodeReason.TOO_DEEP, _depth_detail(limits))
    count = len(value)
    for key, item in value.items():
        if len(key) > limits.max_string:
            raise _long_string("a key", key, limits)
        if type(item) is float and isfinite(item):  # by far the most
            continue
        count += _keys_in(item, depth + 1, limits)
    return count


def _depth_detail(limits: DecodeLimits) -> str:
    return f"more than {limits.max_depth} objects or arrays inside each other"


def _long_string(what: str, text: str, limits: DecodeLimits) -> DecodeError:
    detail = f"{what} of {len(text)} characters, at most {limits.max_string} are read"
    return DecodeError(DecodeReason.STRING_TOO_LONG, detail)


def _refuse_surrogates(value: Any) -> None:
    r"""Refuse half a pair, which JSON may write as ``\\ud800`` and UTF-8 cannot hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise DecodeError(DecodeReason.BAD_UTF8, "half a surrogate pair") from None
