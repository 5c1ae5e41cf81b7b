"""The generic family: numbers, words, JSON, pairs, columns, telegrams."""

import re
from math import isfinite
from typing import Any, ClassVar

from agent.decode.columns import is_columns, read_rows
from agent.decode.family import (
    Content,
    DecodeLimits,
    Family,
    Note,
    Properties,
    Route,
    Skip,
    Skipped,
)
from agent.decode.influx_line import is_influx, take_lines
from agent.decode.json_text import parse_all, parse_flat, parse_plain, to_text
from agent.decode.json_values import JsonValues
from agent.decode.key_roles import is_no_value, is_time_like, roles_of
from agent.decode.obis import is_obis, read_obis
from agent.decode.pairs import is_pairs, read_pairs
from agent.decode.sentinels import FAR, NEAR, is_measured, is_sentinel
from agent.decode.times import Moment, is_epoch, moment_of
from agent.decode.values import VALUE, Found, is_name, read_unit, read_value
from agent.domain.records import DecodeError, DecodeReason, Reading

_NUMBER = re.compile(rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_PADDED = 5  # digits with a zero in front: an id
_MAX_COUNT = 20  # digits; no counter of 64 bits has more
_ONLINE = {"online": True, "offline": False}
_MAX_WORD = 16
_STATE = re.compile(rb'\{\s*"(?:state|status)"\s*:\s*"(online|offline)"\s*\}')
_MAX_STATE = 40
_MAX_FIELDS = 16  # of an object on the short way
# Last levels of topics that hold the availability of the device above them.
_STATE_LEVELS = frozenset(
    {"status", "availability", "available", "state", "lwt", "online", "connection", "connected"}
)
# A description of entities for Home Assistant.
_DESCRIPTION = "/config"
_DESCRIBES = re.compile(
    rb'"(?:unique_id|uniq_id|state_topic|stat_t|command_topic|cmd_t|components|cmps)"\s*:'
)
_OBJECTS = frozenset({b"{", b"["})
_JSON = ("{", "[", '"')


class Generic:
    """Decoder of payloads without a family. The topic names the device, and an address in an array."""

    topics: ClassVar[tuple[str, ...]] = ("#",)

    def __init__(self, *, limits: DecodeLimits, max_future_skew_s: float) -> None:
        self._limits = limits
        self._max_future_skew_s = max_future_skew_s

    def recognise(self, route: Route, payload: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return True: this family is asked last."""
        return True

    def plain(self, route: Route, payload: bytes, received: float) -> tuple[Reading, ...] | None:
        """Return the readings of a plain payload; see :class:`agent.decode.family.ReadsPlain`."""
        if payload[:1] == b"{":
            fields = parse_flat(payload)
            return None if fields is None else self._plain_fields(route, fields, received)
        if len(payload) > self._limits.max_string or not _NUMBER.fullmatch(payload):
            return None
        value, metric = float(payload), route.metric or VALUE
        if _is_padded(payload) or is_no_value(metric) or not is_measured(value):
            return None
        return (Reading(route.device, metric, received, value),)

    def _plain_fields(
        self, route: Route, fields: dict[str, Any], received: float
    ) -> tuple[Reading, ...] | None:
        """Return the readings of an object of numbers, or of one value with its unit."""
        if route.topic.endswith(_DESCRIPTION) or len(fields) > min(_MAX_FIELDS, self._limits.max_keys):
            return None
        roles, base, device = roles_of(fields), route.metric, route.device
        if roles.times:
            return None
        if roles.alone:
            value, unit = fields[roles.values[0]], None
            if roles.units:
                given = fields[roles.units[0]]
                if type(given) is not str:
                    return None
                unit = read_unit(given)
            if type(value) is not float or not is_measured(value):
                return None
            return (Reading(device, base or VALUE, received, value, unit),)
        if not roles.plain:
            return None
        longest = self._limits.max_string if base is None else self._limits.max_string - len(base) - 1
        readings = []
        for key, value in fields.items():
            if type(value) is not float or not is_measured(value) or len(key) > longest:
                return None
            name = key if base is None else f"{base}.{key}"
            readings.append(Reading(device, name, received, value))
        return tuple(readings) or None

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of ``payload``; see :class:`agent.decode.family.Decoder`."""
        moment = moment_of(properties, received, self._max_future_skew_s)
        if payload[:1] in _OBJECTS:
            if len(payload) <= _MAX_STATE and (found := _STATE.fullmatch(payload)):
                content = _state_of(route, online=found[1] == b"online")
                if content is not None:
                    return content
            if route.topic.endswith(_DESCRIPTION) and _DESCRIBES.search(payload):
                return Content((), text_only=True, skipped=(Skipped(VALUE, Skip.NOT_A_VALUE),))
            value = parse_plain(payload, self._limits)
            if value is not None:
                return self._values(route, moment, ()).take(value, route.metric)
        elif len(payload) <= self._limits.max_string and _NUMBER.fullmatch(payload):
            return _number(route, payload, moment)
        text, notes = to_text(payload, self._limits)
        if text.startswith(_JSON) or text == "null":
            parsed, notes = parse_all(text, notes, self._limits)
            return self._values(route, moment, notes).take_all(parsed, route.metric)
        if not text:
            # An empty payload is how MQTT deletes a retained message.
            return Content((), text_only=True, notes=moment.notes, skipped=(Skipped(VALUE, Skip.EMPTY),))
        return self._decode_text(route, payload, text, moment, notes)

    def _values(self, route: Route, moment: Moment, notes: tuple[Note, ...]) -> JsonValues:
        return JsonValues(
            device=route.device, moment=moment, max_skew_s=self._max_future_skew_s, limits=self._limits,
            reader=route.reader, notes=notes,
        )  # fmt: skip

    def _decode_text(
        self, route: Route, payload: bytes, text: str, moment: Moment, notes: tuple[Note, ...]
    ) -> Content:
        online = _ONLINE.get(text.casefold()) if len(text) <= _MAX_WORD else None
        if online is not None and text.casefold() not in route.reader.words:
            content = _state_of(route, online=online)
            if content is not None:
                return content
        if is_influx(text):
            values = self._values(route, moment, notes)
            return take_lines(values, text, route.metric, self._limits)
        if is_pairs(text):
            return self._values(route, moment, notes).take(read_pairs(text, self._limits), route.metric)
        if is_obis(text):
            return self._values(route, moment, notes).take(read_obis(text, self._limits), route.metric)
        if is_columns(text):
            return self._values(route, moment, notes).take_all(read_rows(text, self._limits), route.metric)
        if len(text) <= self._limits.max_string and _NUMBER.fullmatch(text.encode()):
            return _number(route, text.encode(), moment)
        found = read_value(text, route.reader) if len(text) <= self._limits.max_string else Skip.TOO_LONG
        if isinstance(found, Skip):
            _refuse_bytes(payload, text, found, notes)
            return _nothing(route, found, moment, text if found is Skip.UNMAPPED else "")
        return _content_of(route, found, moment, notes)


def _state_of(route: Route, *, online: bool) -> Content | None:
    """Return the availability that a topic such as ``wled/kitchen/status`` reports, None for other topics.

    It is that of the device that the source names, else of the levels before the last one.
    """
    above, _, last = route.topic.rpartition("/")
    if last.casefold() not in _STATE_LEVELS or not above.strip("/ "):
        return None
    if route.parts and route.device not in {last, route.topic} and not route.device.endswith(f"/{last}"):
        return Content((), online=online)
    device = route.device.removesuffix(last).rstrip("/") if route.device.endswith(f"/{last}") else above
    return Content((), text_only=True, states=((device, online),))


def _refuse_bytes(payload: bytes, text: str, found: Skip, notes: tuple[Note, ...]) -> None:
    """Refuse bytes that are not UTF-8, control characters, and a NUL unless it follows a word."""
    if Note.NOT_UTF8 in notes:
        place = next(place for place, byte in enumerate(payload) if byte >= 0x80)  # noqa: PLR2004 - beyond ASCII
        raise DecodeError(
            DecodeReason.BAD_UTF8, f"neither text nor JSON: byte {payload[place]:#04x} at {place}"
        )
    if payload.endswith(b"\0") and found in {Skip.TEXT, Skip.UNMAPPED, Skip.TOO_LONG}:
        raise DecodeError(DecodeReason.BAD_JSON, f"neither text nor JSON: NUL at byte {payload.find(0)}")
    lines = text.replace("\n", " ").replace("\r", " ").replace("\t", " ")
    if not is_name(lines):
        place = next((place for place, sign in enumerate(lines) if not sign.isprintable()), 0)
        detail = f"neither JSON nor a number nor printable text: character {place}"
        raise DecodeError(DecodeReason.BAD_JSON, detail)


def _is_padded(digits: bytes) -> bool:
    """Whether a whole number is an id: with a zero in front, or longer than a counter."""
    return len(digits) >= _PADDED and digits.isdigit() and (digits[:1] == b"0" or len(digits) > _MAX_COUNT)


def _number(route: Route, digits: bytes, moment: Moment) -> Content:
    value, metric = float(digits), route.metric or VALUE
    if _is_padded(digits):
        return _nothing(route, Skip.NOT_A_VALUE, moment)
    if not NEAR < value < FAR or is_no_value(metric):
        if not isfinite(value):
            return _nothing(route, Skip.NOT_FINITE, moment)
        # Of a topic such as evcc/updated; the source may take its last level for part of the device.
        name = route.metric or route.topic.rpartition("/")[2]
        if value >= FAR and is_time_like(name) and is_epoch(value):
            return _nothing(route, Skip.NOT_A_VALUE, moment)
        return _content_of(route, Found(value), moment)
    reading = Reading(route.device, metric, moment.at, value, None)
    content = Content((reading,), False, moment.time_from, None, moment.notes)  # noqa: FBT003 - the hot path
    return content if moment.off_s is None else content._replace(off_s=moment.off_s)


def _content_of(route: Route, found: Found, moment: Moment, notes: tuple[Note, ...] = ()) -> Content:
    metric, (value, unit, word) = route.metric, found
    if metric is None:
        metric = VALUE
    elif is_no_value(metric):
        return _nothing(route, Skip.NOT_A_VALUE, moment)
    if not NEAR < value < FAR and is_sentinel(route.device, metric, value, unit):
        return _nothing(route, Skip.SENTINEL, moment)
    reading = Reading(route.device, metric, moment.at, value, unit, word)
    all_notes = moment.notes + notes
    return Content((reading,), time_from=moment.time_from, notes=all_notes, off_s=moment.off_s)


def _nothing(route: Route, why: Skip, moment: Moment, word: str = "") -> Content:
    skipped = (Skipped(route.metric or VALUE, why, None, word),)
    return Content((), text_only=True, notes=moment.notes, skipped=skipped, heard=(route.device,))


FAMILY: type[Family] = Generic
