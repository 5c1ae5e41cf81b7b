"""Keys of a payload that distinguish the devices of one topic."""

import re
from collections import Counter
from collections.abc import Mapping, Set as AbstractSet
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from agent.decode.key_roles import is_identity, is_no_value

MAX_KEYS = 16
MAX_TEXTS = 64  # texts of one key that can be devices of one topic
MAX_ROWS = 512

_KEY = re.compile(r"[A-Za-z_][\w-]{0,31}")
#: Of a message, a program or a network, or of any element; these come and go while the device stays.
_NOT_OWN = frozenset({
    "msgid", "messageid", "packetid", "pktid", "requestid", "reqid", "correlationid", "transactionid",
    "eventid", "traceid", "sessionid", "recordid", "frameid", "bootid", "ssid", "bssid",
})  # fmt: skip
_OFTEN_OF_MESSAGES = frozenset({"id", "idx", "uid", "uuid", "guid"})
_KINDS = frozenset({"model", "modelid", "type"})
_NAMES = frozenset({
    "node", "from", "sender", "tag", "sensor", "station", "source", "room", "label", "location",
})  # fmt: skip
_PARENTS = frozenset({"device", "dev", "sensor", "node", "station", "meter", "thing", "source"})


class _Kind(IntEnum):
    OWN = 0  # an address or a serial number
    ID = 1  # an id that could be one of the message: only if it repeats
    MODEL = 2  # in addition to an id: two models may have the same one
    NAME = 3  # where there is no id


def _kind(key: str) -> _Kind | None:
    word = re.sub(r"[_\- ]", "", key).casefold()
    found = None
    if word in _KINDS:
        found = _Kind.MODEL
    elif word in _NOT_OWN:
        found = None
    elif word in {"imei", "devaddr"} or word.endswith(("mac", "serial", "eui")):
        found = _Kind.OWN
    elif is_identity(key):
        found = _Kind.ID if word in _OFTEN_OF_MESSAGES else _Kind.OWN
    elif word.endswith("id") and is_no_value(key):
        found = _Kind.ID
    elif word in _NAMES or word.endswith("name"):
        found = _Kind.NAME
    return found


@dataclass(slots=True)
class DeviceKeys:
    """The texts at the keys of the payloads of one topic."""

    messages: int = 0
    texts: dict[str, Counter[str]] = field(default_factory=dict)
    rows: set[tuple[tuple[str, str], ...]] = field(default_factory=set)

    def note(self, value: Mapping[str, Any], unread: AbstractSet[str]) -> None:
        """Take one payload that has readings; ``unread`` names its texts outside all metrics."""
        self.messages += 1
        found = [one for one in _scalars(value) if not unread.isdisjoint(one[0].split("."))][:MAX_KEYS]
        for path, text in found:
            if path in self.texts or len(self.texts) < MAX_KEYS:
                texts = self.texts.setdefault(path, Counter())
                if text in texts or len(texts) <= MAX_TEXTS:
                    texts[text] += 1
        if len(self.rows) < MAX_ROWS:
            self.rows.add(tuple(found))

    def chosen(self) -> tuple[str, ...]:
        """Return the paths that distinguish the devices: as few as keep all of them apart."""
        kinds = {path: kind for path in self.texts if (kind := self._varies(path)) is not None}
        own = [path for path, kind in kinds.items() if kind in {_Kind.OWN, _Kind.ID}]
        own = own or [path for path, kind in kinds.items() if kind is _Kind.NAME]
        if not own:
            return ()
        own = [path for path, kind in kinds.items() if kind is _Kind.MODEL] + own
        rows = [dict(row) for row in self.rows]
        apart = {tuple(row.get(path) for path in own) for row in rows}
        alone = sorted(own, key=lambda path: kinds[path])
        return next(((path,) for path in alone if len(self.texts[path]) == len(apart)), tuple(own))

    def _varies(self, path: str) -> _Kind | None:
        """Return the kind of a key that has several texts and is in every message."""
        kind, texts = _kind(path.rpartition(".")[2]), self.texts[path]
        repeats = sum(texts.values()) > len(texts)
        everywhere = sum(texts.values()) == self.messages
        if kind is None or not everywhere or not 1 < len(texts) <= MAX_TEXTS:
            return None
        return kind if repeats or kind is _Kind.OWN else None


def _scalars(value: Mapping[str, Any], parent: str = "") -> list[tuple[str, str]]:
    found = []
    for key, item in value.items():
        if _KEY.fullmatch(key) is None:
            continue
        if isinstance(item, dict) and not parent and key.casefold() in _PARENTS:
            found += _scalars(item, f"{key}.")
        elif isinstance(item, str | int) and not isinstance(item, bool) and _kind(key) is not None:
            found.append((f"{parent}{key}", str(item)[:64]))
    return found
