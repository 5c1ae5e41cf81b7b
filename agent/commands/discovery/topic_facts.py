"""Facts of each topic: family, readings, words, states, errors."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from agent.commands.discovery.device_keys import DeviceKeys
from agent.commands.discovery.heard import Message
from agent.decode.families import FAMILIES
from agent.decode.family import Elsewhere, Skip, Skipped
from agent.decode.registry import Decoded, Registry, SourceSpec
from agent.decode.topics import TopicPattern, covers
from agent.decode.values import VALUE
from agent.domain.records import DecodeError

OWN_ROOT: Final = "edge-agent"  # first level of the topics that agents publish to
GENERIC: Final = "generic"
CSV: Final = "csv"  # never recognised: any text with commas is one
MAX_WORDS = 12
MAX_MOVED = 16  # families below unusual base topics
MAX_PEEK = 65_536  # bytes of a payload that is searched for words and ids

#: Topics that carry no readings whatever their payload looks like, with the reason.
NEVER: Final = {
    "homeassistant/#": "discovery of Home Assistant",
    f"{OWN_ROOT}/#": "published by an edge agent",
}
#: Reasons of a topic that may carry a value later.
_AT_PRESENT = {Skip.NULL, Skip.EMPTY, Skip.NO_VALUE, Skip.NOT_FINITE, Skip.SENTINEL, Skip.UNKNOWN_ALIAS}
_COMMANDS = frozenset({"set", "get", "cmnd", "cmd", "command", "commands", "request"})
_STATES = {
    "online": True, "offline": False, "connected": True, "disconnected": False, "alive": True, "dead": False,
    "up": True, "down": False, "available": True, "unavailable": False,
}  # fmt: skip
_BITS = {"true": True, "false": False, "1": True, "0": False}
_STATE_LEVELS = frozenset({
    "status", "availability", "state", "lwt", "online", "connected", "connection", "available", "alive",
})  # fmt: skip
_BIT_LEVELS = frozenset({"online", "connected", "available", "alive"})


@dataclass(slots=True)
class TopicFacts:
    """One topic."""

    name: str
    families: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    readings: int = 0
    bare: bool = True  # each payload is one value without a name
    told: int = 0  # messages about availability, or from a device without a value
    words: dict[str, set[str]] = field(default_factory=dict)  # that no rule maps to a number, by metric
    states: set[str] = field(default_factory=set)  # online and offline words, if there is nothing else
    state_field: str | None = None  # key of the JSON payload that holds the word
    why: Counter[str] = field(default_factory=Counter)  # of messages without a value
    keys: DeviceKeys = field(default_factory=DeviceKeys)
    moved_to: SourceSpec | None = None  # of its family, which is below an unusual base topic

    @property
    def family(self) -> str:
        """The family that read most of its messages."""
        return self.families.most_common(1)[0][0] if self.families else GENERIC

    @property
    def never(self) -> str:
        """Why it is never read, empty otherwise."""
        last = self.name.rpartition("/")[2].casefold()
        if self.family == GENERIC and last in _COMMANDS:
            return "a command to a device"
        return next((why for own, why in NEVER.items() if covers(own, self.name)), "")

    @property
    def is_state(self) -> bool:
        """Whether it carries the availability of a device, and no family reads it as such."""
        return bool(self.states) and self.family == GENERIC

    @property
    def wanted(self) -> bool:
        """Whether a source should read it."""
        return not self.never and bool(self.readings or self.words or self.told or self.family == "sparkplug")

    @property
    def unread_because(self) -> str:
        """Why no source reads it, in words."""
        return self.never or (self.why.most_common(1)[0][0] if self.why else "no value")


def gather(messages: Sequence[Message]) -> dict[str, TopicFacts]:
    """Return the facts of all topics, read as a source for everything reads them.

    Where topics show that a family is below an unusual base topic, those below it are read as that family.
    """
    found = _gather(messages, SourceSpec("#"))
    for source in _moved(found):
        pattern = TopicPattern(source.topic)
        below = [one for one in messages if pattern.identify(one.topic) is not None]
        for name, facts in _gather(below, source).items():
            found[name] = facts
            facts.moved_to = source
    return found


def _moved(found: Mapping[str, TopicFacts]) -> list[SourceSpec]:
    """Return sources for the families with an unusual base topic, if no other family has topics below it."""
    sources: dict[str, SourceSpec] = {}
    for family, decoder in FAMILIES.items():
        place: Elsewhere | None = getattr(decoder, "elsewhere", None)
        if place is None:
            continue
        marked = (place.mark.fullmatch(one.name) for one in found.values() if one.family != family)
        for base in dict.fromkeys(mark[1] for mark in marked if mark is not None):
            inside = [one for one in found.values() if one.name.startswith(f"{base}/")]
            if {one.family for one in inside if has_layout(one.family)} <= {family}:
                topic = f"{base}/{place.tail}"
                sources.setdefault(base, SourceSpec(topic, format=family))
    return [one for one in sources.values() if is_topic(one.topic)][:MAX_MOVED]


def has_layout(family: str) -> bool:
    """Whether a family has topics of its own."""
    return family in FAMILIES and family != GENERIC and "#" not in FAMILIES[family].topics


def is_topic(topic: str) -> bool:
    """Whether a source can name it as it is."""
    try:
        TopicPattern(topic)
    except ValueError:
        return False
    return True


def _gather(messages: Iterable[Message], source: SourceSpec) -> dict[str, TopicFacts]:
    registry = Registry(sources=[source], base_topic=OWN_ROOT)
    tables = Registry(sources=[SourceSpec("#", format=CSV)], base_topic=OWN_ROOT)
    found: dict[str, TopicFacts] = {}
    for message in messages:
        facts = found.setdefault(message.topic, TopicFacts(message.topic))
        facts.messages += 1
        try:
            decoded = registry.decode(message.topic, message.payload, message.at, message.properties)
        except DecodeError as error:
            facts.why[f"quarantine: {error.reason}"] += 1
            continue
        if decoded.text_only and decoded.family == GENERIC:
            decoded = _as_table(tables, message) or decoded
        _note(facts, decoded, message)
    return found


def _as_table(tables: Registry, message: Message) -> Decoded | None:
    """Return a text as a line of CSV, if most of its cells are numbers."""
    with suppress(DecodeError):
        decoded = tables.decode(message.topic, message.payload, message.at, message.properties)
        if len(decoded.readings) > max(1, len(decoded.skipped)):
            return decoded
    return None


def _note(facts: TopicFacts, decoded: Decoded, message: Message) -> None:
    if decoded.family is not None:
        facts.families[decoded.family] += 1
    if not message.payload:
        return  # it deletes a retained message
    value = _peek(message.payload)
    state = _state_in(facts.name, value, message.payload) if decoded.family == GENERIC else None
    if state is not None and (facts.states or not facts.readings):
        facts.state_field, word = state
        facts.states.add(word)
        facts.told += 1
        return
    facts.states.clear()
    facts.readings += len(decoded.readings)
    facts.bare = facts.bare and all(reading.metric == VALUE for reading in decoded.readings)
    why = "" if decoded.readings else _why(decoded)
    reasons = {one.why for one in decoded.skipped}
    quiet = decoded.heard and (why == "no value" or (reasons and reasons <= _AT_PRESENT))
    facts.told += bool(decoded.online is not None or decoded.states or quiet)
    _note_words(facts, decoded.skipped)
    if isinstance(value, dict) and decoded.readings and decoded.family == GENERIC:
        facts.keys.note(value, {one.name.rpartition(".")[2] for one in decoded.skipped})
    if why:
        facts.why[why] += 1


def _why(decoded: Decoded) -> str:
    skips = {one.why for one in decoded.skipped}
    if skips & {Skip.TEXT, Skip.UNMAPPED}:
        return "text"
    if decoded.text_only and decoded.family not in {None, GENERIC}:
        return f"{decoded.family}: not about a value"
    return "no value"


def _state_in(topic: str, value: Any, payload: bytes) -> tuple[str | None, str] | None:
    """Return key and word of a payload that is the availability of a device."""
    last = topic.rpartition("/")[2].casefold()
    key, word = None, value
    if isinstance(value, dict):
        key, word = (
            next(iter(value.items()), (None, None)) if len(value) == 1 else ("state", value.get("state"))
        )
        if key is None or key.casefold() not in _STATE_LEVELS:
            return None
    elif value is None:
        word = payload[:32].decode(errors="replace")
    if isinstance(word, bool | str | float | int):
        text = str(word).strip().casefold()
        text = text.removesuffix(".0")
        name = key.casefold() if key else last
        if (text in _STATES and (last in _STATE_LEVELS or key)) or (text in _BITS and name in _BIT_LEVELS):
            return key, str(word).strip() if isinstance(word, str) else text
    return None


def opposites(words: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the online and offline words for those that were received."""
    said = {word.casefold() for word in words}
    table = _STATES | _BITS
    pairs = list(table)
    for place in range(0, len(pairs), 2):
        if said & set(pairs[place : place + 2]):
            said |= set(pairs[place : place + 2])
    return (
        tuple(word for word in pairs if word in said and table[word]),
        tuple(word for word in pairs if word in said and not table[word]),
    )


def _note_words(facts: TopicFacts, skipped: Iterable[Skipped]) -> None:
    for one in skipped:
        if one.why is not Skip.UNMAPPED:
            continue
        words = facts.words.setdefault(one.name, set()) if len(facts.words) < MAX_WORDS else set()
        if len(words) < MAX_WORDS and (word := one.word.strip()[:32]):
            words.add(word)


def _peek(payload: bytes) -> Any:
    if len(payload) > MAX_PEEK or payload[:1] not in {b"{", b"[", b'"', b"t", b"f", b"0", b"1"}:
        return None
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None
