"""Base of the families that send JSON: device, pruned payload, time, availability."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any, ClassVar, NamedTuple

from agent.decode.family import (
    Content,
    DecodeLimits,
    Note,
    Properties,
    Reader,
    Route,
    Skip,
    Skipped,
    TimeFrom,
    skipped_of,
)
from agent.decode.json_text import parse, to_text
from agent.decode.json_values import VALUE, JsonValues
from agent.decode.times import Moment, moment_of, read_time
from agent.decode.values import is_name
from agent.domain.records import DecodeError, DecodeReason, Reading

_MAX_SKIPPED = 16
_MAX_IDENTITY = 64
_DEEPER = 3  # levels that an envelope adds to those of a measurement
_SPACE = " \t\r\n\0"
_TWINS = {"f": "c", "F": "C"}

DROP = Skip.NOT_A_VALUE
ONLINE = {"online": True, "offline": False, "true": True, "false": False, "1": True, "0": False}


class Frame(NamedTuple):
    """Time of a message, and its source's rules for values."""

    moment: Moment
    reader: Reader


class JsonFamily:
    """A family whose payloads are JSON or one value as text.

    Attributes:
        DROPPED: casefolded keys that are not values, at any depth.
        UNITS: unit by the casefolded last part of a metric, where the payload names none.
        FAHRENHEIT: a key in °F is left out where its twin in °C exists: ``tF`` of ``tC``.
    """

    topics: ClassVar[tuple[str, ...]] = ()
    DROPPED: ClassVar[frozenset[str]] = frozenset()
    UNITS: ClassVar[Mapping[str, str]] = {}
    FAHRENHEIT: ClassVar[bool] = False

    def __init__(self, *, limits: DecodeLimits, max_future_skew_s: float) -> None:
        self._limits = replace(limits, max_depth=limits.max_depth + _DEEPER)
        self._max_skew_s = max_future_skew_s

    def _parse(self, payload: bytes) -> Any:
        """Return the JSON value of ``payload``, or its text where it is not JSON; None if it is empty."""
        text, notes = to_text(payload, self._limits)
        if text.startswith(("{", "[", '"')):
            return parse(payload, self._limits)
        if Note.NOT_UTF8 in notes:
            raise DecodeError(DecodeReason.BAD_UTF8, "neither text nor JSON")
        return text or None

    def _frame(self, root: Any, given: Any, route: Route, received: float, properties: Properties) -> Frame:
        """Return time and reader of a message: the time that ``time:`` finds in ``root``, else ``given``.

        A time without a zone is not believed unless the source names its zone.
        """
        moment, reader = moment_of(properties, received, self._max_skew_s), route.reader
        if reader.time_path is not None:
            given = _find(root, reader.time_path)
            reader = replace(reader, time_path=None)
        if given is None:
            return Frame(moment, reader)
        found = _read(given, reader.zone, received, self._max_skew_s)
        if isinstance(found, Note):
            return Frame(moment._replace(notes=(*moment.notes, found)), reader)
        return Frame(moment._replace(at=found, time_from=TimeFrom.PAYLOAD), reader)

    def _take(self, value: Any, metric: str | None, *, device: str, frame: Frame) -> Content:
        """Return the readings of a parsed value without the keys that are not values."""
        if metric is not None and not self._may_name(metric):
            return ignored(ascii(metric)[:_MAX_IDENTITY], Skip.BAD_NAME)._replace(heard=(device,))
        skipped: list[Skipped] = []
        pruned = self._prune(value, metric or "", skipped)
        values = JsonValues(
            device=device, moment=frame.moment, max_skew_s=self._max_skew_s, limits=self._limits,
            reader=frame.reader,
        )  # fmt: skip
        content = values.take(pruned, metric)
        skips = (*skipped, *content.skipped)[:_MAX_SKIPPED]
        return content._replace(readings=tuple(map(self._with_unit, content.readings)), skipped=skips)

    def _may_name(self, metric: str) -> bool:
        return len(metric) <= self._limits.max_string and is_name(metric) and metric.strip(".") != ""

    def _with_unit(self, reading: Reading) -> Reading:
        unit = self._unit(reading.metric) if reading.unit is None else None
        if unit is None:
            return reading
        return Reading(reading.device, reading.metric, reading.at, reading.value, unit)

    def _unit(self, metric: str) -> str | None:
        return self.UNITS.get(metric.rpartition(".")[2].casefold())

    def _prune(self, value: Any, path: str, skipped: list[Skipped]) -> Any:
        """Return ``value`` without the keys that are not values; their names go to ``skipped``."""
        if isinstance(value, list):
            return [self._prune(item, path, skipped) if type(item) is dict else item for item in value]
        if not isinstance(value, dict):
            return value
        kept: dict[str, Any] = {}
        for key, item in value.items():
            why = self._why_not(key, item, value)
            name = f"{path}.{key}" if path else key
            if why is None:
                kept[key] = self._prune(item, name, skipped) if type(item) in {dict, list} else item
            elif len(skipped) < _MAX_SKIPPED and len(name) <= self._limits.max_string and is_name(name):
                skipped.append(Skipped(name, why))
        return kept

    def _why_not(self, key: str, item: Any, fields: Mapping[str, Any]) -> Skip | None:
        """Return why the key of an object is not a value, None if it may be one."""
        if item is Skip.TOO_MANY:
            return item
        if key.casefold() in self.DROPPED:
            return DROP
        twin = _TWINS.get(key[-1:]) if self.FAHRENHEIT else None
        if twin is not None and type(fields.get(key[:-1] + twin)) is float:
            return Skip.OTHER_UNIT
        return None

    def _state(
        self, route: Route, device: str, payload: bytes, words: Mapping[str, bool] = ONLINE
    ) -> Content:
        """Return the availability that ``payload`` reports of ``device``: a word, or JSON with ``state``."""
        value = self._parse(payload)
        if isinstance(value, dict):
            value = value.get("state")
        if value is None:
            return ignored("state", Skip.EMPTY)
        online = words.get(str(value)[:_MAX_IDENTITY].strip(_SPACE).casefold())
        if online is None:
            return ignored("state", Skip.UNMAPPED)
        return state(route, device, online=online)


