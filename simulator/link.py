"""One MQTT connection of the simulator: MQTT 5 with 3.1.1 as the fallback, QoS 1, a last will."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

MAX_IN_FLIGHT = 200
MAX_UNACKED = 2000  # more would only fill memory
UNSUPPORTED_VERSION = "Unsupported protocol version"


class LinkError(Exception):
    """The broker cannot be reached or refuses; the text is one line."""


@dataclass(slots=True)
class LinkStats:
    """Counters of one connection."""

    published: int = 0
    acked: int = 0
    refused: int = 0  # acknowledged with a reason code from 0x80
    disconnects: int = 0

    @property
    def unacked(self) -> int:
        """Messages that the broker still owes an acknowledgement for."""
        return self.published - self.acked


class Link:
    """One connection that speaks for one device or for many, or listens.

    With a ``will_topic`` it says ``online`` and ``offline`` there, retained. ``on_message(topic, payload)``
    runs on the connection's thread.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        client_id: str,
        will_topic: str | None = None,
        filters: Sequence[str] = (),
        on_message: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self._host, self._port, self._client_id = host, port, client_id
        self._will_topic, self._filters, self._on_message = will_topic, tuple(filters), on_message
        self._client: paho.Client | None = None
        self._ready = threading.Event()
        self._answered = threading.Event()
        self._refusal = ""
        self.protocol = ""
        self.stats = LinkStats()

    def open(self, timeout_s: float) -> None:
        """Connect with MQTT 5, else with 3.1.1, and subscribe.

        Raises:
            LinkError: nobody answered in time, or the broker refused both.
        """
        deadline = time.monotonic() + timeout_s
        for protocol in (MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311):
            self._begin(protocol, deadline)
            left = max(0.0, deadline - time.monotonic())
            self._answered.wait(left if protocol is MQTTProtocolVersion.MQTTv311 else left / 2)
            if self._ready.is_set():
                self.protocol = "5" if protocol is MQTTProtocolVersion.MQTTv5 else "3.1.1"
                self._say_state("online")
                return
            self._abandon(wait=False)
            if self._refusal not in {"", UNSUPPORTED_VERSION}:
                break
        raise self._error(self._refusal or f"no answer within {timeout_s:g} s")

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, traceparent: str | None = None) -> None:
        """Send one message; waits while too many are unacknowledged."""
        while self.stats.unacked >= MAX_UNACKED:
            time.sleep(0.005)
        self._count(self._alive().publish(topic, payload, qos, properties=self._properties(traceparent)), qos)

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is acknowledged; False if it was not in time."""
        deadline = time.monotonic() + timeout_s
        while self.stats.unacked > 0 and time.monotonic() < deadline:
            time.sleep(0.005)
        return self.stats.unacked <= 0

    def close(self) -> None:
        """Say ``offline`` and disconnect cleanly."""
        if self._ready.is_set():
            with contextlib.suppress(LinkError):
                self._say_state("offline")
            self.flush(1.0)
        self._abandon()

    def drop(self) -> None:
        """Cut the connection without a DISCONNECT, so that the broker publishes the last will."""
        client, self._client = self._client, None
        if client is not None:
            sock = client.socket()
            client.loop_stop()
            if sock is not None:
                sock.close()

    def _begin(self, protocol: MQTTProtocolVersion, deadline: float) -> None:
        self._answered.clear()
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=self._client_id, protocol=protocol)
        client.max_inflight_messages_set(MAX_IN_FLIGHT)
        if self._will_topic is not None:
            client.will_set(self._will_topic, "offline", 1, retain=True)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_publish = self._acknowledged
        client.on_message = self._arrived
        while True:
            try:
                client.connect(self._host, self._port, keepalive=30)
                break
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise self._error(error.strerror or str(error)) from None
                time.sleep(0.1)
        self._refusal = ""
        self._client = client
        client.loop_start()

    def _connected(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if client is not self._client:
            return
        self._refusal = str(reason) if reason.is_failure else ""
        if not reason.is_failure and self._filters:
            client.subscribe([(one, 1) for one in self._filters])
            return
        if not reason.is_failure:
            self._ready.set()
        self._answered.set()

    def _subscribed(self, _client: Any, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        self._refusal = f"subscription refused: {refused[0]}" if refused else ""
        if not refused:
            self._ready.set()
        self._answered.set()

    def _disconnected(self, client: paho.Client, *_: Any) -> None:
        if client is not self._client:
            return  # of an attempt that was given up
        self.stats.disconnects += self._ready.is_set()
        self._ready.clear()
        self._answered.set()

    def _acknowledged(self, _client: Any, _data: Any, _mid: int, reason: Any, _properties: Any) -> None:
        self.stats.acked += 1
        self.stats.refused += bool(reason.is_failure)

    def _arrived(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        if self._on_message is not None:
            self._on_message(message.topic, bytes(message.payload))

    def _say_state(self, state: str) -> None:
        if self._will_topic is not None:
            self._count(self._alive().publish(self._will_topic, state, 1, retain=True), 1)

    def _count(self, info: paho.MQTTMessageInfo, qos: int) -> None:
        # Not connected: paho keeps it and sends it after its reconnect.
        if info.rc not in {MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN}:
            raise self._error(paho.error_string(info.rc))
        self.stats.published += 1
        if qos == 0 and info.rc is MQTTErrorCode.MQTT_ERR_NO_CONN:
            self.stats.acked += 1  # dropped: nobody owes anything for it

    def _alive(self) -> paho.Client:
        if self._client is None:
            raise self._error("not connected")
        return self._client

    def _properties(self, traceparent: str | None) -> Properties | None:
        if self.protocol != "5" or traceparent is None:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.UserProperty = [("traceparent", traceparent)]
        return properties

    def _abandon(self, *, wait: bool = True) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        with contextlib.suppress(OSError, ValueError):
            client.disconnect()
        if wait:
            client.loop_stop()
        else:  # after a refusal paho's thread sleeps for a second first
            threading.Thread(target=client.loop_stop, daemon=True).start()

    def _error(self, why: str) -> LinkError:
        return LinkError(f"broker {self._host}:{self._port}: {why}")
