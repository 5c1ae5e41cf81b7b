"""Readings of a JSON value: objects by dot path, arrays by name, time or place."""

from collections.abc import Sequence
from typing import Any

from agent.decode.family import (
    DEFAULT_READER,
    Content,
    DecodeLimits,
    Note,
    Reader,
    Skip,
    Skipped,
    TimeFrom,
)
from agent.decode.key_roles import KeyRoles, is_sure, roles_of
from agent.decode.times import Moment, read_time
from agent.decode.values import read_unit, read_value
from agent.domain.records import DecodeError, DecodeReason, Reading

VALUE = "value"  # the metric where neither topic nor payload names one

_MAX_SKIPPED = 16  # shown to a person
_MAX_TIMES = 8  # of an object that are tried: case makes many keys of one word
# The name of an array is dropped where it means only that measurements follow.
_ENVELOPES = frozenset(
    {"measurements", "readings", "values", "data", "sensors", "metrics", "samples", "records"}
)


class JsonValues:
    """The readings of one JSON payload; made for one :meth:`take`."""

    __slots__ = (
        "_device", "_limits", "_max_skew_s", "_moment", "_nested", "_notes", "_readings", "_repeats",
        "_skipped", "_text", "_time_from", "_void",
    )  # fmt: skip

    def __init__(
        self,
        *,
        device: str,
        moment: Moment,
        max_skew_s: float,
        limits: DecodeLimits,
        reader: Reader = DEFAULT_READER,  # noqa: ARG002 - for the words of the source
    ) -> None:
        self._device = device
        self._moment = moment
        self._max_skew_s = max_skew_s
        self._limits = limits
        self._readings: list[Reading] = []
        self._skipped: list[Skipped] = []
        self._notes: tuple[Note, ...] = moment.notes
        self._time_from = moment.time_from
        self._nested = False  # names are joined: they may be long, and two paths may lead to one
        self._repeats = False  # an array may hold one name many times
        self._text = False
        self._void = False  # something that is neither reading nor text

    def take(self, value: Any, metric: str | None) -> Content:
        """Return what ``value``, as ``strict_json.parse`` gives it, holds below ``metric``.

        Raises:
            DecodeError: where there is no reading although it is not text only, and for ambiguous names.
        """
        at = self._moment.at
        if type(value) is dict:
            self._take_object(value, metric, at)
        elif type(value) is list:
            self._take_array(value, metric, at)
        else:
            self._take_value(metric or VALUE, value, at, None)
        readings = tuple(self._readings)
        if not readings:
            self._explain_nothing()
        self._check(readings)
        traceparent = value.get("traceparent") if type(value) is dict else None
        return Content(
            readings, not readings, self._time_from, traceparent, self._notes, tuple(self._skipped)
        )

    def _take_object(self, fields: dict[str, Any], base: str | None, at: float) -> None:
        self._stop_at_limit()
        roles = roles_of(fields)
        if roles.times:
            at = self._own_time(fields, roles.times, at)
        if roles.labels and any(type(fields[key]) is str for key in roles.labels):
            self._text = True
        if roles.alone:
            unit = read_unit(fields[roles.units[0]]) if roles.units else None
            self._take_value(base or VALUE, fields[roles.values[0]], at, unit)
        elif roles.values or roles.units or roles.events:
            self._take_measurement(fields, roles, base, at)
        else:
            self._take_metrics(fields, roles.metrics, base, at)

    def _take_measurement(self, fields: dict[str, Any], roles: KeyRoles, base: str | None, at: float) -> None:
        """Take an object of which one key may be the value that others name and explain."""
        unit_key = roles.units[0] if roles.units else None
        unit = read_unit(fields[unit_key]) if unit_key else None
        name = roles.name_in(fields) if roles.values else None
        value_key = next((key for key in roles.values if name or is_sure(key)), None)
        if value_key is None:
            self._take_plain(fields, roles, base, at, unit_key if unit else None, unit)
            return
        taken = {value_key}
        if unit is not None and unit_key is not None:
            taken.add(unit_key)
        if name is not None:
            taken.add(name[0])
            if base is None or name[1].casefold() != base.casefold():
                self._nested |= base is not None
                base = _join(base, name[1])
        self._take_value(base or VALUE, fields[value_key], at, unit)
        self._take_events(fields, roles)
        rest = [key for key in roles.metrics if key not in taken and not _is_event(fields, roles, key)]
        self._take_metrics(fields, rest, base, at)

    def _take_plain(
        self,
        fields: dict[str, Any],
        roles: KeyRoles,
        base: str | None,
        at: float,
        unit_key: str | None,
        unit: str | None,
    ) -> None:
        """Take an object without a value key; its unit is that of its number, if there is just one."""
        self._take_events(fields, roles)
        keys = [key for key in roles.metrics if key != unit_key and not _is_event(fields, roles, key)]
        only = sum(type(fields[key]) is float for key in keys) == 1
        self._take_metrics(fields, keys, base, at, unit if only else None)

    def _take_events(self, fields: dict[str, Any], roles: KeyRoles) -> None:
        for key in roles.events:
            if _is_event(fields, roles, key):
                self._skip(key, Skip.TEXT)

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
            if type(value) is float:
                readings.append(Reading(device, name, at, value, unit))
            elif type(value) is list and key.lower() in _ENVELOPES and value and type(value[0]) is dict:
                self._take_array(value, base, at)
            else:
                self._take_value(name, value, at, unit if type(value) is str else None)

    def _take_value(self, name: str, value: Any, at: float, unit: str | None) -> None:
        kind = type(value)
        if kind is float or kind is bool:
            self._readings.append(Reading(self._device, name, at, float(value), unit))
        elif kind is str:
            found = read_value(value)
            if isinstance(found, Skip):
                self._skip(name, found)
            else:
                self._readings.append(Reading(self._device, name, at, found[0], found[1] or unit))
        elif kind is dict:
            self._take_object(value, name, at)
        elif kind is list:
            self._take_array(value, name, at)
        else:
            self._skip(name, Skip.NULL)

    def _take_array(self, items: list[Any], base: str | None, at: float) -> None:
        """Take objects by their own time or name where these differ, the rest by place."""
        self._nested = True
        self._stop_at_limit()
        objects = bool(items) and all(type(item) is dict for item in items)
        if objects and (len(items) == 1 or _tell_apart(items)):
            self._repeats = True
            for item in items:
                self._take_object(item, _element_base(item, base), at)
            return
        if base is None and not objects:
            base = VALUE
        if len(items) > self._limits.max_vector:
            self._skip(base or VALUE, Skip.VECTOR)
            return
        for place, item in enumerate(items):
            self._take_value(_join(base, str(place)), item, at, None)

    def _own_time(self, fields: dict[str, Any], keys: tuple[str, ...], at: float) -> float:
        """Return the time that the object gives itself, else ``at``."""
        for key in keys[:_MAX_TIMES]:
            found = read_time(fields[key], self._moment.received, self._max_skew_s)
            if not isinstance(found, Note):
                self._time_from = TimeFrom.PAYLOAD
                return found
            if found not in self._notes:
                self._notes += (found,)
        return at

    def _skip(self, name: str, why: Skip) -> None:
        if why is Skip.TEXT:
            self._text = True
        else:
            self._void = True
        if len(self._skipped) < _MAX_SKIPPED:
            self._skipped.append(Skipped(name, why))

    def _explain_nothing(self) -> None:
        """Pass a payload of text only, refuse any other without a reading."""
        if self._text and not self._void:
            return
        held = ", ".join(f"{name}: {why}" for name, why in self._skipped) or "neither number nor text in it"
        raise DecodeError(DecodeReason.NO_READINGS, held)

    def _stop_at_limit(self) -> None:
        limit = self._limits.max_readings
        if len(self._readings) > limit:
            raise DecodeError(DecodeReason.TOO_MANY_KEYS, f"more than the {limit} readings that are taken")

    def _check(self, readings: tuple[Reading, ...]) -> None:
        if not self._nested:
            return
        self._stop_at_limit()
        limits = self._limits
        names = {reading.metric for reading in readings}
        if any(len(name) > limits.max_string for name in names):
            detail = f"a path of more than {limits.max_string} characters"
            raise DecodeError(DecodeReason.STRING_TOO_LONG, detail)
        if not self._repeats and len(names) != len(readings):
            raise DecodeError(DecodeReason.DUPLICATE_KEY, "two paths that give one metric the same name")


def _join(base: str | None, name: str) -> str:
    return name if base is None else f"{base}.{name}"


def _is_event(fields: dict[str, Any], roles: KeyRoles, key: str) -> bool:
    return key in roles.events and type(fields[key]) is str


def _tell_apart(items: list[dict[str, Any]]) -> bool:
    """Whether each item has a time, or each a name of its own."""
    each = [roles_of(item) for item in items]
    if all(roles.times for roles in each):
        return True
    names = [roles.name_in(item) for roles, item in zip(each, items, strict=True)]
    return None not in names and len(set(names)) == len(names)


def _element_base(item: dict[str, Any], base: str | None) -> str | None:
    """Return the path of an array's element: one with a name and without a value names all its metrics."""
    roles = roles_of(item)
    name = None if roles.values else roles.name_in(item)
    return base if name is None or type(item[name[0]]) is not str else _join(base, name[1])
