"""Sources that read the topics of a broker, as ``discover`` proposes them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.commands.discovery.layouts import METRIC, Layout, below, group, named
from agent.commands.discovery.topic_facts import GENERIC, TopicFacts, has_layout, is_topic, opposites
from agent.decode.availability import AvailabilitySpec
from agent.decode.families import AUTO, FAMILIES
from agent.decode.registry import SourceSpec
from agent.decode.topics import TopicPattern, covers

MAX_SOURCES = 64
FEW_FIRST = 4  # first levels of a family with a source each; of more devices the site is one source
MAX_EXCLUDED = 32  # filters of one source
#: Families whose messages about no value explain others: units, members, aliases.
LEARNING = frozenset({"homie", "sparkplug", "ems_esp", "opcua_pubsub"})


@dataclass(slots=True, kw_only=True)
class Proposed:
    """One source with the topics that it was made for."""

    topic: str
    format: str = AUTO
    device: str | None = None
    availability: dict[str, Any] | None = None
    exclude: tuple[str, ...] = ()

    @property
    def pattern(self) -> TopicPattern:
        """Its topic as a pattern."""
        return TopicPattern(self.topic)

    def keys(self) -> dict[str, Any]:
        """Return its keys as the configuration has them, without those that have their default."""
        found: dict[str, Any] = {"topic": self.topic}
        if self.format != AUTO:
            found["format"] = self.format
        if self.device is not None:
            found["device"] = self.device
        if self.exclude:
            found["exclude"] = self.exclude
        if self.availability is not None:
            found["availability"] = self.availability
        return found

    def spec(self) -> SourceSpec:
        """Return it as the registry takes it."""
        keys = self.keys()
        if "availability" in keys:
            keys["availability"] = AvailabilitySpec(**keys["availability"])
        return SourceSpec(**keys)


def propose(facts: Mapping[str, TopicFacts]) -> list[Proposed]:
    """Return the sources for the topics that carry values, the most exact ones first."""
    readable = [one for one in facts.values() if one.wanted and not one.is_state and is_topic(one.name)]
    found = [*_of_families(readable), *_of_layouts(readable)]
    for place, source in enumerate(found):
        found[place] = replace(source, availability=_availability(source, facts.values()))
    found = _once(sorted(found, key=_exactness))[:MAX_SOURCES]
    return [
        replace(source, exclude=excluded)
        for source, excluded in zip(found, _excluded(found, facts), strict=True)
    ]


def _of_families(facts: Iterable[TopicFacts]) -> Iterator[Proposed]:
    """Yield the sources of families whose topics have a layout of their own."""
    topics: dict[str, list[str]] = defaultdict(list)
    moved: dict[str, str] = {}
    for one in facts:
        if one.moved_to is not None:
            moved[one.moved_to.topic] = one.moved_to.format
        elif has_layout(one.family):
            topics[one.family].append(one.name)
    yield from (Proposed(topic=topic, format=family) for topic, family in moved.items())
    for family, members in topics.items():
        shapes = below(FAMILIES[family].topics, members)
        loose = [topic for pattern, own in shapes.items() if pattern.startswith("+") for topic in own]
        firsts = sorted({topic.split("/")[0] for topic in loose})
        for pattern, own in shapes.items():
            if not pattern.startswith("+"):
                if "+" in pattern:  # a wildcard without a name would be taken for the device
                    pattern = f"{pattern.split('/')[0]}/#"  # noqa: PLW2901
                yield Proposed(topic=pattern, format=family)
            elif len(firsts) <= FEW_FIRST and all(firsts):
                yield from (Proposed(topic=f"{one}/#", format=family) for one in firsts)
            else:
                yield from (Proposed(topic=one, format=family) for one in named(pattern, own))


def _of_layouts(facts: Iterable[TopicFacts]) -> Iterator[Proposed]:
    """Yield the sources of topics with levels for device and metric."""
    groups: dict[tuple[str, tuple[str, ...]], dict[str, bool]] = defaultdict(dict)
    for one in facts:
        if not has_layout(one.family):
            groups[one.family, one.keys.chosen()][one.name] = one.bare and one.family == GENERIC
    for (family, keys), topics in groups.items():
        for layout in group(topics):
            yield _from_layout(layout, AUTO if family == GENERIC else family, keys)


def _from_layout(layout: Layout, form: str, keys: tuple[str, ...]) -> Proposed:
    device = layout.device
    if keys:
        names = [f"{{{name}}}" for name in TopicPattern(layout.topic).names if name != METRIC]
        device = "/".join([*names, *(f"{{$.{path}}}" for path in keys)])
    return Proposed(topic=layout.topic, format=form, device=device)


def _once(sources: Iterable[Proposed]) -> list[Proposed]:
    """Drop sources that an earlier one covers and reads in the same way."""
    found: list[Proposed] = []
    for source in sources:
        if not any(
            one.format == source.format
            and has_layout(one.format)
            and covers(one.pattern.filter, source.pattern.filter)
            for one in found
        ):
            found = [
                one
                for one in found
                if one.format != source.format
                or not has_layout(one.format)
                or not covers(source.pattern.filter, one.pattern.filter)
            ]
            found.append(source)
    return found


def _exactness(source: Proposed) -> tuple[int, int, str]:
    levels = source.pattern.filter.split("/")
    wild = sum(level in {"+", "#"} for level in levels)
    return int(levels[0] in {"+", "#"}), wild - len(levels), source.topic


def _availability(source: Proposed, facts: Iterable[TopicFacts]) -> dict[str, Any] | None:
    """Return the availability topic of a source's devices, made of the states that were received."""
    levels = source.topic.split("/")
    named = [
        place for place, level in enumerate(levels) if level.startswith("{") and level != f"{{{METRIC}}}"
    ]
    if has_layout(source.format):
        named = [place for place in named if place == 0]  # the device; the family names the rest
    if source.device is not None or (has_layout(source.format) and not named):
        return None
    front = levels[: named[-1] + 1] if named else levels
    found: dict[str, list[TopicFacts]] = defaultdict(list)
    for one in facts:
        if one.is_state:
            topic = "/".join([*front, one.name.rpartition("/")[2]])
            if is_topic(topic) and TopicPattern(topic).identify(one.name) is not None:
                found[topic].append(one)
    if not found:
        return None
    topic, states = max(found.items(), key=lambda item: len(item[1]))
    online, offline = opposites(word for one in states for word in one.states)
    keys: dict[str, Any] = {"topic": topic, "online": online, "offline": offline}
    if (key := states[0].state_field) not in {None, "state"}:
        keys["field"] = f"$.{key}"
    return keys


