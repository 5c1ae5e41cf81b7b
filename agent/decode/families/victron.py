"""Victron Venus OS: one value a topic, by portal, service, instance and path.

Format: https://github.com/victronenergy/dbus-flashmq
"""

import re
from typing import Any, ClassVar

from agent.decode.device_ids import is_named, label_by
from agent.decode.family import Content, Family, Properties, Route, Skip
from agent.decode.json_family import JsonFamily, nothing
from agent.decode.strict_json import to_text
from agent.decode.values import VALUE

_TOPIC = re.compile(r"(?:(.+)/)?N/([^/]+)/([^/]+)/(\d+)/(.+)", re.DOTALL)
_LABELS = ("name", "Name", "id", "Id", "instance")
_CONNECTED = "connected"
# The services and paths that hold settings, identities and bookkeeping of the bus.
_NO_SERVICES = frozenset({"settings", "platform", "logger", "modbusclient", "fronius"})
_NO_VALUES = frozenset({
    "id", "name", "instance", "deviceinstance", "productid", "productname", "customname", "serial",
    "devicetype", "firmwareversion", "hardwareversion", "processname", "processversion", "connection",
    "position", "allowedroles", "role", "servicemapping", "timezone", "availablebatteries",
    "availablebatteryservices",
})  # fmt: skip
_NO_BRANCHES = frozenset({"mgmt", "settings", "devices", "info", "link"})


class Victron(JsonFamily):
    """Decoder of the notifications of a GX device."""

    topics: ClassVar[tuple[str, ...]] = ("N/+/+/+/#",)
    DROPPED = _NO_VALUES
    # Units by the last part of the path: the bus uses one unit for each.
    UNITS: ClassVar[dict[str, str]] = {
        "soc": "%", "soh": "%", "voltage": "V", "v": "V", "current": "A", "i": "A", "power": "W", "p": "W",
        "s": "VA", "frequency": "Hz", "f": "Hz", "temperature": "°C", "temp": "°C", "consumedamphours": "Ah",
        "capacity": "Ah", "timetogo": "s", "energy": "kWh", "humidity": "%", "irradiance": "W/m²",
    }  # fmt: skip

    def recognise(self, route: Route, payload: bytes) -> bool:
        """Return whether it is a notification: a value in an object, or empty."""
        return _TOPIC.fullmatch(route.topic) is not None and (not payload or b'"value"' in payload)

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the value under the path of the topic."""
        found = _TOPIC.fullmatch(route.topic)
        path = found[5].replace("/", ".") if found else route.metric or VALUE
        metric, device = route.metric or path, route.device
        if found and not is_named(route):
            device = "/".join(part for part in found.groups()[:4] if part)
        if found and _is_no_value(found[3], path):
            return nothing(metric, Skip.NOT_A_VALUE)
        if not to_text(payload).strip():
            return nothing(metric, Skip.EMPTY)  # the device has left the bus
        root = self.parse_object(payload)
        value = root.get("value")
        if path.lower() == _CONNECTED and type(value) is float and value in {0.0, 1.0}:
            return Content((), text_only=True, states=((device, value == 1.0),))
        if value is None:
            return nothing(metric, Skip.NULL, heard=(device,))
        frame = self.frame(route, received, properties, root=root)
        return self.take(_named(value), frame, device=device, metric=metric)


def _is_no_value(service: str, path: str) -> bool:
    levels = path.lower().split(".")
    return service in _NO_SERVICES or levels[0] in _NO_BRANCHES or levels[-1] in _NO_VALUES


def _named(value: Any) -> Any:
    """Return a list of devices as an object by their names; places would change with its length."""
    if type(value) is not list or not value:
        return value
    labels = label_by(value, _LABELS)
    if labels is None:
        return value
    return dict(zip(labels, value, strict=True))


FAMILY: type[Family] = Victron
