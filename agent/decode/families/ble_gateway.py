"""Bluetooth gateways: lists of sensors (Minew, KKM, Moko), or one topic each.

https://docs.ruuvi.com/gw-data-formats/mqtt-time-stamped-data-from-bluetooth-sensors
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, ClassVar

from agent.decode.device_ids import device_of, identity
from agent.decode.family import Content, Family, Properties, Route, Skip
from agent.decode.json_family import JsonFamily, nothing
from agent.decode.ruuvi import ruuvi_values

_ADDRESSES = (
    "mac", "dmac", "MAC", "addr", "address", "bdaddr", "deviceMac", "device_mac", "macAddress", "tag_mac",
    "bleMac",
)  # fmt: skip
_TIMES = ("timestamp", "ts", "time", "timeStamp", "gwts")
_RUUVI = "ruuvi/"
_MAX_SENSORS = 512  # of one message
_BARE = frozenset("0123456789abcdefABCDEF")


class BleGateway(JsonFamily):
    """Decoder of Bluetooth gateways. The device is the sensor's address; gateways share their sensors."""

    topics: ClassVar[tuple[str, ...]] = ("ruuvi/#", "ble/#", "kbeacon/#", "gw/+/status", "/gw/+/status")
    FAHRENHEIT = True
    DROPPED = frozenset({
        *(key.casefold() for key in (*_ADDRESSES, *_TIMES)), "type", "blename", "name", "gmac", "gw_mac",
        "aoa", "coords", "data", "raw", "rawdata", "uuid", "major", "minor", "txpower", "rawtxpower",
        "ibeaconuuid", "ibeaconmajor", "ibeaconminor", "ibeacontxpower", "measurementsequencenumber",
        "dataformat", "id", "seq", "msg", "msg_id", "namespace", "instance", "url", "adv_data", "adv_name",
        "connectable", "type_code", "nonce",
    })  # fmt: skip
    UNITS: ClassVar[dict[str, str]] = {
        "temperature": "°C", "temp": "°C", "humidity": "%", "hum": "%", "battery": "%", "batt": "%",
        "pressure": "hPa", "voltage": "V", "rssi": "dBm", "accelx": "g", "accely": "g", "accelz": "g",
        "co2": "ppm", "lux": "lx",
    }  # fmt: skip

    def recognise(self, route: Route, payload: bytes) -> bool:
        """Return whether the topic is a Ruuvi Gateway's, or the payload names an address early."""
        head = payload[:512]
        return head[:1] in {b"{", b"["} and (route.topic.startswith(_RUUVI) or b'mac"' in head)

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of ``payload``; see :class:`agent.decode.family.Decoder`."""
        levels = route.topic.split("/")
        if levels[-1] == "gw_status" and len(levels) > 1:
            return self.read_state(route, device_of(route, levels[-2]), payload)
        value = self.parse_or_text(payload)
        sensors = list(islice(_sensors(value, route), _MAX_SENSORS + 1))
        if not sensors:
            return nothing("mac", Skip.NO_VALUE)
        parts = [nothing("sensors", Skip.TOO_MANY)] if _has_more(value, sensors) else []
        for address, fields in sensors[:_MAX_SENSORS]:
            given = next((fields[key] for key in _TIMES if key in fields), None)
            frame = self.frame(route, received, properties, given, root=value)
            parts.append(self.take(_with_ruuvi(fields), frame, device=device_of(route, address)))
        return self.join(parts)


def _sensors(value: Any, route: Route) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the sensors of a message with their addresses."""
    if isinstance(value, dict):
        own = _address(value)
        if own is None and "gw_mac" in value:
            own = identity(route.topic.rpartition("/")[2])  # a Ruuvi Gateway names the sensor in the topic
        lists = (item for item in value.values() if isinstance(item, list))
        found = chain(chain.from_iterable(map(_listed, lists)), _keyed(value))
        first = next(found, (own, value) if own is not None else None)
        if first is not None:
            yield first
            yield from found
    elif isinstance(value, list):
        yield from _listed(value)


def _has_more(value: Any, sensors: list[tuple[str, dict[str, Any]]]) -> bool:
    """Return whether the message holds more sensors than are read."""
    lists = [value] if isinstance(value, list) else value.values()
    cut = any(isinstance(one, list) and one[-1:] == [Skip.TOO_MANY] for one in lists)
    return cut or len(sensors) > _MAX_SENSORS


def _listed(items: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in items:
        address = _address(item) if isinstance(item, dict) else None
        if address is not None:
            yield address, item


def _keyed(value: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries of a map from addresses to sensors, wherever it is."""
    for key, item in value.items():
        if isinstance(item, dict):
            yield from [(key, item)] if _is_address(key) else _keyed(item)


def _address(fields: dict[str, Any]) -> str | None:
    return next((found for key in _ADDRESSES if (found := identity(fields.get(key))) is not None), None)


def _is_address(text: str) -> bool:
    """Whether a key is a Bluetooth address, with or without colons."""
    bare = text.replace(":", "").replace("-", "")
    return len(bare) == 12 and set(bare) <= _BARE  # noqa: PLR2004 - 6 bytes


def _with_ruuvi(fields: dict[str, Any]) -> dict[str, Any]:
    """Add what an advertisement of a Ruuvi sensor holds, if the gateway did not decode it."""
    data = fields.get("data")
    if not isinstance(data, str) or "temperature" in fields:
        return fields
    return {**fields, **ruuvi_values(data)}


FAMILY: type[Family] = BleGateway
