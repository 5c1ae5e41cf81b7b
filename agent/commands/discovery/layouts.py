"""Layouts of topics: which levels vary, and what they name."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agent.decode.topics import covers
from agent.domain.metric_names import MetricClass, find_dimensions, look_up

METRIC = "metric"
KNOWN_SHARE = 0.34  # of the texts of a level that are names of metrics
MANY_FIRST = 24  # topics that differ in the first level; more of them get a wildcard in front
MAX_KINDS = 4  # texts of a level that stay text, such as sensor and binary_sensor
_AREAS = ("site", "building", "area", "line", "cell", "group")
_DIGITS = re.compile(r"\d+")

Levels = tuple[str, ...]


class _Bucket(NamedTuple):
    first: str
    size: int
    bare: bool


@dataclass(slots=True)
class Layout:
    """A pattern of topics with the topics that it was made of."""

    levels: Levels
    topics: list[Levels]
    device: str | None = None  # a constant, where no level names it

    @property
    def topic(self) -> str:
        """The pattern as a source has it."""
        return "/".join(self.levels)


def group(topics: Mapping[str, bool]) -> list[Layout]:
    """Return the layouts of topics; the value is true if a topic carries one value without a name.

    The first level stays text where it can: a source with a wildcard in front reads topics of everybody.
    Names of devices with slashes make topics of several lengths.
    """
    trees: dict[tuple[str, bool], list[Levels]] = {}
    for topic, bare in topics.items():
        levels = tuple(topic.split("/"))
        trees.setdefault((levels[0], bare), []).append(levels)
    found: list[Layout] = []
    buckets: dict[_Bucket, list[Levels]] = {}
    for (root, bare), members in trees.items():
        deep = _with_slashes(members, bare=bare)
        found += [] if deep is None else [deep]
        taken = set[Levels]() if deep is None else set(deep.topics)
        for levels in members:
            if levels not in taken:
                buckets.setdefault(_Bucket(root, len(levels), bare), []).append(levels)
    while buckets:
        first = next(iter(buckets))
        members = [levels for one in _alike(first, buckets) for levels in buckets.pop(one)]
        found.append(_lay_out(members, bare=first.bare))
    return found


def _with_slashes(topics: Sequence[Levels], *, bare: bool) -> Layout | None:
    """Return the layout of topics whose devices have names of one or more levels, None without such names.

    The end that they have in common is the level of the metric, or one text.
    """
    ends = list(dict.fromkeys(levels[-1] for levels in topics))
    if bare and _known(ends) < KNOWN_SHARE:
        return None
    end = [f"{{{METRIC}}}"] if bare else ends if len(ends) == 1 else []
    members = [levels for levels in topics if len(levels) >= len(end) + 2]
    lengths = {len(levels) for levels in members}
    if len(lengths) < 2:  # noqa: PLR2004 - several lengths
        return None
    longest = min(lengths) - len(end) - 1
    front = 1
    while front < longest and len({levels[front] for levels in members}) == 1:
        front += 1
    return Layout((*members[0][:front], "{device+}", *end), members)


def _alike(first: _Bucket, buckets: Mapping[_Bucket, list[Levels]]) -> list[_Bucket]:
    """Return the buckets that differ from ``first`` in the first level only, if they are many."""
    tails = {levels[1:] for levels in buckets[first]}
    same = [
        one for one in buckets if one[1:] == first[1:] and any(levels[1:] in tails for levels in buckets[one])
    ]
    return same if len(same) > MANY_FIRST else [first]


def _lay_out(topics: Sequence[Levels], *, bare: bool) -> Layout:
    size = len(topics[0])
    texts = [list(dict.fromkeys(levels[place] for levels in topics)) for place in range(size)]
    metric = _metric_level(texts) if bare else None
    devices = [place for place in range(size) if len(texts[place]) > 1 and place != metric]
    device = None
    if not devices and metric is not None:
        if metric > 1:
            devices = [metric - 1]
        else:
            device = "/".join(text[0] for place, text in enumerate(texts) if place != metric) or None
            metric = None if device is None else metric
    levels = [text[0] for text in texts]
    for place, name in zip(devices, _names(len(devices)), strict=True):
        levels[place] = f"{{{name}}}"
    if metric is not None:
        levels[metric] = f"{{{METRIC}}}"
    return Layout(tuple(levels), list(topics), device)


def _metric_level(texts: Sequence[Collection[str]]) -> int | None:
    """Return the level that names the metric of topics with one value each."""
    last = len(texts) - 1
    if last == 0:
        return None
    shares = [_known(text) for text in texts]
    if shares[last] >= KNOWN_SHARE:
        return last
    varied = [place for place in range(last + 1) if len(texts[place]) > 1]
    best = max(varied, key=lambda place: shares[place], default=last)
    if shares[best] >= KNOWN_SHARE:
        return best
    if max(shares) >= KNOWN_SHARE or last not in varied:
        return None  # temperature/kitchen: the level of the quantity is text
    if len({_DIGITS.sub("", text) for text in texts[last]}) == 1:
        return None  # pump1, pump2: devices
    return last


def _known(texts: Collection[str]) -> float:
    """Return the share of texts that name a quantity or a diagnostic value."""
    return sum(_is_quantity(text) for text in texts) / len(texts)


def _is_quantity(text: str) -> bool:
    kind = look_up(text).kind
    return len(text) > 1 and (bool(find_dimensions(text)) or kind is MetricClass.DIAGNOSTIC)


def _names(count: int) -> list[str]:
    """Return names for the levels of a device, the last one ``device``."""
    areas = _AREAS[-(count - 1) :] if 1 < count <= len(_AREAS) + 1 else [f"level{n}" for n in range(1, count)]
    if count in {2, 3}:
        areas = ("site", "area")[-(count - 1) :]
    return [*areas, "device"][-count:] if count else []


def below(filters: Iterable[str], topics: Iterable[str]) -> dict[str, list[str]]:
    """Group topics of a family by those of its filters that have them; the one with the most text wins."""
    ranked = sorted(filters, key=lambda text: -sum(level not in {"+", "#"} for level in text.split("/")))
    found: dict[str, list[str]] = {}
    for topic in topics:
        own = next((one for one in ranked if covers(one, topic)), "#")
        found.setdefault(own, []).append(topic)
    return found


def named(pattern: str, topics: Iterable[str]) -> list[str]:
    """Return patterns with names in place of wildcards, so that each device of a site is in the same source.

    A level between the device and the last wildcard stays text where it has few texts, each of several
    devices: ``sensor`` and ``binary_sensor``.
    """
    levels = pattern.split("/")
    wild = [place for place, level in enumerate(levels) if level in {"+", "#"}]
    every = [topic.split("/") for topic in topics]
    fixed = [place for place in wild[1:-1] if _is_kind(place, every)]
    left = [place for place in wild if place not in fixed]
    devices = [n for n, place in enumerate(left) if n == place]  # those in front
    parts = [f"part{n}" if n else "part" for n in range(len(left) - len(devices))]
    names = dict(zip(left, (*_names(len(devices)), *parts), strict=True))
    shown = [
        f"{{{names[place]}{'+' if level == '#' else ''}}}" if place in names else level
        for place, level in enumerate(levels)
    ]
    return list(
        dict.fromkeys(
            "/".join(own[place] if place in fixed else level for place, level in enumerate(shown))
            for own in every
        )
    )


def _is_kind(place: int, topics: Sequence[Sequence[str]]) -> bool:
    """Whether a level has few texts, and all of them at more than one first level."""
    firsts: dict[str, set[str]] = {}
    for levels in topics:
        firsts.setdefault(levels[place], set()).add(levels[0])
    return len(firsts) <= MAX_KINDS and all(len(own) > 1 for own in firsts.values())
