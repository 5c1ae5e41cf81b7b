"""Common part of families whose readings are inside a JSON envelope."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from agent.decode.family import (
    Content,
    DecodeLimits,
    Note,
    Properties,
    Route,
    Skip,
    Skipped,
    TimeFrom,
    skipped_of,
)
from agent.decode.json_text import parse
from agent.decode.json_values import VALUE, JsonValues
from agent.decode.times import Moment, moment_of, read_time
from agent.decode.values import is_name
from agent.domain.records import DecodeError, DecodeReason, Reading

MAX_SKIPPED = 16  # shown to a person

# An envelope holds keys, depth and texts (raw frames, correlation ids) that never become readings.
_MORE_DEPTH = 8
_MORE_KEYS = 4
_MAX_TEXT = 8192
_ORDER = (TimeFrom.PAYLOAD, TimeFrom.PROPERTY, TimeFrom.RECEIPT)
_WHY = {
    DecodeReason.NO_READINGS: Skip.NO_VALUE,
    DecodeReason.STRING_TOO_LONG: Skip.TOO_LONG,
    DecodeReason.TOO_MANY_KEYS: Skip.TOO_MANY,
    DecodeReason.DUPLICATE_KEY: Skip.REPEATED,
    DecodeReason.BAD_JSON: Skip.BAD_NAME,
}


class Envelope:
    """Base of a family: parses the envelope with wider limits and reads the part that holds the values."""

    def __init__(self, *, limits: DecodeLimits, max_future_skew_s: float) -> None:
        self.limits = limits
        self._max_skew_s = max_future_skew_s
        self._wide = replace(
            limits,
            max_depth=limits.max_depth + _MORE_DEPTH,
            max_keys=limits.max_keys * _MORE_KEYS,
            max_string=max(limits.max_string, _MAX_TEXT),
        )

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

    def moment(self, properties: Properties, received: float, *given: Any) -> Moment:
        """Return the first readable time of ``given``, else that of a user property or receipt."""
        found: list[Note] = []
        for one in given:
            at = None if one is None else read_time(one, received, self._max_skew_s)
            if isinstance(at, Note):
                found.append(at)
            elif at is not None:
                return Moment(at, received, TimeFrom.PAYLOAD)
        base = moment_of(properties, received, self._max_skew_s)
        return base._replace(notes=tuple(dict.fromkeys((*base.notes, *found))))

    def name_in(self, given: Any) -> str | None:
        """Return ``given`` as a name of a device or metric, None where it cannot be one."""
        if type(given) is float and given.is_integer():
            given = str(int(given))
        if type(given) is not str or len(given) > self.limits.max_string or not is_name(given):
            return None
        return given.strip()

    def take(
        self,
        route: Route,
        value: Any,
        moment: Moment,
        *,
        metric: str | None = None,
        device: str | None = None,
    ) -> Content:
        """Return the readings of one part of a message; a part without any is reported, never refused."""
        device = device or route.device
        values = JsonValues(
            device=device,
            moment=moment,
            max_skew_s=self._max_skew_s,
            limits=self._wide,
            reader=route.reader,
        )
        try:
            content = values.take(value, metric)
        except DecodeError as error:
            why = _WHY.get(error.reason, Skip.NO_VALUE)
            return nothing(metric or VALUE, why, heard=(device,), notes=moment.notes)
        longest = self.limits.max_string
        if any(len(one.metric) > longest for one in content.readings):
            kept = tuple(one for one in content.readings if len(one.metric) <= longest)
            skipped = (*content.skipped, Skipped("a long name", Skip.TOO_LONG))[-MAX_SKIPPED:]
            content = content._replace(readings=kept, skipped=skipped, text_only=not kept)
        return content if content.readings else content._replace(heard=content.heard or (device,))

    def join(self, parts: Iterable[Content]) -> Content:
        """Return several parts as one result; the same metric at the same time twice counts once.

        Parts beyond the limit of readings are not read at all.
        """
        readings: dict[tuple[str, str, float], Reading] = {}
        skipped: list[Skipped] = []
        notes: dict[Note, None] = {}
        heard: dict[str, None] = {}
        expected: dict[str, float] = {}
        sources = {TimeFrom.RECEIPT}
        for part in parts:
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
            if part.notes:
                notes.update(dict.fromkeys(part.notes))
            if part.heard:
                heard.update(dict.fromkeys(part.heard))
            if part.expected_s:
                expected.update(part.expected_s)
            del skipped[MAX_SKIPPED:]
            if len(readings) > self.limits.max_readings:
                skipped.insert(0, Skipped("the rest", Skip.TOO_MANY))
                break
        with_value = {device for device, _, _ in readings}
        return Content(
            tuple(readings.values())[: self.limits.max_readings],
            text_only=not readings,
            time_from=next(one for one in _ORDER if one in sources),
            notes=tuple(notes),
            skipped=tuple(skipped[:MAX_SKIPPED]),
            heard=tuple(device for device in heard if device not in with_value),
            expected_s=tuple(expected.items()),
        )


def nothing(name: str, why: Skip, *, heard: tuple[str, ...] = (), notes: tuple[Note, ...] = ()) -> Content:
    """Return a result without a reading, and why."""
    return Content((), text_only=True, notes=notes, skipped=(Skipped(name, why),), heard=heard)


def is_named(route: Route) -> bool:
    """Return whether the source names the device; else its id is the topic, or the part behind a prefix."""
    return bool(route.parts) or not (route.device == route.topic or route.topic.endswith(f"/{route.device}"))


def identify(route: Route, below: str) -> tuple[str, str | None]:
    """Return device and metric: as the source names them, else the level after ``below`` and the rest."""
    if is_named(route) or below not in route.topic:
        return route.device, route.metric
    before, _, rest = route.topic.partition(below)
    device, _, metric = rest.partition("/")
    return (before + device if device else route.device), metric.replace("/", ".") or None


def device_in(topic: str, pattern: re.Pattern[str]) -> str | None:
    """Return the groups of ``pattern`` in ``topic`` as a device id; two topics never give one id."""
    found = pattern.fullmatch(topic)
    return "/".join(part for part in found.groups() if part) if found else None


def own_device(route: Route, name: str, standard: str) -> str:
    """Return the id of a device that the payload names.

    It is below the device that the source names, else below the levels before the ``standard`` topic.
    """
    if is_named(route):
        return f"{route.device}/{name}"
    before, found, _ = route.topic.partition(standard)
    return before + name if found else name


def split(fields: dict[str, Any], not_values: frozenset[str]) -> tuple[dict[str, Any], tuple[Skipped, ...]]:
    """Return ``fields`` without the keys of ``not_values`` (in lower case), and those as skipped."""
    kept = {key: value for key, value in fields.items() if key.lower() not in not_values}
    if len(kept) == len(fields):
        return fields, ()
    dropped = [Skipped(key, Skip.NOT_A_VALUE) for key in fields if key not in kept]
    return kept, tuple(dropped[:MAX_SKIPPED])


def with_unit(reading: Reading, units: Mapping[str, str]) -> Reading:
    """Return ``reading`` with the unit of the last part of its name, in lower case, if it has none."""
    unit = reading.unit or units.get(reading.metric.rpartition(".")[2].lower())
    return reading if unit is reading.unit else replace(reading, unit=unit)


def label_by(items: list[Any], keys: tuple[str, ...]) -> list[str] | None:
    """Return the texts that name the elements of a list: of the first key in which all differ."""
    if not all(type(item) is dict for item in items):
        return None
    for key in keys:
        found = [item.get(key) for item in items]
        names = [str(int(one)) if type(one) is float and one.is_integer() else one for one in found]
        if all(type(one) is str and is_name(one) for one in names) and len(set(names)) == len(names):
            return [str(one) for one in names]
    return None
