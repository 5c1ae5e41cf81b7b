"""The collector: a durable session that keeps all below the agent's base topic."""

import json
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.faults.lines import Lines


class Collected(NamedTuple):
    """One PUBLISH as the collector saw it."""

    at: float  # wall clock
    topic: str
    retain: bool
    payload: bytes


class Collector:
    """Subscribes to ``base_topic/#`` at QoS 1 and writes what comes to ``collected.log``."""

    def __init__(self, *, port: int, folder: Path, base_topic: str, client_id: str = "collector") -> None:
        self._port = port
        self._filter = f"{base_topic}/#"
        self._lines = Lines(folder / "collected.log")
        self._subscribed = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._arrived
        self.count = 0
        self.verdicts: dict[str, int] = {}  # id -> times seen
        self.reasons: dict[str, int] = {}  # source/reason -> distinct verdicts
        self.newest: dict[str, Any] = {}  # the newest verdict

    def start(self) -> Self:
        """Connect and wait for the subscription."""
        self._lines.open()
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", self._port, keepalive=30, clean_start=False, properties=properties)
        self._client.loop_start()
        if not self._subscribed.wait(60):
            raise AssertionError("the collector was not subscribed within 10 s")
        return self

    def close(self) -> None:
        """Disconnect and close the file."""
        self._client.disconnect()
        self._client.loop_stop()
        self._lines.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connected(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(self._filter, qos=1)

    def _arrived(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        entry = [time.time(), message.topic, message.retain, b64encode(payload).decode()]
        self._lines.write(json.dumps(entry))
        self.count += 1
        if "/verdicts/" in message.topic:
            self._count_verdict(payload)

    def _count_verdict(self, payload: bytes) -> None:
        try:
            verdict = json.loads(payload)
            verdict_id = str(verdict["id"])
            reason = f"{verdict['source']}/{verdict['reason']}"
        except (ValueError, KeyError, TypeError):
            return
        if verdict_id not in self.verdicts:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
            self.newest = verdict
        self.verdicts[verdict_id] = self.verdicts.get(verdict_id, 0) + 1


def read_collected(folder: Path) -> Iterator[Collected]:
    """Yield what a collector wrote, in order of arrival."""
    with (folder / "collected.log").open() as file:
        for line in file:
            at, topic, retain, payload = json.loads(line)
            yield Collected(at, topic, retain, b64decode(payload))
