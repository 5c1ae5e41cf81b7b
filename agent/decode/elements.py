"""Names of the elements of a JSON array, so that two sensors never share a series.

An element is named by its own keys, not by its place, and the same in a list of one as in a list of many:
by the id of the thing that measures (``mac``, ``device_id``, ``serial``), by its name (``name``, ``tag``) or
by its ``id``. Where two of them have the same name, the id is taken, or both.
"""

import re
from collections.abc import Sequence
from itertools import repeat
from typing import Any, NamedTuple

from agent.decode.family import Skip
from agent.decode.key_roles import KeyRoles, is_id, name_of, roles_of
from agent.decode.values import is_name

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
    unreadable: bool = False  # it has an id that cannot name anything, so that nothing of it may be taken
    roles: KeyRoles | None = None  # of its keys, so that they are not sorted twice


def is_address(text: str) -> bool:
    """Return whether ``text`` is a radio or network address: six or eight bytes in hexadecimal."""
    return len(text) in ADDRESS_LENGTHS and _MAC.fullmatch(text) is not None


def name_elements(items: Sequence[dict[str, Any]], device: str) -> list[Element] | None:
    """Return the name of each of ``items``, or None where only their place or time differs."""
    each = [roles_of(item) for item in items]
    own = {part.casefold() for part in device.split("/")}
    things = [_thing(item, roles, own) for item, roles in zip(items, each, strict=True)]
    keys, columns = _label_keys(items, each, things)
    bad = [
        thing is None and _hides_id(item, roles.things if keys else (*roles.things, *roles.ids))
        for item, roles, thing in zip(items, each, things, strict=True)
    ]
    if not keys and not any(things) and not any(bad):
        return None
    labels = zip(*columns, strict=True) if columns else repeat(())
    named = (
        _element(roles, thing, keys, texts) for roles, thing, texts in zip(each, things, labels, strict=False)
    )
    return [Element(unreadable=True) if hides else one for one, hides in zip(named, bad, strict=True)]


def _hides_id(item: dict[str, Any], keys: tuple[str, ...]) -> bool:
    """Return whether there is an id that is too long or does not print."""
    for key in keys:
        given = item[key]
        if given is Skip.TOO_LONG or (type(given) is str and given.strip() and not is_name(given.strip())):
            return True
    return False


def _thing(item: dict[str, Any], roles: KeyRoles, own: set[str]) -> tuple[str, str] | None:
    """Return key and text of the sensor's id, None where it is the topic's device or missing."""
    for key in roles.things:
        text = name_of(key, item[key], number=True)
        if text is not None:
            return None if text.casefold() in own else (key, text)
    return None


def _label_keys(
    items: Sequence[dict[str, Any]], each: Sequence[KeyRoles], things: Sequence[tuple[str, str] | None]
) -> tuple[tuple[str, ...], Sequence[Sequence[str]]]:
    """Return the key whose text differs in all items, or two keys, and the texts."""
    first = each[0]
    names = [key for key in first.names if key.lower() != _TYPE or first.values]
    texts = {key: found for key in (*names, *first.ids) if (found := _column(items, key)) is not None}
    if not texts:
        return (), ()
    times = [_time(item, roles) for item, roles in zip(items, each, strict=True)]
    ids = [key for key in texts if key in first.ids]
    keys: tuple[str, ...] = ()
    for key, column in texts.items():
        if len(set(zip(things, column, times, strict=True))) == len(items):
            # An id that comes again with another name is that of the sensor.
            alone = key in ids or not ids or len(set(texts[ids[0]])) == len(items)
            keys = (key,) if alone else (ids[0], key)
            break
    else:
        best = next(iter(texts))
        keys = (ids[0], best) if ids and best not in ids else (best,)
    return keys, [texts[key] for key in keys]


def _column(items: Sequence[dict[str, Any]], key: str) -> list[str] | None:
    """Return the text below ``key`` of each item, None where one of them has none."""
    number, column = is_id(key), []
    for item in items:
        text = name_of(key, item[key], number=number) if key in item else None
        if text is None:
            return None
        column.append(text)
    return column


def _time(item: dict[str, Any], roles: KeyRoles) -> float | str | None:
    at = item[roles.times[0]] if roles.times else None
    return at if type(at) is float or type(at) is str else None


def _element(
    roles: KeyRoles, thing: tuple[str, str] | None, keys: tuple[str, ...], texts: Sequence[str]
) -> Element:
    if thing is not None:
        if not roles.values:
            keys = texts = ()
        keys, texts = (thing[0], *keys), (thing[1], *texts)
    address = next((part for part in texts if len(part) in ADDRESS_LENGTHS and is_address(part)), None)
    path = ".".join(texts) if address is None else ".".join(part for part in texts if part is not address)
    return Element(path, address, keys, roles=roles)
