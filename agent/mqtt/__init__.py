"""The link to the broker: the only user of paho, on one thread: ``link.Link``."""

from agent.mqtt.errors import REFUSED
from agent.mqtt.settings import (
    BROKER_COUNTS,
    BROKER_DROPS,
    BrokerLimits,
    LinkSettings,
    LinkState,
    LinkStats,
    Subscription,
)

__all__ = [
    "BROKER_COUNTS",
    "BROKER_DROPS",
    "REFUSED",
    "BrokerLimits",
    "LinkSettings",
    "LinkState",
    "LinkStats",
    "Subscription",
]
