"""The registry of sources: source and family of a message, and its readings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple

from agent.decode.availability import AvailabilityDecoder, AvailabilitySpec, availability_pattern
from agent.decode.families import AUTO, FAMILIES, formats
from agent.decode.family import (
    Content,
    DecodeLimits,
    Decoder,
    Family,
    Note,
    Properties,
    Route,
    Skipped,
    TimeFrom,
)
from agent.decode.message_id import MessageIdPath
from agent.decode.strict_json import too_large
from agent.decode.topics import TopicPattern, covers, likeness, overlap
from agent.decode.traceparent import find_traceparent
from agent.decode.values import is_name
from agent.domain.keys import Key
from agent.domain.records import DecodeError, DecodeReason, Handling, Reading

__all__ = ["FAMILIES", "DecodeLimits", "Decoded", "Registry", "SourceSpec"]

_RETAINED = ("seed", "live", "ignore")
_MAX_ROUTES = 4096  # topics whose route is kept; a flood of topics costs time, not memory


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One entry of ``sources`` in the configuration."""

    topic: Annotated[
        str,
        Key(
            "`{name}` is one level of the topic; all named parts except `{metric}` form the device id;"
            " filters that overlap are refused"
        ),
    ]
    format: Annotated[str, Key("payload format; `auto` asks each family in turn", one_of=formats())] = AUTO
    qos: Annotated[Literal[0, 1], Key("0 gives up the promise that no message is lost")] = 1
    retained: Annotated[
        str,
        Key(
            "a retained message is only the last value (`seed`), a reading (`live`) or ignored",
            one_of=_RETAINED,
        ),
    ] = "seed"
    availability: Annotated[
        AvailabilitySpec | None, Key("online and offline topic of the devices; offline is silence at once")
    ] = None
    dedupe: Annotated[
        str | None,
        Key(
            "path of the publisher's message id in a JSON payload, such as `$.id`; a message with a known id"
            " counts once (24 h, at most 100,000 ids)"
        ),
    ] = None
    new_devices_per_min: Annotated[
        int,
        Key(
            "new device ids per minute, after a burst of 10,000; messages beyond it go to quarantine, known"
            " devices continue",
            ge=0,
            le=1_000_000,
        ),
    ] = 200
    name: str = ""  # the topic when empty

    @property
    def label(self) -> str:
        """What a person calls this source."""
        return self.name or self.topic


class Decoded(NamedTuple):
    """The result for one message, with enough to explain it."""

    source: str | None  # None: under the agent's own base topic, never a reading
    readings: tuple[Reading, ...]
    traceparent: str | None  # valid (W3C), from the user property, else from the payload
    text_only: bool  # nothing but text: acknowledged and counted
    retained: str  # what the source wants of retained messages: seed | live | ignore
    device: str | None = None  # what the topic names
    family: str | None = None
    time_from: TimeFrom = TimeFrom.RECEIPT
    notes: tuple[Note, ...] = ()
    skipped: tuple[Skipped, ...] = ()  # at most 16 values that did not become readings
    online: bool | None = None  # availability that the device reports of itself
    message_id: str | None = None  # the publisher's, at the path that the source configures
    heard: tuple[str, ...] = ()  # devices of the message that have no value in it
    handling: Handling = Handling.READ


_READ = Handling.READ
_OWN = Decoded(None, (), None, text_only=False, retained="ignore", handling=Handling.OWN)


class _Source(NamedTuple):
    spec: SourceSpec
    pattern: TopicPattern
    families: tuple[tuple[str, Family], ...]  # asked first, in this order, if they have the topic
    otherwise: tuple[str, Decoder]
    id_path: MessageIdPath | None = None
    device: str | None = None  # instead of the device that the topic names


