"""Shapes of JSON that hold names, units or times in a place of their own."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from agent.decode.family import Skip
from agent.decode.key_roles import KeyRoles
from agent.decode.times import is_epoch
from agent.decode.values import is_name, read_unit, read_value

#: Keys of the time inside an object that is one: ``{"$date": ...}``, ``{"timeInSeconds": ...}``.
TIME_INSIDE = ("$date", "timeInSeconds", "seconds", "epochSecond", "value")
_CONTAINERS = (dict, list)
_PAIR, _TRIPLE = 2, 3
_ROUNDING_F = 1.5


class Row(NamedTuple):
    """One pair of a list: a value with its name or its time."""

    name: str | None
    value: Any
    unit: str | None = None
    time: Any = None


def rows(items: Sequence[Any]) -> list[Row]:
    """Return the pairs of ``items`` if all are pairs, else nothing.

    They are names with values (and units), times with values, or values with times.
    """
    if not items or not all(type(item) is list and _PAIR <= len(item) <= _TRIPLE for item in items):
        return []
    if all(_is_named(item[0], item[1]) for item in items):
        return [Row(item[0].strip(), item[1], read_unit(item[2]) if item[2:] else None) for item in items]
    for time, value in ((0, 1), (1, 0)):
        if all(len(item) == _PAIR and is_epoch(item[time]) and not is_epoch(item[value]) for item in items):
            return [Row(None, item[value], time=item[time]) for item in items]
    return []


def _is_named(name: Any, value: Any) -> bool:
    if type(name) is not str or not is_name(name) or type(value) in _CONTAINERS:
        return False
    return not is_epoch(name) and isinstance(read_value(name), Skip)


def unit_tables(fields: dict[str, Any], roles: KeyRoles) -> list[tuple[str, str, dict[str, str]]]:
    """Return the maps of units of an object: key, path of the values that it is about, and the map."""
    found = []
    pairs = [(key, "") for key in roles.units] + [(unit, f"{key}.") for key, unit in roles.own_units]
    for key, target in pairs:
        given = fields[key]
        if type(given) is dict and given and all(type(one) is str for one in given.values()):
            table = {name: unit for name, one in given.items() if (unit := read_unit(one))}
            found.append((key, target, table))
    return found


def is_same_heat(fahrenheit: Any, celsius: Any) -> bool:
    """Return whether two numbers are one temperature in both units, as far as rounding lets them."""
    if type(fahrenheit) is not float or type(celsius) is not float:
        return False
    return abs(celsius * 1.8 + 32.0 - fahrenheit) < _ROUNDING_F


def is_date(text: str) -> bool:
    """Return whether ``text`` is a date with a time, also with slashes."""
    return text[4:5] in {"-", "/"} and is_epoch(text.replace("/", "-"))
