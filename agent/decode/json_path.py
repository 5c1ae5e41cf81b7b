"""Paths of keys into JSON: publishers' ids, devices, states, event times."""

import json
import re
from typing import Any

from agent.decode.strict_json import to_text
from agent.domain.records import DecodeError

_PATH = re.compile(r"\$(?:\.[^.\[\]*?\s]{1,128}){1,8}")
#: Numbers stay as they are written: as floats, two long ids could be one.
_EXACT = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)


class JsonPath:
    """A JSON path of keys only, such as ``$.meta.id``.

    Raises:
        ValueError: with a sentence for a person.
    """

    def __init__(self, text: str) -> None:
        if not _PATH.fullmatch(text):
            raise ValueError("is not a path of keys; write $.id, or $.meta.id for a key inside an object")
        self.text = text
        self.keys = tuple(text.split(".")[1:])

    def find(self, value: Any) -> Any:
        """Return the value at the path, None where there is none."""
        for key in self.keys:
            if not isinstance(value, dict):
                return None
            value = value.get(key)
        return value

    def read(self, payload: bytes) -> str | None:
        """Return the text or number at the path of a payload, as it is written, else None."""
        try:
            found = self.find(read_exact(to_text(payload)))
        except (ValueError, RecursionError, DecodeError):
            return None
        return found if isinstance(found, str) and found else None


def read_exact(text: str) -> Any:
    """Return a JSON value whose numbers are the texts that they are written as.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    return _EXACT.decode(text)


def elements(text: str, most: int, decoder: json.JSONDecoder = _EXACT) -> list[tuple[Any, str]]:
    """Return the first ``most`` elements of a JSON array, each as ``decoder`` reads it and as text.

    Raises:
        JSONDecodeError: it is not a JSON array, as far as it was read.
        RecursionError: it is nested too deeply.
    """
    found: list[tuple[Any, str]] = []
    at = _after_space(text, text.index("[") + 1)
    if text[at : at + 1] == "]" and _after_space(text, at + 1) == len(text):
        return found
    while len(found) < most:
        value, end = decoder.raw_decode(text, at)
        found.append((value, text[at:end]))
        at = _after_space(text, end)
        if text[at : at + 1] == "]":
            if _after_space(text, at + 1) < len(text):
                raise json.JSONDecodeError("Extra data", text, at + 1)
            break
        if text[at : at + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _after_space(text, at + 1)
    return found


_SPACE = re.compile(r"[ \t\r\n]*")


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
