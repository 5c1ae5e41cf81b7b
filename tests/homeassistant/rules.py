"""The rules of Home Assistant's MQTT discovery, as its core applies them.

From `components/mqtt/schemas.py` and the platforms of core 2025.4 and 2026.11: :func:`judge` returns what the
core would refuse, ignore without a word, or warn of.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

TOPIC = re.compile(r"[^/]+(/[^/]+)*/device/[a-zA-Z0-9_-]+/config")
ROOT = frozenset(
    {
        "device", "origin", "components", "availability", "availability_mode", "availability_template",
        "availability_topic", "payload_available", "payload_not_available", "state_topic", "command_topic",
        "qos", "encoding",
    }
)  # fmt: skip
DEVICE = frozenset(
    {
        "identifiers", "connections", "manufacturer", "model", "model_id", "name", "hw_version",
        "serial_number", "sw_version", "via_device", "suggested_area", "configuration_url",
    }
)  # fmt: skip
ORIGIN = frozenset({"name", "sw_version", "support_url"})
COMMON = frozenset(
    {
        "platform", "unique_id", "default_entity_id", "name", "entity_category", "icon", "enabled_by_default",
        "json_attributes_topic", "json_attributes_template", "availability", "availability_mode", "qos",
        "state_topic", "value_template",
    }
)  # fmt: skip
PLATFORMS: Mapping[str, frozenset[str]] = {
    "binary_sensor": frozenset({"device_class", "payload_on", "payload_off", "expire_after", "off_delay"}),
    "sensor": frozenset({"device_class", "state_class", "unit_of_measurement", "options", "expire_after"}),
    "event": frozenset({"device_class", "event_types"}),
    "button": frozenset({"device_class", "command_topic", "command_template", "payload_press", "retain"})
    - {"state_topic"},
    "switch": frozenset(
        {"device_class", "command_topic", "payload_on", "payload_off", "state_on", "state_off", "retain"}
    ),
}
CLASSES: Mapping[str, frozenset[str]] = {
    "binary_sensor": frozenset({"problem", "connectivity"}),
    "sensor": frozenset({"monetary", "duration", "timestamp", "data_size", "enum"}),
    "event": frozenset({"button", "doorbell", "motion"}),
    "button": frozenset({"restart", "update", "identify"}),
    "switch": frozenset({"outlet", "switch"}),
}
STATE_CLASSES: Mapping[str | None, frozenset[str]] = {"monetary": frozenset({"total"})}
CATEGORIES = frozenset({"diagnostic", "config"})
MAX_STATE, MAX_ATTRIBUTES = 255, 16_384


def judge(topic: str, payload: bytes) -> list[str]:
    """Return the faults of one announcement."""
    found = [] if TOPIC.fullmatch(topic) else [f"topic {topic}"]
    body = json.loads(payload)
    found += [f"unknown key {key}" for key in body.keys() - ROOT]
    device, origin = body.get("device", {}), body.get("origin", {})
    found += [f"unknown key device.{key}" for key in device.keys() - DEVICE]
    found += [f"unknown key origin.{key}" for key in origin.keys() - ORIGIN]
    if not device.get("identifiers") and not device.get("connections"):
        found.append("a device without an identifier")
    if not origin.get("name"):
        found.append("no origin")
    ids = [one.get("unique_id") for one in body.get("components", {}).values()]
    if not ids or len(set(ids)) < len(ids):
        found.append("components without ids of their own")
    for name, one in body.get("components", {}).items():
        found += [f"{name}: {fault}" for fault in _component(one, device.get("name", ""))]
    return found


def _component(one: Mapping[str, Any], device: str) -> Iterator[str]:
    platform = one.get("platform", "")
    if platform not in PLATFORMS or not one.get("unique_id"):
        yield "no platform or unique_id: the whole device is refused"
        return
    for key in one.keys() - COMMON - PLATFORMS[platform]:
        yield f"unknown key {key}, ignored"
    kind = one.get("device_class")
    if kind is not None and kind not in CLASSES[platform]:
        yield f"device class {kind}"
    if one.get("state_class", "total") not in STATE_CLASSES.get(kind, frozenset({"total", "measurement"})):
        yield f"state class of {kind}"
    if one.get("entity_category", "config") not in CATEGORIES:
        yield "category"
    entity = one.get("default_entity_id", f"{platform}.x")
    if not re.fullmatch(rf"{platform}\.[a-z0-9]+(_[a-z0-9]+)*", entity):
        yield f"entity id {entity}"
    if "expire_after" in one:
        yield "expire_after with a retained state"
    if platform == "event" and not one.get("event_types"):
        yield "no event types"
    if device and one.get("name", "").lower().startswith(device.lower()):
        yield "a name that begins with the device's"
    for key in ("state_topic", "json_attributes_topic", "command_topic"):
        if not re.fullmatch(r"[^+#\0]+", one.get(key, "x")):
            yield f"{key} with a wildcard"
