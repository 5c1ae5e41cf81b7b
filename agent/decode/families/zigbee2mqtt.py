"""zigbee2mqtt: a state message for each device, friendly names with slashes.

Topics and payloads: https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html
"""

import re
from typing import ClassVar

from agent.decode.device_ids import device_of
from agent.decode.family import Content, Elsewhere, Family, Properties, Route
from agent.decode.json_family import JsonFamily, nothing

_BASE = "zigbee2mqtt/"
_AVAILABILITY = "/availability"
_COMMANDS = frozenset({"set", "get"})


class Zigbee2Mqtt(JsonFamily):
    """Decoder of zigbee2mqtt; under another base topic the source has to name the device."""

    topics: ClassVar[tuple[str, ...]] = ("zigbee2mqtt/#",)
    elsewhere: ClassVar[Elsewhere] = Elsewhere(
        re.compile(r"\A(.+)/bridge/(?:info|devices|groups|logging)"), "{device+}"
    )
    DROPPED = frozenset({
        "last_seen", "update", "update_available", "device", "elapsed", "color_mode", "color_options",
        "ieee_address", "network_address", "software_build_id", "date_code", "action_transaction_time",
        "action_group", "action_rate", "action_transition_time", "holidays", "workdays", "weekly_schedule",
        "schedule", "window_detection_params",
    })  # fmt: skip
    UNITS: ClassVar[dict[str, str]] = {
        "temperature": "°C", "local_temperature": "°C", "device_temperature": "°C", "humidity": "%",
        "soil_moisture": "%", "battery": "%", "pressure": "hPa", "power": "W", "current": "A",
        "energy": "kWh", "illuminance": "lx", "illuminance_lux": "lx", "co2": "ppm",
        "occupied_heating_setpoint": "°C", "current_heating_setpoint": "°C",
    }  # fmt: skip

    def recognise(self, route: Route, payload: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return True: the topics are enough."""
        return True

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of ``payload``; see :class:`agent.decode.family.Decoder`."""
        topic = route.topic
        name = topic.removeprefix(_BASE) if topic.startswith(_BASE) else None
        levels = topic.split("/")
        if (name or route.device).startswith("bridge/") or _COMMANDS & set(levels[2:][-2:]):
            return nothing(levels[-1][:64])
        if topic.endswith(_AVAILABILITY):
            device = name.removesuffix(_AVAILABILITY) if name else route.device.removesuffix(_AVAILABILITY)
            return self.read_state(route, device if name is None else device_of(route, device), payload)
        value = self.parse_or_text(payload)
        metric = route.metric
        if name is not None:
            # `output: attribute` publishes each key on a topic of its own.
            own, slash, last = name.rpartition("/")
            split = slash and not isinstance(value, dict)
            metric = last if split else None
            device = device_of(route, own if split else name)
        else:
            device = route.device
        given = value.get("last_seen") if isinstance(value, dict) else None
        frame = self.frame(route, received, properties, given, root=value)
        return self.take(value, frame, device=device, metric=metric)


FAMILY: type[Family] = Zigbee2Mqtt
