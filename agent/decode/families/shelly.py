"""Shelly: Gen1 values by topic, Gen2 and later by component.

https://shelly-api-docs.shelly.cloud: gen1 "MQTT", gen2 "Notifications" and "Components and Services".
A notification holds changes only, and only these are read: a value that is not in it was not measured.
"""

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from agent.decode.device_ids import device_of
from agent.decode.family import Content, Family, Properties, Route, Skip, Skipped
from agent.decode.json_family import Frame, JsonFamily, nothing

_GEN1 = "shellies/"
_COMPONENT = re.compile(r"[a-z][a-z0-9_]{0,31}:\d{1,6}", re.ASCII)
# Components that report on the device itself; of these only what follows is read.
_OWN = frozenset(
    {"sys", "wifi", "eth", "ble", "cloud", "mqtt", "ws", "ht_ui", "plugs_ui", "ui", "knx", "matter", "bthome"}
)
_READ_OF_OWN = {"sys": ("uptime", "ram_free"), "wifi": ("rssi",)}
_COMMANDS = frozenset({"command", "set", "rpc"})
_NOT_READ = frozenset({"announce", "info", "input_event", "longpush", "act_reasons", "settings"})
_EVENTS = ["events", "rpc"]
_MAX_PERIOD_S = 7 * 86_400.0


