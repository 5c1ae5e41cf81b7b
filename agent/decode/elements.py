"""Names of the elements of a JSON array, so that two sensors never share a series.

An element is named by its own keys, not by its place, and the same in a list of one as in a list of many:
by the id of the thing that measures (``mac``, ``device_id``, ``serial``), by its name (``name``, ``tag``) or
by its ``id``. Where two of them have the same name, the id is taken, or both.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from agent.decode.key_roles import KeyRoles, name_of, roles_of

_MAC = re.compile(
    r"(?:[0-9A-Fa-f]{2}[:\-]){5}(?:[0-9A-Fa-f]{2}[:\-]){0,2}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{12}(?:[0-9A-Fa-f]{4})?"
    r"|0x[0-9A-Fa-f]{16}"
)
_MAC_LENGTHS = frozenset({12, 16, 17, 18, 23})
_TYPE = "type"  # names the measured quantity next to a value, but nothing that measures


class Element(NamedTuple):
    """What names an element."""

    path: str = ""  # below the path of the list
    device: str | None = None  # a radio address: a device of its own behind the one of the topic
    used: tuple[str, ...] = ()  # keys that are spent on it


def is_address(text: str) -> bool:
    """Return whether ``text`` is a radio or network address: six or eight bytes in hexadecimal."""
    return len(text) in _MAC_LENGTHS and _MAC.fullmatch(text) is not None


def name_elements(items: Sequence[dict[str, Any]], device: str) -> list[Element] | None:
    """Return what names each of ``items``, or None where only their place or time tells them apart."""
    each = [roles_of(item) for item in items]
    own = {part.casefold() for part in device.split("/")}
    things = [_thing(item, roles, own) for item, roles in zip(items, each, strict=True)]
    key = _label_key(items, each, things)
    if key is None and not any(things):
        return None
    return [_element(item, roles, thing, key) for item, roles, thing in zip(items, each, things, strict=True)]


def _thing(item: dict[str, Any], roles: KeyRoles, own: set[str]) -> str:
    """Return the id of what measures, "" where it is the device of the topic or missing."""
    for key in roles.things:
        text = name_of(key, item[key], number=True)
        if text is not None:
            return "" if text.casefold() in own else text
    return ""


def _label_key(
    items: Sequence[dict[str, Any]], each: Sequence[KeyRoles], things: Sequence[str]
) -> str | tuple[str, str] | None:
    """Return the key whose text tells the items apart, two keys where it takes both."""
    first = each[0]
    names = [key for key in first.names if key.lower() != _TYPE or first.values]
    keys = [key for key in (*names, *first.ids) if all(_label(item, key) is not None for item in items)]
    if not keys:
        return None
    times = [item[roles.times[0]] if roles.times else None for item, roles in zip(items, each, strict=True)]
    for key in keys:
        marks = [
            (thing, _label(item, key), str(at)) for item, thing, at in zip(items, things, times, strict=True)
        ]
        if len(set(marks)) == len(marks):
            return _with_repeated_id(items, key, keys)
    if len(keys) > 1 and keys[0] in first.names and keys[-1] in first.ids:
        return keys[-1], keys[0]
    return keys[0]


def _with_repeated_id(items: Sequence[dict[str, Any]], key: str, keys: list[str]) -> str | tuple[str, str]:
    """Add an id that comes again with another name: it is that of the thing that measures."""
    last = keys[-1]
    if last == key or _id_like(last) is False:
        return key
    return key if len({_label(item, last) for item in items}) == len(items) else (last, key)


def _id_like(key: str) -> bool:
    return bool(roles_of({key: 0.0}).ids)


def _label(item: dict[str, Any], key: str) -> str | None:
    return name_of(key, item[key], number=_id_like(key)) if key in item else None


def _element(item: dict[str, Any], roles: KeyRoles, thing: str, key: str | tuple[str, str] | None) -> Element:
    keys = () if key is None else (key,) if type(key) is str else tuple(key)
    labels = [text for one in keys if (text := _label(item, one)) is not None]
    if thing and not roles.values:
        labels = []
    parts = [*([thing] if thing else []), *labels]
    address = next((part for part in parts if is_address(part)), None)
    path = ".".join(part for part in parts if part is not address)
    return Element(path, address, tuple(keys) if labels or not thing else ())
