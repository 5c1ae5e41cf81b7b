"""The embedded broker: amqtt with persistent sessions, if Mosquitto is missing.

Runs as a process of its own (``python -m simulator.embedded PORT``). It speaks MQTT 3.1.1 and holds
everything in memory: a session outlives its connection but not the broker. Stock amqtt 0.12.1 loses
messages in three places and hangs in a fourth; each method that mends one names its.
"""

import asyncio
import contextlib
import logging
import signal
import sys
from typing import Any

import amqtt.broker
from amqtt.adapters import ReaderAdapter
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.errors import MQTTError
from amqtt.mqtt.connack import UNACCEPTABLE_PROTOCOL_VERSION, ConnackPacket
from amqtt.mqtt.constants import QOS_1
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import OutgoingApplicationMessage, Session

_V311 = 4  # protocol level of MQTT 3.1.1
_MAX_FIXED_HEADER = 5
_MAX_NAME = 16


class OpenDoor(BaseAuthPlugin):  # type: ignore[misc]  # amqtt has no types
    """Lets everybody in. Stock AnonymousAuthPlugin marks the session, and marked sessions are not kept."""

    async def authenticate(self, *, session: Session) -> bool:
        del session
        return True


class KeepingHandler(BrokerProtocolHandler):  # type: ignore[misc]  # amqtt has no types
    """Keeps an outgoing QoS 1 message until its PUBACK, over reconnects.

    Stock amqtt forgets it after 5 s and whenever the connection ends first.
    """

    @classmethod
    async def init_from_connect(
        cls, reader: Any, writer: Any, plugins_manager: Any, loop: Any = None
    ) -> tuple[BrokerProtocolHandler, Session]:
        """Refuse another version than 3.1.1 by its CONNACK.

        Stock amqtt takes the properties of an MQTT 5 CONNECT with a last will for lengths, and hangs.
        """
        packet = await _read_packet(reader)
        if packet[-1] != _V311:
            await ConnackPacket.build(0, UNACCEPTABLE_PROTOCOL_VERSION).to_stream(writer)
            await writer.close()
            raise MQTTError(f"protocol level {packet[-1]}")
        again = _Again(packet, reader)
        handler, session = await super().init_from_connect(again, writer, plugins_manager, loop)
        return handler, session

    async def _handle_qos1_message_flow(self, app_message: Any) -> None:
        session = self.session
        if session is None or not isinstance(app_message, OutgoingApplicationMessage):
            await super()._handle_qos1_message_flow(app_message)
            return
        again = app_message.publish_packet is not None
        session.inflight_out[app_message.packet_id] = app_message
        app_message.publish_packet = app_message.build_publish_packet(dup=again)
        waiter = asyncio.get_running_loop().create_future()
        self._puback_waiters[app_message.packet_id] = waiter
        try:
            await self._send_packet(app_message.publish_packet)
            app_message.puback_packet = await waiter
            session.inflight_out.pop(app_message.packet_id, None)
        finally:
            self._puback_waiters.pop(app_message.packet_id, None)

    async def _retry_deliveries(self) -> None:
        """Send what is owed again, in order, without waiting for the answers before the session goes on."""
        if self.session is not None:
            for message in list(self.session.inflight_out.values()):
                _spawn(self._handle_message_flow(message))


class _Again(ReaderAdapter):  # type: ignore[misc]  # amqtt has no types
    """Reads what was read ahead, then the connection."""

    def __init__(self, head: bytes, reader: Any) -> None:
        self._head, self._reader = head, reader

    async def read(self, n: int = -1) -> bytes:
        taken, self._head = self._head[:n], self._head[n:]
        return taken if len(taken) == n else taken + bytes(await self._reader.read(n - len(taken)))

    def feed_eof(self) -> None:
        self._reader.feed_eof()


async def _read_packet(reader: Any) -> bytes:
    """Read a CONNECT up to its protocol level, its last byte here."""
    head = bytes(await reader.read(2))
    while head[-1] & 0x80 and len(head) < _MAX_FIXED_HEADER:
        head += bytes(await reader.read(1))
    name = bytes(await reader.read(2))
    return head + name + bytes(await reader.read(min(int.from_bytes(name, "big"), _MAX_NAME) + 1))


class DemoBroker(amqtt.broker.Broker):  # type: ignore[misc]  # amqtt has no types
    """A broker whose queued messages keep their QoS and properties."""

    async def _publish_session_retained_messages(self, session: Session) -> None:
        """Deliver what was queued while the session was away.

        Stock amqtt sets the retain flag on it, so that a subscriber takes readings for replays.
        """
        handler = self._get_handler(session)
        while handler is not None and not session.retained_messages.empty():
            queued = session.retained_messages.get_nowait()
            _spawn(handler.mqtt_publish(queued.topic, queued.data, queued.qos, retain=False))

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        """Send retained messages for a SUBSCRIBE only.

        At a reconnect stock amqtt sends them at QoS 0 for every filter of every client, wanted or not.
        """
        if subscription[1] >= QOS_1:
            await super()._publish_retained_messages_for_subscription(subscription, session)


_TASKS: set[asyncio.Task[Any]] = set()


def _spawn(work: Any) -> None:
    async def run() -> None:
        with contextlib.suppress(asyncio.CancelledError, Exception):  # the message stays owed
            await work

    task = asyncio.get_running_loop().create_task(run())
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)


async def serve(port: int) -> None:
    """Run the broker on a loopback port until SIGTERM or SIGINT; prints ``ready`` once it listens."""
    amqtt.broker.BrokerProtocolHandler = KeepingHandler  # amqtt has no other way to choose its handler
    config = BrokerConfig(
        listeners={"default": ListenerConfig(bind=f"127.0.0.1:{port}")},
        plugins={f"{__spec__.name}.OpenDoor": {}},
    )
    broker = DemoBroker(config)
    await broker.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await stop.wait()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(broker.shutdown(), 2)


def main() -> None:
    """Serve on the port given as the only argument."""
    logging.basicConfig(level=logging.CRITICAL)
    asyncio.run(serve(int(sys.argv[1])))


if __name__ == "__main__":
    main()
