"""Signed links in notices, with which a reader may answer for a week. Pure."""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urljoin

from agent.domain.records import Do, FindingEvent, Kind

PATH: Final = "answer"  # next to the status page
VALID_S = 7 * 86_400
#: The answers of a link, each with its words on a button and the keys of its command.
ANSWERS: Final[Mapping[Do, tuple[str, Mapping[str, str]]]] = {
    Do.ACK: ("Acknowledge", {}),
    Do.SNOOZE: ("Snooze 24 h", {"for": "24h"}),
}
MAX_QUERY = 256
_SIGNED = ("f", "l", "u")  # finding, whether a limit broke, and Unix seconds of the end
_MAC_CHARS = 32  # 128 bits


@dataclass(frozen=True, slots=True)
class Asked:
    """A query whose signature is ours.

    ``limit``: the notice was about a broken limit. ``mac`` is the same for each use of one link.
    """

    finding_id: str
    limit: bool
    expired: bool
    do: Do | None
    mac: str
    query: str  # without the answer


@dataclass(frozen=True, slots=True)
class AnswerLinks:
    """Makes and checks links with one key, which is in the journal."""

    key: bytes = field(repr=False)

    def link(self, notice: Mapping[str, Any]) -> str | None:
        """Return the link of a notice, the same each time; None where there is nothing to answer."""
        if not notice.get("link") or notice["type"] != "finding" or notice["event"] == FindingEvent.CLEARED:
            return None
        until = int(datetime.fromisoformat(notice["at"]).timestamp()) + VALID_S
        limit = "1" if notice["kind"] == Kind.OUT_OF_RANGE else "0"
        return f"{urljoin(notice['link'], PATH)}?{self._sign((notice['finding_id'], limit, str(until)))}"

    def read(self, query: str, wall: float) -> Asked | None:
        """Return what a query asks for, None where it is not of a link of ours."""
        if len(query) > MAX_QUERY:
            return None
        try:
            given = parse_qs(query, max_num_fields=8)
        except ValueError:
            return None
        *parts, mac, do = (given.get(name, [""])[-1] for name in (*_SIGNED, "s", "do"))
        if not hmac.compare_digest(mac.encode(), self._mac(parts).encode()) or (do and do not in ANSWERS):
            return None
        finding_id, limit, until = parts
        expired = wall > int(until)
        return Asked(finding_id, limit == "1", expired, Do(do) if do else None, mac, self._sign(parts))

    def _sign(self, parts: Sequence[str]) -> str:
        return urlencode({**dict(zip(_SIGNED, parts, strict=True)), "s": self._mac(parts)})

    def _mac(self, parts: Sequence[str]) -> str:
        text = "\0".join(("answer", *parts)).encode("utf-8", "surrogatepass")
        return hmac.digest(self.key, text, "sha256").hex()[:_MAC_CHARS]


def with_answer(link: str, do: Do) -> str:
    """Return the address to which a POST gives one answer at once."""
    return f"{link}&do={do}"
