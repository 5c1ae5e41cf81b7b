"""Texts fit for logs and spans: secrets masked, control characters out, bounded.

Every sink of ours (log lines, span attributes, the text of prompts and replies) passes through here.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from agent.domain.secret_forms import forms_of, holds, mask_forms

MASK = "[redacted]"
MIN_SECRET = 4
MAX_STRING = 512
MAX_DEPTH = 4
MAX_ITEMS = 50
MAX_DEVICES = 100  # a batch has no more windows
_PAIR = 2
_MARGIN = 4096
_MAX_INT = 1 << 63
_SHORTEST = 8  # characters of the shortest text that has the shape of a key

_NAMES = (
    r"(?:passwords?|passwd|pwd|passphrase|(?:client)?secrets?|psk|(?:access|auth|refresh)?token|api[_-]?keys?|authorization|credentials?|cookie"
    r"|(?:private|client|access|secret)[_-]?key)"
)
_VALUE = r"(?:(?:bearer|basic)\s+)?(?:\\?\"(?:[^\"\\]|\\[^\"])*|'[^']*|[^\s\"',;&})\]\\]+)"
_SECRET_KEY = re.compile(rf"(?:^|[\W_]|(?<=[a-z0-9])(?=[A-Z]))(?i:{_NAMES})\W*$")
# C0, C1, line separators, zero-width and bidirectional marks, tags, lone surrogates.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]+"
)
_SHAPES = re.compile(
    r"\bsk-[A-Za-z0-9_-]{8,}"  # keys as providers write them
    r"|\b(?:bearer|basic)\s+[A-Za-z0-9+/._~=-]{8,}"
    r"|(?<=://)[^/@\s]+(?=@)"  # user and password in a URL
    rf"|(?<![^\W_]){_NAMES}[\\\"']{{0,4}}\s*[=:]\s*{_VALUE}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.IGNORECASE | re.DOTALL,
)
_PERSONAL = re.compile(
    r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"  # mail addresses; each word is tried from its start alone
    r"|\b\d{1,3}(?:\.\d{1,3}){3}\b"  # IPv4
    r"|\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b"  # MAC
    r"|\b0x[0-9a-f]{12,}\b|\b[0-9a-f]{24,}\b",  # Zigbee addresses, long tokens
    re.IGNORECASE,
)
# Messages of these name our own code; those of other exceptions (ValueError, KeyError,
# a validation error) often repeat the input, so they are not shown unless content is.
_SPEAKING = (
    OSError,
    TypeError,
    AttributeError,
    NameError,
    ImportError,
    IndexError,
    RuntimeError,
    MemoryError,
)


class Secrets:
    """The secret values of this process. Each is masked in every text that passes."""

    def __init__(self) -> None:
        self._forms: tuple[str, ...] = ()
        self._longest = 0

    def add(self, value: str | None) -> None:
        """Mask ``value`` from now on, also encoded; below 4 characters it is ignored."""
        if value is None or len(value.strip()) < MIN_SECRET:
            return
        forms = {*self._forms, *forms_of(value.strip())}
        self._forms = tuple(sorted(forms, key=len, reverse=True))
        self._longest = len(self._forms[0])

    def mask(self, text: str) -> str:
        """Return ``text`` without any secret value or anything that has the shape of a key."""
        text = mask_forms(text, self._forms, MASK)
        return _SHAPES.sub(MASK, text)

    def one_line(self, text: str, max_chars: int = MAX_STRING) -> str:
        """Return ``text`` fit for any sink: masked, one line, at most ``max_chars``."""
        if len(text) <= max_chars and text.isprintable() and not self._suspicious(text):
            return text
        text = self._masked(text, max_chars)
        if not text.isprintable():
            text = self.mask(_CONTROL.sub(" ", text))  # again: a tab may have hidden a shape
        return text if len(text) <= max_chars else text[: max_chars - 1] + "…"

    def exact(self, text: str, max_chars: int) -> str:
        """Return ``text`` masked and bounded like :meth:`one_line`, its line breaks and other controls kept.

        A control character inside a key would hide the key, so such a text is flattened.
        """
        masked = self._masked(text, max_chars)
        flat = _CONTROL.sub(" ", masked)
        if self.mask(flat) != flat:
            return self.one_line(masked, max_chars)
        return masked if len(masked) <= max_chars else masked[: max_chars - 1] + "…"

    def _masked(self, text: str, max_chars: int) -> str:
        # The cut comes after the masking, or it would leave the first half of a secret. A text that is
        # far too long is cut before as well, and then loses at its end the length of a halved secret.
        if len(text) > max_chars + _MARGIN:
            return self.mask(text[: max_chars + _MARGIN])[: -max(self._longest, MAX_STRING)]
        return self.mask(text)

    def _suspicious(self, text: str) -> bool:
        # Every shape of a key holds one of these; most texts are short and hold none.
        if "=" in text or ":" in text:
            return True
        if len(text) > _SHORTEST and (" " in text or "sk-" in text or "-----" in text or "\\u00" in text):
            return True
        return holds(text, self._forms)

    def tidy(self, key: str, value: Any, *, max_chars: int = MAX_STRING, depth: int = 0) -> Any:
        """Return ``value`` as plain JSON data: bounded in depth and size, masked by key and by value."""
        if value is None or value is True or value is False:
            return value
        if names_a_secret(key[-64:]):
            return MASK
        if isinstance(value, str):
            return self.one_line(value, max_chars)
        if isinstance(value, int):
            return int(value) if -_MAX_INT < value < _MAX_INT else f"<integer of {value.bit_length()} bits>"
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, BaseException):
            return self.one_line(describe(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return f"<{len(value)} bytes>"
        return self._tidy_nested(key, value, max_chars, depth)

    def _tidy_nested(self, key: str, value: Any, max_chars: int, depth: int) -> Any:
        if isinstance(value, (Mapping, list, tuple, set, frozenset)):
            if depth >= MAX_DEPTH:  # its text would hide names from their values
                return f"<{type(value).__name__} of {len(value)}>"
            if isinstance(value, Mapping):
                pairs = [(str(name), item) for name, item in list(value.items())[:MAX_ITEMS]]
                return {
                    self.one_line(name, 64): self.tidy(name, item, max_chars=max_chars, depth=depth + 1)
                    for name, item in pairs
                }
            names = key == "devices"
            items = list(value)[: MAX_DEVICES if names else MAX_ITEMS]
            if (
                not names
                and len(items) == _PAIR
                and isinstance(items[0], str)
                and names_a_secret(items[0][-64:])
            ):
                return [self.one_line(items[0], 64), MASK]  # a header, as libraries hold it
            return [self.tidy(key, item, max_chars=max_chars, depth=depth + 1) for item in items]
        try:
            return self.one_line(str(value), max_chars)
        except Exception:  # noqa: BLE001 -- a foreign __str__ must not break the log
            return f"<{type(value).__name__}>"


@lru_cache(maxsize=512)
def names_a_secret(key: str) -> bool:
    """Return whether ``key`` is a name under which people keep secrets."""
    return _SECRET_KEY.search(key) is not None


def describe(error: BaseException, *, show_message: bool = False) -> str:
    """Return type and, where it cannot repeat foreign input, message of ``error``."""
    name = type(error).__name__
    ours = type(error).__module__.startswith("agent.")
    if show_message or ours or isinstance(error, _SPEAKING):
        return f"{name}: {error}"
    return name


def _without_persons(text: str, max_chars: int) -> str:
    """Return as much of ``text`` as may be shown, addresses and tokens masked; none is cut in half."""
    if len(text) <= max_chars + _MARGIN:
        return _PERSONAL.sub(MASK, text)
    return _PERSONAL.sub(MASK, text[: max_chars + _MARGIN])[:-MAX_STRING]


def content(text: str, mode: str, secrets: Secrets, *, max_chars: int = 16_384) -> str | None:
    """Return what ``logs.content`` allows to be shown of a prompt or a reply: the one choke point.

    Args:
        text: Prompt or reply as it was sent or received.
        mode: ``none`` (nothing; lengths are logged apart), ``hash`` (sha256/16 and length), ``redacted``
            (keys, addresses and tokens masked) or ``full`` (secrets masked all the same).
        secrets: The values to mask.
        max_chars: Cut after that many characters.
    """
    if mode == "hash":
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return f"sha256:{digest} length:{len(text)}"
    if mode == "redacted":
        return secrets.exact(_without_persons(text, max_chars), max_chars)
    if mode == "full":
        return secrets.exact(text, max_chars)
    return None


def escape(text: str) -> str:
    """Return ``text`` in one line: control characters, marks of direction and the like as JSON escapes."""
    return _CONTROL.sub(lambda found: "".join(map(_escaped, found[0])), text)


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
