"""The claims of a sentence, numbers and identifiers, and the facts of a section that they may match."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

RELATIVE_TOLERANCE = 0.05

_ISO_TIME = re.compile(
    r"\b\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?(?![\d:])"
)
_REF = re.compile(r"\b[rR](\d+)\b")
_IDENTIFIER = re.compile(r"(?<![\w.])[A-Za-z][A-Za-z_]*[-_#]?\d[\w-]*(?:\.\d+)?")
_NUMBER = re.compile(
    r"(?<!\w)(?<!\d\.)[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,2})?"
)
#: The names of the printed statistics p01 and p99, as people say them.
_PERCENTILE = re.compile(r"(?i)\b(?:1(?:st)?|99(?:th)?)[ -]?(?:%|percent(?:iles?)?\b)")
#: Words of letters and digits that name no device: substances, particle sizes, statistics.
_PLAIN = re.compile(r"(?i)co2|h2o|o2|o3|no2|so2|nh3|n2|pm\.?(?:1|10|25|2[._]?5)|p01|p99|p1|ph\d?")
_DASHES = str.maketrans({"\u2212": "-", "\u2010": "-", "\u2011": "-", "\u2013": " ", "\u2014": " "})

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a sentence, where it stands and how precisely it is printed."""

    start: int
    end: int
    value: float
    decimals: int


@dataclass(frozen=True, slots=True)
class Fact:
    """A number that the section prints, and its path in the section."""

    path: Path
    value: float


def plain(text: str) -> str:
    """Return ``text`` with one kind of minus sign, same length."""
    return text.translate(_DASHES)


def strip_times(text: str) -> str:
    """Blank out ISO dates and times, and the names of percentiles, keeping all places."""
    return _PERCENTILE.sub(_blank, _ISO_TIME.sub(_blank, text))


def strip_words(text: str, words: Collection[str]) -> str:
    """Blank out the known ``words`` (metrics, units), longest first, keeping all places."""
    for word in sorted(words, key=len, reverse=True):
        spoken = re.escape(word).replace("_", "[_ ]")
        text = re.sub(rf"(?i)(?<!\w){spoken}(?!\w)", _blank, text)
    return text


def references(text: str) -> list[str]:
    """Return the reading ids in ``text``, as ``r17``."""
    return [f"r{int(match.group(1)[:9])}" for match in _REF.finditer(text)]


def identifiers(text: str) -> list[str]:
    """Return the words of letters and digits in ``text`` that look like a name, without reading ids."""
    found = [match.group() for match in _IDENTIFIER.finditer(text)]
    return [word for word in found if not _REF.fullmatch(word) and not _PLAIN.fullmatch(word)]


def strip_identifiers(text: str) -> str:
    """Blank out every word of letters and digits, so that ``pump-1`` does not yield a number."""
    return _IDENTIFIER.sub(_blank, text)


def numbers(text: str) -> Iterator[Number]:
    """Yield the numbers in ``text``; identifiers and times must be gone."""
    last = 0  # where the number before ends
    for match in _NUMBER.finditer(text):
        start, printed = match.start(), match.group()
        before = text[last:start].rstrip() or text[max(0, last - 1) : last]
        last = match.end()
        if printed[0] in "+-" and before[-1:].isdigit():
            printed, start = printed[1:], start + 1  # "70-72" is a range
        digits = printed.replace(",", "")
        decimals = 0
        if "e" not in digits.lower():
            decimals = len(digits.partition(".")[2])
        yield Number(start, match.end(), float(digits), decimals)


def matches(number: Number, fact: float) -> bool:
    """Say whether the printed number is ``fact`` rounded to as many decimals, and within 5 % of it."""
    half = 0.5000001 * 10.0**-number.decimals
    if abs(number.value - fact) > half:
        return False
    return abs(number.value - fact) <= RELATIVE_TOLERANCE * max(abs(fact), abs(number.value))


def facts(section: dict[str, Any], cited: Collection[str]) -> list[Fact]:
    """Return the numbers that a sentence on this section may use.

    These are the values, expected ranges, scores and delays of the ``cited`` candidates; limits and
    statistics of every series; the window's counts; and how many readings are cited.
    """
    found: list[Fact] = []
    for place, candidate in enumerate(section.get("candidates", ())):
        if candidate.get("id") in cited:
            found += _facts(("candidates", place), candidate, ("value", "expected", "score", "after_s"))
    for place, series in enumerate(section.get("series", ())):
        names = ("limits", "usual", "median", "p01", "p99", "spread", "scale", "still", "n")
        found += _facts(("series", place), series, names)
    found += _facts((), section, ("readings", "span_s"))
    found += _facts(("local",), section.get("local", {}), ("score",))
    found.append(Fact(("cited",), float(len(cited))))
    return found


def _facts(path: Path, item: dict[str, Any], names: tuple[str, ...]) -> Iterator[Fact]:
    for name in names:
        value = item.get(name)
        if isinstance(value, list):
            for place, side in enumerate(value):
                if isinstance(side, int | float):
                    yield Fact((*path, name, place), float(side))
        elif isinstance(value, int | float):
            yield Fact((*path, name), float(value))


def _blank(match: re.Match[str]) -> str:
    return " " * len(match.group())