class Shelly(JsonFamily):
    """Decoder of Shelly devices."""

    topics: ClassVar[tuple[str, ...]] = (
        "shellies/#", "+/status/+", "+/+/status/+", "+/events/rpc", "+/+/events/rpc", "+/online",
        "+/debug/log",
    )  # fmt: skip
    FAHRENHEIT = True
    DROPPED = frozenset({
        "id", "hwid", "source", "by_minute", "minute_ts", "errors", "flags", "timer_started_at",
        "timer_duration", "pos_control", "last_direction", "move_timeout", "move_started_at",
        "user_calibrated_phase", "packet_id", "last_updated_ts", "last_update_ts", "ts", "timestamp", "mac",
        "time", "unixtime", "has_timer", "timer_remaining", "timer_started", "is_valid", "serial",
        "tmp_units",
    })  # fmt: skip
    UNITS: ClassVar[dict[str, str]] = {
        "tc": "°C", "tf": "°F", "rh": "%", "percent": "%", "v": "V", "lux": "lx", "apower": "W",
        "voltage": "V", "current": "A", "freq": "Hz", "aprtpower": "VA", "power": "W", "humidity": "%",
        "battery": "%", "current_pos": "%", "energy": "W·min", "total": "Wh", "total_returned": "Wh",
        "target_c": "°C", "current_c": "°C", "bat": "%", "ext_temperature": "°C", "ext_humidity": "%",
        "reactive_power": "var",
    }  # fmt: skip
    _UNIT_ENDS = (
        ("act_energy", "Wh"), ("act_ret_energy", "Wh"), ("total_act", "Wh"), ("total_act_ret", "Wh"),
        ("aprt_power", "VA"), ("act_power", "W"), ("_voltage", "V"), ("_current", "A"), ("_freq", "Hz"),
    )  # fmt: skip

    def recognise(self, route: Route, payload: bytes) -> bool:
        """Return whether the topic is Shelly's: by its first level, a component or the device."""
        topic = route.topic
        if topic.startswith(_GEN1):
            return True
        levels = topic.split("/")
        if levels[-2:] == _EVENTS:
            return payload[:1] == b"{"
        named = any(level.startswith("shelly") for level in levels[:2])
        if levels[-2] == "status":
            return payload[:1] == b"{" and (named or _COMPONENT.fullmatch(levels[-1]) is not None)
        return named

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of ``payload``; see :class:`agent.decode.family.Decoder`."""
        own, rest = _split(route.topic)
        device = device_of(route, own) if own else route.device
        if (_COMMANDS & set(rest[-2:]) and rest != _EVENTS) or rest[:1] == ["debug"] or (own and not rest):
            return nothing(route.topic.rpartition("/")[2][:64])
        if rest == ["online"]:
            return self.read_state(route, device, payload)
        value = self.parse_or_text(payload)
        if rest == _EVENTS:
            return self._notification(value, route, device, received, properties)
        frame = self.frame(route, received, properties, root=value)
        if rest[:1] == ["status"] and len(rest) == 2:  # noqa: PLR2004 - status and component
            content = self.join(self._components({rest[1]: value}, device, frame))
            return content._replace(expected_s=_expected(value, device))
        if not own:
            return self.take(value, frame, device=device, metric=route.metric)
        return self._gen1(rest, value, device, frame)

    def _gen1(self, rest: list[str], value: Any, device: str, frame: Frame) -> Content:
        if value is None or any(level in _NOT_READ or level.startswith("input_event") for level in rest):
            return nothing(".".join(rest)[:64])
        if any(level.endswith("_f") for level in rest):
            return Content((), text_only=True, skipped=(Skipped(".".join(rest)[:64], Skip.OTHER_UNIT),))
        metric = None if rest == ["status"] else ".".join(rest)
        return self.take(value, frame, device=device, metric=metric)

    def _notification(
        self, value: Any, route: Route, device: str, received: float, properties: Properties
    ) -> Content:
        params = value.get("params") if isinstance(value, dict) else None
        if not isinstance(params, dict):
            return nothing("params", Skip.NO_VALUE)
        frame = self.frame(route, received, properties, params.get("ts"), root=value)
        content = self.join(self._components(params, device, frame))
        if not content.readings:
            content = content._replace(heard=(device,))
        return content._replace(expected_s=_expected(params.get("sys"), device))

    def _components(self, params: dict[str, Any], device: str, frame: Frame) -> Iterator[Content]:
        for name, status in params.items():
            kind = name.partition(":")[0]
            if not isinstance(status, dict) or name in {"ts", "events"}:
                continue
            if kind in _OWN:
                status = {key: status[key] for key in _READ_OF_OWN.get(kind, ()) if key in status}  # noqa: PLW2901
                yield self.take(status, frame, device=device, metric=name)
            elif kind == "devicepower" and _on_mains(status):
                yield Content((), skipped=(Skipped(f"{name}.battery", Skip.NO_VALUE),))
                rest = {key: item for key, item in status.items() if key != "battery"}
                yield self.take(rest, frame, device=device, metric=name)
            else:
                yield self.take(status, frame, device=device, metric=name)

    def unit_of(self, metric: str) -> str | None:
        parts = metric.casefold().split(".")
        last = parts[-2] if parts[-1].isdecimal() and len(parts) > 1 else parts[-1]
        found = self.UNITS.get(last)
        return found or next((unit for end, unit in self._UNIT_ENDS if last.endswith(end)), None)


def _split(topic: str) -> tuple[str, list[str]]:
    """Return the device that a topic names, and the levels after it."""
    levels = topic.split("/")
    if topic.startswith(_GEN1):
        return levels[1], levels[2:]
    for marker, after in (("status", 2), ("events", 2), ("debug", 2), ("online", 1)):
        if len(levels) > after and levels[-after] == marker:
            return "/".join(levels[:-after]), levels[-after:]
    return "", levels


def _on_mains(status: dict[str, Any]) -> bool:
    """Whether a battery reads 0 because external power is present."""
    external, battery = status.get("external"), status.get("battery")
    present = isinstance(external, dict) and external.get("present") is True
    return present and isinstance(battery, dict) and battery.get("percent") in {0.0, None}


def _expected(sys: Any, device: str) -> tuple[tuple[str, float], ...]:
    """Return the interval in which a sleeping device wakes up, where it announces one."""
    period = sys.get("wakeup_period") if isinstance(sys, dict) else None
    return ((device, period),) if type(period) is float and 1.0 <= period <= _MAX_PERIOD_S else ()


FAMILY: type[Family] = Shelly
