"""Names of the elements of a JSON array, so that two sensors never share a series.

An element is named by its own keys, not by its place, and the same in a list of one as in a list of many:
by the id of the thing that measures (``mac``, ``device_id``, ``serial``), by its ``id`` and its name
(``name``, ``tag``). The next message may have another id with the same name: the id is always part of it.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from agent.decode.family import Skip
from agent.decode.key_roles import (
    KeyRoles,
    is_id,
    is_lasting_id,
    is_running,
    join_label,
    may_hold_name,
    name_of,
    place_of,
    roles_of,
)
from agent.decode.values import is_name, read_value

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
    bad = [_hides_id(item, roles, thing) for item, roles, thing in zip(items, each, things, strict=True)]
    good = [place for place, hides in enumerate(bad) if not hides] if any(bad) else range(len(items))
    labels = _labels(
        [items[place] for place in good], [each[place] for place in good], placed=not any(things)
    )
    if not any(bad) and not any(things) and not any(texts for _, texts in labels):
        return None
    named = [Element(unreadable=True)] * len(items)
    for place, (keys, texts) in zip(good, labels, strict=True):
        named[place] = _element(each[place], things[place], keys, texts, place)
    return named


def _hides_id(item: dict[str, Any], roles: KeyRoles, thing: tuple[str, str] | None) -> bool:
    """Return whether the id, or the only name, is too long or does not print."""
    if thing is None and any(_is_unreadable(item[key]) for key in roles.things):
        return True
    ids = [item[key] for key in roles.ids]
    names = [item[key] for key in (*roles.places, *roles.names) if key.lower() != _TYPE]
    alone = thing is None and not any(name_of(key, item[key], number=True) for key in roles.ids)
    return any(map(_is_unreadable, ids)) or (
        alone
        and any(map(_is_unreadable, names))
        and not any(name_of(key, item[key]) for key in roles.names if key.lower() != _TYPE)
        and not any(place_of(key, item[key]) for key in roles.places)
    )


def _is_unreadable(given: Any) -> bool:
    return given is Skip.TOO_LONG or (
        type(given) is str and bool(given.strip()) and not is_name(given.strip())
    )


def _thing(item: dict[str, Any], roles: KeyRoles, own: set[str]) -> tuple[str, str] | None:
    """Return key and text of the sensor's id, None where it is the topic's device or missing."""
    for key in roles.things:
        text = name_of(key, item[key], number=True)
        if text is not None:
            return None if text.casefold() in own else (key, text)
    return None


def _labels(
    items: Sequence[dict[str, Any]], each: Sequence[KeyRoles], *, placed: bool
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return keys and texts that name each item, none for an item that has neither id nor name.

    Where ``placed`` is set, an item without an id is named by its place.
    """
    if not items:
        return []
    first = each[0]
    names = [key for key in first.names if key.lower() != _TYPE or first.values]
    texts = {key: found for key in (*first.ids, *names) if (found := _column(items, key)) is not None}
    times = [_time(item, roles) for item, roles in zip(items, each, strict=True)]
    ids = [key for key in texts if key in first.ids][:1]
    if not texts and (inner := _inner_column(items)) is not None:
        return [((inner[0],), (text,)) for text in inner[1]]
    options = [key for key in names if key in texts]

    def distinguish(keys: Sequence[str]) -> bool:
        return len(set(zip(*(texts[key] for key in keys), times, strict=True))) == len(items)

    if placed and not ids:
        places = _place_columns(items, first, times)
        texts |= places
        ids = list(places)[:1]
        for key in list(places)[1:]:
            if not distinguish(ids) and not any(distinguish((*ids, name)) for name in options):
                ids.append(key)
    if placed and not ids and not any(distinguish([name]) for name in options):
        telling = _telling_column(items, first, times)
        texts |= telling
        ids = list(telling)
    if not ids and not options:
        return [_own_label(item, roles) for item, roles in zip(items, each, strict=True)]
    best = next((key for key in options if distinguish((*ids, key))), options[0] if options else None)
    keys = (*ids, best) if best is not None else tuple(ids)
    return [(keys, tuple(texts[key][place] for key in keys)) for place in range(len(items))]


