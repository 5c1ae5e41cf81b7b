"""The link to the broker: the only user of paho, on one thread. Start at ``Link``."""

from agent.mqtt.broker_drops import TOPIC as BROKER_LOSSES
from agent.mqtt.errors import REFUSED
from agent.mqtt.link import Link
from agent.mqtt.settings import BrokerLimits, LinkSettings, LinkState, LinkStats, Subscription
from agent.mqtt.topics import encode_device

__all__ = [
    "BROKER_LOSSES",
    "REFUSED",
    "BrokerLimits",
    "Link",
    "LinkSettings",
    "LinkState",
    "LinkStats",
    "Subscription",
    "encode_device",
]
