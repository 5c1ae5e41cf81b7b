"""ChirpStack v3 and v4: uplink and status events in JSON.

Format: https://www.chirpstack.io/docs/chirpstack/integrations/events.html
"""

import re
from typing import Any, ClassVar

from agent.decode.device_ids import device_in, is_named
from agent.decode.family import Content, Family, Properties, Route, Skip, Skipped
from agent.decode.json_family import JsonFamily, nothing
from agent.decode.lorawan import read_uplink
from agent.decode.times import Moment
from agent.domain.records import DecodeError, Reading

_TOPIC = re.compile(r"(?:(.+)/)?application/([^/]+)/device/([^/]+)/.+", re.DOTALL)
_UPLINK = frozenset({"object", "objectJSON", "data", "fPort", "rxInfo"})
_STATUS = {"batteryLevel": "%", "margin": "dB"}
_OTHER = frozenset({"ack", "txack", "log", "location", "integration", "command"})


class ChirpStack(JsonFamily):
    """Decoder of the events of one application."""

    topics: ClassVar[tuple[str, ...]] = ("application/+/device/+/#", "http/#")

    def recognise(self, route: Route, payload: bytes) -> bool:
        """Return whether it is an event topic of ChirpStack, or the body of its HTTP integration."""
        if route.topic.startswith("application/"):
            return True
        return b'"deviceInfo"' in payload or (b'"devEUI"' in payload and b'"applicationID"' in payload)

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the decoded object of an uplink with its radio, or battery and margin of a status."""
        root = self.parse_object(payload)
        device = route.device
        if not is_named(route):
            device = device_in(route.topic, _TOPIC) or self._device_in(root) or device
        event = route.topic.rpartition("/")[2]
        if event in _OTHER or (not _UPLINK & root.keys() and not _STATUS.keys() & root.keys()):
            return nothing(event, Skip.NOT_A_VALUE, heard=(device,) if event == "join" else ())
        gateways = root.get("rxInfo")
        first = gateways[0] if type(gateways) is list and gateways and type(gateways[0]) is dict else {}
        frame = self.frame(route, received, properties, root.get("time"), first.get("time"), root=root)
        if not _UPLINK & root.keys():
            return _status(device, root, frame.moment)
        return read_uplink(self, frame, device, self._object_in(root), gateways, name="object")

    def _object_in(self, root: dict[str, Any]) -> Any:
        text = root.get("objectJSON")  # v3 with its Protobuf JSON
        if type(text) is not str or "object" in root:
            return root.get("object")
        try:
            return self.parse(text.encode())
        except DecodeError:
            return None

    def _device_in(self, root: dict[str, Any]) -> str | None:
        info = root.get("deviceInfo")
        fields = info if type(info) is dict else root
        names = [
            self.name_in(fields.get(new, fields.get(old)))
            for new, old in (("applicationId", "applicationID"), ("devEui", "devEUI"))
        ]
        return "/".join(name for name in names if name) if names[1] else None


def _status(device: str, root: dict[str, Any], moment: Moment) -> Content:
    found = {key: root.get(key) for key in _STATUS}
    if root.get("batteryLevelUnavailable") is True or root.get("externalPowerSource") is True:
        found["batteryLevel"] = None
    readings = tuple(
        Reading(device, key, moment.at, value, _STATUS[key])
        for key, value in found.items()
        if type(value) is float
    )
    skipped = tuple(Skipped(key, Skip.NO_VALUE) for key, value in found.items() if type(value) is not float)
    return Content(
        readings, not readings, moment.time_from, None, moment.notes, skipped,
        heard=() if readings else (device,),
    )  # fmt: skip


FAMILY: type[Family] = ChirpStack
