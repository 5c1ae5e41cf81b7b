"""Payloads of Home Assistant's device discovery over MQTT."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Annotated, Any

from agent import __version__
from agent.domain.keys import Key
from agent.domain.records import Do, FindingEvent
from agent.sinks.mqtt import encode_device
from agent.verdict.verdict import clean

NODE = "edge_agent"  # the first part of each id; decode passes by the topics with it
DOCTOR = "edge_agent-doctor"  # an id that no device has
ORIGIN = "edge-agent"
MAX_SLUG = 48
MAX_NAME = 60
_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
_HASHED = re.compile(r"_[0-9a-f]{8}")

#: Commands on the device's finding: word, label, further keys.
BUTTONS: tuple[tuple[Do, str, Mapping[str, str]], ...] = (
    (Do.ACK, "Acknowledge", {}),
    (Do.NORMAL_HERE, "Normal here", {}),
    (Do.SNOOZE, "Snooze 24 h", {"for": "24h"}),
)

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAssistantSettings:
    """Section ``homeassistant``."""

    discovery: Annotated[bool, Key("`true`: announce the agent and its devices to Home Assistant")] = False
    prefix: Annotated[str, Key("its discovery prefix", min_length=1, max_length=64)] = "homeassistant"
    retain: Annotated[
        bool,
        Key(
            "`true`: the broker keeps the announcements, also those of devices that are gone"
            " (`edge-agent ha clean`)"
        ),
    ] = False

    @property
    def birth_topic(self) -> str:
        """The topic on which it reports that it has started."""
        return f"{self.prefix}/status"

    def config_topic(self, node: str) -> str:
        """Return where the device ``node`` is announced."""
        return f"{self.prefix}/device/{node}/config"


def agent_node(agent: str) -> str:
    """Return the id of the agent's own device."""
    return f"{NODE}_{agent}"


@lru_cache(maxsize=2048)
def device_node(agent: str, device: str) -> str:
    """Return the id of a monitored device, of ``[A-Za-z0-9_-]`` and never the same for two.

    An id that is not such a word, or could be taken for one with a hash, gets a hash. So does each one of an
    agent with ``_`` in its name, which could be the beginning of another agent's device.
    """
    slug = _UNFIT.sub("_", device)[:MAX_SLUG].strip("_") or "device"
    if slug != device or _HASHED.search(device) or "_" in agent:
        digest = blake2b(f"{agent}\0{device}".encode("utf-8", "surrogatepass"), digest_size=4)
        slug = f"{slug}_{digest.hexdigest()}"
    return f"{agent_node(agent)}_{slug}"


def is_announcement(payload: bytes, *, agent: str) -> bool:
    """Return whether a payload announces an agent or one of its devices; another agent's is not its own."""
    try:
        found = json.loads(payload)
        device = found["device"]
        ours = device.get("identifiers") == [agent_node(agent)] or device.get("via_device") == agent_node(
            agent
        )
        return bool(found["origin"]["name"] == ORIGIN and ours)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def encode_config(payload: Payload) -> bytes:
    """Return an announcement as UTF-8 JSON."""
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()


def device_config(*, agent: str, base: str, device: str, standby: bool = False) -> Payload:
    """Return the announcement of a monitored device: anomaly, score, event and buttons.

    ``standby``: its verdicts may come from a second agent, so that it is available while one is online.
    """
    node = device_node(agent, device)
    components = _components(base, node, _object_id(node, agent), device)
    if not device.isascii():  # the core transcribes its name, an id in ASCII would only have what is left
        for one in components.values():
            del one["default_entity_id"]
    return {
        "device": {
            "identifiers": [node],
            "name": f"{_name(device)} (monitor)",
            "manufacturer": ORIGIN,
            "via_device": agent_node(agent),
        },
        "origin": _origin(),
        "availability": [
            {"topic": topic, "value_template": "{{ value_json.state }}"}
            for topic in (f"{base}/status", *([f"{base}/standby/status"] if standby else []))
        ],
        "availability_mode": "any",
        "components": components,
    }


