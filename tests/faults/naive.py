"""A naive agent, the control: paho acknowledges by itself, batches are in memory.

It is what one writes first, and not careless: a persistent session at QoS 1, one verdict per batch, and what
is in memory is flushed on SIGTERM. Only a crash is not thought of.
"""

import argparse
import json
import signal
import sys
import threading
import time
import uuid
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

MAX_READINGS = 20
MAX_AGE_S = 2.0
BASE_TOPIC = "naive"


class NaiveAgent:
    """Collects readings per device and publishes a verdict when there are enough or they are old."""

    def __init__(self, *, port: int, topic: str) -> None:
        self._port = port
        self._topic = topic
        self._lock = threading.Lock()
        self._batches: dict[str, list[list[Any]]] = {}
        self._opened: dict[str, float] = {}
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="naive", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: print("subscribed", flush=True)
        self._client.on_message = self._arrived

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", self._port, keepalive=15, clean_start=False, properties=properties)
        self._client.loop_start()
        while not stop.wait(0.1):
            self._flush(time.monotonic() - MAX_AGE_S)
        self._flush(time.monotonic())
        time.sleep(0.5)
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(self._topic, qos=1)

    def _arrived(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        device = message.topic.rpartition("/")[2]
        try:
            value = 1 if message.payload == b"ON" else json.loads(message.payload)
        except ValueError:
            self._publish(
                f"{BASE_TOPIC}/rejected", {"topic": message.topic, "text": message.payload.decode()}
            )
            return
        fields = value if isinstance(value, dict) else {"value": value}
        with self._lock:
            batch = self._batches.setdefault(device, [])
            self._opened.setdefault(device, time.monotonic())
            batch += [[name, item] for name, item in fields.items() if isinstance(item, int | float)]
            if len(batch) < MAX_READINGS:
                return
            self._conclude(device)

    def _flush(self, opened_before: float) -> None:
        with self._lock:
            for device in [name for name, opened in self._opened.items() if opened <= opened_before]:
                self._conclude(device)

    def _conclude(self, device: str) -> None:
        readings = self._batches.pop(device)
        del self._opened[device]
        verdict = {
            "id": uuid.uuid4().hex,
            "device": device,
            "source": "local",
            "reason": "naive",
            "window": {"readings": len(readings)},
            "members": readings,
        }
        self._publish(f"{BASE_TOPIC}/verdicts/{device}", verdict)

    def _publish(self, topic: str, value: dict[str, Any]) -> None:
        self._client.publish(topic, json.dumps(value), qos=1)


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--topic", required=True)
    args = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    NaiveAgent(port=args.port, topic=args.topic).run(stop)
    sys.exit(0)


if __name__ == "__main__":
    main()
