"""Meshtastic: JSON of a mesh; ``from`` is the sender, the topic names a gateway.

https://meshtastic.org/docs/software/integrations/mqtt/.
"""

import re
from typing import Any, ClassVar

from agent.decode.device_ids import device_of, identity
from agent.decode.family import Content, DecodeLimits, Elsewhere, Family, Properties, Route, Skip
from agent.decode.json_family import JsonFamily, nothing, state

_READ = frozenset({"telemetry", "paxcounter"})
_RADIO = ("rssi", "snr", "hops_away")
_WORDS = {"online": True, "offline": False}
_MAX_PACKETS = 1024


class Meshtastic(JsonFamily):
    """Decoder of Meshtastic. A packet that several gateways pass on is read once."""

    topics: ClassVar[tuple[str, ...]] = ("msh/#",)
    elsewhere: ClassVar[Elsewhere] = Elsewhere(re.compile(r"\A(.+)/2/(?:json|e)/[^/]+/![0-9a-f]{8}"), "#")
    DROPPED = frozenset({"time"})
    UNITS: ClassVar[dict[str, str]] = {
        "battery_level": "%", "voltage": "V", "channel_utilization": "%", "air_util_tx": "%",
        "uptime_seconds": "s", "temperature": "°C", "relative_humidity": "%", "barometric_pressure": "hPa",
        "gas_resistance": "MΩ", "current": "mA", "lux": "lx", "white_lux": "lx", "wind_speed": "m/s",
        "wind_gust": "m/s", "wind_lull": "m/s", "wind_direction": "°", "distance": "mm",
        "rainfall_1h": "mm", "rainfall_24h": "mm", "soil_moisture": "%", "soil_temperature": "°C",
        "rssi": "dBm", "snr": "dB", "voltage_ch1": "V", "voltage_ch2": "V", "voltage_ch3": "V",
        "current_ch1": "mA", "current_ch2": "mA", "current_ch3": "mA",
    }  # fmt: skip

    def __init__(self, *, limits: DecodeLimits, max_future_skew_s: float) -> None:
        super().__init__(limits=limits, max_future_skew_s=max_future_skew_s)
        self._packets: dict[tuple[str, float], str] = {}  # sender and packet id: the topic that brought it

    def recognise(self, route: Route, payload: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return True: the topics are enough."""
        return True

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of ``payload``; see :class:`agent.decode.family.Decoder`."""
        levels = route.topic.split("/")
        if "stat" in levels[:-1]:
            return _gateway(route, levels[-1], payload)
        if payload[:1] != b"{":
            return nothing(
                "payload", Skip.NO_VALUE
            )  # encrypted or protobuf: see `json_enabled` of the gateway
        value = self.parse_or_text(payload)
        sender = identity(value.get("from"))
        content = value.get("payload")
        if sender is None:
            return nothing("from", Skip.NO_VALUE)
        device = device_of(route, sender)
        if value.get("type") not in _READ or not isinstance(content, dict):
            return nothing("payload")._replace(heard=(device,))
        if self._repeated(sender, value.get("id"), route.topic):
            return nothing("payload", Skip.REPEATED)._replace(heard=(device,))
        frame = self.frame(route, received, properties, value.get("timestamp"), root=value)
        radio = {key: value[key] for key in _RADIO if type(value.get(key)) is float}
        return self.take({**radio, **content}, frame, device=device)

    def _repeated(self, sender: str, packet: Any, topic: str) -> bool:
        """Return whether another gateway has passed on the same packet."""
        if type(packet) is not float:
            return False
        key = sender, packet
        if key in self._packets:
            return self._packets[key] != topic
        if len(self._packets) >= _MAX_PACKETS:
            del self._packets[next(iter(self._packets))]
        self._packets[key] = topic
        return False


def _gateway(route: Route, name: str, payload: bytes) -> Content:
    """Return the availability of a gateway, by the number in its ``!hex`` name."""
    online = _WORDS.get(payload[:16].decode(errors="replace").strip().casefold())
    try:
        number = str(int(name.removeprefix("!"), 16))
    except ValueError:
        number = ""
    if online is None or not number or len(name) > 9:  # noqa: PLR2004 - ! and 8 digits
        return nothing("stat", Skip.UNMAPPED)
    return state(route, device_of(route, number), online=online)


FAMILY: type[Family] = Meshtastic
