"""Signs of prompt injection in the text of payloads, for log and metric."""

import json
import re
from collections.abc import Callable, Iterable

from agent.domain.records import Arrival
from agent.prompt import suspicions

MAX_LOOKED_AT = 16_384  # bytes of a payload
MAX_A_COMMIT = 65_536  # bytes of the payloads of one commit
MAX_KNOWN = 1024  # texts whose rules are remembered: devices repeat themselves
MAX_REMEMBERED = 256  # characters of each
MAX_NEW = 8  # texts of a message that are looked at for the first time, 20 us each
_MEANT = {"instruction", "role_marker"}
# An unclosed string ends with the text: a search that failed there would begin again at each of its quotes.
_STRING = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)(?:"|\\?\Z)', re.DOTALL)


class InjectionScanner:
    """Reports each broken rule and the topic once a message. One thread, that of the journal.

    No text of a payload is forwarded.
    """

    def __init__(self, report: Callable[[str, str], None]) -> None:
        self._report = report
        self._known: dict[str, tuple[str, ...]] = {}

    def scan_all(self, found: Iterable[tuple[Arrival, bool]]) -> None:
        """Look at the messages of one commit, as far as they fit into 64 KiB: the journal must go on.

        Args:
            found: each message, and whether it is garbled.
        """
        left = MAX_A_COMMIT
        for arrival, garbled in found:
            if left <= 0:
                return
            payload = arrival.payload[: min(left, MAX_LOOKED_AT)]
            left -= len(payload)
            self.scan(payload, arrival.topic, garbled=garbled)

    def scan(self, payload: bytes, topic: str, *, garbled: bool = False) -> None:
        """Look at the strings of a JSON payload, or at the whole of any other.

        Control characters and length mean nothing in a ``garbled`` payload: it may be binary.
        """
        text = payload[:MAX_LOOKED_AT].decode("utf-8", "replace")
        found: list[str] = _STRING.findall(text) if text[:1] in {"{", "["} else [text]
        broken: set[str] = set()
        left = MAX_NEW
        for one in found:
            rules = self._known.get(one)
            if rules is None:
                if not left:
                    continue
                left -= 1
                rules = self._learn(one)
            broken.update(rules)
        for rule in sorted(broken & _MEANT if garbled else broken):
            self._report(rule, topic)

    def _learn(self, text: str) -> tuple[str, ...]:
        rules = suspicions(_unescaped(text))
        if len(text) <= MAX_REMEMBERED:
            if len(self._known) >= MAX_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[text] = rules
        return rules


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text
