"""Homie 4 and 5: one topic for each property, attributes begin with ``$``.

https://github.com/homieiot/convention. Units, types and children come in retained attributes; the family
keeps a bounded number of them.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from agent.decode.device_ids import device_of
from agent.decode.family import Content, DecodeLimits, Elsewhere, Family, Properties, Route, Skip
from agent.decode.json_family import JsonFamily, nothing
from agent.decode.values import is_name, read_unit

_STATES = {
    "ready": True, "sleeping": True, "alert": True, "disconnected": False, "lost": False,
}  # fmt: skip
_VERSION = "5"
_MAX_KEPT = 4096
_MAX_CHILDREN = 256
_NUMBERS = frozenset({"integer", "float", "boolean", "enum"})
_MAX_INTERVAL_S = 7 * 86_400.0


class Homie(JsonFamily):
    """Decoder of Homie. The device is the Homie device, a metric is ``<node>.<property>``."""

    topics: ClassVar[tuple[str, ...]] = ("homie/#",)
    elsewhere: ClassVar[Elsewhere] = Elsewhere(
        re.compile(r"\A([^/]+)/(?:[^/]+/\$homie|5/[^/]+/\$description)"), "#"
    )

    def __init__(self, *, limits: DecodeLimits, max_future_skew_s: float) -> None:
        super().__init__(limits=limits, max_future_skew_s=max_future_skew_s)
        self._units: dict[tuple[str, str], str] = {}
        self._types: dict[tuple[str, str], str] = {}
        self._children: dict[str, tuple[str, ...]] = {}

    def recognise(self, route: Route, payload: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return True: the topics are enough."""
        return True

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of ``payload``; see :class:`agent.decode.family.Decoder`."""
        levels = route.topic.split("/")[1:]
        if levels[:1] == [_VERSION]:
            del levels[0]
        if len(levels) < 2 or levels[0].startswith("$") or levels[-1] == "set":  # noqa: PLR2004 - device and more
            return nothing(levels[-1][:64] if levels else "topic")
        device = device_of(route, levels[0])
        if any(level.startswith("$") for level in levels):
            return self._attribute(route, device, levels[1:], payload)
        value = self.parse_or_text(payload)
        if value is None:
            return nothing(".".join(levels[1:])[:64], Skip.NO_VALUE)
        metric = ".".join(levels[1:])
        if self._types.get((device, metric), "float") not in _NUMBERS:
            return nothing(metric[:64], Skip.TEXT)._replace(heard=(device,))
        frame = self.frame(route, received, properties)
        content = self.take(value, frame, device=device, metric=metric)
        unit = self._units.get((device, metric))
        if unit is None:
            return content
        return content._replace(
            readings=tuple(replace(one, unit=one.unit or unit) for one in content.readings)
        )

    def _attribute(self, route: Route, device: str, levels: list[str], payload: bytes) -> Content:
        name = levels[-1]
        if levels == ["$state"]:
            content = self.read_state(route, device, payload, _STATES)
            return self._with_children(device, content)
        if levels == ["$stats", "interval"]:
            return nothing("$stats.interval")._replace(
                expected_s=_interval(device, self.parse_or_text(payload))
            )
        if levels == ["$description"]:
            self._describe(device, self.parse_or_text(payload))
        elif name in {"$unit", "$datatype"} and len(levels) == 3:  # noqa: PLR2004 - node, property, attribute
            text = self.parse_or_text(payload)
            self._learn(device, ".".join(levels[:2]), **{name[1:]: text})
        return nothing(".".join(levels)[:64])

    def _with_children(self, device: str, content: Content) -> Content:
        """Add the children of a root device that is gone: its last will is the only one."""
        gone = content.online is False or content.states == ((device, False),)
        children = self._children.get(device, ()) if gone else ()
        return content._replace(states=(*content.states, *((child, False) for child in children)))

    def _describe(self, device: str, value: Any) -> None:
        if not isinstance(value, dict):
            return
        children = value.get("children")
        if isinstance(children, list):
            names = [one for one in children if type(one) is str and is_name(one) and "/" not in one]
            _keep(self._children, device, tuple(names[:_MAX_CHILDREN]))
        for node, name, given in _properties(value):
            self._learn(device, f"{node}.{name}", unit=given.get("unit"), datatype=given.get("datatype"))

    def _learn(self, device: str, metric: str, *, unit: Any = None, datatype: Any = None) -> None:
        text = read_unit(unit)
        if text is not None:
            _keep(self._units, (device, metric), text)
        if type(datatype) is str:
            _keep(self._types, (device, metric), datatype[:16])


def _properties(value: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    nodes = value.get("nodes")
    for node, described in nodes.items() if isinstance(nodes, dict) else ():
        properties = described.get("properties") if isinstance(described, dict) else None
        for name, given in properties.items() if isinstance(properties, dict) else ():
            if isinstance(given, dict):
                yield node, name, given


def _interval(device: str, given: Any) -> tuple[tuple[str, float], ...]:
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        return ()
    return ((device, seconds),) if 1.0 <= seconds <= _MAX_INTERVAL_S else ()


def _keep(table: dict[Any, Any], key: Any, value: Any) -> None:
    """Remember ``value``; the oldest entry makes room."""
    if key not in table and len(table) >= _MAX_KEPT:
        del table[next(iter(table))]
    table[key] = value


FAMILY: type[Family] = Homie
