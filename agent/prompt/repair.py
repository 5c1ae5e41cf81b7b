"""Reads a reply as JSON, mending the few things that models get wrong; never guesses a value."""

import json
import re
from typing import Any

_FENCE = re.compile(r"```[a-zA-Z]*\s*\n?(.*?)```", re.DOTALL)
_THINKING = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_NOT_FINITE = re.compile(r"(?<=[:\[,\s])(?:-?Infinity|NaN)(?=[,\s}\]])")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def read(reply: str) -> tuple[Any, bool | None]:
    """Return the reply's JSON value, and whether it needed repair (None: no, True: mended).

    Raises:
        ValueError: it cannot be read as JSON.
    """
    try:
        return json.loads(reply, parse_constant=_refuse), None
    except (ValueError, RecursionError):
        return _mend(reply), True


def salvage(reply: str) -> list[Any]:
    """Return the complete objects inside the reply's ``windows`` array, for a reply that was cut off."""
    start = reply.find("[", max(0, reply.find('"windows"')))
    decoder = json.JSONDecoder(parse_constant=_refuse)
    found: list[Any] = []
    while start >= 0:
        start = reply.find("{", start)
        if start < 0:
            break
        try:
            value, start = decoder.raw_decode(reply, start)
        except (ValueError, RecursionError):
            break
        found.append(value)
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _mend(reply: str) -> Any:
    text = _THINKING.sub("", reply)
    fenced = _FENCE.search(text)
    text = _balanced(fenced.group(1) if fenced else text)
    text = _outside_strings(text)
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _balanced(text: str) -> str:
    """Return the first balanced ``{...}`` of ``text``.

    Raises:
        ValueError: there is none.
    """
    start = text.find("{")
    if start < 0:
        raise ValueError("no JSON object")
    depth, place, quoted = 0, start, False
    while place < len(text):
        char = text[place]
        if quoted:
            if char == "\\":
                place += 1
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if not depth:
                return text[start : place + 1]
        place += 1
    raise ValueError("the JSON object does not end")


def _outside_strings(text: str) -> str:
    """Drop trailing commas and turn NaN and Infinity into null, leaving strings alone."""
    strings = _STRING.findall(text)
    marked = _STRING.sub('"\x00"', text)
    marked = _NOT_FINITE.sub("null", _TRAILING_COMMA.sub(r"\1", marked))
    pieces = iter(strings)
    return re.sub('"\x00"', lambda _: next(pieces), marked)