class Registry:
    """Decode messages of the configured sources.

    Raises:
        ValueError: for a bad pattern, an unknown format or ``retained``, and filters that overlap.
    """

    def __init__(
        self,
        *,
        sources: Sequence[SourceSpec],
        limits: DecodeLimits | None = None,
        base_topic: str,
        max_future_skew_s: float = 300.0,
    ) -> None:
        self._limits = limits or DecodeLimits()
        self._base = base_topic
        decoders = {
            name: family(limits=self._limits, max_future_skew_s=max_future_skew_s)
            for name, family in FAMILIES.items()
        }
        self._sources = tuple(_source(spec, decoders) for spec in sources)
        self._watches = tuple(_watch(spec, self._limits) for spec in sources if spec.availability is not None)
        self._routes: dict[str, tuple[_Source, Route]] = {}
        _refuse_overlaps(self.filters + self.watched)

    @property
    def filters(self) -> tuple[str, ...]:
        """MQTT filters of the sources, in their order."""
        return tuple(source.pattern.filter for source in self._sources)

    @property
    def watched(self) -> tuple[str, ...]:
        """MQTT filters of the availability topics, except those that their own source's filter covers."""
        return tuple(
            watch.pattern.filter
            for watch in self._watches
            if not covers(TopicPattern(watch.spec.topic).filter, watch.pattern.filter)
        )

    def decode(self, topic: str, payload: bytes, received: float, properties: Properties = ()) -> Decoded:
        """Return the readings of one message.

        Args:
            topic: as the broker sent it.
            payload: as the broker sent it.
            received: receipt time, Unix seconds.
            properties: MQTT 5 user properties in order.

        Raises:
            DecodeError: with the reason for the quarantine. Nothing else is raised but MemoryError.
        """
        kept = self._routes.get(topic)
        if kept is None:
            if topic == self._base or topic.startswith(self._base + "/"):
                return _OWN
            kept = self._keep(topic)
        source, route = kept
        if len(payload) > self._limits.max_bytes:
            raise too_large(payload, self._limits)
        try:
            family, decoder = _choose(source, route, payload)
            content = decoder.decode(route, payload, received, properties)
        except (DecodeError, MemoryError):
            raise
        except Exception as error:
            # One message that a decoder stumbles over must not stop all others.
            detail = f"{type(error).__name__} in the decoder"
            raise DecodeError(DecodeReason.DECODER_FAULT, detail) from error
        traceparent, notes = None, content.notes
        if properties or content.traceparent is not None:
            traceparent, bad = find_traceparent(properties, content.traceparent)
            notes = (*notes, Note.BAD_TRACEPARENT) if bad else notes
        message_id = None
        if source.id_path is not None and content.readings:
            message_id = source.id_path.read(payload)
            notes = (*notes, Note.NO_MESSAGE_ID) if message_id is None else notes
        return Decoded(
            source.spec.label, content.readings, traceparent, content.text_only, source.spec.retained,
            route.device, family, content.time_from, notes, content.skipped, content.online, message_id,
            content.heard, _READ if content.readings else _handling(content),
        )  # fmt: skip

    def place(self, topic: str) -> tuple[str | None, str | None]:
        """Return source and device of a topic whose message was just refused; None where it has none."""
        kept = self._routes.get(topic)
        if kept is None:
            return None, None
        source, route = kept
        return source.spec.label, None if source.otherwise[0] == "availability" else route.device

    def unmatched(self, topic: str) -> str | None:
        """Return the source or availability topic that is nearest to a topic that none subscribes to.

        None where one does, or where it is below the agent's own base topic.
        """
        patterns = [one.pattern for one in (*self._sources, *self._watches)]
        own = topic == self._base or topic.startswith(self._base + "/")
        if own or any(covers(pattern.filter, topic) for pattern in patterns):
            return None
        return max(patterns, key=lambda pattern: likeness(pattern, topic)).text

    def _keep(self, topic: str) -> tuple[_Source, Route]:
        source, route = self._route(topic)
        asked = tuple(one for one in source.families if any(covers(own, topic) for own in one[1].topics))
        made = source._replace(families=asked), route
        if len(self._routes) >= _MAX_ROUTES:
            del self._routes[next(iter(self._routes))]
        self._routes[topic] = made
        return made

    def _route(self, topic: str) -> tuple[_Source, Route]:
        limits = self._limits
        if (
            len(topic) > limits.max_topic_bytes
            or len(topic.encode(errors="replace")) > limits.max_topic_bytes
        ):
            raise DecodeError(DecodeReason.BAD_TOPIC, f"longer than {limits.max_topic_bytes} bytes")
        if topic.count("/") >= limits.max_topic_levels:
            raise DecodeError(DecodeReason.BAD_TOPIC, f"more than {limits.max_topic_levels} levels")
        if not is_name(topic):
            raise DecodeError(DecodeReason.BAD_TOPIC, "holds a control character")
        for source in (*self._watches, *self._sources):
            identity = source.pattern.identify(topic)
            if identity is not None:
                levels = identity.device.split("/")
                if identity.metric is not None:
                    levels.append(identity.metric)
                if not all(level.strip() for level in levels):
                    raise DecodeError(DecodeReason.BAD_TOPIC, "an empty level where a name belongs")
                return source, Route(topic, source.device or identity.device, identity.metric)
        raise DecodeError(DecodeReason.BAD_TOPIC, "no source has this topic")


def _source(spec: SourceSpec, families: dict[str, Family]) -> _Source:
    if spec.format != AUTO and spec.format not in families:
        known = ", ".join([AUTO, *families])
        raise ValueError(f"source {spec.label}: format {spec.format!r} is unknown; use one of: {known}")
    if spec.retained not in _RETAINED:
        known = ", ".join(sorted(_RETAINED))
        raise ValueError(f"source {spec.label}: retained {spec.retained!r} is unknown; use one of: {known}")
    *first, last = families.items() if spec.format == AUTO else [(spec.format, families[spec.format])]
    try:
        id_path = MessageIdPath(spec.dedupe) if spec.dedupe is not None else None
    except ValueError as error:
        raise ValueError(f"source {spec.label}: dedupe {spec.dedupe!r} {error}") from None
    return _Source(spec, TopicPattern(spec.topic), tuple(first), last, id_path)


def _watch(spec: SourceSpec, limits: DecodeLimits) -> _Source:
    """Return the availability topic of a source as one of its own; what is retained there counts."""
    wanted = spec.availability or AvailabilitySpec(spec.topic)
    source = TopicPattern(spec.topic)
    pattern = availability_pattern(wanted, source)
    decoder = AvailabilityDecoder(wanted, limits=limits)
    device = None if source.names else spec.topic
    return _Source(replace(spec, retained="live"), pattern, (), ("availability", decoder), device=device)


def _refuse_overlaps(filters: tuple[str, ...]) -> None:
    for place, first in enumerate(filters):
        for second in filters[place + 1 :]:
            if overlap(first, second):
                raise ValueError(f"{first} and {second} overlap; make them disjoint or merge them")


def _handling(content: Content) -> Handling:
    """Return what a message without readings is."""
    if content.online is not None or content.states:
        return Handling.AVAILABILITY
    return Handling.TEXT if content.text_only else Handling.NO_VALUE


def _choose(source: _Source, route: Route, payload: bytes) -> tuple[str, Decoder]:
    """Return the first family that recognises the message."""
    for name, family in source.families:
        if family.recognise(route, payload):
            return name, family
    return source.otherwise
