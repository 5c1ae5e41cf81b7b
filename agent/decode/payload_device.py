"""Messages whose payload names the device: one object, or a list of them."""

from collections.abc import Callable
from typing import Any

from agent.decode.device_template import DeviceTemplate
from agent.decode.family import Content, Note, Route, Skip, Skipped, TimeFrom, first_offset, skipped_of
from agent.decode.json_path import elements, read_exact
from agent.decode.metric_rules import without_repeats
from agent.decode.strict_json import to_text
from agent.domain.records import DecodeError, DecodeReason

MAX_ELEMENTS = 1024  # of a list that are read
MAX_SKIPPED = 16  # shown to a person

Read = Callable[[Route, bytes], tuple[str, Content]]  # family and content of one object
_BEST = tuple(TimeFrom)


def decode_by_payload(
    template: DeviceTemplate, route: Route, payload: bytes, read: Read
) -> tuple[Route, str, Content]:
    """Return the route of the message (of its first device), the family, and the content of all devices.

    Raises:
        DecodeError: no object names a device, or none can be read.
    """
    text = _to_text(payload)
    if not text:
        return route, "", Content((), text_only=True, skipped=(Skipped("device", Skip.EMPTY),))
    try:
        parts = elements(text, MAX_ELEMENTS + 1) if text[0] == "[" else [(read_exact(text), text)]
    except (ValueError, RecursionError):
        wanted = " and ".join(path.text for path in template.paths)
        raise DecodeError(DecodeReason.NO_DEVICE, f"no JSON, so {wanted} is missing") from None
    if len(parts) == 1:
        own = _route(template, route, parts[0][0])
        family, content = read(own, payload if text[0] != "[" else parts[0][1].encode())
        return own, family, content
    return _read_list(template, route, parts, read)


def _to_text(payload: bytes) -> str:
    """Return the text of a payload; the family notes what is odd about it."""
    try:
        text = to_text(payload)
    except DecodeError:
        text = payload.decode("latin-1")
    return text.strip(" \t\r\n\0")


def _read_list(
    template: DeviceTemplate, route: Route, parts: list[tuple[Any, str]], read: Read
) -> tuple[Route, str, Content]:
    routes, contents, family = list[Route](), list[Content](), ""
    skipped, trouble = list[Skipped](), None
    for place, (value, text) in enumerate(parts[:MAX_ELEMENTS]):
        try:
            own = _route(template, route, value)
            family, content = read(own, text.encode())
        except DecodeError as error:
            trouble = trouble or error
            why = Skip.BAD_NAME if error.reason is DecodeReason.NO_DEVICE else Skip.NO_VALUE
            skipped.append(Skipped(f"[{place}]", why, ""))
            continue
        routes.append(own)
        contents.append(content)
    if len(parts) > MAX_ELEMENTS:
        skipped.insert(0, Skipped(f"[{MAX_ELEMENTS}]", Skip.TOO_MANY, ""))
    if not contents:
        raise trouble or DecodeError(DecodeReason.NO_DEVICE, "an empty list names no device")
    return routes[0], family, _joined(routes, contents, skipped)


def _route(template: DeviceTemplate, route: Route, value: Any) -> Route:
    device = template.render(route.parts, value)
    return Route(route.topic, device, route.metric, route.parts, route.reader)


def _joined(routes: list[Route], contents: list[Content], skipped: list[Skipped]) -> Content:
    for one in contents:
        skipped += skipped_of(one)
    readings = without_repeats((reading for one in contents for reading in one.readings), skipped)
    notes: dict[Note, None] = {note: None for one in contents for note in one.notes}
    states = [
        (route.device, one.online)
        for route, one in zip(routes, contents, strict=True)
        if one.online is not None
    ]
    return Content(
        tuple(readings),
        text_only=all(one.text_only for one in contents),
        time_from=min((one.time_from for one in contents), key=_BEST.index),
        notes=tuple(notes),
        skipped=tuple(skipped[:MAX_SKIPPED]),
        states=(*states, *(state for one in contents for state in one.states)),
        heard=tuple(device for one in contents for device in one.heard),
        expected_s=tuple(expected for one in contents for expected in one.expected_s),
        history=tuple(reading for one in contents for reading in one.history),
        off_s=first_offset(contents),
    )
