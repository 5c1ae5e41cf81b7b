"""Base of the families that send JSON: wider limits, time, left-out keys, units."""

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
from agent.decode.json_values import JsonValues
from agent.decode.key_roles import is_identity
from agent.decode.times import Moment, moment_of, offset_of, read_time
from agent.decode.values import is_name
from agent.domain.records import DecodeError, DecodeReason, Reading

MAX_SKIPPED = 16  # shown to a person

# An envelope holds keys, depth and texts (raw frames, correlation ids) that never become readings.
_MORE_DEPTH = 8
_MORE_KEYS = 4
_MAX_TEXT = 8192
_MAX_WORD = 64  # of a state
_SPACE = " \t\r\n\0"
_TWINS = {"f": "c", "F": "C"}
_ONLINE = {"online": True, "offline": False, "true": True, "false": False, "1": True, "0": False}
_ORDER = (TimeFrom.PAYLOAD, TimeFrom.PROPERTY, TimeFrom.RECEIPT)


class Frame(NamedTuple):
    """Time of a message or of a part of it, and its source's rules for values."""

    moment: Moment
    reader: Reader


class JsonFamily:
    """A family whose payloads are JSON, or one value as text.

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
        self.limits = limits
        self._max_skew_s = max_future_skew_s
        self._names_units = bool(self.UNITS) or type(self).unit_of is not JsonFamily.unit_of
        self._wide = replace(
            limits,
            max_depth=limits.max_depth + _MORE_DEPTH,
            max_keys=limits.max_keys * _MORE_KEYS,
            max_string=max(limits.max_string, _MAX_TEXT),
        )

    # --------------------------------------------------------------------------------- payload

    def parse(self, payload: bytes) -> Any:
        """Return the JSON value of ``payload``."""
        return parse(payload, self._wide)

    def parse_object(self, payload: bytes) -> dict[str, Any]:
        """Return the JSON object of ``payload``.

        Raises:
            DecodeError: for any other JSON value.
        """
        value = self.parse(payload)
        if type(value) is not dict:
            raise DecodeError(DecodeReason.NO_READINGS, "not a JSON object")
        return value

    def parse_or_text(self, payload: bytes) -> Any:
        """Return the JSON value of ``payload``, or its text where it is not JSON; None if it is empty."""
        text, notes = to_text(payload, self.limits)
        if text.startswith(("{", "[", '"')):
            return self.parse(payload)
        if Note.NOT_UTF8 in notes:
            raise DecodeError(DecodeReason.BAD_UTF8, "neither text nor JSON")
        return text or None

    def name_in(self, given: Any) -> str | None:
        """Return ``given`` as a name of a device or metric, None where it cannot be one."""
        if type(given) is float and given.is_integer():
            given = str(int(given))
        if type(given) is not str or len(given) > self.limits.max_string or not is_name(given):
            return None
        return given.strip()

    # ------------------------------------------------------------------------------------ time

    def frame(
        self, route: Route, received: float, properties: Properties, *given: Any, root: Any = None
    ) -> Frame:
        """Return time and reader of a message.

        The time is the one that ``time:`` of the source finds in ``root``, else the first readable one of
        ``given``, else that of a user property or receipt. Text without a zone is not believed unless the
        source names the zone.
        """
        reader = route.reader
        found = None if reader.time_path is None else _find(root, reader.time_path)
        if found is not None:
            given, reader = (found,), replace(reader, time_path=None)
        frame = Frame(moment_of(properties, received, self._max_skew_s), reader)
        return _timed(frame, given, self._max_skew_s)

    def part_of(self, frame: Frame, *given: Any) -> Frame:
        """Return the frame of a part that has a time of its own, else receipt time."""
        bare = Moment(frame.moment.received, frame.moment.received)
        return _timed(Frame(bare, frame.reader), given, self._max_skew_s)

    # ---------------------------------------------------------------------------------- values

    def take(self, value: Any, frame: Frame, *, device: str, metric: str | None = None) -> Content:
        """Return the readings of one part of a message; a part without any is reported, never refused."""
        longest = self.limits.max_string
        if metric is not None and not (len(metric) <= longest and is_name(metric) and metric.strip(".")):
            return nothing(ascii(metric)[:_MAX_WORD], Skip.BAD_NAME, heard=(device,))
        skipped: list[Skipped] = []
        if self.DROPPED or self.FAHRENHEIT:
            value = self._prune(value, metric or "", skipped)
        values = JsonValues(
            device=device, moment=frame.moment, max_skew_s=self._max_skew_s, limits=self._wide,
            reader=frame.reader,
        )  # fmt: skip
        content = values.take(value, metric)
        plain = content.readings and not skipped and not self._names_units
        if plain and all(len(one.metric) <= longest for one in content.readings):
            return content
        readings = [self._with_unit(one) for one in content.readings if len(one.metric) <= longest]
        skipped += content.skipped
        if len(readings) < len(content.readings):
            skipped.insert(0, Skipped("a long name", Skip.TOO_LONG))
        return content._replace(
            readings=tuple(readings),
            text_only=not readings,
            skipped=tuple(skipped[:MAX_SKIPPED]),
            heard=content.heard if readings else content.heard or (device,),
        )

    def join(self, parts: Iterable[Content]) -> Content:
        """Return several parts as one result; the same metric at the same time twice counts once.

        Parts beyond the limit of readings are not read at all.
        """
        readings: dict[tuple[str, str, float], Reading] = {}
        skipped: list[Skipped] = []
        more: Skipped | None = None  # of all reasons the one that must not be lost
        notes: dict[Note, None] = {}
        heard: dict[str, None] = {}
        expected: dict[str, float] = {}
        sources = {TimeFrom.RECEIPT}
        off_s: float | None = None
        for part in parts:
            off_s = part.off_s if off_s is None else off_s
            for one in part.readings:
                if (one.device, one.metric, one.at) in readings:
                    skipped.append(Skipped(one.metric, Skip.REPEATED))
                    notes[Note.REPEATED] = None
                else:
                    readings[one.device, one.metric, one.at] = one
            if part.readings:
                sources.add(part.time_from)
            if part.skipped:
                skipped += skipped_of(part)
                more = more or next((one for one in part.skipped if one.why is Skip.TOO_MANY), None)
            if part.notes:
                notes.update(dict.fromkeys(part.notes))
            if part.heard:
                heard.update(dict.fromkeys(part.heard))
            if part.expected_s:
                expected.update(part.expected_s)
            del skipped[MAX_SKIPPED:]
            if len(readings) > self.limits.max_readings:
                more = Skipped("the rest", Skip.TOO_MANY)
                break
        if more is not None:
            skipped = [more, *(one for one in skipped if one is not more)]
        with_value = {device for device, _, _ in readings}
        return Content(
            tuple(readings.values())[: self.limits.max_readings],
            text_only=not readings,
            time_from=next(one for one in _ORDER if one in sources),
            notes=tuple(notes),
            skipped=tuple(skipped[:MAX_SKIPPED]),
            heard=tuple(device for device in heard if device not in with_value),
            expected_s=tuple(expected.items()),
            off_s=off_s,
        )

    def unit_of(self, metric: str) -> str | None:
        """Return the unit of a metric whose payload names none."""
        return self.UNITS.get(metric.rpartition(".")[2].casefold())

    def _with_unit(self, reading: Reading) -> Reading:
        unit = self.unit_of(reading.metric) if reading.unit is None else None
        if unit is None:
            return reading
        return Reading(reading.device, reading.metric, reading.at, reading.value, unit, reading.word)

    def _prune(self, value: Any, path: str, skipped: list[Skipped], *, element: bool = False) -> Any:
        """Return ``value`` without the keys that are not values; their names go to ``skipped``.

        An element of a list keeps its ids: without them, elements of two messages would share a series.
        """
        if isinstance(value, list):
            return [
                self._prune(item, path, skipped, element=True) if type(item) is dict else item
                for item in value
            ]
        if not isinstance(value, dict):
            return value
        kept: dict[str, Any] = {}
        for key, item in value.items():
            why = None if element and is_identity(key) else self._why_not(key, value)
            if why is None:
                inner = type(item) in {dict, list}
                kept[key] = self._prune(item, f"{path}.{key}" if path else key, skipped) if inner else item
            elif len(skipped) < MAX_SKIPPED:
                name = f"{path}.{key}" if path else key
                if len(name) <= self.limits.max_string and is_name(name):
                    skipped.append(Skipped(name, why))
        return kept

    def _why_not(self, key: str, fields: Mapping[str, Any]) -> Skip | None:
        """Return why the key of an object is not a value, None if it may be one."""
        if key.casefold() in self.DROPPED:
            return Skip.NOT_A_VALUE
        twin = _TWINS.get(key[-1:]) if self.FAHRENHEIT else None
        if twin is not None and type(fields.get(key[:-1] + twin)) is float:
            return Skip.OTHER_UNIT
        return None

    # ---------------------------------------------------------------------------- availability

    def read_state(
        self, route: Route, device: str, payload: bytes, words: Mapping[str, bool] = _ONLINE
    ) -> Content:
        """Return the availability that ``payload`` reports of ``device``: a word, or JSON with ``state``."""
        value = self.parse_or_text(payload)
        if isinstance(value, dict):
            value = value.get("state")
        if value is None:
            return nothing("state", Skip.EMPTY)
        online = words.get(str(value)[:_MAX_WORD].strip(_SPACE).casefold())
        if online is None:
            return nothing("state", Skip.UNMAPPED)
        return state(route, device, online=online)


def state(route: Route, device: str, *, online: bool) -> Content:
    """Return the availability of ``device``, which may be another than that of the topic."""
    if device == route.device:
        return Content((), online=online)
    return Content((), text_only=True, states=((device, online),))


def nothing(
    name: str,
    why: Skip = Skip.NOT_A_VALUE,
    *,
    heard: tuple[str, ...] = (),
    notes: tuple[Note, ...] = (),
) -> Content:
    """Return a result without a reading, and why: a command or a log line is about no value of a device."""
    return Content((), text_only=True, notes=notes, skipped=(Skipped(name, why),), heard=heard)


def _timed(frame: Frame, given: tuple[Any, ...], max_skew_s: float) -> Frame:
    """Return ``frame`` with the first readable time of ``given``, and with notes on the others if none is."""
    moment = frame.moment
    notes, off_s = moment.notes, None
    for one in given:
        if one is None:
            continue
        at = _read_time(one, moment.received, max_skew_s, frame.reader.zone)
        if not isinstance(at, Note):
            return Frame(Moment(at, moment.received, TimeFrom.PAYLOAD), frame.reader)
        notes = (*notes, at)
        if off_s is None and at is not Note.TIME_UNREADABLE:
            off_s = offset_of(one, moment.received)
    if notes is moment.notes:
        return frame
    off_s = moment.off_s if off_s is None else off_s
    return frame._replace(moment=moment._replace(notes=tuple(dict.fromkeys(notes)), off_s=off_s))


def _read_time(given: Any, received: float, max_skew_s: float, zone: tzinfo | None) -> float | Note:
    """Read a time; text without a zone is not taken for UTC."""
    if zone is None and type(given) is str and given[-1:] != "Z":
        try:
            if datetime.fromisoformat(given.strip()[:_MAX_WORD]).tzinfo is None:
                return Note.TIME_WITHOUT_ZONE
        except ValueError:
            pass  # not ISO 8601: a number as text, or nothing that is a time
    return read_time(given, received, max_skew_s, zone)


def _find(root: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        root = root.get(key) if isinstance(root, dict) else None
    return root
