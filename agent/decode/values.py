"""Numbers, words and units in text, and names of devices and metrics."""

import re
from math import isfinite

from agent.decode.family import Skip

MAX_UNIT = 16

_WORDS = {"on": 1.0, "true": 1.0, "off": 0.0, "false": 0.0}
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})

# Without leading zeros, and an exponent only after a fraction or with a sign: "007" and "12e5" are ids.
_NUMBER = r"[+-]?(?:0|[1-9]\d{0,18})(?:\.\d{1,18}(?:[eE][+-]?\d{1,3})?|[eE][+-]\d{1,3})?"
_UNITS = (
    "°C|°F|°|C|F|K|degC|degF|%|%RH|% RH|mV|V|kV|mA|A|mW|W|kW|MW|VA|var|Wh|kWh|MWh|J|Pa|hPa|kPa|MPa|mbar|bar|"
    "psi|lx|lux|lm|ppm|ppb|dB|dBm|dBA|Hz|kHz|MHz|rpm|mm|cm|m|km|m/s|km/h|mph|m/s²|l|L|ml|m³|m3|"
    "l/min|L/min|l/h|m³/h|m3/h|g|kg|t|N|Nm|µS/cm|uS/cm|µg/m³|ug/m3|mg/m³|mg/l|pH|Ω|ohm|kΩ|mm/h|W/m²|W/m2|ms|s|min|h|d"
)
_QUANTITY = re.compile(rf"({_NUMBER})(?:\s?({_UNITS}))?", re.ASCII)
_JOINERS = re.compile("[\u200c\u200d]")


def read_value(text: str) -> tuple[float, str | None] | Skip:
    """Return value and unit of a text such as ``21.5``, ``21.5 °C``, ``ON`` or ``false``, else what it is.

    A decimal comma, a grouping sign or a unit outside the list leaves a text a text: no guess is made.
    """
    text = text.strip()
    word = text.casefold()
    if word in _WORDS:
        return _WORDS[word], None
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return Skip.NOT_FINITE if word.lstrip("+-") in _NOT_FINITE else Skip.TEXT
    value = float(found[1])
    return (value, found[2]) if isfinite(value) else Skip.NOT_FINITE


def read_unit(given: object) -> str | None:
    """Return a unit if it is short and printable, else None."""
    if not isinstance(given, str):
        return None
    unit = given.strip()
    return unit if 0 < len(unit) <= MAX_UNIT and unit.isprintable() else None


def is_name(text: str) -> bool:
    """Whether ``text`` may name a device or a metric: not empty, without control characters.

    Everything that prints is welcome, with the joiners that some scripts need.
    """
    if text.isprintable():
        return bool(text.strip())
    bare = _JOINERS.sub("", text)
    return bool(bare) and bare.isprintable()
