"""Quantities in a sentence: numbers, number words and units, looked up in facts."""

import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import NamedTuple

from agent.domain.units import canonical, conversion, find_dimension, is_spelling
from agent.prompt.sentence import Number, matches, numbers, printable, strip_identifiers

COUNT, DEVICES = "count", "devices"  # the units of how many there are
ANY = "any"  # a number of a text that may have any unit
POWERS = "\u00b9\u00b2\u00b3"  # of units: m², s³
_DEGREES = frozenset({"degC", "degF"})

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {
    **{word: value for value, word in enumerate(_ONES.split())},
    **{word: 10 * value for value, word in enumerate(_TENS.split(), 2)},
}
_SCALES = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_WORD = rf"(?:{'|'.join([*_SMALL, *_SCALES])})"
#: Number words in a row: ``twenty-one``, ``two hundred and five``.
_SPELLED = re.compile(rf"(?i)\b{_WORD}(?:(?:[\s-]+|(?<=hundred)\s+and\s+|(?<=thousand)\s+and\s+){_WORD})*\b")
_SHARE = r"(?:third|quarter|fourth|fifth|sixth|seventh|eighth|ninth|tenth|hundredth|thousandth)"
#: Shares, multiples, decimals, wholes and recurrence in words: no fact has them, because an answer does not
#: calculate. The parts of a period are none ("the second half of the window"), nor are ordinals.
_UNPROVEN = re.compile(
    r"(?i)\b(?:(?<!first )(?<!second )(?<!other )(?<!latter )"
    r"half(?![\s-]+(?:an?[\s-]+(?:hour|minute|day)|open|closed)\b)"
    rf"|halves|halv(?:ed?|ing)|(?:three-)?quarter(?:s|ed)|{_SHARE}s|(?:an?|{_WORD}|by|to)[\s-]{_SHARE}"
    rf"|{_SHARE}(?=\s+of\b)|doubl(?:es|ed|ing)|(?:an?|the|its|by)\s+doubl(?:e|ing)|double(?=\s+(?:the|its|that|what|as|of)\b)"
    r"|tripl(?:es?|ed|ing)|trebl(?:es?|ed|ing)|quadrupl(?:es?|ed|ing)|twice|thrice|couple|dozens|hundreds"
    r"|thousands|millions|billions|trillions?"
    rf"|(?:\d[\d.]{{0,15}}|{_WORD}|two|many|several)[\s-]?fold|{_WORD}\s+point"
    r"|(?:last|next|previous|past|this|every|each)\s+(?:week|month|year)"
    r"|(?:every|each)\s+(?:day|night|morning|afternoon|evening|hour|minute|device|sensor|machine)"
    r"|(?:whole|entire)\s+(?:fleet|site|plant|group)|all\s+(?:of\s+)?(?:the\s+|these\s+)?(?:devices|sensors|machines)"
    r"|times\s+(?:as|more|less|higher|lower|larger|smaller|greater|the|its|their|that|what|than|over|above"
    r"|below|usual|normal))\b"
)
#: Behind a number: a multiple, an operation or money.
_MULTIPLE = re.compile(
    rf"(?i)(?:(?:[kMGT]|mn|mio|mrd|bn|mil|grand|x)(?!\w)|(?:-\s?)?{_WORD}\b|[x\u00d7*^/+=\u00b9\u00b2\u00b3])"
)
_NTH = ["second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
_COUNT_OF = re.compile(rf"(?i)\b(?P<nth>{'|'.join(_NTH)})(?=\s+(?:alarm|finding|incident|outage|time)\b)")
#: "an hour", "half a day"; "a second" is any short time.
_ARTICLE = re.compile(
    r"(?i)\b(?P<half>half[\s-]+)?(?:an?|one)(?=[\s-]+(?:minute|hour|day|week|month|year)\b)"
)
_MINUS = re.compile(r"(?i)\b(?:minus|negative)\s+\Z")
_NEXT = re.compile(r"(?P<gap>[\s-]?)(?![.-])(?P<word>[^\s,;:!?()\[\]\"'<>]+)")
_TWO_WORDS = re.compile(r"(?i)(?P<gap>[\s-]?)(?:degrees?|deg\.?|\u00b0)\s?(?P<word>c|f|celsius|fahrenheit)\b")
_ORDINAL = re.compile(r"(?i)st|nd|rd|th")
_PREFIXED = re.compile(r"(?i)(?:nano|micro|milli|centi|deci|deca|hecto|kilo|mega|giga|tera)[a-z]{3,}")
_DEVICE = re.compile(r"(?i)(?:device|sensor|machine)s?")
_COUNTED = re.compile(
    r"(?i)(?:finding|reading|incident|alarm|person|people|time|series"
    r"|value|sample|candidate)s?"
)
#: Units that no fact has.
_OTHER_UNITS = re.compile(r"(?i)(?:week|month|year|decade|rankine|r[e\u00e9]aumur|percentage)s?")
_ENGLISH = frozenset({"in", "a", "an"})  # inch and ampere, rarely
_NAMED = re.compile(r"(?i)\b(?:celsius|fahrenheit|kelvin|percent)\b|[%\u2030\u2103\u2109]|\u00b0\s?[a-z]+")

_SIGNS = frozenset(
    "\u00b5\u03bc\u03a9\u00b0\u2103\u2109\u2030\u00b1\u2248\u2264\u2265\u2026\u00b7\u2212\u201a\u201e"
)


class Quantity(NamedTuple):
    """A number of a fact; its unit is canonical or one of the three above, None where it has none."""

    value: float
    unit: str | None = None


def fold(text: str) -> str:
    """Return ``text`` without accents, so that words are found however they are written."""
    return "".join(unicodedata.normalize("NFD", char)[0] for char in unicodedata.normalize("NFC", text))


def foreign_characters(text: str) -> list[str]:
    """Return the letters, digits and signs of ``text`` that only look like those that are looked up.

    Letters are Latin, with or without accents; digits are 0 to 9. A power is allowed behind a letter.
    """
    text = unicodedata.normalize("NFC", text)
    return [
        char
        for before, char in zip(" " + text, text, strict=False)
        if not char.isascii() and not _is_plain(char, before)
    ]


def _is_plain(char: str, before: str) -> bool:
    category = unicodedata.category(char)
    if category in {"Pd", "Pi", "Pf", "Zs"} or char in _SIGNS:
        return True
    if char in POWERS:
        return before.isalpha()
    return category[0] == "L" and unicodedata.normalize("NFD", char)[0].isascii()


def quantities(text: str) -> Iterator[Quantity]:
    """Yield the numbers of a folded text that people wrote; one without a unit may have any."""
    for _, quantity in placed_quantities(text):
        yield quantity


def placed_quantities(text: str) -> Iterator[tuple[Number, Quantity]]:
    """Yield the same with their places."""
    for number in _numbers(text):
        unit, _ = _unit_behind(text, number.end)
        yield number, Quantity(number.value, unit or ANY)


def numerals(text: str) -> list[str]:
    """Return the fractions, numbers in circles and such in ``text``; a power behind a letter is none."""
    return [
        char
        for before, char in zip(" " + text, text, strict=False)
        if unicodedata.category(char) in {"No", "Nl"} and not (char in POWERS and before.isalpha())
    ]


def foreign_quantities(text: str, known: Collection[Quantity], written: str = "") -> list[str]:
    """Return the numbers and units of ``text`` that are not in ``known``, as printed.

    A number with a unit holds only if a fact with that unit has it. Shares and multiples hold only in the
    words of ``written``.

    Args:
        text: a folded sentence; ids, times and known words are blanked out.
        known: the numbers of the facts.
        written: folded sentences of people.
    """
    shares_told = {" ".join(found.group().casefold().split()) for found in _UNPROVEN.finditer(written)}
    shares = (" ".join(found.group().split()) for found in _UNPROVEN.finditer(text))
    wrong = [one for one in shares if one.casefold() not in shares_told]
    for number in _numbers(text):
        unit, told = _unit_behind(text, number.end)
        if unit is None or not any(_holds(number, unit, one) for one in known):
            only_unit = any(matches(number, one.value) for one in known)
            wrong.append(text[number.start : number.end] + (told if only_unit else ""))
    units = {one.unit for one in known}
    for found in _NAMED.finditer(text):
        unit = canonical(found.group().replace(" ", ""))
        if unit not in units:
            wrong.append(found.group())
    return [printable(one) for one in dict.fromkeys(wrong)]


def _holds(number: Number, unit: str, fact: Quantity) -> bool:
    fits = unit in ("", fact.unit) or fact.unit == ANY or (unit == "deg" and fact.unit in _DEGREES)
    if not fits and fact.unit is not None and find_dimension(fact.unit) == find_dimension(unit) == "time":
        way = conversion(fact.unit, unit)
        return way is not None and matches(number, way.apply(fact.value))
    return fits and matches(number, fact.value)


def _numbers(text: str) -> Iterator[Number]:
    """Yield the numbers of a text, written in digits and in words; one alone is a pronoun."""
    for number in numbers(strip_identifiers(text)):
        yield _signed(number, text)
    for found in _SPELLED.finditer(text):
        words = [word for word in re.split(r"[\s-]+", found.group().lower()) if word != "and"]
        if words != ["one"]:
            yield _signed(Number(found.start(), found.end(), _value(words), 0), text)
    for found in _COUNT_OF.finditer(text):
        yield Number(found.start(), found.end(), 2.0 + _NTH.index(found["nth"].lower()), 0)
    for found in _ARTICLE.finditer(text):
        yield Number(found.start(), found.end(), *((0.5, 1) if found["half"] else (1.0, 0)))


def _signed(number: Number, text: str) -> Number:
    """Return a number below zero behind "minus"."""
    minus = _MINUS.search(text, max(0, number.start - 12), number.start)
    return number if minus is None else replace(number, value=-number.value)


def _value(words: list[str]) -> float:
    """Return the value of number words; not a number where they do not make one."""
    total = current = 0
    for word in words:
        if word in _SMALL:
            small = _SMALL[word]
            taken = current % 100 if small >= 10 else current % 10  # noqa: PLR2004 - twenty-one, not one-twenty
            if taken or current % 100 in range(10, 20):
                return float("nan")
            current += small
        elif word in ("hundred", "dozen"):
            current = (current or 1) * _SCALES[word]
        else:
            total += (current or 1) * _SCALES[word]
            current = 0
    return float(total + current)


def _unit_behind(text: str, end: int) -> tuple[str | None, str]:
    """Return the unit behind a number and its words: empty for none, None for one that no fact can have."""
    rest = text[end : end + 60]
    if multiple := _MULTIPLE.match(rest.lstrip()):
        return None, rest[: len(rest) - len(rest.lstrip()) + multiple.end()]
    found = _TWO_WORDS.match(rest) or _NEXT.match(rest)
    if found is None:
        return "", ""
    word = found["word"].rstrip(".-")
    if not word or (word.isdigit() and found["gap"]):
        return "", ""
    told, glued = rest[: found.end()].rstrip(".-"), not found["gap"]
    if _DEVICE.fullmatch(word):
        return DEVICES, told
    if _COUNTED.fullmatch(word):
        return COUNT, told
    if _OTHER_UNITS.fullmatch(word):
        return None, told
    if glued and _ORDINAL.fullmatch(word):
        return "", ""
    unit = _unit(word)
    if unit is not None and (glued or word not in _ENGLISH):
        return unit, told
    strange = glued or _PREFIXED.fullmatch(word) or not word[0].isalnum()
    return (None, told) if strange else ("", "")


def _unit(word: str) -> str | None:
    spelled = next((one for one in (word, word.removesuffix("s")) if one and is_spelling(one)), None)
    return None if spelled is None else canonical(spelled)
