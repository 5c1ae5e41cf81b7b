"""Availability messages of devices and their last wills: online or offline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from agent.decode.device_template import DeviceTemplate
from agent.decode.family import Content, Properties, Route, Skip, Skipped
from agent.decode.json_path import JsonPath, read_exact
from agent.decode.members import Members
from agent.decode.strict_json import to_text
from agent.decode.topics import METRIC, TopicPattern
from agent.domain.keys import Key
from agent.domain.records import DecodeError, DecodeReason

STATE = "state"  # the key of a JSON payload that holds the word, if `field` names no other

_SPACE = " \t\r\n"
_MAX_SHOWN = 40
_LITERALS = {True: "true", False: "false", None: "null"}


@dataclass(frozen=True, slots=True)
class AvailabilitySpec:
    """Section ``availability`` of a source; the case of the words does not matter."""

    topic: Annotated[
        str,
        Key(
            "where the devices, or their last wills, publish their state; with fewer named levels than the"
            " source's topic it is the state of all devices under it"
        ),
    ]
    online: Annotated[tuple[str, ...], Key("payloads that mean online", max_length=64, max_items=16)] = (
        "online",
    )
    offline: Annotated[tuple[str, ...], Key("payloads that mean offline", max_length=64, max_items=16)] = (
        "offline",
    )
    field: Annotated[
        str | None,
        Key(
            "path of the state in a JSON payload, such as `$.status`; a text, number, true or false is"
            " compared as text",
            default="`$.state`",
        ),
    ] = None


def availability_pattern(spec: AvailabilitySpec, source: TopicPattern) -> TopicPattern:
    """Return the pattern of an availability topic, checked against the topic of its source.

    Raises:
        ValueError: with a sentence for a person, when it does not name devices of the source.
    """
    pattern = TopicPattern(spec.topic)
    wanted = tuple(name for name in source.names if name != METRIC)
    strange = [name for name in pattern.names if name not in wanted]
    if strange:
        raise ValueError(
            f"names {_shown(pattern.names)} where the source's topic names {_shown(wanted)}; "
            "write the same names, so that both mean the same device"
        )
    if pattern.unnamed:
        names = _shown(wanted) if wanted else "{device} in both topics"
        raise ValueError(f"has a wildcard without a name, so that any state would count; write {names}")
    return pattern


def names_device(pattern: TopicPattern, source: TopicPattern, template: DeviceTemplate | None) -> bool:
    """Whether an availability topic names one device; otherwise it applies to all under it."""
    if template is not None:
        return not template.paths and set(template.names) <= set(pattern.names)
    wanted = {name for name in source.names if name != METRIC}
    return wanted == set(pattern.names) and bool(wanted or not source.unnamed)


def _shown(names: Sequence[str]) -> str:
    return "/".join(f"{{{name}}}" for name in names) or "no device"


class AvailabilityDecoder:
    """Reads a state: plain text, a JSON scalar, or a JSON object that holds it at a path.

    It is the state of the route's device, if the topic names one, and of all ``members`` under the topic.
    """

    def __init__(self, spec: AvailabilitySpec, members: Members) -> None:
        self._path = JsonPath(spec.field or f"$.{STATE}")
        self._members = members
        self._words = {word.strip().casefold(): True for word in spec.online}
        self._words |= {word.strip().casefold(): False for word in spec.offline}

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:  # noqa: ARG002 - the protocol's signature
        """Return whether the devices are there; see :class:`agent.decode.family.Decoder`."""
        text = to_text(payload).strip(_SPACE)
        if not text:
            # An empty payload is how MQTT deletes a retained message.
            return Content((), text_only=True, skipped=(Skipped(STATE, Skip.EMPTY),))
        word = self._word(text) if text[0] in '{"' else text
        online = self._words.get(word.strip(_SPACE).casefold())
        if online is None:
            shown = ascii(word[:_MAX_SHOWN])
            raise DecodeError(DecodeReason.NO_READINGS, f"{shown} is not a word for online or offline")
        others = [device for device in self._members.under(route.parts) if device != route.device]
        return Content((), online=online, states=tuple((device, online) for device in others))

    def _word(self, text: str) -> str:
        try:
            value: Any = read_exact(text)
        except (ValueError, RecursionError):
            raise DecodeError(DecodeReason.BAD_JSON, "a state that is not JSON") from None
        found = self._path.find(value) if isinstance(value, dict) else value
        if isinstance(found, str):
            return found
        if found is None or isinstance(found, bool):
            return _LITERALS[found]
        raise DecodeError(
            DecodeReason.NO_READINGS, f"{self._path.text} is neither text nor number, true or false"
        )


class SharedAvailability:
    """Reads a state for several sources that have the same availability topic."""

    def __init__(self, watches: Sequence[tuple[AvailabilityDecoder, Route]]) -> None:
        self._watches = tuple(watches)

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the state for the devices of all sources whose words have it."""
        first, states, trouble = None, dict[str, bool](), None
        for decoder, own in self._watches:
            try:
                content = decoder.decode(own, payload, received, properties)
            except DecodeError as error:
                trouble = trouble or error
                continue
            first = first or content
            found = content.states
            if own.device and own.device != route.device and content.online is not None:
                found = (*found, (own.device, content.online))
            states = dict(found) | states
        if first is None:
            raise trouble or DecodeError(DecodeReason.NO_READINGS)
        states.pop(route.device, None)
        return first._replace(states=tuple(states.items()))
