"""ThingsBoard: telemetry of a device, and of the devices behind a gateway.

Format: https://thingsboard.io/docs/reference/mqtt-api/ and .../gateway-mqtt-api/
"""

from collections.abc import Iterator
from typing import Any, ClassVar

from agent.decode.device_ids import own_device
from agent.decode.family import Content, Family, Properties, Route, Skip, Skipped
from agent.decode.json_family import Frame, JsonFamily, nothing

_STANDARD = "v1/gateway/"
_STATES = {"connect": True, "disconnect": False}
_TELEMETRY = frozenset({"telemetry", "t"})


class ThingsBoard(JsonFamily):
    """Decoder of telemetry, and of the connect and disconnect messages of a gateway."""

    topics: ClassVar[tuple[str, ...]] = (
        "v1/devices/me/telemetry", "v1/devices/me/attributes", "v1/gateway/+", "v2/t",
    )  # fmt: skip

    def recognise(self, route: Route, payload: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return True: its topics are fixed."""
        return True

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the telemetry of one device, or of each device that a gateway names."""
        value = self.parse(payload)
        event = route.topic.rpartition("/")[2]
        if event in _STATES:
            return self._state(route, value, online=_STATES[event])
        if event not in _TELEMETRY and (_STANDARD in route.topic or "v1/devices/" in route.topic):
            return nothing(event, Skip.NOT_A_VALUE)  # attributes and calls are not measured
        frame = self.frame(route, received, properties)
        if type(value) is dict and _is_gateway(route, value):
            return self.join(self._devices(route, value, frame))
        return self.join(self._entries(route, value, frame, route.device))

    def _devices(self, route: Route, value: dict[str, Any], frame: Frame) -> Iterator[Content]:
        for given, entries in value.items():
            name = self.name_in(given)
            if type(entries) not in {dict, list}:
                yield Content((), skipped=(Skipped(name or "a name", Skip.NOT_A_VALUE),))
            elif name is None:
                yield Content((), skipped=(Skipped(ascii(given[:32]), Skip.BAD_NAME),))
            else:
                yield from self._entries(route, entries, frame, own_device(route, name, _STANDARD))

    def _entries(self, route: Route, value: Any, frame: Frame, device: str) -> Iterator[Content]:
        entries = value if type(value) is list else [value]
        if not entries:
            yield nothing(route.metric or "telemetry", Skip.EMPTY, heard=(device,))
        for entry in entries:
            if type(value) is list and type(entry) is list:
                yield nothing(route.metric or "telemetry", Skip.NOT_A_VALUE, heard=(device,))
                continue
            at, values = frame, entry
            if type(entry) is dict and "ts" in entry and type(entry.get("values")) is dict:
                at = self.part_of(frame, entry["ts"])
                values = entry["values"]
            yield self.take(values, at, device=device, metric=route.metric)

    def _state(self, route: Route, value: Any, *, online: bool) -> Content:
        name = self.name_in(value.get("device")) if type(value) is dict else None
        if name is None:
            return nothing("device", Skip.BAD_NAME)
        return Content((), text_only=True, states=((own_device(route, name, _STANDARD), online),))


def _is_gateway(route: Route, value: dict[str, Any]) -> bool:
    """Return whether the keys are devices: by the topic, or because each holds a list of entries."""
    if _STANDARD in route.topic:
        return True
    return bool(value) and all(
        type(one) is list and bool(one) and all(type(entry) is dict for entry in one)
        for one in value.values()
    )


FAMILY: type[Family] = ThingsBoard
