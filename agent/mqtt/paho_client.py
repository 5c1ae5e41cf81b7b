"""The paho client of one connection: CONNECT, SUBSCRIBE, PUBLISH, their answers.

Each connection has a paho client of its own, so nothing of an earlier one is sent again behind our back, and
password and protocol are those of now. paho's callbacks only append to ``events``.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.mqtt.settings import BrokerLimits, LinkSettings, Subscription
from agent.mqtt.wire import PUBACK, Wire

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike


@dataclass(frozen=True, slots=True)
class Accepted:
    """A CONNACK that lets us in."""

    session_present: bool
    limits: BrokerLimits


@dataclass(frozen=True, slots=True)
class Denied:
    """A CONNACK that does not."""

    code: int


@dataclass(frozen=True, slots=True)
class Published:
    """A PUBACK: below 0x80 the broker has taken our message."""

    mid: int
    code: int


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A SUBACK, one code per filter."""

    mid: int
    codes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """An UNSUBACK."""

    mid: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """A DISCONNECT of the broker, or what paho could not read (``code`` 0x81)."""

    code: int


Event = Accepted | Denied | Published | Subscribed | Unsubscribed | Dropped


CONTENT_TYPE = "application/json"


def _properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho leaves it untyped


class _Client(Client):
    """A paho client that runs on a wire that is open already."""

    def __init__(self, wire: Wire, **options: Any) -> None:
        self._ready = wire
        super().__init__(CallbackAPIVersion.VERSION2, **options)

    def _create_socket(self) -> "SocketLike":
        return self._ready

    # paho's own two look for errors of TLS, for which they would load OpenSSL; a wire raises none.

    def _sock_recv(self, bufsize: int) -> bytes:
        return self._open_wire().recv(bufsize)

    def _sock_send(self, buf: bytes | bytearray) -> int:
        return self._open_wire().send(buf)

    def _open_wire(self) -> Wire:
        if self._sock is None:
            raise ConnectionError("closed")
        return self._ready


