"""Answers in a form that outlives their window, and the key under which a like window finds them."""

import math
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from agent.domain.records import Answer, Window
from agent.prompt.ground import (
    Number,
    Path,
    facts,
    known_words,
    matches,
    numbers,
    plain,
    references,
    strip_identifiers,
    strip_times,
    strip_words,
)
from agent.prompt.render import VERSION
from agent.prompt.section import dump, load

LEVELS = 10  # of the context, in a key
_STATISTICS = ("median", "p01", "p99", "spread")


@dataclass(frozen=True, slots=True)
class Slot:
    """A number in a kept summary: its place in the text, and where a section holds its value."""

    start: int
    end: int
    path: Path
    decimals: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A grounded answer that cites candidates by index and numbers by path."""

    answer: Answer
    cited: tuple[int, ...]
    slots: tuple[Slot, ...]

    @property
    def size(self) -> int:
        """Bytes that it takes, roughly."""
        return 400 + 2 * len(self.answer.summary) + 80 * len(self.slots)


def fingerprint(window: Window, *context: object) -> str:
    """Return the key of windows that deserve the same answer.

    The section is quantised: statistics to 2 digits, candidate values to a quarter of the usual spread,
    scores to 0.1, context to tenths of its scale; counts to their magnitude; ids and times fall away.

    Args:
        window: the window.
        context: what else shapes an answer: model, parameters, schema.
    """
    section = load(window)
    series = {item["metric"]: item for item in section.get("series", ())}
    parts = [
        section["trigger"],
        _magnitude(section["readings"]),
        section["local"]["status"],
        section["local"]["kind"],
        round(section["local"]["score"], 1),
        [_series_key(item) for item in section["series"]],
        [_candidate_key(item, series.get(item["metric"], {})) for item in section["candidates"]],
    ]
    return sha256(dump([VERSION, list(context), parts]).encode()).hexdigest()


def freeze(answer: Answer, window: Window) -> Kept | None:
    """Return ``answer`` without values and ids of its window; None if one of them cannot be traced."""
    section = load(window)
    places = {candidate["id"]: place for place, candidate in enumerate(section["candidates"])}
    if not places.keys() >= set(answer.evidence) or references(answer.summary):
        return None
    known = facts(section, set(answer.evidence))
    slots = []
    for number in _numbers(answer.summary, section):
        path = next((fact.path for fact in known if matches(number, fact.value)), None)
        if path is None:
            return None
        slots.append(Slot(number.start, number.end, path, number.decimals))
    cited = tuple(places[ref] for ref in answer.evidence)
    return Kept(replace(answer, evidence=()), cited, tuple(slots))


def thaw(kept: Kept, window: Window) -> Answer | None:
    """Return the kept answer with the ids and values of ``window``; None where they do not fit."""
    section = load(window)
    candidates = section["candidates"]
    if any(place >= len(candidates) for place in kept.cited):
        return None
    summary = kept.answer.summary
    for slot in reversed(kept.slots):
        value = float(len(kept.cited)) if slot.path == ("cited",) else _follow(section, slot.path)
        if value is None:
            return None
        summary = f"{summary[: slot.start]}{value:.{slot.decimals}f}{summary[slot.end :]}"
    evidence = tuple(candidates[place]["id"] for place in kept.cited)
    return replace(kept.answer, evidence=evidence, summary=summary)


def _numbers(summary: str, section: dict[str, Any]) -> list[Number]:
    text = strip_words(strip_times(plain(summary)), known_words(section))
    return list(numbers(strip_identifiers(text)))


def _follow(section: Any, path: Path) -> float | None:
    value = section
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return float(value) if isinstance(value, int | float) else None


def _series_key(item: dict[str, Any]) -> list[Any]:
    return [
        item["metric"],
        item.get("unit"),
        _magnitude(item.get("n", 0)),
        [_two_digits(item.get(name)) for name in _STATISTICS],
        [_two_digits(side) for side in item.get("usual", ())],
        item.get("limits"),
        min(item.get("still", 0), LEVELS),
        [level * LEVELS // 1000 for level in item.get("last", ())],
    ]


def _candidate_key(item: dict[str, Any], series: dict[str, Any]) -> list[Any]:
    return [
        item["metric"],
        _steps(item["value"], series),
        round(item["score"], 1),
        item.get("kind"),
        item.get("limit", False),
    ]


def _steps(value: float | None, series: dict[str, Any]) -> float | None:
    """Return a candidate's value in quarters of the usual spread from the median."""
    spread, median = series.get("spread"), series.get("median")
    if value is None or median is None or not spread:
        return _two_digits(value)
    steps = 4 * (value - median) / spread
    return round(steps) if math.isfinite(steps) else None


def _two_digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.2g}")


def _magnitude(count: int) -> int:
    return int(count).bit_length()
