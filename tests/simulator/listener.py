"""A subscriber of its own, as an operator would have one."""

import threading

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.support.broker import Broker
from tests.support.waiting import wait_for

Got = tuple[str, bytes, int, dict[str, str], bool]
#: topic, payload, QoS, user properties, retain


class Listener:
    """Collects what is published under a filter."""

    def __init__(self, broker: Broker, topic_filter: str) -> None:
        self.got: list[Got] = []
        up = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe(topic_filter, 1)
        self.client.on_subscribe = lambda *_: up.set()
        self.client.on_message = self._arrived
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert up.wait(60)

    def _arrived(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        properties = dict(getattr(message.properties, "UserProperty", []))
        self.got.append((message.topic, bytes(message.payload), message.qos, properties, message.retain))

    def wait_for(self, count: int) -> list[Got]:
        wait_for(lambda: len(self.got) >= count, 10, f"{count} messages", 0.01)
        return self.got

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