def _components(base: str, node: str, object_id: str, device: str) -> dict[str, dict[str, Any]]:
    """Return the entities of a monitored device."""
    level = encode_device(device)
    verdicts = f"{base}/verdicts/{level}"
    return {
        "problem": {
            "platform": "binary_sensor",
            "unique_id": f"{node}_problem",
            "default_entity_id": f"binary_sensor.{object_id}_problem",
            "name": "Anomaly",
            "device_class": "problem",
            "state_topic": verdicts,
            "value_template": ("{{ 'ON' if value_json.status | default('normal') == 'anomaly' else 'OFF' }}"),
            "json_attributes_topic": verdicts,
        },
        "score": {
            "platform": "sensor",
            "unique_id": f"{node}_score",
            "default_entity_id": f"sensor.{object_id}_anomaly_score",
            "name": "Anomaly score",
            "state_class": "measurement",
            "state_topic": verdicts,
            "value_template": "{{ value_json.score | default(0) }}",
        },
        "event": {
            "platform": "event",
            "unique_id": f"{node}_event",
            "default_entity_id": f"event.{object_id}_anomaly_event",
            "name": "Anomaly event",
            "event_types": [str(event) for event in FindingEvent],
            "state_topic": f"{base}/events/{level}",
        },
        **{
            f"{do}": {
                "platform": "button",
                "unique_id": f"{node}_{do}",
                "default_entity_id": f"button.{object_id}_{do}",
                "name": name,
                "command_topic": f"{base}/command",
                "payload_press": json.dumps({"do": do, "device": device, **more}),
                "qos": 1,
            }
            for do, name, more in BUTTONS
        },
    }


def agent_config(*, agent: str, base: str, page: str | None) -> Payload:
    """Return the announcement of the agent itself: connectivity, state, findings, spend, queue, pause."""
    node, health = agent_node(agent), f"{base}/health"
    # Not for all components: what is unavailable while the agent is offline could not report it.
    there = [{"topic": f"{base}/status", "value_template": "{{ value_json.state }}"}]

    def sensor(key: str, name: str, template: str, **more: Any) -> Payload:
        return {
            "platform": "sensor",
            "unique_id": f"{node}_{key}",
            "default_entity_id": f"sensor.{node.lower().replace('-', '_')}_{key}",
            "name": name,
            "entity_category": "diagnostic",
            "state_topic": health,
            "value_template": f"{{{{ {template} }}}}",
            "availability": there,
            **more,
        }

    return {
        "device": {
            "identifiers": [node],
            "name": f"{ORIGIN} {agent}",
            "manufacturer": ORIGIN,
            "sw_version": __version__,
            **({} if page is None else {"configuration_url": page}),
        },
        "origin": _origin(),
        "components": {
            "connectivity": {
                "platform": "binary_sensor",
                "unique_id": f"{node}_connectivity",
                "default_entity_id": f"binary_sensor.{node.lower().replace('-', '_')}_connectivity",
                "name": "Connectivity",
                "device_class": "connectivity",
                "entity_category": "diagnostic",
                "state_topic": f"{base}/status",
                "value_template": (
                    "{{ 'ON' if value_json.state | default('offline') == 'online' else 'OFF' }}"
                ),
            },
            "state": sensor(
                "state",
                "State",
                "value_json.state | default('unknown')",
                json_attributes_topic=health,
                json_attributes_template=(
                    "{{ {'problems': (value_json.problems | default([]))[:5]} | tojson }}"
                ),
            ),
            "findings": sensor(
                "findings",
                "Open findings",
                "value_json.counters.findings_open | default(0)",
                state_class="measurement",
            ),
            "spend": sensor(
                "spend",
                "Spend today",
                "value_json.ai.budget.day.spent_usd | default(0)",
                device_class="monetary",
                unit_of_measurement="USD",
            ),
            "queue": sensor(
                "queue",
                "Messages waiting",
                "value_json.journal.outbox_depth | default(0)",
                state_class="measurement",
            ),
            "pause": {
                "platform": "switch",
                "unique_id": f"{node}_pause",
                "default_entity_id": f"switch.{node.lower().replace('-', '_')}_pause",
                "name": "Pause model",
                "entity_category": "config",
                "state_topic": health,
                "value_template": "{{ 'ON' if value_json.ai.paused_until | default(none) else 'OFF' }}",
                "command_topic": f"{base}/command",
                "payload_on": json.dumps({"do": Do.PAUSE_MODEL}),
                "payload_off": json.dumps({"do": Do.RESUME_MODEL}),
                "state_on": "ON",
                "state_off": "OFF",
                "qos": 1,
                "availability": there,
            },
        },
    }


def _origin() -> Payload:
    return {"name": ORIGIN, "sw_version": __version__}


def _name(device: str) -> str:
    return clean(device.replace("/", " "))[:MAX_NAME].strip() or "device"


def _object_id(node: str, agent: str) -> str:
    """Return the part of entity ids, which a person reads: without the names of product and agent."""
    text = node.removeprefix(f"{agent_node(agent)}_").lower()
    return re.sub(r"[^a-z0-9]+", "_", text).strip("_") or "device"
