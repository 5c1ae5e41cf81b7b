"""Publisher message ids, for deduplication."""

import json
import re
from typing import Any

from agent.decode.strict_json import to_text
from agent.domain.records import DecodeError

_PATH = re.compile(r"\$(?:\.[^.\[\]*?\s]{1,128}){1,8}")


class MessageIdPath:
    """A JSON path of keys only, such as ``$.meta.id``.

    Raises:
        ValueError: with a sentence for a person.
    """

    def __init__(self, text: str) -> None:
        if not _PATH.fullmatch(text):
            raise ValueError("is not a path of keys; write $.id, or $.meta.id for a key inside an object")
        self._keys = text.split(".")[1:]

    def read(self, payload: bytes) -> str | None:
        """Return the id in a payload that a decoder has accepted, None where there is none.

        A number counts as it is written: as a float, two long ids could be one.
        """
        try:
            value: Any = json.loads(to_text(payload), parse_int=str, parse_float=str)
        except (ValueError, RecursionError, DecodeError):
            return None
        for key in self._keys:
            if not isinstance(value, dict):
                return None
            value = value.get(key)
        return value if isinstance(value, str) and value else None
