"""The registry of sources: source and family of a message, and its readings."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

from agent.decode.device_template import DeviceTemplate
from agent.decode.families import FAMILIES
from agent.decode.family import (
    Content,
    DecodeLimits,
    Decoder,
    Note,
    Properties,
    Remembering,
    Route,
    Skip,
    Skipped,
    TimeFrom,
)
from agent.decode.metric_rules import MetricRules
from agent.decode.payload_device import MAX_SKIPPED, decode_by_payload
from agent.decode.source import Source, availability_of, refuse_topic
from agent.decode.source_spec import SourceSpec
from agent.decode.strict_json import too_large
from agent.decode.subscriptions import Wanted, counting, plan
from agent.decode.topics import covers, likeness
from agent.decode.traceparent import find_traceparent
from agent.domain.records import DecodeError, DecodeReason, Handling, Reading

__all__ = ["FAMILIES", "DecodeLimits", "Decoded", "Registry", "SourceSpec"]

_READ = Handling.READ
_TEXTS = frozenset({Skip.TEXT, Skip.UNMAPPED})
_NONE: tuple[tuple[str, str], ...] = ()
_MAX_ROUTES = 16_384  # topics whose route is kept, 0.6 KiB each; beyond it a message costs 0.15 ms more


class Decoded(NamedTuple):
    """The result for one message, with enough to explain it."""

    source: str | None  # None: no source has the topic, or it is below the agent's own base topic
    readings: tuple[Reading, ...]
    traceparent: str | None  # valid (W3C), from the user property, else from the payload
    text_only: bool  # nothing but text: acknowledged and counted
    retained: str  # what the source wants of retained messages: seed | live | ignore
    device: str | None = None  # that topic or template name; empty: all under an availability topic
    family: str | None = None
    time_from: TimeFrom = TimeFrom.RECEIPT
    notes: tuple[Note, ...] = ()
    skipped: tuple[Skipped, ...] = ()  # at most 16 values that did not become readings
    online: bool | None = None  # availability of the device, or with no device of those in `states`
    message_id: str | None = None  # the publisher's, at the path that the source configures
    states: tuple[tuple[str, bool], ...] = ()  # availability of other devices: device id, online
    heard: tuple[str, ...] = ()  # devices of the message that have no value in it
    expected_s: tuple[tuple[str, float], ...] = ()  # announced reporting interval: device id, seconds
    renamed: tuple[tuple[str, str], ...] = ()  # metrics, by the source's rules: before and after
    handling: Handling = Handling.READ
    excluded_by: str | None = None  # the entry of the source's `exclude`
    request: tuple[str, bytes] | None = None  # topic and payload to publish once, if there is a connection
    history: tuple[Reading, ...] = ()  # stored by the sender while it had no connection: never judged
    off_s: float | None = None  # distance of a time that was not believed from receipt
    received: float = 0.0  # receipt time, Unix seconds


def _unread(handling: Handling) -> Decoded:
    return Decoded(None, (), None, text_only=False, retained="ignore", handling=handling)


#: An agent's announcement to Home Assistant: read as a device it would be announced in its turn.
_ANNOUNCED = re.compile(r".{1,64}/device/edge_agent_[A-Za-z0-9_-]+/config")
_OWN = _unread(Handling.OWN)
_UNMATCHED = _unread(Handling.UNMATCHED)
_OVERLAP = _unread(Handling.OVERLAP)
EXCLUDED = _unread(Handling.EXCLUDED)


class Registry:
    """Decode messages of the configured sources; the first one that matches takes a message.

    Raises:
        ValueError: for a bad pattern, template or path, an unknown format or ``retained``.
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
        self._remembering = {
            name: family for name, family in decoders.items() if isinstance(family, Remembering)
        }
        self._sources = tuple(Source.of(spec, decoders) for spec in sources)
        self._routes: dict[str, tuple[Source, Route]] = {}
        self._unread: dict[str, Decoded] = {}  # topics without one
        self._made: dict[tuple[int | str, ...], Source] = {}  # for topics that the same families have
        watches = [(source.watch.pattern, 1) for source in self._sources if source.watch is not None]
        asked = [
            Wanted(source.pattern.filter, source.spec.qos, group=source.spec.group)
            for source in self._sources
            if not source.spec.posted
        ]
        self.subscriptions = plan([*asked, *(Wanted(pattern.filter, qos) for pattern, qos in watches)])
        self._identifiers = frozenset(one.identifier for one in self.subscriptions if one.identifier)
        self._counting = lru_cache(maxsize=_MAX_ROUTES)(partial(counting, self.subscriptions))

    @property
    def filters(self) -> tuple[str, ...]:
        """MQTT filters of the subscriptions on which readings are expected."""
        own = [source.pattern.filter for source in self._sources if not source.spec.posted]
        return tuple(
            one.filter for one in self.subscriptions if any(covers(one.filter, each) for each in own)
        )

    def decode(
        self,
        topic: str,
        payload: bytes,
        received: float,
        properties: Properties = (),
        identifiers: tuple[int, ...] = (),
    ) -> Decoded:
        """Return the readings of one message.

        Args:
            topic: as the broker sent it.
            payload: as the broker sent it.
            received: receipt time, Unix seconds.
            properties: MQTT 5 user properties in order.
            identifiers: of the subscriptions that the broker sent this copy for.

        Raises:
            DecodeError: with the reason for the quarantine. Nothing else is raised but MemoryError.
        """
        if identifiers and self._identifiers and self._is_copy(topic, identifiers):
            return _OVERLAP
        kept = self._routes.get(topic)
        if kept is None:
            found = self._unread.get(topic) or self._keep(topic)
            if isinstance(found, Decoded):
                return found
            kept = found
        source, route = kept
        if len(payload) > self._limits.max_bytes:
            raise too_large(payload, self._limits)
        try:
            template = source.by_payload
            if template is None:
                family, decoder = _choose(source, route, payload)
                content = decoder.decode(route, payload, received, properties)
            else:
                route, family, content = _by_payload(source, template, route, payload, received, properties)
        except (DecodeError, MemoryError):
            raise
        except Exception as error:
            # One message that a decoder stumbles over must not stop all others.
            detail = f"{type(error).__name__} in the decoder"
            raise DecodeError(DecodeReason.DECODER_FAULT, detail) from error
        renamed, message_id, notes = _NONE, None, content.notes
        if not source.plain:
            if source.rules is not None:
                content, renamed = _ruled(source.rules, content)
            if source.members is not None:
                source.members.note(route, content)
            if source.id_path is not None and content.readings:
                message_id = source.id_path.read(payload)
                notes = (*notes, Note.NO_MESSAGE_ID) if message_id is None else notes
        traceparent = None
        if properties or content.traceparent is not None:
            traceparent, bad = find_traceparent(properties, content.traceparent)
            notes = (*notes, Note.BAD_TRACEPARENT) if bad else notes
        return Decoded(
            source.label, content.readings, traceparent, content.text_only, source.retained,
            route.device, family, content.time_from, notes, content.skipped, content.online, message_id,
            content.states, content.heard, content.expected_s, renamed,
            _READ if content.readings or content.history else _handling(content), None, content.request,
            content.history, content.off_s, received,
        )  # fmt: skip

    def plain(self, topic: str, payload: bytes, received: float) -> tuple[str, tuple[Reading, ...]] | None:
        """Return source and readings of a message without properties that holds nothing else.

        None where :meth:`decode` must look at it, as at the first message of each topic. The readings are of
        one device, at ``received``.
        """
        kept = self._routes.get(topic)
        if kept is None:
            return None
        source, route = kept
        if source.short is None or len(payload) > self._limits.max_bytes:
            return None
        for _, family in source.families:
            if family.recognise(route, payload):
                return None
        readings = source.short.plain(route, payload, received)
        return None if readings is None else (source.label, readings)

    def place(self, topic: str) -> tuple[str | None, str | None]:
        """Return source and device of a topic whose message was just refused; None where it has none."""
        kept = self._routes.get(topic)
        if kept is None:
            return None, None
        source, route = kept
        return source.label, None if source.otherwise[0] == "availability" else route.device

    def take_changes(self) -> dict[tuple[str, str], bytes | None]:
        """Return the rows of state that changed since the last call, by owner and key; None: it is gone."""
        return {
            (owner, key): body for owner, kept in self._owners() for key, body in kept.take_changes().items()
        }

    def restore(self, rows: Mapping[tuple[str, str], bytes]) -> None:
        """Take the rows that an earlier process kept; those of an unknown owner are passed over."""
        for own, kept in self._owners():
            kept.restore({key: body for (owner, key), body in rows.items() if owner == own})

    def _owners(self) -> Iterator[tuple[str, Remembering]]:
        """Yield the families and the gateways of sources that have state to keep, with their names."""
        yield from self._remembering.items()
        for source in self._sources:
            if source.members is not None:
                yield f"members of {source.label}", source.members

    def subscribes(self, topic: str) -> bool:
        """Return whether a subscription brings this topic."""
        return any(covers(one.filter, topic) for one in self.subscriptions)

    def nearest(self, topic: str) -> str:
        """Return the source's or availability topic that is most like ``topic``."""
        patterns = [source.pattern for source in self._sources]
        patterns += [source.watch.pattern for source in self._sources if source.watch is not None]
        return max(patterns, key=lambda pattern: likeness(pattern, topic)).text

    def _is_copy(self, topic: str, identifiers: tuple[int, ...]) -> bool:
        """Whether a message is a further copy, and the one that counts comes with another identifier.

        An identifier that is not ours belongs to subscriptions of an earlier configuration: that copy counts,
        because another may be missing.
        """
        return self._identifiers.issuperset(identifiers) and self._counting(topic) not in identifiers

    def _keep(self, topic: str) -> tuple[Source, Route] | Decoded:
        if topic == self._base or topic.startswith(self._base + "/") or _ANNOUNCED.fullmatch(topic):
            return _OWN
        made = self._find(topic)
        kept: dict[str, Any] = self._unread if isinstance(made, Decoded) else self._routes
        if len(kept) >= _MAX_ROUTES:
            del kept[next(iter(kept))]
        kept[topic] = made
        return made

    def _find(self, topic: str) -> tuple[Source, Route] | Decoded:
        """Return the source of a topic with its route, or what becomes of a topic that none reads."""
        refuse_topic(topic, self._limits)
        blank = False
        for place, source in enumerate(self._sources):
            if source.watched(topic) is not None:
                return availability_of(self._sources[place:], topic) or _UNMATCHED
            identity = source.pattern.identify(topic)
            if identity is None:
                continue
            if (excluded_by := source.excluded_by(topic)) is not None:
                return EXCLUDED._replace(source=source.label, excluded_by=excluded_by)
            found = source.for_topic(topic, identity)
            if found is not None:
                made, route = found
                asked: tuple[int | str, ...] = (place, *(name for name, _ in made.families))
                return self._made.setdefault(asked, made), route
            blank = True
        if blank:
            raise DecodeError(DecodeReason.BAD_TOPIC, "an empty level where a name belongs")
        return _UNMATCHED