class PahoClient:
    """A paho client on ``wire``. ``protocol`` is "5" or "3.1.1"."""

    def __init__(self, *, settings: LinkSettings, wire: Wire, protocol: str, password: str | None) -> None:
        self._settings = settings
        self._wire = wire
        self._v5 = protocol == "5"
        self._code = 0
        self._unanswered: set[int] = set()  # packet ids of published messages
        self.events: deque[Event] = deque()
        self.wants_write = False
        self._client = self._build(password)

    def _build(self, password: str | None) -> Client:
        settings, v5 = self._settings, self._v5
        client = _Client(
            self._wire,
            client_id=settings.client_id,
            protocol=MQTTv5 if v5 else MQTTv311,
            clean_session=None if v5 else not settings.session_expiry_s,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.username_pw_set(settings.username, password)
        if settings.will:
            client.will_set(settings.status_topic, settings.status("offline"), qos=1, retain=True)
        client.max_inflight_messages_set(0)  # the publisher counts; paho must never queue
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_socket_register_write = self._on_writes
        client.on_socket_unregister_write = self._on_written
        return client

    def open(self) -> None:
        """Send CONNECT: persistent session, expiry and limits as configured."""
        settings, options = self._settings, dict[str, Any]()
        if self._v5:
            properties = _properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = settings.session_expiry_s
            properties.ReceiveMaximum = settings.receive_maximum
            properties.MaximumPacketSize = settings.max_packet_size
            options = {"clean_start": not settings.session_expiry_s, "properties": properties}
        self._client.connect_async(settings.host, settings.port, settings.keepalive_s, **options)
        self._client.reconnect()

    def feed(self, packet: bytes) -> None:
        """Have paho read one packet that is not a PUBLISH.

        paho gives up a connection on a PUBACK with a code that it does not know, such as Mosquitto's 0x95,
        so the code is noted here and paho sees a bare PUBACK.
        """
        if packet[0] & 0xF0 == PUBACK and len(packet) >= 4:  # noqa: PLR2004 -- the packet id is there
            self._code = packet[4] if len(packet) > 4 else 0  # noqa: PLR2004 -- a reason code follows
            mid = packet[2] << 8 | packet[3]
            if mid not in self._unanswered:
                return  # paho would pass it over as well, at ten times the work
            self._unanswered.remove(mid)
            packet = bytes((PUBACK, 2)) + packet[2:4]
        self._wire.feed(packet)
        self._client.loop_read()

    def write(self) -> None:
        """Put what paho has queued on the wire."""
        self._client.loop_write()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool,
        properties: tuple[tuple[str, str], ...] = (),
        expiry_s: int | None = None,
        correlation: bytes | None = None,
        response_topic: str | None = None,
    ) -> int:
        """Send a PUBLISH at QoS 1 and return its packet id.

        Raises:
            ValueError: the topic or a property cannot be sent.
        """
        extra: Properties | None = None
        if self._v5:
            extra = _properties(PacketTypes.PUBLISH)
            if payload:
                extra.ContentType = CONTENT_TYPE
            if properties:
                extra.UserProperty = list(properties)
            if expiry_s is not None:
                extra.MessageExpiryInterval = expiry_s
            if correlation is not None:
                extra.CorrelationData = correlation
            if response_topic is not None:
                extra.ResponseTopic = response_topic
        mid = self._client.publish(topic, payload, qos=1, retain=retain, properties=extra).mid
        self._unanswered.add(mid)
        return mid

    def subscribe(self, wanted: Sequence[Subscription]) -> int:
        """Ask for filters of one identifier and return the packet id.

        Only a new subscription replays retained messages, except where they are wanted each time.
        """
        if self._v5:
            properties = None
            if wanted[0].identifier:
                properties = _properties(PacketTypes.SUBSCRIBE)
                properties.SubscriptionIdentifier = wanted[0].identifier
            options = [
                (
                    one.filter,
                    SubscribeOptions(
                        qos=one.qos,
                        noLocal=one.no_local,
                        retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE
                        if one.replay
                        else SubscribeOptions.RETAIN_SEND_IF_NEW_SUB,
                    ),
                )
                for one in wanted
            ]
            return self._client.subscribe(options, properties=properties)[1] or 0
        return self._client.subscribe([(one.filter, one.qos) for one in wanted])[1] or 0

    def unsubscribe(self, filters: Sequence[str]) -> int:
        """Give filters back. Return the packet id."""
        return self._client.unsubscribe(list(filters))[1] or 0

    def disconnect(self) -> None:
        """Send DISCONNECT: the broker keeps the session and drops the will."""
        self._client.disconnect()
        self._client.loop_write()

    # ------------------------------------------------------------------- paho's callbacks only append

    def _on_connect(
        self,
        _client: Client,
        _data: Any,
        flags: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self.events.append(Denied(reason.value))
            return
        limits = BrokerLimits(
            max_packet_size=getattr(properties, "MaximumPacketSize", None),
            receive_maximum=getattr(properties, "ReceiveMaximum", 65_535),
            max_qos=getattr(properties, "MaximumQoS", 2),
            retain_available=bool(getattr(properties, "RetainAvailable", 1)),
            session_expiry_s=getattr(properties, "SessionExpiryInterval", None),
            keepalive_s=getattr(properties, "ServerKeepAlive", None),
            identifiers=bool(getattr(properties, "SubscriptionIdentifierAvailable", 1)),
        )
        self.events.append(Accepted(bool(flags.session_present), limits))

    def _on_disconnect(
        self,
        _client: Client,
        _data: Any,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self.events.append(Dropped(reason.value))

    def _on_publish(
        self, _client: Client, _data: Any, mid: int, _reason: ReasonCode, _properties: Properties
    ) -> None:
        self.events.append(Published(mid, self._code))

    def _on_subscribe(
        self, _client: Client, _data: Any, mid: int, codes: list[ReasonCode], _properties: Properties
    ) -> None:
        self.events.append(Subscribed(mid, tuple(code.value for code in codes)))

    def _on_unsubscribe(
        self, _client: Client, _data: Any, mid: int, _codes: list[ReasonCode], _properties: Properties | None
    ) -> None:
        self.events.append(Unsubscribed(mid))

    def _on_writes(self, _client: Client, _data: Any, _sock: Any) -> None:
        self.wants_write = True

    def _on_written(self, _client: Client, _data: Any, _sock: Any) -> None:
        self.wants_write = False
