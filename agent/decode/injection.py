"""Injection scanner: counts signs of prompt injection in text from devices."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from hashlib import blake2b

from agent.domain.messages import Arrival

MAX_PLAIN = 256  # characters of a text that is not oversized
MAX_SEEN = 16 * MAX_PLAIN  # characters of a text that are searched
MAX_SCANNED = 16_384  # bytes of a payload
MAX_A_COMMIT = 65_536  # bytes of the payloads of one commit
MAX_KNOWN = 1024  # texts whose rules are remembered: devices repeat themselves
MAX_REMEMBERED = 256  # characters of each; of a longer one its hash
MAX_NEW = 8  # unknown texts of one message that are searched, 20 us each
_MEANT = {"instruction", "role_marker"}

_INSTRUCTION = re.compile(
    r"(?i)\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|earlier|all|instruction|rule)"
    r"|\b(?:you are now|act as|pretend to be|new instructions?|do not (?:report|alarm|flag))\b"
    r"|\b(?:say|answer|reply|respond|report|output)\b.{0,30}\b(?:normal|nothing|only|with)\b"  # prose: ok
    r"|\b(?:system prompt|jailbreak|developer mode)\b"
)
_ROLE = re.compile(
    r"(?i)<\|[a-z_]+\|>|</?(?:system|assistant|user|data|tool)>|\[/?INST\]|^[^\S\n]*(?:system|assistant|user)\s*:"
    r"|```|\"role\"\s*:",
    re.MULTILINE,
)
_BINARY = re.compile(rb"[\0-\x08\x0b\x0c\x0e-\x1f]")
# An unclosed string ends with the text: a search that failed there would begin again at each of its quotes.
_STRING = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)(?:"|\\?\Z)', re.DOTALL)


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


class InjectionScanner:
    """Reports each broken rule with the topic, once per message. Used by the journal's thread only."""

    def __init__(self, report: Callable[[str, str], None]) -> None:
        self._report = report
        self._known: dict[str | bytes, tuple[str, ...]] = {}

    def scan_all(self, found: Iterable[tuple[Arrival, bool]]) -> None:
        """Scan the first 64 KiB of the messages of one commit, because the journal must go on.

        Args:
            found: each message, and whether no decoder could read it.
        """
        left = MAX_A_COMMIT
        for arrival, garbled in found:
            if left <= 0:
                return
            payload = arrival.payload[: min(left, MAX_SCANNED)]
            left -= len(payload)
            self.scan(payload, arrival.topic, garbled=garbled)

    def scan(self, payload: bytes, topic: str, *, garbled: bool = False) -> None:
        """Scan the strings of a JSON payload, or the whole of any other payload.

        Control characters and length mean nothing in a ``garbled`` payload, which may be binary, nor in a
        format that is not text (Sparkplug B, gzip).
        """
        text = payload[:MAX_SCANNED].decode("utf-8", "replace")
        found = [text]
        if text[:1] in {"{", "["}:
            found = _STRING.findall(text)
        else:
            garbled = garbled or _BINARY.search(payload) is not None
        broken: set[str] = set()
        left = MAX_NEW
        for one in found:
            key = one if len(one) <= MAX_REMEMBERED else _hash(one)
            rules = self._known.get(key)
            if rules is None:
                if not left:
                    continue
                left -= 1
                rules = self._learn(key, one)
            broken.update(rules)
        for rule in sorted(broken & _MEANT if garbled else broken):
            self._report(rule, topic)

    def _learn(self, key: str | bytes, text: str) -> tuple[str, ...]:
        rules = suspicions(_unescaped(text))
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[key] = rules
        return rules


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text