def _excluded(sources: Sequence[Proposed], facts: Mapping[str, TopicFacts]) -> list[tuple[str, ...]]:
    """Return for each source the topics that it would take although nothing can be read from them."""
    unwanted: list[list[TopicFacts]] = [[] for _ in sources]
    wanted: list[list[str]] = [[] for _ in sources]
    patterns = [source.pattern for source in sources]
    watches = [TopicPattern(one.availability["topic"]) for one in sources if one.availability]
    for one in facts.values():
        if any(watch.identify(one.name) for watch in watches):
            continue
        place = next((place for place, own in enumerate(patterns) if own.identify(one.name)), None)
        if place is not None and is_topic(one.name):
            if one.wanted or one.family in LEARNING:
                wanted[place].append(one.name)
            else:
                unwanted[place].append(one)
    return [tuple(_filters(own, keep)) for own, keep in zip(unwanted, wanted, strict=True)]


def _filters(unwanted: Collection[TopicFacts], wanted: Sequence[str]) -> list[str]:
    """Return few filters for the unwanted topics, none of which takes a wanted one."""
    left = {one.name for one in unwanted}
    found: list[str] = []
    for name in sorted(left):
        if any(covers(one, name) for one in found):
            continue
        wide = next((one for one in _wider(name) if not any(covers(one, own) for own in wanted)), name)
        alike = sum(covers(wide, other) for other in left)
        found.append(wide if alike > 1 else name)
    return found[:MAX_EXCLUDED]


def _wider(topic: str) -> Iterator[str]:
    """Yield filters for a topic and those like it: all below its second level, its last level anywhere."""
    levels = topic.split("/")
    if len(levels) > 2:  # noqa: PLR2004 - first and second level, and one below
        yield f"{levels[0]}/{levels[1]}/#"
        yield "/".join([levels[0], *["+"] * (len(levels) - 2), levels[-1]])
