"""OpenDTU and AhoyDTU: Hoymiles inverters, a topic for each value, or JSON.

Formats: https://www.opendtu.solar/firmware/mqtt_topics/ and https://ahoydtu.de/user_manual/
"""

import re
from typing import Any, ClassVar

from agent.decode.device_ids import identify, label_by
from agent.decode.family import Content, Elsewhere, Family, Properties, Route, Skip, Skipped
from agent.decode.json_family import JsonFamily, nothing
from agent.decode.strict_json import to_text
from agent.decode.values import VALUE

_TOPIC = re.compile(
    r"(?:[^/]+/)?(?:solar/(?:\d{10,14}/(?:\d|status|device|name)|dtu|ac|dc)|inverter/(?:[^/]+/ch\d|total))(?:/.*)?",
    re.DOTALL,
)
_STATES = {"online": True, "offline": False, "connected": True, "not connected": False}
_STATE_LEVELS = frozenset({"status", "mqtt"})
# An inverter is unreachable every night. As availability that would report each sunset, so its silence is
# learnt instead, and these values do not count as a sign of life.
_NO_VALUES = frozenset({
    "reachable", "producing", "available", "last_update", "last_success", "name", "serial", "order",
    "data_age", "data_age_ms", "poll_enabled", "events", "hints", "ip", "ip_addr", "hostname", "bssid",
    "version", "git_hash", "is_valid", "comm_start", "comm_stop", "sunrise", "sunset", "dis_night_comm",
    "ack_pwr_limit", "status",
})  # fmt: skip
_NO_BRANCHES = frozenset({"cmd", "ctrl", "device", "setup"})
_MAX_INVERTERS = 64
_LABELS = ("name", "serial")


class OpenDtu(JsonFamily):
    """Decoder of plain topics and of the JSON of the live data."""

    topics: ClassVar[tuple[str, ...]] = ("solar/#", "inverter/#", "+/solar/#")
    elsewhere: ClassVar[Elsewhere] = Elsewhere(
        re.compile(r"\A(.+)/[^/]+/status/(?:producing|reachable)"), "{device}/{metric+}"
    )
    DROPPED = _NO_VALUES
    UNITS: ClassVar[dict[str, str]] = {
        "power": "W", "powerdc": "W", "current": "A", "voltage": "V", "frequency": "Hz", "temperature": "°C",
        "efficiency": "%", "irradiation": "%", "reactivepower": "var", "yieldday": "Wh", "yieldtotal": "kWh",
        "limit_relative": "%", "limit_absolute": "W", "rssi": "dBm", "wifi_rssi": "dBm", "uptime": "s",
        "p_ac": "W", "p_dc": "W", "u_ac": "V", "u_dc": "V", "i_ac": "A", "i_dc": "A", "f_ac": "Hz",
        "q_ac": "var", "temp": "°C",
    }  # fmt: skip

    def recognise(self, route: Route, payload: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return whether it is a topic below the default base of one of the two."""
        return _TOPIC.fullmatch(route.topic) is not None

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the values of one topic."""
        levels = route.topic.lower().split("/")
        device, metric = identify(route, _below(levels))
        if payload[:1] in {b"{", b"["}:
            value = _plain(self.parse(payload))
        else:
            value = to_text(payload).strip()
            state = _STATES.get(value.lower()) if levels[-1] in _STATE_LEVELS else None
            if state is not None:
                return Content((), text_only=True, states=((device, state),))
            if not value:
                return nothing(metric or VALUE, Skip.EMPTY)
            if levels[-1] in _NO_VALUES or not _NO_BRANCHES.isdisjoint(levels[:-1]):
                return nothing(metric or VALUE, Skip.NOT_A_VALUE)
        frame = self.frame(route, received, properties, root=value)
        content = self.take(value, frame, device=device, metric=metric)
        more = (Skipped("inverters", Skip.TOO_MANY),) if payload.count(b'"serial"') > _MAX_INVERTERS else ()
        return content._replace(skipped=more + content.skipped)


def _below(levels: list[str]) -> str:
    return "inverter/" if "inverter" in levels else "solar/"


def _plain(value: Any) -> Any:
    """Return the tree with values and units as other devices write them, and inverters by their names."""
    if type(value) is list:
        value = value[:_MAX_INVERTERS]
        labels = label_by(value, _LABELS)
        if labels is None:
            return [_plain(one) for one in value]
        return {label: _plain(item) for label, item in zip(labels, value, strict=True)}
    if type(value) is not dict:
        return value
    if "v" in value and value.keys() <= {"v", "u", "d", "max"}:
        return {"value": value["v"], **({"unit": value["u"]} if type(value.get("u")) is str else {})}
    return {key: _plain(one) for key, one in value.items()}


FAMILY: type[Family] = OpenDtu
