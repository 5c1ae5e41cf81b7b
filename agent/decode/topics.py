"""Topic patterns: MQTT filters with named levels, ``site/{area}/{device}``."""

import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import NamedTuple

MAX_TOPIC_BYTES = 256
MAX_LEVELS = 12

_NAME = re.compile(r"\{([A-Za-z][A-Za-z0-9_]{0,31})(\+?)\}")
_METRIC = "metric"


class Identity(NamedTuple):
    """Device of a topic, and the metric if the pattern names one."""

    device: str
    metric: str | None


@dataclass(frozen=True, slots=True)
class TopicPattern:
    """Match topics and name their parts.

    A level is text, ``{name}`` (one level), ``+`` (one level without a name), or, as the last level only,
    ``{name+}`` (one or more levels) or ``#`` (any number of levels).

    Raises:
        ValueError: with a sentence for a person: the fault and the remedy.
    """

    text: str
    filter: str = field(init=False, compare=False)
    names: tuple[str, ...] = field(init=False, compare=False)
    _regex: re.Pattern[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        texts = _checked_levels(self.text)
        levels = [_level(text, place, last=place == len(texts) - 1) for place, text in enumerate(texts)]
        names = tuple(level.name for level in levels if level.name)
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"names {{{name}}} twice; give each level a name of its own")
        object.__setattr__(self, "filter", "/".join(level.filter for level in levels))
        object.__setattr__(self, "names", names)
        # A wildcard in the first place does not match the broker's own $ topics (MQTT 5, 4.7.2).
        regex = r"(?!\$)" + "".join(level.regex for level in levels)
        object.__setattr__(self, "_regex", re.compile(regex, re.DOTALL))

    def match(self, topic: str) -> dict[str, str] | None:
        """Return the named parts of ``topic`` in its order, or None where it does not match."""
        found = self._regex.fullmatch(topic)
        return {name: found[name] for name in self.names} if found else None

    def identify(self, topic: str) -> Identity | None:
        """Return device and metric of ``topic``, or None where it does not match.

        The device is the named parts but the metric, joined with ``/``; without names the wildcard levels;
        without wildcards the topic. A metric of several levels is joined with dots.
        """
        found = self._regex.fullmatch(topic)
        if found is None:
            return None
        parts = found.groupdict()
        metric = parts.pop(_METRIC, None)
        named = [parts[name] for name in self.names if name != _METRIC]
        unnamed = [text for text in parts.values() if text is not None]
        device = "/".join(named or unnamed) or topic
        return Identity(device, metric.replace("/", ".") if metric is not None else None)


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


class _Level(NamedTuple):
    filter: str
    regex: str  # with the slash that leads to it
    name: str | None = None


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
    if "" in levels:
        raise ValueError("has an empty level; remove the doubled, leading or trailing '/'")
    if len(levels) > MAX_LEVELS:
        raise ValueError(f"has {len(levels)} levels; at most {MAX_LEVELS} are read")
    return levels


def _level(text: str, place: int, *, last: bool) -> _Level:
    slash = "/" if place else ""
    unnamed = f"_{place}"  # no name that a user gives begins with an underscore
    named = _NAME.fullmatch(text)
    if (text == "#" or (named and named[2])) and not last:
        raise ValueError(f"has {text!r} before its end; it may only be the last level")
    if named and named[2]:
        return _Level("+/#", f"{slash}(?P<{named[1]}>.+)", named[1])
    if named:
        return _Level("+", f"{slash}(?P<{named[1]}>[^/]*)", named[1])
    if text == "+":
        return _Level("+", f"{slash}(?P<{unnamed}>[^/]*)")
    if text == "#":
        return _Level("#", f"(?:{slash}(?P<{unnamed}>.*))" + ("?" if slash else ""))
    if any(sign in text for sign in "+#{}"):
        raise ValueError(
            f"has the level {text!r}; a wildcard or {{name}} takes a whole level, "
            "and a name is up to 32 letters, digits and _"
        )
    return _Level(text, slash + re.escape(text))
