"""JSON of devices, as far as it is readable: a bad value costs only itself."""

import json
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from math import isfinite
from typing import Any

from agent.decode.family import DecodeLimits, Note, Skip
from agent.decode.strict_json import BOM, too_large
from agent.domain.records import DecodeError, DecodeReason

_SPACE = " \t\r\n"
_PACKED = (b"\x1f\x8b", b"x\x01", b"x\x5e", b"x\x9c", b"x\xda")  # gzip, zlib
_EITHER = 47  # window bits of zlib: gzip and zlib by their headers
_MAX_MENDED = 64 * 1024  # no firmware concatenates longer text
_SMALL = 16 * 1024  # a longer text is parsed once only, whatever is odd about it
#: Keys and elements below the arrays of one message, on average for each reading. The rest would only cost
#: time: it is cut off as one :attr:`Skip.TOO_MANY`.
_PARTS_A_READING = 3
_ELEMENT = 3  # parts of an array, of an item of a short one, of an object in one in addition to its keys
_LIST = 8  # parts of an array of objects: it takes several looks to name them
_NEW_SHAPE = 3  # parts: the roles of its keys are found first


#: The values of one payload, one for JSON, many for one JSON a line, with notes. A bad value has been
#: replaced by a :class:`Skip`, which holds the reason; so has all that is too much behind the last line or
#: element that is read. Every number is finite.
Parsed = tuple[list[Any], tuple[Note, ...]]


def parse(payload: bytes, limits: DecodeLimits) -> Any:
    """Return the JSON value of ``payload``; see :data:`Parsed`.

    Raises:
        DecodeError: where it is not JSON at all, or more than one value.
    """
    values, _ = parse_all(*to_text(payload, limits), limits)
    if len(values) > 1:
        raise DecodeError(DecodeReason.BAD_JSON, "more text after the value")
    return values[0]


def parse_plain(payload: bytes, limits: DecodeLimits) -> Any | None:
    """Return the value of plain JSON without white space around it, None for all that needs a second look.

    The hot path: one object or array, no key twice, no escaped character.
    """
    if len(payload) > _SMALL or len(payload) > limits.max_bytes:
        return None
    try:
        text = payload.decode()
        value, end = _scan(text, 0)
    except (ValueError, StopIteration, _DoubledError, RecursionError):
        return None
    return None if end != len(text) or "\\u" in text else _within(value, limits)


def parse_flat(payload: bytes) -> dict[str, Any] | None:
    """Return one object without objects and escaped characters inside, None for all other payloads.

    No key comes twice: each colon that is not in a text follows a key.
    """
    if len(payload) > _SMALL or b"\\" in payload:
        return None
    try:
        text = payload.decode()
        value, end = _scan_flat(text, 0)
    except (ValueError, StopIteration, RecursionError):
        return None
    if end != len(text) or type(value) is not dict or len(value) != payload.count(b":"):
        return None
    return value


def to_text(payload: bytes, limits: DecodeLimits) -> tuple[str, tuple[Note, ...]]:
    """Return the text of ``payload``, unpacked, without byte order mark and without NUL at its end.

    Raises:
        DecodeError: where it is larger than ``limits.max_bytes``, packed or not, or packed badly.
    """
    if payload[:2] in _PACKED:
        payload = _unpack(payload, limits)
    if len(payload) > limits.max_bytes:
        raise too_large(payload, limits)
    notes: tuple[Note, ...] = ()
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = payload.decode("latin-1")
        notes = (Note.NOT_UTF8,)
    return text.removeprefix(BOM).rstrip("\0 \t\r\n").lstrip(_SPACE), notes


def _unpack(payload: bytes, limits: DecodeLimits) -> bytes:
    """Return the content of gzip or zlib, of which never more than the limit is made."""
    unpacker = zlib.decompressobj(_EITHER)
    try:
        data = unpacker.decompress(payload, limits.max_bytes + 1)
    except zlib.error as error:
        raise DecodeError(DecodeReason.BAD_JSON, f"gzip or zlib: {error}"[:100]) from None
    if len(data) <= limits.max_bytes and not unpacker.eof:
        raise DecodeError(DecodeReason.BAD_JSON, f"gzip or zlib that ends too early, at byte {len(payload)}")
    return data


