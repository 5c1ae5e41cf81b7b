"""Text of keys and values: ``pe=51,kn=1145`` or ``t: 21.5; h: 40``."""

import re
from urllib.parse import unquote_plus

from agent.decode.family import DecodeLimits, Skip
from agent.decode.values import read_value

_KEY = r"[^\W\d][\w.\-/]{0,63}"
_ALL = re.compile(rf"{_KEY}=[^=,;&\s]{{1,64}}(?:[,;&\s]\s?{_KEY}=[^=,;&\s]{{0,64}}){{0,1023}}[,;&]?")
_SPLIT = re.compile(r"[,;&\n]")
_COLON = re.compile(rf"({_KEY}(?: [\w.\-/]{{1,32}}){{0,2}})\s?:\s{{0,3}}(\S.{{0,63}})")
_MAX_COLON = 2048  # characters of text with colons that are looked at


def is_pairs(text: str) -> bool:
    """Return whether the whole of ``text`` is keys with values, and nothing else."""
    if ":" in text[:132] and "=" not in text[:132]:
        return _is_colon_pairs(text)
    return "=" in text[:66] and _ALL.fullmatch(text) is not None


def _is_colon_pairs(text: str) -> bool:
    """Return whether each part has a colon and a number behind it: ``m3: 123.4``, but no log line."""
    if len(text) > _MAX_COLON:
        return False
    found = [_COLON.fullmatch(part.strip()) for part in _SPLIT.split(text) if part.strip()]
    return bool(found) and all(
        one is not None
        and one[2][-1:] != ":"
        and not isinstance(read_value(one[2]), Skip)
        and any(sign.isdigit() for sign in one[2])
        for one in found
    )


def read_pairs(text: str, limits: DecodeLimits) -> dict[str, object]:
    """Return the pairs of ``text`` as an object; the last of equal keys wins."""
    pairs: dict[str, object] = {}
    form = "&" in text and "=" in text  # as a browser sends it
    for part in _parts(text):
        key, sign, value = part.partition("=")
        if not sign:
            key, _, value = part.partition(":")
        key, value = key.strip(), value.strip().strip('"')
        if form:
            value = unquote_plus(value)
        if len(key) > limits.max_string:
            key = key[: limits.max_string]
        if len(pairs) >= limits.max_keys:
            pairs[key] = Skip.TOO_MANY
            break
        pairs[key] = value if len(value) <= limits.max_string else Skip.TOO_LONG
    return pairs


def _parts(text: str) -> list[str]:
    """Return the pairs: between commas and the like, else between spaces."""
    parts = [part for part in _SPLIT.split(text) if part.strip()]
    return parts if len(parts) > 1 or text.count("=") <= 1 else text.split()
