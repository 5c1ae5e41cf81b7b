"""Readings of a JSON value: objects by path, arrays by ids, times or places."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agent.decode.elements import ADDRESS_LENGTHS, Element, is_address, name_elements
from agent.decode.family import DEFAULT_READER, Content, DecodeLimits, Note, Reader, Skip, Skipped, TimeFrom
from agent.decode.json_shapes import TIME_INSIDE, is_date, is_same_heat, rows, unit_tables
from agent.decode.key_roles import (
    KeyRoles,
    is_label,
    is_naming,
    is_no_value,
    is_sure,
    is_time_like,
    join_label,
    roles_of,
)
from agent.decode.sentinels import FAR, NEAR, is_sentinel
from agent.decode.times import Moment, is_epoch, offset_of, read_time
from agent.decode.values import VALUE, is_name, read_unit, read_value
from agent.domain.records import Reading

_MAX_WORD = 16  # of an annotation, such as GOOD or Uncertain
_MAX_SKIPPED = 16  # shown to a person
_MAX_TIMES = 8  # of an object that are tried: case makes many keys of one word
_MIN_EPOCH = 1e9  # a smaller number is a metric, not a time
# The name of an array is dropped where it means only that measurements follow.
_ENVELOPES = frozenset({
    "measurements", "readings", "values", "vals", "data", "sensors", "metrics", "samples", "records",
    "tags", "entries", "propertyvalues", "sensordatavalues", "sensordatas", "d",
})  # fmt: skip
# Bad in OPC DA is 0, and the reasons in steps of four; OPC UA with the highest bits.
_BAD_CODES = frozenset({0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0, 28.0})
_BAD_FROM = float(0x8000_0000)
_GOOD_FROM, _GOOD_TO = 192.0, 255.0  # of OPC DA
_INDEX = re.compile(r"[A-Za-z]?\d{1,3}|[A-Za-z]", re.ASCII)  # of a phase, string, axis
_HOST = "host"  # a tag that names the publisher
_BAD_WORDS = ("bad", "invalid", "error", "fail", "fault")


class JsonValues:
    """The readings of one JSON payload; made for one :meth:`take` or :meth:`take_all`."""

    _flat = False
    _heard: dict[str, None] | None = None
    _nested = False  # names are joined or repeated: they may be long, and two paths may lead to one

    def __init__(
        self,
        *,
        device: str,
        moment: Moment,
        max_skew_s: float,
        limits: DecodeLimits,
        reader: Reader = DEFAULT_READER,
        notes: tuple[Note, ...] = (),
        flat: bool = False,
    ) -> None:
        """Prepare for one payload.

        Args:
            device: that the topic names.
            moment: of the message.
            max_skew_s: how far in the future a time may be.
            limits: of one message.
            reader: the source's rules for its payloads.
            notes: of the text that the value was parsed from.
            flat: whether the name of every array is dropped, not only of those that mean nothing.
        """
        self._device = self._top = device
        self._moment = moment
        self._max_skew_s = max_skew_s
        self._limits = limits
        self._reader = reader
        if flat:
            self._flat = True
        self._readings: list[Reading] = []
        self._skipped: list[Skipped] = []
        self._notes: tuple[Note, ...] = moment.notes + notes if notes else moment.notes
        self._time_from = moment.time_from
        self._off_s = moment.off_s

    def take(self, value: Any, metric: str | None) -> Content:
        """Return what ``value``, as ``json_text.parse`` gives it, holds below ``metric``.

        Without a reading it is content all the same: the device has sent.
        """
        at = self._moment.at
        if type(value) is dict:
            self._take_root(value, metric, at)
            return self._content(value.get("traceparent"))
        if type(value) is list:
            for item in value:
                if type(item) is dict:
                    self._move_time(item)
            self._take_array(value, metric, at)
        else:
            self._take_value(metric or VALUE, value, at, None)
        return self._content(None)

    def take_all(self, values: Sequence[Any], metric: str | None) -> Content:
        """Return what ``values`` hold in turn; objects are named by their ids if these differ."""
        if len(values) == 1:
            return self.take(values[0], metric)
        self._nested = True
        values = self._without_surplus(values, metric)
        dicts = [value for value in values if type(value) is dict]
        named = name_elements(dicts, self._top) if len(dicts) == len(values) else None
        if named is not None and len({(one.device, one.path) for one in named}) == len(named):
            for item, element in zip(dicts, named, strict=True):
                if self._reader.time_path is not None:
                    self._move_time(item)
                    element = element._replace(roles=None)  # noqa: PLW2901 - its keys are others now
                self._take_element(item, element, metric, self._moment.at)
        else:
            for value in values:
                if type(value) is dict:
                    self._take_root(value, metric, self._moment.at)
                else:
                    self._take_value(metric or VALUE, value, self._moment.at, None)
        return self._content(None)

    def take_named(self, objects: Sequence[tuple[str, dict[str, Any]]], metric: str | None) -> Content:
        """Return what ``objects`` hold, each below a path of its own, "" for none."""
        self._nested = True
        for path, fields in objects:
            if path and not is_name(path):
                self.skip(ascii(path)[:40], Skip.BAD_NAME)
                continue
            self._take_root(fields, _join(metric, path) if path else metric, self._moment.at)
        return self._content(None)

    def _content(self, traceparent: object) -> Content:
        if self._nested:
            self._drop_unsound()
        readings = self._readings
        heard: tuple[str, ...] = ()
        if self._heard is not None:
            measured = {reading.device for reading in readings}
            heard = tuple(device for device in self._heard if device not in measured)
        elif not readings:
            heard = (self._top,)
        return Content(
            tuple(readings), not readings, self._time_from, traceparent, self._notes, tuple(self._skipped),
            None, (), heard, off_s=self._off_s,
        )  # fmt: skip

    # --------------------------------------------------------------------------------- objects

    def _take_root(self, fields: dict[str, Any], base: str | None, at: float) -> None:
        if self._reader.time_path is not None:
            self._move_time(fields)
        self._take_object(fields, base, at)

    def _move_time(self, fields: dict[str, Any]) -> None:
        """Replace the object's other times by the one whose place the source names."""
        path = self._reader.time_path
        if path is None:
            return
        holder: Any = fields
        for key in path[:-1]:
            holder = holder.get(key) if type(holder) is dict else None
        found = self._read_time(holder.pop(path[-1], None) if type(holder) is dict else None)
        if found is not None:
            for key in roles_of(fields).times:
                del fields[key]
            fields["timestamp"] = found

    def _take_object(
        self,
        fields: dict[str, Any],
        base: str | None,
        at: float,
        used: tuple[str, ...] = (),
        roles: KeyRoles | None = None,
    ) -> None:
        """Take an object; ``used`` are the keys that named it, as an element of an array."""
        roles = roles or roles_of(fields)
        if (roles.units or roles.own_units) and (tables := unit_tables(fields, roles)):
            self._take_with_units(fields, tables, base, at, used)
            return
        if roles.tagged is not None and not used and self._take_tagged(fields, roles.tagged, base, at):
            return
        if roles.times:
            at = self._own_time(fields, roles.times, at)
        if not used:
            if roles.plain:
                self._take_metrics(fields, roles.metrics, base, at)
                return
            if roles.alone:
                unit = read_unit(fields[roles.units[0]]) if roles.units else None
                self._take_value(base or VALUE, fields[roles.values[0]], at, unit)
                return
        apart = set(used)
        for key in roles.maybe_times:
            if is_epoch(fields[key]) and (type(fields[key]) is not float or fields[key] >= _MIN_EPOCH):
                apart.add(key)
                found = self._read_time(fields[key]) if not roles.times else None
                at = at if found is None else found
        for key, celsius in roles.twins:
            if is_same_heat(fields[key], fields[celsius]):
                apart.add(key)
                self.skip(_join(base, key), Skip.OTHER_UNIT)
        for key in roles.hidden:
            if key not in apart:
                self.skip(_join(base, key), Skip.NOT_A_VALUE)
        for key in roles.bad:
            if not key and type(fields[key]) is dict:  # a sensor that was given no name
                self._nested = True
                self._take_object(fields[key], base, at)
            else:
                self.skip(_join(base, ascii(key)[:40]), Skip.BAD_NAME)
        for key, unit_key in roles.own_units:
            unit = read_unit(fields[unit_key])
            if unit and key not in apart:
                apart.update((key, unit_key))
                self._take_value(_join(base, key), fields[key], at, unit)
        if roles.values or roles.units or roles.events or used:
            self._take_measurement(fields, roles, base, at, apart, named=bool(used))
        else:
            keys = [key for key in roles.metrics if key not in apart] if apart else roles.metrics
            self._take_metrics(fields, keys, base, at)

    def _take_with_units(
        self,
        fields: dict[str, Any],
        tables: Sequence[tuple[str, str, dict[str, str]]],
        base: str | None,
        at: float,
        used: tuple[str, ...],
    ) -> None:
        """Take an object with maps of the units of its values: ``{"t": 68, "units": {"t": "F"}}``."""
        first = len(self._readings)
        left_out = {key for key, _, _ in tables}
        rest = {key: value for key, value in fields.items() if key not in left_out}
        self._take_object(rest, base, at, tuple(key for key in used if key in rest))
        for place, one in enumerate(self._readings[first:], first):
            below = one.metric if base is None else one.metric.removeprefix(f"{base}.")
            for _, target, table in tables:
                unit = table.get(below.removeprefix(target)) or table.get(below.rpartition(".")[2])
                if unit and one.unit is None and below.startswith(target):
                    self._readings[place] = replace(one, unit=unit)

    def _take_tagged(
        self, fields: dict[str, Any], keys: tuple[str, str], base: str | None, at: float
    ) -> bool:
        """Take an InfluxDB point in JSON: its tags are the identity of its fields."""
        values, tags = (fields[key] for key in keys)
        if type(values) is not dict or type(tags) is not dict:
            return False
        roles = roles_of(fields)
        at = self._own_time(fields, roles.times, at) if roles.times else at
        name = roles.name_in(fields)
        given = [tags[key] for key in sorted(tags) if key.lower() != _HOST]
        path = [text for text in (name[1] if name else None, *given) if type(text) is str]
        if not all(map(is_name, path)) or len(given) > len(path):
            self.skip(base or VALUE, Skip.BAD_NAME)
        else:
            self._take_object(values, ".".join([base, *path] if base else path) or None, at)
        return True

    def _take_measurement(
        self,
        fields: dict[str, Any],
        roles: KeyRoles,
        base: str | None,
        at: float,
        apart: set[str],
        *,
        named: bool,
    ) -> None:
        """Take an object of which one key may be the value that others name and explain."""
        unit_key = next((key for key in roles.units if read_unit(fields[key])), None)
        unit = read_unit(fields[unit_key]) if unit_key else None
        name = roles.name_in(fields) if roles.values and not named else None
        point = roles.point_in(fields) if roles.values and roles.ids and not named else None
        if point is not None:
            if name is not None:
                apart.add(name[0])
            name = point if name is None else (point[0], join_label(point[1], name[1]))
        value_key = next(
            (
                key
                for key in roles.values
                if name or named or is_sure(key) or ((unit or _is_judged(fields, roles)) and key not in apart)
            ),
            None,
        )
        for key in roles.events:
            if type(fields[key]) is str and key not in apart:
                apart.add(key)
                self.skip(_join(base, key), Skip.TEXT)
        if value_key is None:
            self._take_plain(fields, roles, base, at, apart, unit_key, named=named)
            return
        apart.add(value_key)
        apart |= roles.annotations
        for key in roles.annotations:
            if type(fields[key]) is str and len(fields[key]) > _MAX_WORD:
                self.skip(_join(base, key), Skip.TEXT)  # a sentence in place of a code is looked at
        if unit_key is not None:
            apart.add(unit_key)
        if name is not None:
            apart.add(name[0])
            if base is None or name[1].casefold() != base.casefold():
                self._nested |= base is not None
                base = _join(base, name[1])
        if any(_is_bad(fields[key], opc_ua=key.lower().endswith("code")) for key in roles.qualities):
            self.skip(base or VALUE, Skip.BAD_QUALITY)
        else:
            self._take_value(base or VALUE, fields[value_key], at, unit)
        self._take_metrics(fields, [key for key in roles.metrics if key not in apart], base, at)

    def _take_plain(
        self,
        fields: dict[str, Any],
        roles: KeyRoles,
        base: str | None,
        at: float,
        apart: set[str],
        unit_key: str | None,
        *,
        named: bool,
    ) -> None:
        """Take an object without a value key; its unit is that of its number, if there is just one."""
        keys = [key for key in roles.metrics if key not in apart and key != unit_key]
        if (
            named
            and base is not None
            and not roles.own_units
            and all(key in roles.annotations for key in keys)
        ):
            # A tag with an error code in place of its value.
            self.skip(base, Skip.NO_VALUE)
            return
        unit = read_unit(fields[unit_key]) if unit_key else None
        numbers = sum(type(fields[key]) is float for key in keys)
        if unit and not numbers and len(keys) == 1:
            self._take_value(_join(base, keys[0]), fields[keys[0]], at, unit)
        else:
            self._take_metrics(fields, keys, base, at, unit if numbers == 1 else None)

    def _take_metrics(
        self,
        fields: dict[str, Any],
        keys: Sequence[str],
        base: str | None,
        at: float,
        unit: str | None = None,
    ) -> None:
        readings, device = self._readings, self._device
        if base is not None and keys:
            self._nested = True
        for key in keys:
            value = fields[key]
            name = key if base is None else f"{base}.{key}"
            kind = type(value)
            if kind is float:
                if NEAR < value < FAR:
                    readings.append(Reading(device, name, at, value, unit))
                else:
                    self._add(name, at, value, unit)
            elif kind is dict and len(key) in ADDRESS_LENGTHS and is_address(key):
                self._take_element(value, Element(device=key), None if self._drops(base) else base, at)
            elif kind is list and self._drops(key) and value and (type(value[0]) is dict or rows(value)):
                self._take_array(value, base, at)
            else:
                self._take_value(name, value, at, unit if kind is str else None)

    def _drops(self, name: str | None) -> bool:
        return name is None or self._flat or name.lower() in _ENVELOPES

    # ---------------------------------------------------------------------------------- values

    def _take_value(self, name: str, value: Any, at: float, unit: str | None) -> None:
        kind = type(value)
        if kind is float and NEAR < value < FAR:
            self._readings.append(Reading(self._device, name, at, value, unit))
        elif kind is float or kind is bool:
            self._add(name, at, float(value), unit)
        elif kind is str:
            found = read_value(value, self._reader)
            if isinstance(found, Skip):
                label = found is Skip.UNMAPPED and is_label(name)
                self.skip(name, Skip.TEXT if label else found, value)
            elif (
                is_naming(name)
                and not any(map(str.isdigit, value))
                and value.casefold() not in self._reader.words
            ):
                self.skip(name, Skip.TEXT)
            else:
                self._add(name, at, found[0], found[1] or unit, found[2])
        elif kind is dict or kind is list:
            first = len(self._readings)
            if kind is dict:
                self._take_object(value, name, at)
            else:
                self._take_array(value, name, at)
            if unit is not None and all(map(_INDEX.fullmatch, value if kind is dict else ())):
                self._readings[first:] = [
                    replace(one, unit=one.unit or unit) for one in self._readings[first:]
                ]
        else:
            self.skip(name, value if kind is Skip else Skip.NULL)

    def _add(self, name: str, at: float, value: float, unit: str | None, word: str | None = None) -> None:
        if value >= _MIN_EPOCH and unit is None and is_time_like(name.rpartition(".")[2]) and is_epoch(value):
            self.skip(name, Skip.NOT_A_VALUE)
        elif not NEAR < value < FAR and is_sentinel(self._device, name, value, unit):
            self.skip(name, Skip.SENTINEL)
        else:
            self._readings.append(Reading(self._device, name, at, value, unit, word))

    def _take_array(self, items: Sequence[Any], base: str | None, at: float) -> None:
        """Take objects by their ids, else by their times, the rest by place."""
        self._nested = True
        if len(self._readings) > self._limits.max_readings:
            return
        items = self._without_surplus(items, base)
        objects = bool(items) and all(type(item) is dict for item in items)
        if objects and all(roles_of(item).tagged for item in items):
            for item in items:
                self._take_object(item, base, at)
            return
        named = name_elements(items, self._top) if objects else None
        if named is not None:
            for item, element in zip(items, named, strict=True):
                self._take_element(item, element, base, at)
                if len(self._readings) > self._limits.max_readings:
                    break
        elif objects and all(roles_of(item).times for item in items):
            for item in items:
                self._take_object(item, base, at)
                if len(self._readings) > self._limits.max_readings:
                    break
        elif pairs := rows(items):
            for name, value, unit, time in pairs:
                path = _join(base, name) if name else base or VALUE
                if name and is_no_value(name):
                    self.skip(path, Skip.NOT_A_VALUE)
                else:
                    self._take_value(path, value, at if time is None else self._read_time(time) or at, unit)
        elif len(items) > self._limits.max_vector:
            self.skip(base or VALUE, Skip.VECTOR)
        else:
            self._take_places(items, base, at)

    def _without_surplus(self, items: Sequence[Any], base: str | None) -> Sequence[Any]:
        """Return ``items`` without the mark behind them for those that are too many."""
        if not items or items[-1] is not Skip.TOO_MANY:
            return items
        self.skip(base or VALUE, Skip.TOO_MANY)
        return items[:-1]

    def _take_places(self, items: Sequence[Any], base: str | None, at: float) -> None:
        """Take what has no name of its own.

        A list of measurements is mostly one of one: the first has the name of the list.
        """
        time = next((item for item in items if type(item) is str and is_date(item)), None)
        if time is not None:
            found = self._read_time(time)
            if found is None:
                self.skip(base or VALUE, Skip.NOT_A_VALUE)
                return
            at = found
        for place, item in enumerate(items):
            path = _join(base, str(place))
            if type(item) is not dict:
                self._take_value(path if base else f"{VALUE}.{place}", item, at, None)
            elif place == 0 and (base is None or roles_of(item).values):
                self._take_object(item, base, at)
            else:
                self._take_object(item, path, at)

    def _take_element(self, item: dict[str, Any], element: Element, base: str | None, at: float) -> None:
        if element.unreadable:
            self.skip(base or VALUE, Skip.BAD_NAME)
            return
        device = self._device
        if element.device is not None:
            self._device = f"{device}/{element.device}"
            self._heard = {} if self._heard is None else self._heard
            self._heard[self._device] = None
        path = _join(base, element.path) if element.path else base
        self._take_object(item, path, at, element.used, element.roles)
        self._device = device

    # ----------------------------------------------------------------------------------- times

    def _own_time(self, fields: dict[str, Any], keys: tuple[str, ...], at: float) -> float:
        """Return the time that the object gives itself, else ``at``."""
        received, zone = self._moment.received, self._reader.zone
        for key in keys[:_MAX_TIMES]:
            given = fields[key]
            if type(given) is dict:  # {"$date": ...}, {"timeInSeconds": ...}
                given = next((given[inner] for inner in TIME_INSIDE if inner in given), given)
            found = read_time(given, received, self._max_skew_s, zone)
            if not isinstance(found, Note):
                self._time_from = TimeFrom.PAYLOAD
                return found
            self._note_time(found, fields[key])
        return at

    def _read_time(self, given: Any) -> float | None:
        found = read_time(given, self._moment.received, self._max_skew_s, self._reader.zone)
        if not isinstance(found, Note):
            self._time_from = TimeFrom.PAYLOAD
            return found
        self._note_time(found, given)
        return None

    def _note_time(self, note: Note, given: Any) -> None:
        self._note(note)
        if self._off_s is None and note is not Note.TIME_UNREADABLE:
            self._off_s = offset_of(given, self._moment.received)

    # ---------------------------------------------------------------------------------- limits

    def _note(self, note: Note) -> None:
        if note not in self._notes:
            self._notes += (note,)

    def skip(self, name: str, why: Skip, word: str = "") -> None:
        """Report a value that did not become a reading."""
        skipped = self._skipped
        if len(skipped) == _MAX_SKIPPED and why is Skip.TOO_MANY is not skipped[-1].why:
            del skipped[-1]  # of all reasons the one that must not be lost
        if len(skipped) < _MAX_SKIPPED:
            device = None if self._device is self._top else self._device
            skipped.append(Skipped(name[: self._limits.max_string], why, device, word))

    def _drop_unsound(self) -> None:
        """Drop what has a long name, is one too many, or has the name and the time of another reading."""
        limits = self._limits
        kept: dict[tuple[str, str, float], Reading] = {}
        for reading in self._readings:
            key = (reading.device, reading.metric, reading.at)
            if len(reading.metric) > limits.max_string:
                self.skip(reading.metric, Skip.TOO_LONG)
            elif key in kept:
                self._note(Note.REPEATED)
                self.skip(reading.metric, Skip.REPEATED)
            elif len(kept) >= limits.max_readings:
                self.skip(reading.metric, Skip.TOO_MANY)
                break
            else:
                kept[key] = reading
        self._readings = list(kept.values())


def _join(base: str | None, name: str) -> str:
    return name if base is None else f"{base}.{name}"


def _is_judged(fields: dict[str, Any], roles: KeyRoles) -> bool:
    """Whether an object is one value and its quality: ``{"v": 1.5, "q": "good"}``."""
    return bool(roles.qualities) and all(
        key in roles.values or (key in roles.annotations and _is_quality(fields[key]))
        for key in roles.metrics
    )


def _is_quality(given: Any) -> bool:
    """Whether it is a word or a code of OPC DA: q may be reactive power."""
    if type(given) is float:
        return given in _BAD_CODES or _GOOD_FROM <= given <= _GOOD_TO
    return type(given) in {str, bool}


def _is_bad(quality: Any, *, opc_ua: bool) -> bool:
    """Whether a sender marks its value as bad: false, a word, or a code; 0 is good in OPC UA only."""
    if type(quality) is dict:
        code = next((quality[key] for key in ("Code", "code") if key in quality), None)
        return type(code) is float and code >= _BAD_FROM
    if type(quality) is float:
        return (not opc_ua and quality in _BAD_CODES) or quality >= _BAD_FROM
    if type(quality) is str:
        return quality.casefold().startswith(_BAD_WORDS)
    return quality is False