def _choose(source: Source, route: Route, payload: bytes) -> tuple[str, Decoder]:
    """Return the first family that recognises the message."""
    for name, family in source.families:
        if family.recognise(route, payload):
            return name, family
    return source.otherwise


def _by_payload(
    source: Source,
    template: DeviceTemplate,
    route: Route,
    payload: bytes,
    received: float,
    properties: Properties,
) -> tuple[Route, str, Content]:
    """Return the route of the message, its family and its content where the payload names the device."""

    def read(own: Route, text: bytes) -> tuple[str, Content]:
        family, decoder = _choose(source, own, text)
        return family, decoder.decode(own, text, received, properties)

    return decode_by_payload(template, route, payload, read)


def _ruled(rules: MetricRules, content: Content) -> tuple[Content, tuple[tuple[str, str], ...]]:
    """Apply the rules of the source; a device without a value left has sent all the same."""
    ruled = rules.apply(content.readings, content.skipped, MAX_SKIPPED)
    heard = content.heard
    if len(ruled.readings) < len(content.readings):
        left = {reading.device for reading in ruled.readings}
        gone = {reading.device: None for reading in content.readings if reading.device not in left}
        heard = (*heard, *gone)
    if content.history:
        content = content._replace(history=rules.apply(content.history, (), MAX_SKIPPED).readings)
    return content._replace(readings=ruled.readings, skipped=ruled.skipped, heard=heard), ruled.renamed


def _handling(content: Content) -> Handling:
    """Return what a message without readings is."""
    if content.online is not None or content.states:
        return Handling.AVAILABILITY
    text = any(one.why in _TEXTS for one in content.skipped) if content.skipped else content.text_only
    return Handling.TEXT if text else Handling.NO_VALUE
