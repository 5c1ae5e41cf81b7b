"""ESPHome: one topic for each component, values as plain text.

Topics and payloads: https://esphome.io/components/mqtt/. State messages are retained by default.
"""

import re
from typing import Any, ClassVar

from agent.decode.device_ids import device_of
from agent.decode.family import Content, Family, Properties, Route
from agent.decode.json_family import JsonFamily, nothing

_TYPES = frozenset({
    "sensor", "binary_sensor", "text_sensor", "switch", "number", "light", "fan", "cover", "climate", "lock",
    "valve", "select", "button", "text", "event", "date", "time", "datetime", "alarm_control_panel", "update",
})  # fmt: skip
_NOT_READ = frozenset({"text_sensor", "button", "text", "event", "date", "time", "datetime", "update"})
# First levels under which others use the same layout; `homeassistant` is its statestream.
_OTHERS = frozenset(
    {"zigbee2mqtt", "homie", "homeassistant", "shellies", "rtl_433", "msh", "tele", "stat", "ems-esp"}
)
# A log line is coloured, or begins with its level and the place in the source.
_LOG = re.compile(rb"\x1b\[|\[[EWICDV]{1,2}\]\[[\w.\-]{1,40}:\d{1,5}\]:", re.ASCII)


class EspHome(JsonFamily):
    """Decoder of ESPHome: ``<prefix>/<type of component>/<object id>[/<part>]/state``."""

    topics: ClassVar[tuple[str, ...]] = (
        *(f"{more}+/+/+/state" for more in ("", "+/", "+/+/")), "+/debug",
    )  # fmt: skip
    DROPPED = frozenset({"color", "color_mode", "effect"})

    def recognise(self, route: Route, payload: bytes) -> bool:
        """Return whether the topic names a type of component, or the payload is a log line."""
        levels = route.topic.split("/")
        if levels[0] in _OTHERS:
            return False
        if levels[-1] == "state":
            return _component(levels) is not None
        return _LOG.match(payload) is not None

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of ``payload``; see :class:`agent.decode.family.Decoder`."""
        levels = route.topic.split("/")
        if levels[-1] == "status" and len(levels) > 1:
            return self.read_state(route, device_of(route, "/".join(levels[:-1])), payload)
        if levels[-1] in {"debug", "command"}:
            return nothing(levels[-1])
        place = _component(levels)
        device, metric = route.device, route.metric
        if place is not None:
            device = device_of(route, "/".join(levels[:place]))
            metric = ".".join(levels[place + 1 : -1])
            if levels[place] in _NOT_READ:
                return nothing(metric[:64])
        value: Any = self.parse_or_text(payload)
        if value is None:
            return nothing((metric or "value")[:64])
        frame = self.frame(route, received, properties)
        return self.take(value, frame, device=device, metric=metric)


def _component(levels: list[str]) -> int | None:
    """Return the place of the level that names the type of component."""
    for place in (len(levels) - 3, len(levels) - 4):
        if place >= 1 and levels[place] in _TYPES:
            return place
    return None


FAMILY: type[Family] = EspHome
