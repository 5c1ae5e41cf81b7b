"""InfluxDB line protocol: ``weather,location=roof temperature=21.5,humidity=44i``.

Tags are labels and no metrics, and a measurement is not part of a name, unless two lines of a message would
otherwise give one metric: then the tags that differ, or the measurement, precede the field.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from agent.decode.family import Content, DecodeLimits, Skip
from agent.decode.json_values import JsonValues
from agent.domain.records import DecodeError, DecodeReason

_MAX_PARTS = 8192  # lines, fields and tags of one message
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
    at: str | None


def is_influx(text: str) -> bool:
    """Return whether the first line of ``text`` is line protocol."""
    if " " not in text or "=" not in text:
        return False
    return _LINE.fullmatch(text.split("\n", 1)[0].rstrip("\r ")) is not None


def take_lines(values: JsonValues, text: str, metric: str | None, limits: DecodeLimits) -> Content:
    """Return what the lines of ``text`` hold.

    Raises:
        DecodeError: where a line is not line protocol, with its number.
    """
    lines = (line.strip() for line in text.split("\n"))
    read: list[_Line] = []
    left = _MAX_PARTS
    for number, line in enumerate((line for line in lines if line and line[0] != "#"), 1):
        if left <= 0:
            values.skip(f"line {number}", Skip.TOO_MANY)
            break
        one = _read(line, number, limits)
        read.append(one)
        left -= 1 + len(one.fields) + len(one.tags)
    if not read:
        return values.take(None, metric)
    kin = _Kin(read)
    return values.take_named(
        [
            (kin.path(line), {**line.fields, "timestamp": line.at} if line.at else line.fields)
            for line in read
        ],
        metric,
    )


def _read(line: str, number: int, limits: DecodeLimits) -> _Line:
    found = _LINE.fullmatch(line)
    if found is None:
        raise DecodeError(DecodeReason.BAD_JSON, f"line {number} is not InfluxDB line protocol")
    pairs = _pairs(found["fields"])
    fields: dict[str, object] = {_plain(key): _value(value) for key, value in islice(pairs, limits.max_keys)}
    more = next(pairs, None)
    if more is not None:
        fields[_plain(more[0])] = Skip.TOO_MANY
    tags = {_plain(key): _plain(value) for key, value in islice(_pairs(found["tags"]), limits.max_keys)}
    return _Line(_plain(found["measurement"]), tags, fields, found["at"])


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    place = 0
    while found := _PAIR.match(text, place):
        yield found[1], found[2]
        place = found.end()


def _plain(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def _value(text: str) -> object:
    if text.startswith('"'):
        return _plain(text[1:-1])
    number = _NUMBER.fullmatch(text)
    if number:
        value = float(number[1])
        return value if abs(value) != float("inf") else Skip.NOT_FINITE
    return _BOOLEANS.get(text.lower(), text)


class _Kin:
    """Lines that lead to each other by common fields, so that one metric could come from several."""

    def __init__(self, lines: list[_Line]) -> None:
        self._leader: dict[str, str] = {}
        for line in lines:
            first, *others = line.fields
            for field in others:
                self._leader[self._find(field)] = self._find(first)
        self._measurements: defaultdict[str, set[str]] = defaultdict(set)
        self._tags: defaultdict[tuple[str, str], Counter[tuple[str, str]]] = defaultdict(Counter)
        self._lines: Counter[tuple[str, str]] = Counter()
        for line in lines:
            kin = self._find(next(iter(line.fields)))
            self._measurements[kin].add(line.measurement)
            self._lines[kin, line.measurement] += 1
            self._tags[kin, line.measurement].update(line.tags.items())

    def path(self, line: _Line) -> str:
        """Return the prefix of the fields of ``line`` so that no other line gives the same metric."""
        kin = self._find(next(iter(line.fields)))
        parts = [line.measurement] if len(self._measurements[kin]) > 1 else []
        tags, same = self._tags[kin, line.measurement], self._lines[kin, line.measurement]
        parts += [value for key, value in sorted(line.tags.items()) if tags[key, value] < same]
        return ".".join(parts)

    def _find(self, field: str) -> str:
        leader = self._leader
        while (above := leader.setdefault(field, field)) != field:
            leader[field] = field = leader[above]
        return field
