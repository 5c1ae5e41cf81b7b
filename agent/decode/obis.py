"""Telegrams of smart meters as text: OBIS codes with values in brackets.

A P1 port (DSMR) or an optical head (IEC 62056-21) sends lines such as ``1-0:1.8.1(000671.578*kWh)``. A
value is named by its code. The meter's own clock has no zone, so that the time is that of the receipt.
"""

import re

from agent.decode.family import DecodeLimits, Skip

_CODE = r"(?:\d{1,3}-\d{1,3}:)?\d{1,3}\.\d{1,3}\.\d{1,3}(?:[*&]\d{1,3})?"
_LINE = re.compile(rf"({_CODE})((?:\([^()]{{0,1024}}\)){{1,64}})", re.ASCII)
_VALUE = re.compile(r"(-?\d{1,12}(?:\.\d{1,9})?)(?:\*([A-Za-z0-9/°]{1,8}))?", re.ASCII)
_CLOCKED = 2  # the time of a value, and the value


def is_obis(text: str) -> bool:
    """Return whether one of the first lines is an OBIS code with a value."""
    if "(" not in text[:512]:
        return False
    lines = text[:512].split("\n", 8)[:8]
    return any(_LINE.match(line.strip()) for line in lines)


def read_obis(text: str, limits: DecodeLimits) -> dict[str, object]:
    """Return the values of the telegram ``text`` by their codes, in the form that JSON has.

    Numbers without unit and fraction are ids, versions, tariffs and counts of events. A line of more than two
    brackets is a log of the past.
    """
    values: dict[str, object] = {}
    for line in text.split("\n"):
        found = _LINE.match(line.strip())
        if found is None:
            continue
        code = found[1]
        if len(values) >= limits.max_keys:
            values[code] = Skip.TOO_MANY
            break
        given = found[2][1:-1].split(")(")
        values[code] = Skip.NOT_A_VALUE if len(given) > _CLOCKED else _read(given[-1])
    return values


def _read(given: str) -> object:
    found = _VALUE.fullmatch(given.strip())
    if found is None:
        return Skip.NOT_A_VALUE if given else Skip.EMPTY
    if found[2] is None:
        return float(found[1]) if "." in found[1] else Skip.NOT_A_VALUE
    return {"value": float(found[1]), "unit": found[2]}
