"""Devices and metrics that proposed sources read, and unread values."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from agent.commands.discovery.heard import Message
from agent.commands.discovery.proposal import Proposed
from agent.commands.discovery.topic_facts import MAX_WORDS, OWN_ROOT, TopicFacts
from agent.decode.family import Skip
from agent.decode.registry import Decoded, Registry
from agent.decode.values import VALUE
from agent.domain.records import DecodeError, Reading

MAX_DEVICES = 2_000  # over all sources
MAX_METRICS = 128  # of one device
MAX_GAPS = 64
MAX_NAMES = 64  # metrics of one source with words


@dataclass(slots=True)
class Metric:
    """One series."""

    unit: str | None
    low: float
    high: float
    readings: int = 0

    def note(self, reading: Reading) -> None:
        """Take one reading."""
        self.readings += 1
        self.unit = reading.unit or self.unit
        self.low, self.high = min(self.low, reading.value), max(self.high, reading.value)


@dataclass(slots=True)
class Device:
    """One device."""

    messages: int = 0
    metrics: dict[str, Metric] = field(default_factory=dict)
    states: int = 0
    _last: float | None = None
    _gaps: list[float] = field(default_factory=list)

    def note(self, at: float, *, retained: bool) -> None:
        """Count a message; a retained one is from another time."""
        self.messages += 1
        if retained:
            return
        if self._last is not None and at - self._last >= 0.05 and len(self._gaps) < MAX_GAPS:  # noqa: PLR2004 - a report of several messages
            self._gaps.append(at - self._last)
        self._last = at

    @property
    def interval_s(self) -> float | None:
        """Seconds between two of its messages, None where fewer than three came."""
        return median(self._gaps) if len(self._gaps) > 1 else None


@dataclass(slots=True)
class SourceResult:
    """Devices and metrics of one source."""

    source: Proposed
    messages: int = 0
    devices: dict[str, Device] = field(default_factory=dict)
    words: dict[str, set[str]] = field(default_factory=dict)
    unread: Counter[str] = field(
        default_factory=Counter
    )  # topics with text that is neither read nor excluded
    skipped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Result:
    """Devices and metrics of all sources."""

    sources: list[SourceResult]
    missed: dict[str, str] = field(default_factory=dict)  # topics without a source, and why
    devices: int = 0
    devices_left_out: bool = False


def read_with(
    sources: Sequence[Proposed], messages: Iterable[Message], facts: Mapping[str, TopicFacts]
) -> Result:
    """Read the messages with the sources and return what comes of it."""
    result = Result([SourceResult(one) for one in sources])
    missed = {name: one.unread_because for name, one in facts.items()}
    if sources:
        registry = Registry(sources=[one.spec() for one in sources], base_topic=OWN_ROOT)
        by_label = {one.source.topic: one for one in result.sources}
        for message in messages:
            try:
                decoded = registry.decode(message.topic, message.payload, message.at, message.properties)
            except DecodeError:
                continue
            own = by_label.get(decoded.source or "")
            if own is not None and _note(result, own, decoded, message):
                missed.pop(message.topic, None)
    result.missed = missed
    return result


def _note(result: Result, own: SourceResult, decoded: Decoded, message: Message) -> bool:
    """Note one message; return whether it was read."""
    own.messages += 1
    own.skipped.update(str(one.why) for one in decoded.skipped)
    own.notes.update(map(str, decoded.notes))
    for one in decoded.skipped:
        if one.why is Skip.UNMAPPED and one.word:
            _note_word(own.words, message.topic if one.name == VALUE else one.name, one.word)
    heard = dict.fromkeys(decoded.heard) | {reading.device: None for reading in decoded.readings}
    states = [name for name, _ in decoded.states]
    if decoded.online is not None and decoded.device:
        states.append(decoded.device)
    for name in heard:
        device = _device(result, own, name)
        if device is not None:
            device.note(message.at, retained=message.retained)
    for name in states:
        device = _device(result, own, name)
        if device is not None:
            device.states += 1
    for reading in decoded.readings:
        device = own.devices.get(reading.device)
        if device is not None and (reading.metric in device.metrics or len(device.metrics) < MAX_METRICS):
            series = device.metrics.setdefault(
                reading.metric, Metric(reading.unit, reading.value, reading.value)
            )
            series.note(reading)
    if not decoded.readings and {one.why for one in decoded.skipped} & {Skip.TEXT, Skip.UNMAPPED}:
        own.unread[message.topic] += 1
        return any(one.word for one in decoded.skipped)
    return bool(decoded.readings or states or heard)


def _note_word(found: dict[str, set[str]], name: str, word: str) -> None:
    words = found.setdefault(name, set()) if name in found or len(found) < MAX_NAMES else set()
    if len(words) < MAX_WORDS:
        words.add(word.strip()[:32])


def _device(result: Result, own: SourceResult, name: str) -> Device | None:
    device = own.devices.get(name)
    if device is None:
        if result.devices >= MAX_DEVICES:
            result.devices_left_out = True
            return None
        device = own.devices[name] = Device()
        result.devices += 1
    return device
