"""Readings posted to ``/iot/data``: an object with a device id, or a list."""

import json
from typing import Any, ClassVar

from agent.decode.families.generic import Generic
from agent.decode.family import (
    Content,
    DecodeLimits,
    Family,
    Note,
    Properties,
    Route,
    Skip,
    Skipped,
    TimeFrom,
    first_offset,
    skipped_of,
)
from agent.decode.json_path import elements
from agent.decode.strict_json import BOM
from agent.decode.values import is_name
from agent.domain.records import DecodeError, DecodeReason

KEY = "device_id"
MAX_ELEMENTS = 1024  # of a list that are read
_MAX_SKIPPED = 16
_SPACE = " \t\r\n"
_WANTED = f'post {{"{KEY}": ..., metric: value, ...}} or a list of such objects'


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; of a message that names two devices nobody knows whose values it holds."""
    made = dict(pairs)
    if len(made) != len(pairs) and sum(key == KEY for key, _ in pairs) > 1:
        raise DecodeError(DecodeReason.DUPLICATE_KEY, f"key '{KEY}' twice in one object")
    return made


# Numbers as they are written: as floats, two long ids could be one.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=str, parse_float=str)


class HttpData:
    """Decoder of ``{"device_id": ..., metric: value, ...}``; what an object holds is read as any JSON is."""

    topics: ClassVar[tuple[str, ...]] = ("http/iot/data",)

    def __init__(self, *, limits: DecodeLimits, max_future_skew_s: float) -> None:
        self._generic = Generic(limits=limits, max_future_skew_s=max_future_skew_s)
        self._limits = limits

    def recognise(self, route: Route, payload: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return True except for a webhook of The Things Stack, whose ids are inside another object."""
        return b'"end_device_ids"' not in payload

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of all objects; one that cannot be read is skipped if others can."""
        contents: list[Content] = []
        skipped: list[Skipped] = []
        trouble: DecodeError | None = None
        taken = 0
        parts = _elements(payload)
        for place, (value, text) in enumerate(parts[:MAX_ELEMENTS]):
            if taken > self._limits.max_readings:
                break
            try:
                own = Route(route.topic, self._device_of(value), None, route.parts, route.reader)
                content = self._generic.decode(own, text.encode(), received, properties)
                contents.append(content)
                taken += len(content.readings)
            except DecodeError as error:
                trouble = trouble or error
                skipped.append(Skipped(f"[{place}]: {error.reason}", Skip.NO_VALUE, ""))
        if len(parts) > MAX_ELEMENTS:
            skipped.insert(0, Skipped(f"[{MAX_ELEMENTS}]", Skip.TOO_MANY, ""))
        if not contents:
            raise trouble or DecodeError(DecodeReason.NO_READINGS, f"an empty list; {_WANTED}")
        return contents[0] if len(parts) == 1 else _joined(contents, skipped, self._limits)

    def _device_of(self, value: Any) -> str:
        if not isinstance(value, dict):
            raise DecodeError(DecodeReason.BAD_JSON, f"no object; {_WANTED}")
        found = value.get(KEY)
        device = found.strip() if isinstance(found, str) else ""
        if not device:
            raise DecodeError(DecodeReason.NO_READINGS, f"{KEY} is missing; {_WANTED}")
        if not is_name(device) or len(device) > self._limits.max_string:
            raise DecodeError(DecodeReason.NO_READINGS, f"{KEY} is too long or holds a control character")
        return device


def _elements(payload: bytes) -> list[tuple[Any, str]]:
    """Return each object with its text: it is decoded as it was sent, so that no value changes."""
    try:
        text = payload.decode().removeprefix(BOM).strip(_SPACE)
        if text.startswith("["):
            return elements(text, MAX_ELEMENTS + 1, _DECODER)
        return [(_DECODER.decode(text), text)]
    except UnicodeDecodeError as error:
        raise DecodeError(DecodeReason.BAD_UTF8, f"{error.reason} at byte {error.start}") from None
    except RecursionError:
        raise DecodeError(DecodeReason.TOO_DEEP, "too many objects or arrays inside each other") from None
    except json.JSONDecodeError as error:
        raise DecodeError(DecodeReason.BAD_JSON, f"{error.msg} at character {error.pos}") from None


def _joined(contents: list[Content], skipped: list[Skipped], limits: DecodeLimits) -> Content:
    seen: dict[tuple[str, str, float], Any] = {}
    for one in contents:
        skipped += skipped_of(one)
        for reading in one.readings:
            key = reading.device, reading.metric, reading.at
            if len(seen) >= limits.max_readings or key in seen:
                why = Skip.REPEATED if key in seen else Skip.TOO_MANY
                skipped.append(Skipped(reading.metric, why))
            else:
                seen[key] = reading
    notes: dict[Note, None] = {note: None for one in contents for note in one.notes}
    best = list(TimeFrom)
    return Content(
        tuple(seen.values()),
        text_only=all(one.text_only for one in contents),
        time_from=min((one.time_from for one in contents), key=best.index),
        traceparent=next((one.traceparent for one in contents if one.traceparent is not None), None),
        notes=tuple(notes),
        skipped=tuple(skipped[:_MAX_SKIPPED]),
        heard=tuple(device for one in contents for device in one.heard),
        off_s=first_offset(contents),
    )


FAMILY: type[Family] = HttpData
