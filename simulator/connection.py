"""One connection on the loop's thread: connecting, sending, cut, reconnecting.

Every method runs on the loop's thread; fields that other threads may read are first.
"""

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from simulator.loop import Loop
from simulator.outgoing import LinkStats, Outgoing

MAX_IN_FLIGHT = 200
V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
_KEEPALIVE_S = 30
_CONNECT_LIMIT_S = 2.0  # it stalls the other connections of the loop
_RETRY_S = (0.2, 5.0)  # first and longest wait before connecting again
_POLL_S = 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The purpose of a connection. Its states go, retained, to ``will_topic`` and ``announce``."""

    host: str
    port: int
    client_id: str
    will_topic: str | None = None  # where the broker publishes offline if the connection breaks
    announce: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    as_published: bool = False  # ask the broker to leave the retain flag as it was
    arrived: Callable[[paho.MQTTMessage], None] | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)


class Connection:
    """One connection with one MQTT version, from its first CONNECT to its end."""

    def __init__(self, *, terms: Terms, version: MQTTProtocolVersion, loop: Loop, stats: LinkStats) -> None:
        self.ready = threading.Event()  # connected and subscribed
        self.answered = threading.Event()  # the first attempt ended, well or not
        self.refusal = ""
        self.inbox: deque[Outgoing] = deque()  # any thread appends, then calls pump_soon
        self._pump_due = False
        self._terms, self._version, self._loop, self._stats = terms, version, loop, stats
        self._outbox: deque[Outgoing] = deque()
        self._sayings: deque[tuple[str, str]] = deque()  # topic and state, before all else
        self._zeros: set[int] = set()  # packet ids of QoS 0 that are not written yet
        self._states: set[int] = set()  # packet ids of states: not counted
        self._in_flight, self._limit, self._max_packet = 0, MAX_IN_FLIGHT, 0
        self._cutting = self._was_ready = self._over = self._leaving = self._retry_due = False
        self._wait_s, self._back_after = _RETRY_S[0], 0.0
        self._client = self._make()

    def connect(self) -> None:
        """Connect for the first time; a refused TCP connection is tried again until it is left."""
        self._loop.adopt(self._client)
        terms = self._terms
        self._try(lambda: self._client.connect(terms.host, terms.port, keepalive=_KEEPALIVE_S))

    def pump_soon(self) -> None:
        """Have the loop call :meth:`pump`; callable from any thread."""
        if not self._pump_due:
            self._pump_due = True
            self._loop.soon(self.pump)

    def pump(self) -> None:
        """Send what is due, in order, no more at once than the broker takes."""
        self._pump_due = False
        while self.inbox:
            message = self.inbox.popleft()
            if message.qos == 0 and not self._open:
                self._stats.dropped += 1  # as in a device: nobody waits for it
            else:
                self._outbox.append(message)
        while self._open and self._in_flight < self._limit:
            if self._sayings:
                info = self._client.publish(*self._sayings.popleft(), 1, retain=True)
                self._states.add(info.mid)
                self._in_flight += 1
            elif self._outbox:
                self._send(self._outbox.popleft())
            else:
                return

    @property
    def _open(self) -> bool:
        return self.ready.is_set() and not self._cutting

    def say(self, state: str) -> None:
        """Publish ``online`` or ``offline`` wherever this connection has to, before all that waits.

        Not at once: while it connects, paho sends again what was in flight only after its callback.
        """
        will = self._terms.will_topic
        self._sayings.clear()
        self._sayings.extend((topic, state) for topic in (*([will] if will else []), *self._terms.announce))
        self.pump_soon()

    def cut(self, back_after_s: float | None, deadline: float) -> None:
        """Break the connection without a DISCONNECT; make it again after ``back_after_s``, or never.

        Messages in flight are waited for until ``deadline`` (monotonic), since a repeat would be another
        thing in every run.
        """
        self._cutting = self.ready.is_set()  # until the loss is found: nothing goes to a dead socket
        if self._cutting and self._in_flight > 0 and time.monotonic() < deadline:
            self._loop.later(_POLL_S, lambda: self.cut(back_after_s, deadline))
            return
        self._over = self._over or back_after_s is None
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            self._back_after = back_after_s or 0.0
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # paho then finds the end of the stream

    def leave(self, gone: threading.Event, *, last_word: str | None, limit_s: float = 1.0) -> None:
        """Publish ``offline``, disconnect, and set ``gone`` when it is sent or cannot be sent."""
        if self.ready.is_set() and last_word is not None:
            self.say(last_word)
        self._over = self._leaving = True
        self._let_go(gone, time.monotonic() + limit_s)

    def _let_go(self, gone: threading.Event, deadline: float) -> None:
        if self.ready.is_set() and time.monotonic() < deadline:
            if self._sayings or self._in_flight:
                self._loop.later(_POLL_S, lambda: self._let_go(gone, deadline))
                return
            if self._client.is_connected():
                self._client.disconnect()  # paho closes the socket when it is out
                self._loop.later(_POLL_S, lambda: self._let_go(gone, deadline))
                return
        self._loop.release(self._client)
        self.ready.clear()
        gone.set()

    def _make(self) -> paho.Client:
        # paho's own falling back to MQTT 3.1 would connect inside a callback.
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._terms.client_id,
            protocol=self._version,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_LIMIT_S
        client.max_inflight_messages_set(MAX_IN_FLIGHT)
        if self._terms.will_topic is not None:
            client.will_set(self._terms.will_topic, "offline", 1, retain=True)
        if self._terms.user is not None:
            client.username_pw_set(self._terms.user, self._terms.password)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_publish = self._acknowledged
        client.on_message = self._arrived
        return client

    def _try(self, attempt: Callable[[], object]) -> None:
        self._retry_due = False
        if self._over:
            return
        try:
            attempt()
        except OSError as error:
            self.refusal = error.strerror or str(error)
            again = attempt if not self._was_ready else self._client.reconnect
            self._retry_due = True
            self._loop.later(self._next_wait(), lambda: self._try(again))

    def _connected(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        self.refusal = str(reason) if reason.is_failure else ""
        if reason.is_failure:
            self.answered.set()
            return
        self._limit = min(MAX_IN_FLIGHT, getattr(properties, "ReceiveMaximum", MAX_IN_FLIGHT))
        self._max_packet = getattr(properties, "MaximumPacketSize", 0)
        if not self._terms.filters:
            self._is_ready()
        elif self._version is V5:
            # A recorder has the retained messages from the first time.
            again = self._was_ready and self._terms.as_published
            options = SubscribeOptions(
                qos=1,
                retainAsPublished=self._terms.as_published,
                retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND
                if again
                else SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE,
            )
            client.subscribe([(one, options) for one in self._terms.filters])
        else:
            client.subscribe([(one, 1) for one in self._terms.filters])

    def _subscribed(self, _client: Any, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        self.refusal = f"subscription refused: {refused[0]}" if refused else ""
        if refused:
            self.answered.set()
        else:
            self._is_ready()

    def _is_ready(self) -> None:
        self._was_ready, self._wait_s = True, _RETRY_S[0]
        self._stats.connects += 1
        self.ready.set()
        self.say("online")
        self.answered.set()

    def _disconnected(self, *_: Any) -> None:
        self._stats.disconnects += self.ready.is_set() and not self._leaving
        self.ready.clear()
        self._cutting = False
        self.answered.set()
        self._stats.dropped += len(self._zeros)
        self._in_flight -= len(self._zeros)
        self._zeros.clear()
        # paho may report one loss twice, and two attempts would take turns in closing each other's socket.
        if self._was_ready and not self._over and not self._retry_due:
            self._retry_due = True
            wait_s = max(self._back_after, self._next_wait())
            self._loop.later(wait_s, lambda: self._try(self._client.reconnect))
        self._back_after = 0.0

    def _acknowledged(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._in_flight -= 1
        if mid in self._states:
            self._states.discard(mid)
        else:
            self._zeros.discard(mid)
            self._stats.acked += 1
            self._stats.refused += bool(reason.is_failure)
        if self._outbox or self._sayings:
            self.pump_soon()

    def _arrived(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        if self._terms.arrived is not None:
            self._terms.arrived(message)

    def _send(self, message: Outgoing) -> None:
        if self._max_packet and message.size > self._max_packet:
            # Mosquitto would end the connection, and paho send it again for ever.
            self._stats.acked += 1
            self._stats.refused += 1
            return
        properties = message.properties() if self._version is V5 else None
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        if message.qos == 0 and info.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._stats.dropped += 1
            return
        self._in_flight += 1
        if message.qos == 0:
            self._zeros.add(info.mid)

    def _next_wait(self) -> float:
        wait_s, self._wait_s = self._wait_s, min(_RETRY_S[1], self._wait_s * 2)
        return wait_s