def parse_all(text: str, notes: tuple[Note, ...], limits: DecodeLimits) -> Parsed:
    """Return the JSON values of ``text``, one or one a line, and ``notes`` with those of the text.

    Raises:
        DecodeError: where ``text`` is not JSON; the place is that of the text as it came.
    """
    values, doubled = _decode_odd(text, limits)
    notes = (*notes, Note.REPEATED) if doubled else notes
    if "\\u" in text:
        values = _without_surrogates(values)
    if len(values) == 1:
        return [_within(values[0], limits)], notes
    _prune_array(values, 0, limits.max_keys, [_PARTS_A_READING * limits.max_readings], limits)
    return values, notes


# ------------------------------------------------------------------------------------------ syntax


class _NoJsonError(Exception):
    """No JSON, with the place."""


class _DoubledError(Exception):
    """An object has a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _DoubledError
    return made


def _constant(_name: str) -> Skip:
    return Skip.NOT_FINITE


# Whole numbers become floats at once: 5,000 digits are then infinite instead of a ValueError of int().
_SINGLE = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_int=float, strict=False)
_scan: Callable[[str, int], tuple[Any, int]] = _SINGLE.scan_once  # type: ignore[attr-defined]  # without a frame
_LAST_WINS = json.JSONDecoder(parse_constant=_constant, parse_int=float, strict=False)
_scan_flat: Callable[[str, int], tuple[Any, int]] = _LAST_WINS.scan_once  # type: ignore[attr-defined]  # as above


def _decode_odd(text: str, limits: DecodeLimits) -> tuple[list[Any], bool]:
    """Return the values of a text that is not one plain value, mended where that makes it JSON."""
    try:
        return _decode(text, limits)
    except _NoJsonError as error:
        mended = _mend(text) if len(text) <= _MAX_MENDED else text
        if mended != text:
            with suppress(_NoJsonError):
                return _decode(mended, limits)
        raise DecodeError(DecodeReason.BAD_JSON, str(error)) from None


def _decode(text: str, limits: DecodeLimits) -> tuple[list[Any], bool]:
    """Return the values of ``text``, and whether a key of one object came twice: the last one is taken."""
    if len(text) <= _SMALL:
        try:
            return _values(_SINGLE, text, limits), False
        except _DoubledError:
            return _values(_LAST_WINS, text, limits), True
    doubled = False

    def make(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal doubled
        made = dict(pairs)
        if len(made) != len(pairs):
            doubled = True
        return made

    once = json.JSONDecoder(object_pairs_hook=make, parse_constant=_constant, parse_int=float, strict=False)
    return _values(once, text, limits), doubled


def _values(decoder: json.JSONDecoder, text: str, limits: DecodeLimits) -> list[Any]:
    values: list[Any] = []
    end = 0
    try:
        while end < len(text) and len(values) <= limits.max_readings:
            value, end = decoder.raw_decode(text, end)
            values.append(value)
            while end < len(text) and text[end] in _SPACE:
                end += 1
            if end < len(text) and type(value) not in {dict, list}:
                raise _NoJsonError(f"more text after the value at character {end}")
    except json.JSONDecodeError as error:
        raise _NoJsonError(f"{error.msg} at character {error.pos}") from None
    except RecursionError:
        detail = f"more than {limits.max_depth} objects or arrays inside each other"
        raise DecodeError(DecodeReason.TOO_DEEP, detail) from None
    if not values:
        raise _NoJsonError("no value in it")
    return values


# A string is matched first and left as it is. Each repetition is possessive: linear, whatever the text.
_STRING = r"\"[^\"\\]*+(?:\\.[^\"\\]*+)*+\"?"
_AHEAD = r"(?=\s*+[,\]}]|\s*+\Z)"
_ODD = re.compile(
    rf"(?P<string>{_STRING})"
    rf"|(?P<single>'[^'\"\\]*+')"
    rf"|(?<![\w.+\-\"])(?P<word>[+\-]?[A-Za-z_][\w\-]*+){_AHEAD}"
    rf"|(?<![\w.+\-\"])(?P<number>[+\-]?(?:\d++\.?\d*+|\.\d++)(?:[eE][+\-]?\d++)?){_AHEAD}"
    rf"|(?P<key>(?<=[{{,])\s*+[A-Za-z_][\w\-]*+)(?=\s*+:)"
    rf"|(?P<comma>,)(?=\s*+[\]}}])",
    re.DOTALL | re.ASCII,
)
_WORDS = {
    "true": "true", "false": "false", "null": "null", "none": "null", "undefined": "null",
    "nan": "NaN", "inf": "NaN", "infinity": "NaN",
}  # fmt: skip


def _mend(text: str) -> str:
    """Mend ``text`` of programs without a JSON library: ``nan``, ``21.``, ``.5``, ``'x'``."""
    return _ODD.sub(_mended, text)


def _mended(found: re.Match[str]) -> str:
    kind, text = found.lastgroup, found[0]
    if kind == "single":
        return f'"{text[1:-1]}"'
    if kind == "word":
        return _WORDS.get(text.lstrip("+-").casefold(), text)
    if kind == "number":
        return _number(text)
    if kind == "key":
        bare = text.lstrip()
        return f'{text[: len(text) - len(bare)]}"{bare}"'
    return "" if kind == "comma" else text


def _number(text: str) -> str:
    """Return ``21.``, ``.5`` and ``+5`` as JSON; one with zeros in front may be an id and becomes a text."""
    bare = text.removeprefix("+")
    digits = bare.lstrip("-")
    if digits[:1] == "0" and digits[1:2].isdigit():
        return f'"{bare}"'
    sign = "-" if bare.startswith("-") else ""
    digits = f"0{digits}" if digits.startswith(".") else digits
    return sign + re.sub(r"\.(?!\d)", ".0", digits)


def _without_surrogates(values: list[Any]) -> list[Any]:
    r"""Replace halves of pairs, which JSON may write as ``\\ud800`` and UTF-8 cannot hold."""
    text = json.dumps(values, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        made: list[Any] = _LAST_WINS.decode(text.encode(errors="replace").decode())
        return made
    return values


# ------------------------------------------------------------------------------------------ limits


def _within(value: Any, limits: DecodeLimits) -> Any:
    """Return ``value`` within the limits."""
    left = [_PARTS_A_READING * limits.max_readings]
    if type(value) is dict:  # by far the most
        _prune_object(value, 1, limits.max_keys, left, limits)
        return value
    return _prune(value, 1, limits.max_keys, left, limits)[0]


def _prune(value: Any, depth: int, keys: int, left: list[int], limits: DecodeLimits) -> tuple[Any, int]:
    """Return ``value`` within the limits, and how many of ``keys`` it takes; ``left`` counts parts down."""
    kind = type(value)
    if kind is float:
        return (value if isfinite(value) else Skip.NOT_FINITE), 0
    if kind is str:
        return (value if len(value) <= limits.max_string else Skip.TOO_LONG), 0
    if kind is dict:
        if depth > limits.max_depth:
            return Skip.TOO_DEEP, 0
        return value, _prune_object(value, depth, keys, left, limits)
    if kind is list:
        if depth > limits.max_depth:
            return Skip.TOO_DEEP, 0
        if left[0] <= 0:
            return Skip.TOO_MANY, 0
        return value, _prune_array(value, depth, keys, left, limits)
    return value, 0


def _prune_object(value: dict[str, Any], depth: int, keys: int, left: list[int], limits: DecodeLimits) -> int:
    count = len(value)
    if count and count > keys:
        # The first key that is one too many represents all of them: each look at a name costs.
        surplus = list(islice(value, max(keys, 0), None))
        for key in surplus[1:]:
            del value[key]
        value[surplus[0]] = Skip.TOO_MANY
        count = len(value)
    longest, long = limits.max_string, False
    for key, item in value.items():
        if len(key) > longest:
            long = True
        if type(item) is float and isfinite(item):  # by far the most
            continue
        value[key], taken = _prune(item, depth + 1, keys - count, left, limits)
        count += taken
    if long:
        for key in [key for key in value if len(key) > longest]:
            del value[key]
            value[key[: longest - 1] + "…"] = Skip.TOO_LONG
    return count


def _prune_array(value: list[Any], depth: int, keys: int, left: list[int], limits: DecodeLimits) -> int:
    most = 0
    shape: Any = None
    left[0] -= _LIST if value and type(value[0]) is dict else _ELEMENT
    if len(value) > limits.max_readings:
        value[limits.max_readings :] = [Skip.TOO_MANY]
    if len(value) <= limits.max_vector:  # a longer one of numbers is not read
        left[0] -= _ELEMENT * len(value)
    for place, item in enumerate(value):
        if type(item) is float and isfinite(item):
            continue
        value[place], taken = _prune(item, depth + 1, keys, left, limits)
        most = max(most, taken)
        left[0] -= 1 + taken
        if type(item) is dict:
            left[0] -= _ELEMENT if shape is None or item.keys() == shape else _ELEMENT + _NEW_SHAPE
            shape = item.keys()
        if left[0] <= 0 and place + 1 < len(value):
            value[place + 1 :] = [Skip.TOO_MANY]
            break
    return most
