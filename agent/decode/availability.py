"""Availability messages of devices and their last wills: online or offline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from agent.decode.family import Content, DecodeLimits, Properties, Route, Skip, Skipped
from agent.decode.strict_json import parse, to_text
from agent.decode.topics import TopicPattern
from agent.domain.keys import Key
from agent.domain.records import DecodeError, DecodeReason

STATE = "state"  # the key of a JSON payload that holds the word

_SPACE = " \t\r\n"
_MAX_SHOWN = 40


@dataclass(frozen=True, slots=True)
class AvailabilitySpec:
    """Section ``availability`` of a source; the case of the words does not matter."""

    topic: Annotated[str, Key("where the devices, or their last wills, publish their state")]
    online: Annotated[tuple[str, ...], Key("payloads that mean online", max_length=64, max_items=16)] = (
        "online",
    )
    offline: Annotated[tuple[str, ...], Key("payloads that mean offline", max_length=64, max_items=16)] = (
        "offline",
    )


def availability_pattern(spec: AvailabilitySpec, source: TopicPattern) -> TopicPattern:
    """Return the pattern of an availability topic, checked against the topic of its source.

    Raises:
        ValueError: with a sentence for a person, when it does not name the devices as the source does.
    """
    pattern = TopicPattern(spec.topic)
    wanted = tuple(name for name in source.names if name != "metric")
    if pattern.names != wanted:
        raise ValueError(
            f"names {_shown(pattern.names)} where the source's topic names {_shown(wanted)}; "
            "write the same names in the same order, so that both mean the same device"
        )
    if not wanted and any("+" in text or "#" in text for text in (source.filter, pattern.filter)):
        raise ValueError("needs a name for the device in both topics; write {device} for + or #")
    return pattern


def _shown(names: Sequence[str]) -> str:
    return "/".join(f"{{{name}}}" for name in names) or "no device"


class AvailabilityDecoder:
    """Reads a state: plain text, a JSON string, or a JSON object with the key ``state``."""

    def __init__(self, spec: AvailabilitySpec, *, limits: DecodeLimits) -> None:
        self._limits = limits
        self._words = {word.casefold(): True for word in spec.online}
        self._words |= {word.casefold(): False for word in spec.offline}

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:  # noqa: ARG002 - the protocol's signature
        """Return whether the device is there; see :class:`agent.decode.family.Decoder`."""
        text = to_text(payload).strip(_SPACE)
        if not text:
            # An empty payload is how MQTT deletes a retained message.
            return Content((), text_only=True, skipped=(Skipped(STATE, Skip.EMPTY),))
        word: Any = text
        if text[0] in '{"':
            value = parse(payload, self._limits)
            word = value.get(STATE) if isinstance(value, dict) else value
        online = self._words.get(str(word).strip(_SPACE).casefold())
        if online is None:
            shown = ascii(word)[:_MAX_SHOWN]
            raise DecodeError(DecodeReason.NO_READINGS, f"{shown} is not a word for online or offline")
        return Content((), online=online)