def state(route: Route, device: str, *, online: bool) -> Content:
    """Return the availability of ``device``, which may be another than that of the topic."""
    if device == route.device:
        return Content((), online=online)
    return Content((), text_only=True, states=((device, online),))


def ignored(name: str, why: Skip = DROP) -> Content:
    """Return the result for a message that is about no value of a device: a command, a log line."""
    return Content((), text_only=True, skipped=(Skipped(name, why),))


def joined(contents: Iterable[Content], limits: DecodeLimits) -> Content:
    """Return one result for the devices of one message; readings beyond the limit are left out."""
    parts = list(contents)
    readings = [reading for part in parts for reading in part.readings]
    skipped = [one for part in parts for one in skipped_of(part)]
    if len(readings) > limits.max_readings:
        del readings[limits.max_readings :]
        skipped.insert(0, Skipped(VALUE, Skip.TOO_MANY))
    times = [part.time_from for part in parts if part.readings]
    named = {reading.device for reading in readings}
    return Content(
        tuple(readings),
        text_only=not readings,
        time_from=TimeFrom.PAYLOAD if TimeFrom.PAYLOAD in times else next(iter(times), TimeFrom.RECEIPT),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        skipped=tuple(skipped[:_MAX_SKIPPED]),
        heard=tuple(dict.fromkeys(one for part in parts for one in part.heard if one not in named)),
    )


def device_of(route: Route, own: str) -> str:
    """Return the device of a topic that the family reads as ``own``.

    The source's device is kept if it was not made from levels of the topic alone (a constant, a template), or
    if its pattern names the same device with fewer or more levels; else it adds nothing to ``#``.
    """
    given = route.device
    if not own.strip("/ "):
        return given
    if route.parts and (given == own or own.endswith("/" + given) or given.endswith("/" + own)):
        return given if given != route.topic else own
    levels = frozenset(route.topic.split("/"))
    return own if all(level in levels for level in given.split("/")) else given


def identity(*parts: Any) -> str | None:
    """Return a device id made of values of the payload, None where one of them cannot be part of a name.

    A part is a whole number, or a short printable text without a slash, so that two ids never become one.
    """
    names = [_part(part) for part in parts]
    return None if not names or None in names else "/".join(name for name in names if name)


def _part(given: Any) -> str | None:
    if type(given) is float and given.is_integer() and abs(given) < 2**53:
        return str(int(given))
    if type(given) is not str or len(given) > _MAX_IDENTITY or "/" in given:
        return None
    return given if given == given.strip() and is_name(given) else None


def _find(root: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        root = root.get(key) if isinstance(root, dict) else None
    return root


def _read(given: Any, zone: tzinfo | None, received: float, max_skew_s: float) -> float | Note:
    """Read a time; text without a zone is not taken for UTC."""
    if zone is None and type(given) is str:
        try:
            if datetime.fromisoformat(given.strip()[:_MAX_IDENTITY]).tzinfo is None:
                return Note.TIME_WITHOUT_ZONE
        except ValueError:
            pass  # not ISO 8601: a number as text, or nothing that is a time
    return read_time(given, received, max_skew_s, zone)
