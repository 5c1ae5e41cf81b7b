"""Shared parts of the link tests: a link on a thread, an inbox that keeps all."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.domain.records import Arrival, LinkDown, LinkUp, Outgoing
from agent.mqtt import LinkSettings, LinkState, Subscription
from agent.mqtt.link import Link
from tests.support.waiting import wait_for


def until(met: Callable[[], object], what: str = "condition", limit_s: float = 10.0) -> None:
    """Poll until ``met``; fail after the limit."""
    wait_for(met, limit_s, what, 0.005)


class LinkHarness:
    """A journal of the simplest kind behind a link: stores generations at once, acks on demand."""

    def __init__(self, *, store: bool = True, ack: bool = True, **options: Any) -> None:
        self.attempts: list[int] = []
        self.items: list[Arrival | LinkUp | LinkDown] = []
        self.published: list[tuple[int, int]] = []
        self.states: list[LinkState] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.open = True
        self.pressed = False
        self.error: BaseException | None = None
        self._store = store
        self._ack = ack
        topics = options.pop("topics", ())
        previous = options.pop("previous_filters", ())
        generation = options.pop("first_generation", 1)
        defaults: dict[str, Any] = {
            "host": "127.0.0.1",
            "base_topic": "agent/test",
            "version": "1.2.3",
            "reconnect_min_s": 0.02,
            "reconnect_max_s": 0.1,
        }
        self.settings = LinkSettings(**(defaults | options))
        self.link = Link(
            settings=self.settings,
            subscriptions=[Subscription(topic) if isinstance(topic, str) else topic for topic in topics],
            first_generation=generation,
            previous_filters=previous,
            store_connection=self._store_connection,
            offer=self._offer,
            on_published=lambda row, code: self.published.append((row, code)),
            on_event=self.states.append,
            log=lambda event, **values: self.events.append((event, values)),
            pressed=lambda: self.pressed,
        )
        self.thread = threading.Thread(target=self._run, name="net")

    def _store_connection(self, generation: int) -> None:
        self.attempts.append(generation)
        self.link.connection_stored(generation)

    def _run(self) -> None:
        try:
            self.link.run()
        except BaseException as error:  # noqa: BLE001 -- looked at by the test
            self.error = error

    def _offer(self, items: Sequence[Arrival | LinkUp | LinkDown]) -> int:
        if not self.open:
            return 0
        self.items.extend(items)
        for item in items:
            if isinstance(item, LinkUp) and self._store:
                self.link.generation_stored(item.generation)
        acks = [(one.generation, one.mid) for one in items if isinstance(one, Arrival) and one.qos]
        if acks and self._ack:
            self.link.ack(acks)
        return len(items)

    @property
    def arrivals(self) -> list[Arrival]:
        return [item for item in self.items if isinstance(item, Arrival)]

    @property
    def payloads(self) -> list[bytes]:
        return [item.payload for item in self.arrivals]

    @property
    def ups(self) -> list[LinkUp]:
        return [item for item in self.items if isinstance(item, LinkUp)]

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    def values(self, name: str) -> list[dict[str, Any]]:
        return [values for event, values in self.events if event == name]

    def wait_up(self, times: int) -> None:
        """Wait until it has connected so many times and nothing is unanswered."""
        stats = self.link.stats
        until(lambda: stats.connects == times, f"{times} connects: {self.events[-3:]}")
        turned = threading.Event()
        self.link._post(turned.set)  # runs in the turn after that of the connect, which sends `online`
        until(lambda: turned.is_set() and not stats.in_flight, f"answers: {self.events[-3:]}")

    def wait_down(self, times: int) -> None:
        """Wait until it has lost so many connections."""
        until(lambda: len(self.values("mqtt_disconnected")) == times, f"{times} losses: {self.events[-3:]}")

    def start(self) -> "LinkHarness":
        self.thread.start()
        return self

    def subscribed(self, limit_s: float = 10.0) -> "LinkHarness":
        until(lambda: self.link.state.subscribed or self.error, f"subscribed: {self.events[-3:]}", limit_s)
        assert self.error is None
        return self

    def stop(self, timeout_s: float = 3.0) -> None:
        self.link.stop(timeout_s)
        self.thread.join(60)
        assert not self.thread.is_alive()


@contextmanager
def running(**options: Any) -> Iterator[LinkHarness]:
    """Run a link for the body of the test; whatever ended its thread is raised."""
    harness = LinkHarness(**options).start()
    try:
        yield harness
    finally:
        harness.stop()
    if harness.error is not None:
        raise harness.error


@contextmanager
def peer(
    port: int, *filters: str, client_id: str = "", clean: bool = True, **options: Any
) -> Iterator[paho.Client]:
    """A second client on the broker; its received paho messages are in ``heard``."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
    client.username_pw_set(options.pop("username", None), options.pop("password", None))
    client.heard = heard = []  # type: ignore[attr-defined]
    ready = threading.Event()
    client.on_message = lambda _c, _d, message: heard.append(message)
    client.on_subscribe = lambda *_: ready.set()

    def connected(*_: object) -> None:
        if filters:
            client.subscribe([(name, SubscribeOptions(qos=1, retainAsPublished=True)) for name in filters])
        else:
            ready.set()

    client.on_connect = connected
    client.connect("127.0.0.1", port, clean_start=clean)
    client.loop_start()
    assert ready.wait(60)
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()
        # Else it is in a cycle, and its sockets may be collected before it closes them.
        client.on_connect = client.on_subscribe = None


def send(client: paho.Client, topic: str, *payloads: str | bytes, qos: int = 1, retain: bool = False) -> None:
    """Publish and wait for each PUBACK."""
    infos = [client.publish(topic, payload, qos=qos, retain=retain) for payload in payloads]
    for info in infos:
        info.wait_for_publish(60)


def user_properties(*pairs: tuple[str, str]) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = list(pairs)
    return properties


def outgoing(row: int, topic: str, payload: bytes = b"{}", **options: Any) -> Outgoing:
    return Outgoing(row, "mqtt", topic, payload, options.pop("retain", False), **options)
