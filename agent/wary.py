"""Counts signs of prompt injection in the text of payloads, which is never forwarded."""

import json
import re
from collections.abc import Callable
from functools import lru_cache

from agent.prompt import suspicions

MAX_LOOKED_AT = 16_384  # bytes of a payload
MAX_TEXTS = 64
_MEANT = {"instruction", "role_marker"}
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


class Wariness:
    """Tells each broken rule once a message. What devices say again and again is remembered, and so cheap."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def look(self, payload: bytes, *, garbled: bool = False) -> None:
        """Look at the strings of a JSON payload, or at the whole of any other.

        In what is ``garbled`` control characters and length mean nothing: it may be binary.
        """
        text = payload[:MAX_LOOKED_AT].decode("utf-8", "replace")
        found = _STRING.findall(text)[:MAX_TEXTS] if text[:1] in {"{", "["} else [text]
        for rule in dict.fromkeys(rule for one in found for rule in _rules(one)):
            if not garbled or rule in _MEANT:
                self._tell(rule)


@lru_cache(maxsize=1024)
def _rules(text: str) -> tuple[str, ...]:
    if "\\" in text:
        try:
            text = str(json.loads(f'"{text}"', strict=False))
        except ValueError:
            return suspicions(text)
    return suspicions(text)
