"""Names of the elements of a JSON array, so that two sensors never share a series.

An element is named by its own keys, not by its place, and the same in a list of one as in a list of many:
by the id of the thing that measures (``mac``, ``device_id``, ``serial``), by its name (``name``, ``tag``) or
by its ``id``. Where two of them have the same name, the id is taken, or both.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from agent.decode.key_roles import KeyRoles, is_id, name_of, roles_of

_MAC = re.compile(
    r"(?:[0-9A-Fa-f]{2}[:\-]){5}(?:[0-9A-Fa-f]{2}[:\-]){0,2}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{12}(?:[0-9A-Fa-f]{4})?"
    r"|0x[0-9A-Fa-f]{16}"
)
ADDRESS_LENGTHS = frozenset({12, 16, 17, 18, 23})
_TYPE = "type"  # names the measured quantity next to a value, but nothing that measures


class Element(NamedTuple):
    """The name of an element, and its origin."""

    path: str = ""  # below the path of the list
    device: str | None = None  # a radio address: a device of its own behind the one of the topic
    used: tuple[str, ...] = ()  # keys that are spent on it


def is_address(text: str) -> bool:
    """Return whether ``text`` is a radio or network address: six or eight bytes in hexadecimal."""
    return len(text) in ADDRESS_LENGTHS and _MAC.fullmatch(text) is not None


def name_elements(items: Sequence[dict[str, Any]], device: str) -> list[Element] | None:
    """Return the name of each of ``items``, or None where only their place or time differs."""
    each = [roles_of(item) for item in items]
    own = {part.casefold() for part in device.split("/")}
    things = [_thing(item, roles, own) for item, roles in zip(items, each, strict=True)]
    keys = _label_keys(items, each, things)
    if not keys and not any(things):
        return None
    return [
        _element(item, roles, thing, keys) for item, roles, thing in zip(items, each, things, strict=True)
    ]


def _thing(item: dict[str, Any], roles: KeyRoles, own: set[str]) -> tuple[str, str] | None:
    """Return key and text of the sensor's id, None where it is the topic's device or missing."""
    for key in roles.things:
        text = name_of(key, item[key], number=True)
        if text is not None:
            return None if text.casefold() in own else (key, text)
    return None


def _label_keys(
    items: Sequence[dict[str, Any]], each: Sequence[KeyRoles], things: Sequence[tuple[str, str] | None]
) -> tuple[str, ...]:
    """Return the key whose text differs in all items, or the two whose texts together do."""
    first = each[0]
    names = [key for key in first.names if key.lower() != _TYPE or first.values]
    keys = [key for key in (*names, *first.ids) if all(_label(item, key) is not None for item in items)]
    if not keys:
        return ()
    times = [_time(item, roles) for item, roles in zip(items, each, strict=True)]
    ids = [key for key in keys if key in first.ids]
    for key in keys:
        marks = {(thing, _label(item, key), at) for item, thing, at in zip(items, things, times, strict=True)}
        if len(marks) == len(items):
            if key in ids or not ids or len({_label(item, ids[0]) for item in items}) == len(items):
                return (key,)
            # An id that comes again with another name is that of the sensor.
            return ids[0], key
    return (ids[0], keys[0]) if ids and keys[0] not in ids else (keys[0],)


def _time(item: dict[str, Any], roles: KeyRoles) -> float | str | None:
    at = item[roles.times[0]] if roles.times else None
    return at if type(at) is float or type(at) is str else None


def _label(item: dict[str, Any], key: str) -> str | None:
    return name_of(key, item[key], number=is_id(key)) if key in item else None


def _element(
    item: dict[str, Any], roles: KeyRoles, thing: tuple[str, str] | None, keys: tuple[str, ...]
) -> Element:
    if thing is not None and not roles.values:
        keys = ()
    labels = [text for key in keys if (text := _label(item, key)) is not None]
    parts = labels if thing is None else [thing[1], *labels]
    address = next((part for part in parts if is_address(part)), None)
    path = ".".join(part for part in parts if part is not address)
    return Element(path, address, keys if thing is None else (thing[0], *keys))
