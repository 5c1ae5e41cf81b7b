"""One MQTT connection: MQTT 5 with 3.1.1 as the fallback, QoS 0 or 1, a last will."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTProtocolVersion

from simulator.connection import V5, V311, Connection, Terms
from simulator.loop import Loop
from simulator.outgoing import LinkStats, Outgoing

MAX_UNACKED = 2000  # more would only fill memory
UNSUPPORTED_VERSION = "Unsupported protocol version"
_CUT_LIMIT_S = 1.0
_LEAVE_LIMIT_S = 2.0
_LOGIN = frozenset({"Not authorized", "Bad user name or password", "Bad username or password"})


class LinkError(Exception):
    """The broker cannot be reached or refuses; the text is one line."""


class Link:
    """One connection that speaks for one device or for many, or listens; one thread publishes on it.

    It publishes ``online``, retained, on each connect and ``offline`` at the end: on ``will_topic``, where
    the broker publishes ``offline`` if the connection breaks, and on each of ``announce``. A lost connection
    is made again. ``on_message(topic, payload)`` and ``on_arrival(message)`` run on the loop's thread. Its
    name and password are ``EDGE_SIM_USER`` and ``EDGE_SIM_PASSWORD`` of the environment.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        client_id: str,
        will_topic: str | None = None,
        announce: Sequence[str] = (),
        filters: Sequence[str] = (),
        as_published: bool = False,
        on_message: Callable[[str, bytes], None] | None = None,
        on_arrival: Callable[[paho.MQTTMessage], None] | None = None,
        loop: Loop | None = None,
    ) -> None:
        """``as_published`` asks the broker to keep the retain flag; a ``loop`` serves many links."""
        self._on_message = on_message
        self._terms = Terms(
            host=host,
            port=port,
            client_id=client_id,
            will_topic=will_topic,
            announce=tuple(announce),
            filters=tuple(filters),
            as_published=as_published,
            arrived=on_arrival or (self._arrived if on_message is not None else None),
            user=os.environ.get("EDGE_SIM_USER") or None,
            password=os.environ.get("EDGE_SIM_PASSWORD") or None,
        )
        self._loop, self._own_loop = loop or Loop(), loop is None
        self._connection: Connection | None = None
        self.protocol = ""
        self.stats = LinkStats()

    def open(self, timeout_s: float) -> None:
        """Connect with MQTT 5, else with 3.1.1, and subscribe.

        Raises:
            LinkError: nobody answered in time, or the broker refused both.
        """
        deadline = time.monotonic() + timeout_s
        refusal = ""
        for version in (V5, V311):
            self.begin(version)
            connection = self._alive()
            if self._wait(connection, deadline if version is V311 else deadline - timeout_s / 2):
                return
            if connection.refusal and not connection.answered.is_set() and self._wait(connection, deadline):
                return  # nobody listened at first
            refusal = connection.refusal
            gone = self.begin_close(None)
            if gone is not None:
                gone.wait(_LEAVE_LIMIT_S)
            if refusal not in {"", UNSUPPORTED_VERSION}:
                break
        self._close_loop()
        raise self._error(refusal or f"no answer within {timeout_s:g} s")

    def begin(self, version: MQTTProtocolVersion) -> None:
        """Begin to connect, without waiting."""
        self._loop.start()
        self.protocol = "5" if version is V5 else "3.1.1"
        self._connection = Connection(terms=self._terms, version=version, loop=self._loop, stats=self.stats)
        self._loop.soon(self._connection.connect)

    def await_ready(self, timeout_s: float) -> None:
        """Wait for the connection that :meth:`begin` began.

        Raises:
            LinkError: it did not come about.
        """
        connection = self._alive()
        if not self._wait(connection, time.monotonic() + timeout_s):
            raise self._error(connection.refusal or f"no answer within {timeout_s:g} s")

    @property
    def up(self) -> bool:
        """Whether it is connected now."""
        return self._connection is not None and self._connection.ready.is_set()

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Send one message in its turn; waits while too many are unacknowledged."""
        self.send(Outgoing(topic=topic, payload=payload, qos=qos, retain=retain))

    def send(self, message: Outgoing, *, stop: threading.Event | None = None) -> bool:
        """Send one message in its turn; False if ``stop`` came while too many were unacknowledged.

        While there is no connection QoS 1 waits for it and QoS 0 is dropped, as in a device.
        """
        connection = self._alive()
        while self.stats.unacked >= MAX_UNACKED:
            self._alive()
            if stop is not None and stop.is_set():
                return False
            time.sleep(0.005)
        self.stats.published += 1
        connection.inbox.append(message)
        connection.pump_soon()
        return True

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is acknowledged; False if it was not in time."""
        deadline = time.monotonic() + timeout_s
        while self.stats.unacked > 0 and time.monotonic() < deadline:
            self._alive()
            time.sleep(0.005)
        return self.stats.unacked <= 0

    def close(self) -> None:
        """Publish ``offline`` and disconnect cleanly."""
        if self.up:
            with contextlib.suppress(LinkError):
                self.flush(1.0)
        gone = self.begin_close()
        if gone is not None:
            gone.wait(_LEAVE_LIMIT_S)
        self._close_loop()

    def begin_close(self, last_word: str | None = "offline") -> threading.Event | None:
        """Begin to publish ``offline`` and to disconnect; the returned event marks the end."""
        connection, self._connection = self._connection, None
        if connection is None or not self._loop.alive:
            return None
        gone = threading.Event()
        self._loop.soon(lambda: connection.leave(gone, last_word=last_word))
        return gone

    def drop(self, back_after_s: float | None = None) -> None:
        """Cut the connection without a DISCONNECT, so that the broker publishes the last will.

        It is made again after ``back_after_s``, or never.
        """
        connection, deadline = self._alive(), time.monotonic() + _CUT_LIMIT_S
        self._loop.soon(lambda: connection.cut(back_after_s, deadline))

    def _wait(self, connection: Connection, deadline: float) -> bool:
        while not connection.answered.wait(max(0.0, min(0.2, deadline - time.monotonic()))):
            self._alive()
            if time.monotonic() >= deadline:
                break
        return connection.ready.is_set()

    def _close_loop(self) -> None:
        if self._own_loop:
            self._loop.stop()

    def _arrived(self, message: paho.MQTTMessage) -> None:
        if self._on_message is not None:
            with contextlib.suppress(UnicodeDecodeError):  # a topic that is not UTF-8 belongs to no device
                self._on_message(message.topic, bytes(message.payload))

    def _alive(self) -> Connection:
        if self._loop.fault is not None:
            raise self._loop.fault
        if self._connection is None:
            raise self._error("not connected")
        return self._connection

    def _error(self, why: str) -> LinkError:
        remedy = "start it, or correct --broker"
        if why in _LOGIN:
            remedy = "set EDGE_SIM_USER and EDGE_SIM_PASSWORD"
        return LinkError(f"broker {self._terms.host}:{self._terms.port}: {why}; {remedy}")
