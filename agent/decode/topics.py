"""Topic patterns: MQTT filters with named levels, ``site/{area}/{device}``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

MAX_TOPIC_BYTES = 256
MAX_LEVELS = 12
METRIC = "metric"

_NAME = re.compile(r"\{([A-Za-z][A-Za-z0-9_]{0,31})(\+?)\}")


class Identity(NamedTuple):
    """Device of a topic, the metric if the pattern names one, and the named levels."""

    device: str
    metric: str | None
    parts: Mapping[str, str] = {}


class _Level(NamedTuple):
    filter: str  # level of the MQTT filter
    text: str | None  # the level itself, None for a wildcard
    name: str | None = None
    least: int = 1  # levels of the topic that it takes at least
    many: bool = False  # it takes any number more


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """Match topics and name their parts.

    A level is text, which may be empty, ``{name}`` (one level), ``+`` (one level without a name), at one
    place ``{name+}`` (one or more levels), or at the end ``#`` (any number of levels). MQTT has no filter
    for levels behind ``{name+}``: ``filter`` covers the pattern, and the rest is compared here.

    Raises:
        ValueError: with a sentence for a person: the fault and the remedy.
    """

    text: str
    filter: str = field(init=False, compare=False)
    names: tuple[str, ...] = field(init=False, compare=False)
    _levels: tuple[_Level, ...] = field(init=False, compare=False, repr=False)
    _many: int | None = field(init=False, compare=False, repr=False)  # place of the level of many

    def __post_init__(self) -> None:
        levels = tuple(map(_level, _checked_levels(self.text)))
        many = [place for place, level in enumerate(levels) if level.many]
        if any(level.filter == "#" for level in levels[:-1]):
            raise ValueError("has '#' before its end; write it last, or {name+} for levels in between")
        if len(many) > 1:
            raise ValueError("takes any number of levels at two places; keep one of {name+} and #")
        names = tuple(level.name for level in levels if level.name)
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"names {{{name}}} twice; give each level a name of its own")
        asked = [level.filter for level in levels[: many[0] if many else None]]
        if many:
            asked += ["#"] * (not levels[many[0]].least) or ["+", "#"]
        object.__setattr__(self, "filter", "/".join(asked))
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "_levels", levels)
        object.__setattr__(self, "_many", many[0] if many else None)

    @property
    def unnamed(self) -> bool:
        """Whether it has a wildcard without a name."""
        return any(level.text is None and level.name is None for level in self._levels)

    @property
    def many(self) -> str | None:
        """The name of ``{name+}``, if it has one."""
        return None if self._many is None else self._levels[self._many].name

    def takes_all_of(self, other: "TopicPattern") -> bool:
        """Whether each topic of ``other`` is one of this pattern, as far as their filters show."""
        exact = self._many is None or self._many == len(self._levels) - 1
        return self.text == other.text or (exact and covers(self.filter, other.filter))

    def match(self, topic: str) -> dict[str, str] | None:
        """Return the named parts of ``topic`` in its order, or None where it does not match."""
        found = self.identify(topic)
        return None if found is None else dict(found.parts)

    def identify(self, topic: str) -> Identity | None:
        """Return device, metric and parts of ``topic``, or None where it does not match.

        The device is the named parts but the metric, joined with ``/``; without names the wildcard levels;
        without wildcards the topic. A metric of several levels is joined with dots.
        """
        spans = self._spans(topic)
        if spans is None:
            return None
        parts = {level.name: text for level, text in spans if level.name and text is not None}
        named = [text for name, text in parts.items() if name != METRIC]
        unnamed = [text for level, text in spans if level.name is None and text is not None]
        metric = parts.get(METRIC)
        return Identity(
            "/".join(named or unnamed) or topic, None if metric is None else metric.replace("/", "."), parts
        )

    def _spans(self, topic: str) -> list[tuple[_Level, str | None]] | None:
        """Return each wildcard with its text; ``#`` has none where it matches no level."""
        texts = topic.split("/")
        spare = len(texts) - len(self._levels)  # further levels that the level of many takes
        many = self._many
        if topic.startswith("$") or (spare if many is None else spare < self._levels[many].least - 1):
            return None
        spans: list[tuple[_Level, str | None]] = []
        at = 0
        for place, level in enumerate(self._levels):
            size = 1 + spare if place == many else 1
            text = "/".join(texts[at : at + size])
            at += size
            if level.text is None:
                spans.append((level, text if size else None))
            elif level.text != text:
                return None
        return spans


def overlap(a_filter: str, b_filter: str) -> bool:
    """Whether some topic matches both MQTT filters."""
    a, b = a_filter.split("/"), b_filter.split("/")
    for own, other in ((a[0], b[0]), (b[0], a[0])):
        if own in {"+", "#"} and other.startswith("$"):
            return False
    for own, other in zip(a, b, strict=False):
        if "#" in {own, other}:
            return True
        if own != other and "+" not in {own, other}:
            return False
    rest = a[len(b) :] or b[len(a) :]
    return not rest or rest == ["#"]


def covers(a_filter: str, b_filter: str) -> bool:
    """Whether every topic that matches ``b_filter`` matches ``a_filter`` too."""
    a, b = a_filter.split("/"), b_filter.split("/")
    if a[0] in {"+", "#"} and b[0].startswith("$"):
        return False
    for own, other in zip(a, b, strict=False):
        if own == "#":
            return True
        if other == "#" or own not in {"+", other}:
            return False
    return len(a) == len(b) or a[len(b) :] == ["#"]


def likeness(pattern: TopicPattern, topic: str) -> float:
    """Return how nearly ``pattern`` matches ``topic``, up to 1.0.

    A level that is text counts twice as much as a wildcard, by the letters that it has in common.
    """
    from difflib import SequenceMatcher  # noqa: PLC0415 - for a source that matches nothing

    found = whole = 0.0
    for level, text in zip_longest(pattern.filter.split("/"), topic[:MAX_TOPIC_BYTES].split("/")):
        if level == "#":
            return (found + 1.0) / (whole + 1.0)
        weight = 1.0 if level in {None, "+"} else 2.0
        whole += weight
        if level == "+" and text is not None:
            found += weight
        elif level is not None and text is not None:
            found += weight * SequenceMatcher(None, level, text).ratio()
    return found / whole


def _checked_levels(text: str) -> list[str]:
    if not text:
        raise ValueError("is empty; write a topic such as sensors/{device}/{metric}")
    if not text.isprintable():
        raise ValueError("holds a control character; write plain text")
    if text.startswith("$"):
        raise ValueError("begins with $, which belongs to the broker; subscribe to the devices' own topics")
    if len(text.encode()) > MAX_TOPIC_BYTES:
        raise ValueError(f"is longer than {MAX_TOPIC_BYTES} bytes; use a shorter topic")
    levels = text.split("/")
    if len(levels) > MAX_LEVELS:
        raise ValueError(f"has {len(levels)} levels; at most {MAX_LEVELS} are read")
    return levels


def _level(text: str) -> _Level:
    named = _NAME.fullmatch(text)
    if named:
        return _Level("+", None, named[1], many=bool(named[2]))
    if text in {"+", "#"}:
        return _Level(text, None, least=int(text == "+"), many=text == "#")
    if any(sign in text for sign in "+#{}"):
        raise ValueError(
            f"has the level {text!r}; a wildcard or {{name}} takes a whole level, "
            "and a name is up to 32 letters, digits and _"
        )
    return _Level(text, text)
