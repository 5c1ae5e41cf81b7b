"""Numbers, words and units in text, and names of devices and metrics."""

import re
from math import isfinite
from typing import NamedTuple

from agent.decode.family import DEFAULT_READER, Reader, Skip
from agent.domain.units import is_spelling

MAX_UNIT = 16
VALUE = "value"  # the metric where neither topic nor payload names one
MAX_WORD = 32

# The first word of each pair is 1, the second 0.
_PAIRS = (
    "on off", "true false", "yes no", "open closed", "opened closed", "open close", "wet dry", "ok low",
    "high low", "detected clear", "motion no_motion", "leak no_leak", "occupied unoccupied",
    "occupied vacant", "locked unlocked", "active inactive", "enabled disabled", "present absent",
    "present not_present", "home not_home", "pressed released", "running stopped", "ein aus", "ja nein",
    "offen geschlossen", "nass trocken",
)  # fmt: skip
_WORDS = {word: value for pair in _PAIRS for word, value in zip(pair.split(), (1.0, 0.0), strict=True)}
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})
_NO_VALUE = frozenset({
    "unavailable", "unknown", "none", "null", "undefined", "n/a", "na", "n.a.", "-", "--", "---", "no data",
    "nodata", "not available", "error", "err", "fail", "failed", "failure", "invalid",
})  # fmt: skip
# One to three short words: what `values:` of a source could map.
_WORD = re.compile(r"[^\W\d_](?:[^\W\d]|-){0,23}(?: [^\W\d_](?:[^\W\d]|-){0,23}){0,2}")

# A fraction, or an exponent after one or with a sign: "12e5" is an id.
_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:\d[\d.,' ]{0,31}|[.,]\d{1,18})(?:(?<=\d)[eE][+-]?\d{1,3})?)"
    r"(?:\s{0,2}(?P<unit>[^\s\d.,'/+\-].{0,15}))?",
    re.ASCII,
)
_PLAIN = re.compile(
    r"[+-]?(?:\d{1,18}\.?|\d{0,18}\.\d{1,18}(?:[eE][+-]?\d{1,3})?|\d{1,18}[eE][+-]\d{1,3})", re.ASCII
)
_GROUPED = re.compile(r"([+-]?)(\d{1,3}(?:([.,' ])\d{3})(?:\3\d{3}){0,4})(?:([.,])(\d{1,18}))?", re.ASCII)
_COMMA = re.compile(r"[+-]?\d{0,18},\d{1,18}", re.ASCII)
_MAX_DIGITS = 12  # of a whole number in a text; one with more is a serial or phone number
_DIGITS = re.compile(r"([+-]?)(\d+)", re.ASCII)
_JOINERS = re.compile("[\u200c\u200d]")
# Signs that look like others, and the full-width forms of ASCII.
_SIGNS = str.maketrans(
    {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    | {
        "℃": "°C", "℉": "°F", "º": "°", "˚": "°", "\u03bc": "µ", "\u2126": "Ω", "\u2212": "-", "\u2013": "-",
        "\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u3000": " ", "\u2019": "'", "\u066b": ",",
    }
)  # fmt: skip


class Found(NamedTuple):
    """The value of a text."""

    value: float
    unit: str | None = None
    word: str | None = None  # as sent, where it is a word and no number


def _unescape(text: str) -> str:
    """Return text without references; their names are 0.5 MiB, and devices seldom send one."""
    from html import unescape  # noqa: PLC0415

    return unescape(text)


def read_value(text: str, reader: Reader = DEFAULT_READER) -> Found | Skip:
    """Return the value of a text such as ``21.5``, ``21,5 °C``, ``ON`` or ``open``, else what it is.

    A comma is a decimal comma where it can be nothing else, or where ``reader.comma`` is set.
    """
    text = text.strip()
    if "&" in text:
        text = _unescape(text)  # 20.0 &deg;C
    if not text.isascii():
        text = text.translate(_SIGNS).strip()
    word = text.casefold()
    if word in reader.words:
        return Found(reader.words[word], word=_as_sent(text))
    found = _QUANTITY.fullmatch(text)
    if found is None or not (found["unit"] is None or is_spelling(found["unit"])):
        return _read_word(word, text)
    number, unit = found["number"], found["unit"]
    plain = _plain_number(number.rstrip(" "), comma=reader.comma)
    if plain is None:
        return Skip.TEXT
    digits = _DIGITS.fullmatch(plain)
    if digits and unit is None and _is_id(digits[1], digits[2]):
        return Skip.NOT_A_VALUE
    value = float(plain)
    return Found(value, unit) if isfinite(value) else Skip.NOT_FINITE


def _as_sent(text: str) -> str | None:
    """Return a configured word for people, bounded; None for a number that `values:` maps."""
    word = text[:MAX_WORD]
    return word if word.isprintable() and not _QUANTITY.fullmatch(text) else None


def _read_word(word: str, text: str) -> Found | Skip:
    if word in _WORDS:
        return Found(_WORDS[word], word=text[:MAX_WORD])
    if word in _NO_VALUE:
        return Skip.NO_VALUE
    if word.lstrip("+-") in _NOT_FINITE:
        return Skip.NOT_FINITE
    if not word:
        return Skip.EMPTY
    return Skip.UNMAPPED if _WORD.fullmatch(word) else Skip.TEXT


def _plain_number(text: str, *, comma: bool) -> str | None:
    """Return ``text`` as Python writes a number, None where it is none or could be two."""
    grouped = _GROUPED.fullmatch(text)
    if grouped:
        sign, whole, group, point, fraction = grouped.groups()
        digits = whole.replace(group, "")
        if point == group:
            return None
        if point:
            return f"{sign}{digits}.{fraction}"
        if group in " '" or whole.count(group) > 1 or (group == "." and comma and whole[0] != "0"):
            return sign + digits
        # One sign with three digits after it: thousands, or a fraction.
        if group == "," and not comma and whole[0] != "0":
            return None
        return f"{sign}{whole.replace(group, '.')}"
    if _COMMA.fullmatch(text):
        text = text.replace(",", ".")
    return text if _PLAIN.fullmatch(text) else None


def _is_id(sign: str, digits: str) -> bool:
    """Whether a whole number in a text is not an amount: 007, a serial number, +49151234567."""
    padded = len(digits) > 1 and digits[0] == "0"
    return padded or len(digits) > _MAX_DIGITS or (sign == "+" and len(digits) >= 9)  # noqa: PLR2004 - a phone number


def read_unit(given: object) -> str | None:
    """Return a unit if it is short and printable, else None."""
    if type(given) is not str:  # nor the reason why a text was dropped
        return None
    unit = _unescape(given).strip() if "&" in given else given.strip()
    return unit if 0 < len(unit) <= MAX_UNIT and unit.isprintable() else None


def is_name(text: str) -> bool:
    """Whether ``text`` may name a device or a metric: not empty, without control characters.

    Everything that prints is welcome, with the joiners that some scripts need.
    """
    if text.isprintable():
        return bool(text.strip())
    bare = _JOINERS.sub("", text)
    return bool(bare) and bare.isprintable()
