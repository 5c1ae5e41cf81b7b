"""Reads a reply as JSON, mending the few things that models get wrong; never guesses a value."""

import json
import re
from typing import Any

_FENCE = "```"
_THINKING = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_NOT_FINITE = re.compile(r"(?<=[:\[,\s])(?:-?Infinity|NaN)(?=[,\s}\]])")
# An unclosed string ends with the text: a search that failed there would begin again at each of its quotes.
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_TOKEN = re.compile(rf"{_STRING.pattern}|[{{}}]", re.DOTALL)
MAX_DEPTH = 32  # objects inside each other; an answer has two
MAX_MENDED = 131_072  # characters; the largest batch is answered with half of that
MAX_FOUND = 1000  # objects of a reply that was cut off; a batch has at most 100 windows


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
    while start >= 0 and len(found) < MAX_FOUND:
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
    text = _outside_strings(_balanced(_unfenced(text)))
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unfenced(text: str) -> str:
    """Return what stands in the first code fence, with the name of its language; all without a fence."""
    start = text.find(_FENCE)
    end = text.find(_FENCE, start + len(_FENCE))
    return text if start < 0 or end < 0 else text[start + len(_FENCE) : end]


def _balanced(text: str) -> str:
    """Return the first balanced ``{...}`` of ``text``.

    Raises:
        ValueError: there is none, or it is nested too deeply.
    """
    start = text.find("{")
    if start < 0:
        raise ValueError("no JSON object")
    text = text[start : start + MAX_MENDED]
    depth = 0
    for token in _TOKEN.finditer(text):
        if token.group() == "{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError("nested too deeply")
        elif token.group() == "}":
            depth -= 1
            if not depth:
                return text[: token.end()]
    raise ValueError("the JSON object does not end")


def _outside_strings(text: str) -> str:
    """Drop trailing commas and turn NaN and Infinity into null, leaving strings alone."""
    strings = _STRING.findall(text)
    marked = _STRING.sub('"\x00"', text)
    marked = _NOT_FINITE.sub("null", _TRAILING_COMMA.sub(r"\1", marked))
    pieces = iter(strings)
    return re.sub('"\x00"', lambda _: next(pieces), marked)
