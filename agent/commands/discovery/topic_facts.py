"""Facts of each topic: family, readings, words, states, errors."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from agent.commands.discovery.heard import Message
from agent.decode.family import Skip, Skipped
from agent.decode.key_roles import is_id, is_no_value
from agent.decode.registry import Decoded, Registry, SourceSpec
from agent.decode.topics import covers
from agent.decode.values import VALUE
from agent.domain.records import DecodeError

OWN_ROOT: Final = "edge-agent"  # first level of the topics that agents publish to
GENERIC: Final = "generic"
CSV: Final = "csv"  # never recognised: any text with commas is one
MAX_WORDS = 12
MAX_IDS = 64
MAX_PEEK = 65_536  # bytes of a payload that is searched for words and ids

#: Topics that carry no readings whatever their payload looks like, with the reason.
NEVER: Final = {
    "homeassistant/#": "discovery of Home Assistant",
    f"{OWN_ROOT}/#": "published by an edge agent",
}
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
    ids: dict[str, Counter[str]] = field(default_factory=dict)  # texts at keys that may name a device

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

    def id_key(self) -> str | None:
        """Return the key of the payload that distinguishes the devices of this topic."""
        for key, texts in self.ids.items():
            repeats = sum(texts.values()) > len(texts)
            if len(texts) > 1 and len(texts) < MAX_IDS and (repeats or key.casefold() != "id"):
                return key
        return None


def gather(messages: Iterable[Message]) -> dict[str, TopicFacts]:
    """Return the facts of all topics, read as a source for everything reads them."""
    registry = Registry(sources=[SourceSpec("#")], base_topic=OWN_ROOT)
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
    facts.told += bool(decoded.online is not None or decoded.states or (decoded.heard and why == "no value"))
    _note_words(facts, decoded.skipped, message.payload, value)
    if isinstance(value, dict) and decoded.family == GENERIC:
        _note_ids(facts, value)
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


def _note_words(facts: TopicFacts, skipped: Iterable[Skipped], payload: bytes, value: Any) -> None:
    for one in skipped:
        if one.why is not Skip.UNMAPPED:
            continue
        words = facts.words.setdefault(one.name, set()) if len(facts.words) < MAX_WORDS else set()
        word = (
            _word_at(value, one.name)
            if isinstance(value, dict | list)
            else payload[:64].decode(errors="replace")
        )
        if word and len(words) < MAX_WORDS:
            words.add(word.strip()[:32])


def _note_ids(facts: TopicFacts, value: Mapping[str, Any]) -> None:
    for key, item in value.items():
        if not (is_id(key) or is_no_value(key)) or isinstance(item, bool) or not isinstance(item, str | int):
            continue
        if key in facts.ids or len(facts.ids) < MAX_WORDS:
            texts = facts.ids.setdefault(key, Counter())
            text = str(item)[:64]
            if text in texts or len(texts) < MAX_IDS:
                texts[text] += 1


def _peek(payload: bytes) -> Any:
    if len(payload) > MAX_PEEK or payload[:1] not in {b"{", b"[", b'"', b"t", b"f", b"0", b"1"}:
        return None
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None


def _word_at(value: Any, name: str) -> str | None:
    """Return the text at a dotted path; keys may hold dots themselves."""
    rest = name
    while isinstance(value, dict):
        key = next((key for key in value if rest == key or rest.startswith(f"{key}.")), None)
        if key is None:
            return None
        value, rest = value[key], rest[len(key) + 1 :]
    return value if isinstance(value, str) else None
