"""EMS-ESP: boilers, thermostats and heat pumps of Bosch, Buderus, Nefit, Junkers.

Format: https://emsesp.org/MQTT/
"""

from typing import Any, ClassVar

from agent.decode.device_ids import identify
from agent.decode.family import Content, DecodeLimits, Family, Properties, Route, Skip
from agent.decode.json_family import JsonFamily, nothing
from agent.decode.strict_json import to_text

_BELOW = "ems-esp/"
_MAX_BASES = 64
_MAX_DEVICES = 64  # of one gateway
_STATES = {"online": True, "offline": False}
# Codes and texts of the appliance. As amounts they would only raise false alarms.
_NO_VALUES = frozenset({
    "servicecode", "servicecodenumber", "lastcode", "errorcode", "maintenancemessage", "maintenancedate",
    "datetime", "version", "info", "brand", "id",
})  # fmt: skip
_NO_TOPICS = frozenset({"info", "cmd", "response", "settings"})


class EmsEsp(JsonFamily):
    """Decoder of the topics of one gateway; its last will holds for all devices behind it."""

    topics: ClassVar[tuple[str, ...]] = ("ems-esp/#", "+/ems-esp/#")
    DROPPED = _NO_VALUES

    def __init__(self, *, limits: DecodeLimits, max_future_skew_s: float) -> None:
        super().__init__(limits=limits, max_future_skew_s=max_future_skew_s)
        self._devices: dict[str, dict[str, None]] = {}  # by the topic of the gateway

    def recognise(self, route: Route, payload: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return True: it is below the default base of the gateway."""
        return True

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the values of one device of the bus, or the state of the gateway."""
        last = route.topic.rpartition("/")[2]
        base = route.topic.partition(_BELOW)[0] if _BELOW in route.topic else route.topic.removesuffix(last)
        text = to_text(payload).strip()
        if last == "status" and text.lower() in _STATES:
            return self._state(base, online=_STATES[text.lower()])
        if last in _NO_TOPICS or last in _NO_VALUES:
            return nothing(last, Skip.NOT_A_VALUE)
        if not text:
            return nothing(last, Skip.EMPTY)
        device, metric = identify(route, _BELOW)
        self._remember(base, device)
        value: Any = self.parse(payload) if text[0] in "{[" else text
        frame = self.frame(route, received, properties, root=value)
        return self.take(value, frame, device=device, metric=metric)

    def _state(self, base: str, *, online: bool) -> Content:
        """Return the state for every device that has sent below ``base``."""
        return Content((), text_only=True, states=tuple((one, online) for one in self._devices.get(base, ())))

    def _remember(self, base: str, device: str) -> None:
        known = self._devices.get(base)
        if known is None:
            if len(self._devices) >= _MAX_BASES:
                del self._devices[next(iter(self._devices))]
            known = self._devices[base] = {}
        if len(known) < _MAX_DEVICES:
            known[device] = None


FAMILY: type[Family] = EmsEsp