def _own_label(item: dict[str, Any], roles: KeyRoles) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the label of an item of a list in which not all have one."""
    places = [] if roles.ids else [key for key in roles.places if not is_running(key)]
    options = (
        ((key, name_of(key, item[key], number=True)) for key in roles.ids),
        ((key, place_of(key, item[key])) for key in places),
        ((key, name_of(key, item[key])) for key in roles.names if key.lower() != _TYPE),
    )
    each = [next(((key, text) for key, text in one if text), None) for one in options]
    found = [each[0] or each[1], each[2]]
    known = [one for one in found if one is not None] if roles.values or found[0] else []
    return tuple(key for key, _ in known), tuple(text for _, text in known)


def _place_columns(
    items: Sequence[dict[str, Any]], first: KeyRoles, times: Sequence[float | str | None]
) -> dict[str, list[str]]:
    """Return the keys of the place of each item with their texts, the best first."""
    found = {}
    samples = None not in times and len(set(times)) == len(times)
    for key in first.places:
        if samples and is_running(key):
            continue
        column = [place_of(key, item.get(key)) for item in items]
        texts = [text for text in column if text is not None]
        if len(texts) == len(items):
            found[key] = texts
    return found


def _telling_column(
    items: Sequence[dict[str, Any]], first: KeyRoles, times: Sequence[float | str | None]
) -> dict[str, list[str]]:
    """Return an id such as ``vatId``, or a key whose texts distinguish items of one time, with its texts."""
    for key in filter(is_lasting_id, first.hidden):
        lasting = _column(items, key, number=True) if key not in first.things else None
        if lasting is not None:
            return {key: lasting}
    if None in times or len(set(times)) == len(times):
        return {}
    for key in first.metrics:
        column = _column(items, key, number=False)
        if column is None or len(set(zip(column, times, strict=True))) < len(items):
            continue
        if all(read_value(text) in {Skip.TEXT, Skip.UNMAPPED} for text in column):
            return {key: column}
    return {}


def _inner_column(items: Sequence[dict[str, Any]]) -> tuple[str, list[str]] | None:
    """Return the key of an inner object that identifies each item (``sensor: {id: ...}``), and the ids."""
    for key, inner in items[0].items():
        if type(inner) is not dict:
            continue
        roles = roles_of(inner)
        if roles.values:
            continue
        named = (*roles.places, *(one for one in roles.names if one.lower() != _TYPE))
        for own in (*roles.things, *roles.ids, *(named if may_hold_name(key) else ())):
            number = own not in named
            column = [
                name_of(own, one[own], number=number) if type(one) is dict and own in one else None
                for one in (item.get(key) for item in items)
            ]
            if None not in column:
                return key, [text for text in column if text is not None]
    return None


def _column(items: Sequence[dict[str, Any]], key: str, *, number: bool | None = None) -> list[str] | None:
    """Return the text below ``key`` of each item, None where one of them has none."""
    number = is_id(key) if number is None else number
    column = []
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
    roles: KeyRoles,
    thing: tuple[str, str] | None,
    keys: tuple[str, ...],
    texts: tuple[str, ...],
    place: int,
) -> Element:
    if thing is not None:
        if not roles.values:
            keys = texts = ()
        keys, texts = (thing[0], *keys), (thing[1], *texts)
    elif not texts:
        return Element(str(place), roles=roles)
    address = next((part for part in texts if len(part) in ADDRESS_LENGTHS and is_address(part)), None)
    parts = [part for part in texts if part is not address]
    if len(parts) > 1:
        parts[-2:] = [join_label(parts[-2], parts[-1])]
    return Element(".".join(parts), address, keys, roles=roles)
