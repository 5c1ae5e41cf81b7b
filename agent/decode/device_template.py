"""Device id of a source: a constant, or a template over topic and JSON payload."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from agent.decode.json_path import JsonPath
from agent.decode.topics import TopicPattern
from agent.decode.values import is_name
from agent.domain.records import DecodeError, DecodeReason

MAX_DEVICE = 128  # characters
MAX_PARTS = 8

_PART = re.compile(r"\{([^{}]*)\}")
_MAX_SHOWN = 40


class _Part(NamedTuple):
    before: str  # text in front of it
    name: str | None  # a named level of the topic
    path: JsonPath | None  # or a value of the payload
    quoted: str = ""  # the character that its value must not hold, so that no two devices get one id


class DeviceTemplate:
    """``p1``, ``{site}/{$.from}`` or ``{$.model}/{$.id}``.

    The character in front of a value is percent-encoded within it, so that no two devices get one id.

    Args:
        text: as configured.
        topic: the pattern of the source.

    Raises:
        ValueError: with a sentence for a person.
    """

    def __init__(self, text: str, topic: TopicPattern) -> None:
        if not is_name(text) or len(text) > MAX_DEVICE:
            raise ValueError(f"is not a name of 1 to {MAX_DEVICE} printable characters; write one")
        found = list(_PART.finditer(text))
        ends = [0, *(one.end() for one in found)]
        parts = [_part(one[1], text[end : one.start()], topic) for one, end in zip(found, ends, strict=False)]
        self._after = text[ends[-1] :]
        if any(sign in one for one in (*(part.before for part in parts), self._after) for sign in "{}"):
            raise ValueError("has a brace without its partner; write {name} or {$.key}")
        if len(parts) > MAX_PARTS:
            raise ValueError(f"has {len(parts)} parts; at most {MAX_PARTS} make a device id")
        if not all(part.before for part in parts[1:]):
            raise ValueError("has two parts without text between them; write / between them")
        self.text = text
        self._parts = tuple(_with_quotes(parts, topic.many))
        self.names = tuple(part.name for part in parts if part.name)
        self.paths = tuple(part.path for part in parts if part.path)

    def render(self, levels: Mapping[str, str], payload: Any = None) -> str:
        """Return the device id of a message.

        Args:
            levels: the named levels of its topic.
            payload: as :func:`agent.decode.json_path.read_exact` reads it; any value if there are no paths.

        Raises:
            DecodeError: a part is missing or cannot name a device.
        """
        made = []
        for part in self._parts:
            text = levels[part.name] if part.name else _text_at(part.path, payload)
            made += [part.before, _quote(text, part.quoted)]
        device = "".join([*made, self._after])
        if len(device) > MAX_DEVICE or not is_name(device):
            raise DecodeError(DecodeReason.NO_DEVICE, f"{ascii(device)[:_MAX_SHOWN]} cannot name a device")
        return device


def _part(text: str, before: str, topic: TopicPattern) -> _Part:
    if not text.startswith("$"):
        if text not in topic.names:
            known = ", ".join(f"{{{name}}}" for name in topic.names) or "no name"
            raise ValueError(f"names {{{text}}}, but its topic has {known}; write one of these, or {{$.key}}")
        return _Part(before, text, None)
    try:
        return _Part(before, None, JsonPath(text))
    except ValueError as error:
        raise ValueError(f"has {{{text}}}, which {error}") from None


def _with_quotes(parts: Sequence[_Part], many: str | None) -> Iterator[_Part]:
    """Yield the parts with the character that each value must not hold; the first one is free to hold all.

    The levels of ``{name+}`` hold slashes: these stay, and the value at the front holds none.
    """
    late = any(part.name == many for part in parts[1:]) if many else False
    for place, part in enumerate(parts):
        sign = part.before[:1] if place else parts[1].before[:1] if late else ""
        yield part._replace(quoted="" if sign == "/" and part.name else sign)


def _text_at(path: JsonPath | None, payload: Any) -> str:
    found = path.find(payload) if path is not None else None
    text = found.strip() if isinstance(found, str) else ""
    if not is_name(text):
        shown = "is missing" if found is None else f"is {ascii(found)[:_MAX_SHOWN]}, which is not a name"
        raise DecodeError(DecodeReason.NO_DEVICE, f"{path.text if path else ''} {shown}")
    return text


def _quote(text: str, sign: str) -> str:
    if sign and (sign in text or "%" in text):
        text = text.replace("%", "%25").replace(sign, "".join(f"%{byte:02X}" for byte in sign.encode()))
    return text
