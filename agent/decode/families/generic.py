"""The generic family: a number or word, flat or nested JSON, arrays."""

import re
from math import isfinite
from typing import ClassVar

from agent.decode.family import Content, DecodeLimits, Family, Properties, Route, Skip, Skipped
from agent.decode.json_values import VALUE, JsonValues
from agent.decode.strict_json import parse, to_text
from agent.decode.times import Moment, moment_of
from agent.decode.values import is_name, read_value
from agent.domain.records import DecodeError, DecodeReason, Reading

_NUMBER = re.compile(rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_JSON = ("{", "[", '"')
_SPACE = " \t\r\n"


class Generic:
    """Decoder of payloads without a family. The topic alone names the device, never the payload."""

    topics: ClassVar[tuple[str, ...]] = ("#",)

    def __init__(self, *, limits: DecodeLimits, max_future_skew_s: float) -> None:
        self._limits = limits
        self._max_future_skew_s = max_future_skew_s

    def recognise(self, route: Route, payload: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return True: this family is asked last."""
        return True

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of ``payload``; see :class:`agent.decode.family.Decoder`."""
        moment = moment_of(properties, received, self._max_future_skew_s)
        head = payload[:1]
        if head in {b"{", b"["}:
            return self._decode_json(route, payload, moment)
        if len(payload) <= self._limits.max_string and _NUMBER.fullmatch(payload):
            return _content_of(route, float(payload), None, moment)
        return self._decode_text(route, payload, moment)

    def _decode_json(self, route: Route, payload: bytes, moment: Moment) -> Content:
        value = parse(payload, self._limits)
        values = JsonValues(
            device=route.device, moment=moment, max_skew_s=self._max_future_skew_s, limits=self._limits
        )
        return values.take(value, route.metric)

    def _decode_text(self, route: Route, payload: bytes, moment: Moment) -> Content:
        text = to_text(payload).strip(_SPACE)
        if not text:
            # An empty payload is how MQTT deletes a retained message.
            return _no_reading(Skip.EMPTY, moment)
        if text.startswith(_JSON) or text == "null":
            return self._decode_json(route, payload, moment)
        if len(text) > self._limits.max_string:
            detail = f"a text of {len(text)} characters, at most {self._limits.max_string} are read"
            raise DecodeError(DecodeReason.STRING_TOO_LONG, detail)
        if _NUMBER.fullmatch(text.encode()):
            return _content_of(route, float(text), None, moment)
        found = read_value(text)
        if found is Skip.NOT_FINITE:
            raise DecodeError(DecodeReason.NOT_FINITE, f"{text} is not a number")
        if isinstance(found, Skip):
            if not is_name(text):
                raise DecodeError(DecodeReason.BAD_JSON, "neither JSON nor a number nor printable text")
            return _no_reading(found, moment)
        return _content_of(route, *found, moment)


def _content_of(route: Route, value: float, unit: str | None, moment: Moment) -> Content:
    if not isfinite(value):
        raise DecodeError(DecodeReason.NOT_FINITE, "a number beyond the range of a double")
    reading = Reading(route.device, route.metric or VALUE, moment.at, value, unit)
    return Content((reading,), time_from=moment.time_from, notes=moment.notes)


def _no_reading(why: Skip, moment: Moment) -> Content:
    return Content((), text_only=True, notes=moment.notes, skipped=(Skipped(VALUE, why),))


FAMILY: type[Family] = Generic
