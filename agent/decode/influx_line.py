"""InfluxDB line protocol: ``weather,location=roof temperature=21.5,humidity=44i``.

Tags are labels and no metrics, and a measurement is not part of a name, unless two lines of a message would
otherwise give one metric: then the tags that differ, or the measurement, precede the field.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from agent.decode.family import Content, Skip
from agent.decode.json_values import JsonValues
from agent.domain.records import DecodeError, DecodeReason

_MAX_LINES = 4096
_WORD = r"(?:[^\s,=\\\"]|\\.)++"
_TEXT = r"\"(?:[^\"\\]|\\.)*+\""
_VALUE = rf"(?:{_TEXT}|[^\s,=\"]++)"
_FIELDS = rf"{_WORD}={_VALUE}(?:,{_WORD}={_VALUE})*+"
_LINE = re.compile(
    rf"(?P<measurement>{_WORD})(?P<tags>(?:,{_WORD}={_WORD})*+)[ ]++(?P<fields>{_FIELDS})"
    r"(?:[ ]++(?P<at>-?\d{1,20}))?"
)
_PAIR = re.compile(rf",?({_WORD})=({_VALUE})")
_ESCAPED = re.compile(r"\\(.)")
_NUMBER = re.compile(r"([+-]?(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d++)?)[iu]?", re.ASCII)
_BOOLEANS = {"t": True, "true": True, "f": False, "false": False}


class _Line(NamedTuple):
    measurement: str
    tags: dict[str, str]
    fields: dict[str, object]


def is_influx(text: str) -> bool:
    """Return whether the first line of ``text`` is line protocol."""
    if " " not in text or "=" not in text:
        return False
    return _LINE.fullmatch(text.split("\n", 1)[0].rstrip("\r ")) is not None


def take_lines(values: JsonValues, text: str, metric: str | None) -> Content:
    """Return what the lines of ``text`` hold.

    Raises:
        DecodeError: where a line is not line protocol, with its number.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip() and line.lstrip()[0] != "#"]
    read = [_read(line, number) for number, line in enumerate(lines[:_MAX_LINES], 1)]
    if not read:
        return values.take(None, metric)
    return values.take_named([(_path(line, read), line.fields) for line in read], metric)


def _read(line: str, number: int) -> _Line:
    found = _LINE.fullmatch(line)
    if found is None:
        raise DecodeError(DecodeReason.BAD_JSON, f"line {number} is not InfluxDB line protocol")
    fields: dict[str, object] = {_plain(key): _value(value) for key, value in _pairs(found["fields"])}
    if found["at"]:
        fields["timestamp"] = found["at"]
    tags = {_plain(key): _plain(value) for key, value in _pairs(found["tags"])}
    return _Line(_plain(found["measurement"]), tags, fields)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while found := _PAIR.match(text, place):
        yield found[1], found[2]
        place = found.end()


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def _value(text: str) -> object:
    if text.startswith('"'):
        return _plain(text[1:-1])
    number = _NUMBER.fullmatch(text)
    if number:
        value = float(number[1])
        return value if abs(value) != float("inf") else Skip.NOT_FINITE
    return _BOOLEANS.get(text.lower(), text)


def _path(line: _Line, lines: list[_Line]) -> str:
    """Return the prefix of the fields of ``line`` that no other line's fields have."""
    same = [
        other for other in lines if not other.fields.keys().isdisjoint(line.fields.keys() - {"timestamp"})
    ]
    apart = {other.measurement for other in same}
    parts = [line.measurement] if len(apart) > 1 else []
    tags = [other.tags for other in same if other.measurement == line.measurement]
    parts += [value for key, value in sorted(line.tags.items()) if any(one.get(key) != value for one in tags)]
    return ".".join(parts)
