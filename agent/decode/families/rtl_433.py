"""rtl_433: sensors by radio; the message names the sensor, not the topic.

Topics: https://triq.org/rtl_433/INTEGRATION.html and the option ``-F mqtt``.
"""

from typing import Any, ClassVar

from agent.decode.device_ids import device_of
from agent.decode.family import Content, Family, Properties, Route, Skip
from agent.decode.json_family import JsonFamily, nothing
from agent.decode.radio_names import RADIO_KEYS, radio_device, radio_unit

_DEVICES = "devices"


class Rtl433(JsonFamily):
    """Decoder of rtl_433: ``events`` in JSON, and one value for each topic below ``devices``."""

    topics: ClassVar[tuple[str, ...]] = ("rtl_433/#",)
    DROPPED = RADIO_KEYS
    FAHRENHEIT = True

    def recognise(self, route: Route, payload: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return True: the topics are enough."""
        return True

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of ``payload``; see :class:`agent.decode.family.Decoder`."""
        value = self.parse_or_text(payload)
        levels = route.topic.split("/")
        if isinstance(value, dict):
            return self._event(value, route, received, properties)
        if _DEVICES not in levels[:-2]:
            return nothing(levels[-1][:64])
        place = levels.index(_DEVICES)
        metric = levels[-1]
        if metric.casefold() in self.DROPPED or value is None:
            return nothing(metric[:64])
        device = device_of(route, "/".join(levels[place + 1 : -1]))
        frame = self.frame(route, received, properties)
        return self.take(value, frame, device=device, metric=metric)

    def _event(self, value: dict[str, Any], route: Route, received: float, properties: Properties) -> Content:
        own = radio_device(value)
        if own is None:
            return nothing("model", Skip.NO_VALUE)
        frame = self.frame(route, received, properties, value.get("time"), root=value)
        return self.take(value, frame, device=device_of(route, own))

    def unit_of(self, metric: str) -> str | None:
        return radio_unit(metric)


FAMILY: type[Family] = Rtl433
