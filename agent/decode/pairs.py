"""Text of keys and values: ``pe=51,kn=1145`` or ``t: 21.5; h: 40``."""

import re

from agent.decode.family import DecodeLimits, Skip

_KEY = r"[^\W\d][\w.\-/]{0,63}"
_ALL = re.compile(rf"{_KEY}=[^=,;&\s]{{1,64}}(?:[,;&\s]\s?{_KEY}=[^=,;&\s]{{0,64}}){{0,1023}}[,;&]?")
_SPLIT = re.compile(r"[,;&\n]")


def is_pairs(text: str) -> bool:
    """Return whether the whole of ``text`` is keys with values, and nothing else."""
    return "=" in text[:66] and _ALL.fullmatch(text) is not None


def read_pairs(text: str, limits: DecodeLimits) -> dict[str, object]:
    """Return the pairs of ``text`` as an object; the last of equal keys wins."""
    pairs: dict[str, object] = {}
    for part in _parts(text):
        key, sign, value = part.partition("=")
        if not sign:
            key, _, value = part.partition(":")
        key, value = key.strip(), value.strip().strip('"')
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
