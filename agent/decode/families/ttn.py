"""The Things Stack v3 (The Things Network): uplinks with their decoded payload.

Format: https://www.thethingsindustries.com/docs/integrations/data-formats/
"""

import re
from typing import Any, ClassVar

from agent.decode.device_ids import device_in, is_named
from agent.decode.family import Content, Family, Properties, Route, Skip
from agent.decode.json_family import JsonFamily, nothing
from agent.decode.lorawan import read_uplink

_TOPIC = re.compile(r"(?:(.+)/)?v3/([^/]+)/devices/([^/]+)/.+", re.DOTALL)
DECODED = "decoded_payload"


class TheThingsStack(JsonFamily):
    """Decoder of uplinks, from MQTT or from a webhook."""

    topics: ClassVar[tuple[str, ...]] = ("v3/+/devices/+/#", "http/#")

    def recognise(self, route: Route, payload: bytes) -> bool:
        """Return whether it is an application topic of the stack, or the body of its webhook."""
        return route.topic.startswith("v3/") or b'"end_device_ids"' in payload

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the decoded payload and the radio of the best gateway."""
        root = self.parse_object(payload)
        uplink, key = root.get("uplink_message"), DECODED
        if type(uplink) is not dict:
            uplink, key = root.get("uplink_normalized"), "normalized_payload"
        device = route.device
        if not is_named(route):
            device = device_in(route.topic, _TOPIC) or self._device_in(root) or device
        if type(uplink) is not dict:
            heard = (device,) if "join_accept" in root else ()  # the other events are the network's
            return nothing(DECODED, Skip.NOT_A_VALUE, heard=heard)
        if root.get("simulated") is True or uplink.get("simulated") is True:
            return nothing(DECODED, Skip.NOT_A_VALUE)
        times = uplink.get("received_at"), root.get("received_at")
        frame = self.frame(route, received, properties, *times, root=root)
        values, radio = uplink.get(key), uplink.get("rx_metadata")
        return read_uplink(self, frame, device, values, radio, name=key)

    def _device_in(self, root: dict[str, Any]) -> str | None:
        ids = root.get("end_device_ids")
        if type(ids) is not dict:
            return None
        application = ids.get("application_ids")
        names = (
            application.get("application_id") if type(application) is dict else None,
            ids.get("device_id"),
        )
        found = [self.name_in(name) for name in names]
        return "/".join(name for name in found if name) if found[1] else None


FAMILY: type[Family] = TheThingsStack
