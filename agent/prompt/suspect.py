"""Signs of prompt injection in text that devices send. The text is never forwarded; this only counts it."""

import re
import unicodedata

MAX_PLAIN = 256
MAX_SEEN = 16 * MAX_PLAIN  # characters that are searched

_INSTRUCTION = re.compile(
    r"(?i)\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|earlier|all|instruction|rule)"
    r"|\b(?:you are now|act as|pretend to be|new instructions?|do not (?:report|alarm|flag))\b"
    r"|\b(?:say|answer|reply|respond|report|output)\b.{0,30}\b(?:normal|nothing|only|with)\b"
    r"|\b(?:system prompt|jailbreak|developer mode)\b"
)
_ROLE = re.compile(
    r"(?i)<\|[a-z_]+\|>|</?(?:system|assistant|user|data|tool)>|\[/?INST\]|^[^\S\n]*(?:system|assistant|user)\s*:"
    r"|```|\"role\"\s*:",
    re.MULTILINE,
)


def suspicions(text: str) -> tuple[str, ...]:
    """Return which rules ``text`` breaks: instruction, role_marker, control_chars, oversize."""
    found = []
    if len(text) > MAX_PLAIN:
        found.append("oversize")
        text = text[:MAX_SEEN]
    if any(_invisible(char) for char in text):
        found.append("control_chars")
        text = "".join(char for char in text if not _invisible(char))
    if _INSTRUCTION.search(_folded(text)):
        found.append("instruction")
    if _ROLE.search(text):
        found.append("role_marker")
    return tuple(found)


def _folded(text: str) -> str:
    """Return ``text`` with each character in its plain form, such as the letters of full width.

    Character by character, because normalising a whole text sorts runs of combining marks in quadratic time.
    """
    if text.isascii():
        return text
    return "".join(unicodedata.normalize("NFKC", char) for char in text)[:MAX_SEEN]


def _invisible(char: str) -> bool:
    """Control, zero-width, bidirectional and tag characters."""
    if char.isascii():
        return not char.isprintable() and char not in "\t\n\r"
    return unicodedata.category(char) in {"Cf", "Cc", "Co", "Cn"}
