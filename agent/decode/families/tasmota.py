"""Tasmota: telemetry, power states, last wills, zigbee bridges.

Topics and payloads: https://tasmota.github.io/docs/MQTT/ and .../docs/Rules/#teleperiod. The order of prefix
and topic is configurable (``FullTopic``), so the prefix is sought among all levels.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from agent.decode.device_ids import device_of, identity
from agent.decode.family import Content, Family, Properties, Route, Skip
from agent.decode.json_family import Frame, JsonFamily, nothing
from agent.decode.obis import read_obis

_PREFIXES = frozenset({"tele", "stat", "cmnd"})
_SUFFIX = re.compile(
    r"SENSOR|STATE|LWT|RESULT|UPTIME|HASS_STATE|LOGGING|(STATUS|INFO|POWER|BUTTON|SWITCH)\d{0,2}"
)
_POWER = re.compile(r"POWER\d{0,2}")
_DISCOVERY = "tasmota/discovery/"
# Answers to `Status 8`, 10 and 11 hold what SENSOR and STATE hold.
_INSIDE = {"STATUS8": "StatusSNS", "STATUS10": "StatusSNS", "STATUS11": "StatusSTS"}
_PERIOD_S = 10.0, 86_400.0
_ZIGBEE = "ZbReceived"
_UNIT_KEYS = {"TempUnit": "°C", "PressureUnit": "hPa", "SpeedUnit": "km/h"}
_BY_UNIT_KEY = {
    "temperature": "TempUnit", "dewpoint": "TempUnit", "objecttemperature": "TempUnit",
    "ambienttemperature": "TempUnit", "pressure": "PressureUnit", "seapressure": "PressureUnit",
}  # fmt: skip


class Tasmota(JsonFamily):
    """Decoder of Tasmota. ``Time`` has no zone: without ``time: {zone: ...}`` receipt time is used."""

    topics: ClassVar[tuple[str, ...]] = (
        *(f"{site}{prefix}/#" for site in ("", "+/", "+/+/") for prefix in sorted(_PREFIXES)),
        _DISCOVERY + "#",
    )
    DROPPED = frozenset({
        "time", "tempunit", "pressureunit", "speedunit", "totalstarttime", "id", "mac", "uptime", "sleepmode",
        "sleep", "berry", "hostname", "ipaddress", "ap", "ssid", "bssid", "channel", "mode", "linkcount",
        "downtime", "color", "hsbcolor", "scheme", "fade", "speed", "ledtable", "endtime", "starttime",
        "device", "endpoint", "group", "name", "ieeeaddr", "address", "uid", "data", "rfkey", "bits",
    })  # fmt: skip
    UNITS: ClassVar[dict[str, str]] = {
        "humidity": "%", "power": "W", "apparentpower": "VA", "reactivepower": "var", "voltage": "V",
        "current": "A", "frequency": "Hz", "total": "kWh", "yesterday": "kWh", "today": "kWh",
        "exporttotal": "kWh", "illuminance": "lx", "carbondioxide": "ppm", "eco2": "ppm", "tvoc": "ppb",
        "distance": "cm", "signal": "dBm", "vcc": "V",
    }  # fmt: skip

    def recognise(self, route: Route, payload: bytes) -> bool:  # noqa: ARG002 - the protocol's signature
        """Return whether the topic ends as Tasmota's do; any command is one."""
        levels = route.topic.split("/")
        if route.topic.startswith(_DISCOVERY) or "cmnd" in levels[:-1]:
            return True
        return _SUFFIX.fullmatch(levels[-1]) is not None

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of ``payload``; see :class:`agent.decode.family.Decoder`."""
        *levels, last = route.topic.split("/")
        prefix = next((level for level in levels if level in _PREFIXES), None)
        if prefix == "cmnd" or route.topic.startswith(_DISCOVERY):
            return nothing(last[:64])
        device = route.device
        if prefix is not None:
            levels.remove(prefix)
            device = device_of(route, "/".join(levels) or route.device)
        if last == "LWT":
            return self.read_state(route, device, payload)
        value = self.parse_or_text(payload)
        if isinstance(value, dict):
            value = value.get(_INSIDE[last], value) if last in _INSIDE else value
        if not isinstance(value, dict):
            if value is None or not _POWER.fullmatch(last):
                return nothing(last[:64])
            return self.take(value, self.frame(route, received, properties), device=device, metric=last)
        frame = self.frame(route, received, properties, value.get("Time"), root=value)
        if last == "RESULT":
            return self._result(value, device, frame)
        if last.startswith(("INFO", "STATUS")) and last not in _INSIDE:
            return nothing(last)
        return self._telemetry(value, device, frame)

    def _result(self, value: dict[str, Any], device: str, frame: Frame) -> Content:
        """Take power states and zigbee sensors from the answers to commands; the rest are settings."""
        serial = value.get("SerialReceived", value.get("SSerialReceived"))
        if type(serial) is str:  # a meter on the serial port
            found = read_obis(serial, self.limits)
            return self.take(found, frame, device=device) if found else nothing("SerialReceived", Skip.TEXT)
        kept = {key: item for key, item in value.items() if _POWER.fullmatch(key) or key == _ZIGBEE}
        period = value.get("TelePeriod")
        content = self._telemetry(kept, device, frame)
        if type(period) is float and _PERIOD_S[0] <= period <= _PERIOD_S[1]:
            content = content._replace(expected_s=((device, period),))
        return content

    def _telemetry(self, value: dict[str, Any], device: str, frame: Frame) -> Content:
        zigbee = value.get(_ZIGBEE)
        if isinstance(zigbee, dict):
            rest = {key: item for key, item in value.items() if key not in {_ZIGBEE, "Time"}}
            own = self.take(rest, frame, device=device)
            heard = own.heard if not zigbee else ()  # a bridge that only passes on has no values of its own
            return self.join([*self._zigbee(zigbee, device, frame), own._replace(heard=heard)])
        content = self.take(value, frame, device=device)
        units = {key: _unit_text(value.get(key), usual) for key, usual in _UNIT_KEYS.items()}
        readings = tuple(
            replace(one, unit=units[key])
            if one.unit is None and (key := _BY_UNIT_KEY.get(one.metric.rpartition(".")[2].casefold()))
            else one
            for one in content.readings
        )
        return content._replace(readings=readings)

    def _zigbee(self, fields: dict[str, Any], bridge: str, frame: Frame) -> Iterator[Content]:
        """Yield the sensors behind a zigbee bridge, each a device of its own by its address."""
        for address, item in fields.items():
            sensor = identity(address)
            if sensor is not None and isinstance(item, dict):
                yield self.take(item, frame, device=f"{bridge}/{sensor}")

    def unit_of(self, metric: str) -> str | None:
        if _POWER.fullmatch(metric.rpartition(".")[2]):
            return None  # POWER is a switch, Power is in watts
        parts = metric.casefold().split(".")
        return self.UNITS.get(parts[-2] if parts[-1].isdecimal() and len(parts) > 1 else parts[-1])


def _unit_text(given: Any, usual: str) -> str:
    short = given.strip() if type(given) is str else ""
    if not short or len(short) > 8 or not short.isprintable():  # noqa: PLR2004 - no unit is longer
        return usual
    return {"C": "°C", "F": "°F"}.get(short, short)


FAMILY: type[Family] = Tasmota
