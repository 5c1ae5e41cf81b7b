"""OpenMQTTGateway and Theengs: sensors behind a gateway, by address or radio id.

Topics and payloads: https://docs.openmqttgateway.com/use/ble.html, .../use/rf.html, https://gateway.theengs.io.
"""

from typing import Any, ClassVar

from agent.decode.device_ids import device_of, identity
from agent.decode.family import Content, Family, Properties, Route, Skip
from agent.decode.json_family import JsonFamily, nothing
from agent.decode.radio_names import RADIO_KEYS, radio_device, radio_unit

_BLE, _RTL = "BTtoMQTT", "RTL_433toMQTT"
_SENSORS = (
    "CLIMAtoMQTT",
    "INA226toMQTT",
    "ADCtoMQTT",
    "HCSR501toMQTT",
    "HCSR04toMQTT",
    "SYStoMQTT",
    "LORAtoMQTT",
)
_CODES = (
    "433toMQTT",
    "PilighttoMQTT",
    "RFtoMQTT",
    "IRtoMQTT",
    "SRFBtoMQTT",
    "2GtoMQTT",
    "SERIALtoMQTT",
    "WebUItoMQTT",
)
_GATEWAYS = frozenset({_BLE, _RTL, *_SENSORS, *_CODES})


class OpenMqttGateway(JsonFamily):
    """Decoder of OpenMQTTGateway and Theengs Gateway."""

    topics: ClassVar[tuple[str, ...]] = (
        *(f"+/+/{word}/#" for word in sorted(_GATEWAYS)), "+/+/LWT", "+/+/version", "+/+/commands/#",
    )  # fmt: skip
    FAHRENHEIT = True
    DROPPED = RADIO_KEYS | {
        "mac", "name", "model_id", "cidc", "acts", "cont", "track", "prmac", "mfr", "mfid", "encr", "ctr",
        "mac_type", "adv_type", "txpower", "distance", "device_id", "volatile", "version", "env", "ip",
        "ssid", "ethernet", "modules", "mqttport", "mqttsecure", "servicedata", "servicedatauuid",
        "manufacturerdata", "packetsize", "pferror", "message", "hex", "origin", "discovery", "ohdiscovery",
        "freestack", "disp", "gatewaylocation",
    }  # fmt: skip
    UNITS: ClassVar[dict[str, str]] = {
        "tempc": "°C", "tempf": "°F", "temp": "°C", "hum": "%", "batt": "%", "volt": "V", "pres": "hPa",
        "moi": "%", "lux": "lx", "fer": "µS/cm", "pm25": "µg/m³", "pm10": "µg/m³", "co2": "ppm",
        "power": "W", "current": "A", "energy": "kWh", "uptime": "s", "freemem": "B", "rssi": "dBm",
        "snr": "dB", "tempint": "°C",
    }  # fmt: skip

    def recognise(self, route: Route, payload: bytes) -> bool:
        """Return whether a gateway of the topic is known, or it is a will in the words of this family."""
        levels = route.topic.split("/")
        if levels[0] in {"tele", "stat", "cmnd"}:
            return False
        last = levels[2]
        if last == "LWT":
            return payload in {b"online", b"offline"}
        return last in _GATEWAYS or (last == "commands" and "MQTTto" in route.topic)

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of ``payload``; see :class:`agent.decode.family.Decoder`."""
        levels = route.topic.split("/")
        kind = next((level for level in levels if level in _GATEWAYS), None)
        if kind in _CODES or levels[-1] == "version" or "commands" in levels:
            return nothing(levels[-1][:64])
        place = levels.index(kind) if kind is not None else len(levels) - 1
        gateway = levels[max(0, place - 1)]
        if levels[-1] == "LWT":
            return self.read_state(route, device_of(route, gateway), payload)
        value = self.parse_or_text(payload)
        if not isinstance(value, dict):
            return nothing(levels[-1][:64], Skip.TEXT)
        frame = self.frame(route, received, properties, value.get("time"), root=value)
        if kind in _SENSORS and not ("id" in value and "model" in value):
            metric = ".".join(levels[place + 1 :]) or None
            return self.take(value, frame, device=device_of(route, gateway), metric=metric)
        own = _identity(kind, value)
        if own is None:
            return nothing("id", Skip.NO_VALUE)
        return self.take(value, frame, device=_ble_device(route, own))

    def unit_of(self, metric: str) -> str | None:
        return super().unit_of(metric) or radio_unit(metric)


def _identity(kind: str | None, value: dict[str, Any]) -> str | None:
    """Return the id of the sensor: its Bluetooth address, or model and id of a radio sensor."""
    address = identity(value.get("id")) or identity(value.get("mac"))
    if kind == _BLE or (kind is None and address is not None and ":" in address):
        return address
    return radio_device(value)


def _ble_device(route: Route, own: str) -> str:
    """Return the source's device where it ends with the same Bluetooth address in another spelling."""
    given = route.device.rpartition("/")[2]
    same = _bare(given) == _bare(own) and route.device.count("/") <= 1
    return route.device if same else device_of(route, own)


def _bare(address: str) -> str:
    return address.replace(":", "").casefold()


FAMILY: type[Family] = OpenMqttGateway
