"""Device ids: that of the topic, that of the payload, and which of the two counts."""

import re
from typing import Any

from agent.decode.family import Route
from agent.decode.values import is_name

_MAX_IDENTITY = 64


def is_named(route: Route) -> bool:
    """Return whether the source names the device; else its id is the topic, or the part behind a prefix."""
    return bool(route.parts) or not (route.device == route.topic or route.topic.endswith(f"/{route.device}"))


def identify(route: Route, below: str) -> tuple[str, str | None]:
    """Return device and metric: as the source names them, else the level after ``below`` and the rest."""
    if is_named(route) or below not in route.topic:
        return route.device, route.metric
    before, _, rest = route.topic.partition(below)
    device, _, metric = rest.partition("/")
    return (before + device if device else route.device), metric.replace("/", ".") or None


def device_in(topic: str, pattern: re.Pattern[str]) -> str | None:
    """Return the groups of ``pattern`` in ``topic`` as a device id; two topics never give one id."""
    found = pattern.fullmatch(topic)
    return "/".join(part for part in found.groups() if part) if found else None


def own_device(route: Route, name: str, standard: str) -> str:
    """Return the id of a device that the payload names.

    It is below the device that the source names, else below the levels before the ``standard`` topic.
    """
    if is_named(route):
        return f"{route.device}/{name}"
    before, found, _ = route.topic.partition(standard)
    return before + name if found else name


def device_of(route: Route, own: str) -> str:
    """Return the device of a topic that the family reads as ``own``.

    The source's device is kept if it was not made from levels of the topic alone (a constant, a template), or
    if its pattern names the same device with fewer or more levels; else it adds nothing to ``#``.
    """
    given = route.device
    if not own.strip("/ "):
        return given
    if route.parts and (given == own or own.endswith("/" + given) or given.endswith("/" + own)):
        return given if given != route.topic else own
    levels = frozenset(route.topic.split("/"))
    return own if all(level in levels for level in given.split("/")) else given


def identity(*parts: Any) -> str | None:
    """Return a device id made of values of the payload, None where one of them cannot be part of a name.

    A part is a whole number, or a short printable text without a slash, so that two ids never become one.
    """
    names = [_part(part) for part in parts]
    return None if not names or None in names else "/".join(name for name in names if name)


def _part(given: Any) -> str | None:
    if type(given) is float and given.is_integer() and abs(given) < 2**53:
        return str(int(given))
    if type(given) is not str or len(given) > _MAX_IDENTITY or "/" in given:
        return None
    return given if given == given.strip() and is_name(given) else None


def label_by(items: list[Any], keys: tuple[str, ...]) -> list[str] | None:
    """Return the texts that name the elements of a list: of the first key in which all differ."""
    if not all(type(item) is dict for item in items):
        return None
    for key in keys:
        found = [item.get(key) for item in items]
        names = [str(int(one)) if type(one) is float and one.is_integer() else one for one in found]
        if all(type(one) is str and is_name(one) for one in names) and len(set(names)) == len(names):
            return [str(one) for one in names]
    return None
