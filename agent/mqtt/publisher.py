"""Publisher: verdicts that must arrive, announcements that may be dropped.

Nothing is handed to paho while there is no connection, and at most ``max_in_flight`` are unanswered. Messages
in flight when a connection ended are sent again in order on the next one. Since a broker may end the
connection because of one message, each is then sent alone: the one at fault is found and the others go on.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from agent.domain.records import Outgoing
from agent.mqtt.connection import Connection
from agent.mqtt.errors import PACKET_TOO_LARGE, REFUSED, TOPIC_INVALID
from agent.mqtt.settings import BrokerLimits, LinkSettings, LinkStats

MAX_LOSSES = 3  # connections that may end with one message in flight before it counts as refused
MAX_ANNOUNCEMENTS = 50
UNWELCOME_S = 300.0  # for an announcement topic that the broker refused
FAREWELL_S = 1.0  # of the time to stop, kept for the last announcement
LAST_S = 0.2  # of it, kept for DISCONNECT
OVERHEAD = 5 + 2 + 2 + 4 + 3 + 16 + 5  # header, lengths, packet id, content type, expiry


@dataclass(slots=True)
class _Message:
    """A message until its PUBACK."""

    topic: str
    payload: bytes
    retain: bool
    outbox_id: int | None = None  # None: an announcement
    properties: tuple[tuple[str, str], ...] = ()
    expiry_s: int | None = None
    correlation: bytes | None = None
    losses: int = 0
    group: str = ""  # of announcements

    @property
    def size(self) -> int:
        """Bytes of the packet, at most."""
        pairs = sum(5 + 4 * len(name) + 4 * len(value) for name, value in self.properties)
        return OVERHEAD + len(self.topic.encode()) + len(self.payload) + pairs + len(self.correlation or b"")


class Publisher:
    """Queue and window of published messages. All on the net thread."""

    def __init__(
        self,
        *,
        settings: LinkSettings,
        stats: LinkStats,
        on_published: Callable[[int, int], None],
        log: Callable[..., None],
        mono: Callable[[], float],
    ) -> None:
        self._mono = mono
        self._settings = settings
        self._stats = stats
        self._on_published = on_published
        self._log = log
        self._queue: deque[_Message] = deque()
        self._announcements: dict[str | int, _Message] = {}  # by topic, an answer by a number of its own
        self._answers = 0
        self._in_flight: dict[int, _Message] = {}
        self._connection: Connection | None = None
        self._limits = BrokerLimits()
        self._finished = False
        self._stamp: Callable[[str, bytes], bytes | None] | None = None  # of a fenced link, if it is let out
        self._unwelcome: dict[str, float] = {}  # groups of announcements, refused: left alone until then

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is unanswered."""
        return not ((self._queue and self._is_let) or self._announcements or self._in_flight)

    @property
    def _is_let(self) -> bool:
        return self._stamp is not None or not self._settings.fenced

    def let(self, stamp: Callable[[str, bytes], bytes | None]) -> None:
        """Send what must arrive, as ``stamp`` returns it, from now to the end of the connection."""
        self._stamp = stamp

    def hold(self) -> None:
        """Send nothing more of it."""
        self._stamp = None

    @property
    def waits(self) -> bool:
        """Whether messages wait for the answers to those in flight."""
        return bool((self._queue or self._announcements) and self._in_flight)

    def weed(self, covered: Callable[[str, bytes], bool]) -> None:
        """Count queued messages as delivered that another agent's cover, by topic and payload."""
        queue, self._queue = self._queue, deque()
        for message in queue:
            if message.outbox_id is not None and covered(message.topic, message.payload):
                self._on_published(message.outbox_id, 0)
            else:
                self._queue.append(message)

    def add(self, items: Iterable[Outgoing]) -> None:
        """Queue messages that must arrive."""
        self._queue.extend(
            _Message(item.key, item.payload, item.retain, item.outbox_id, item.properties) for item in items
        )

    def announce(
        self, topic: str, payload: bytes, *, retain: bool, expiry_s: int | None = None, group: str = ""
    ) -> None:
        """Queue a message that may be dropped; the newest of a topic replaces an unsent one.

        The topics of a ``group`` are left alone together once the broker has refused one of them.
        """
        group = group or topic
        unwelcome = self._unwelcome.get(group, -math.inf) > self._mono()
        full = len(self._announcements) >= MAX_ANNOUNCEMENTS and topic not in self._announcements
        if self._connection is None or full or unwelcome:
            self._stats.dropped["announcement"] += 1
            return
        self._announcements[topic] = _Message(topic, payload, retain, expiry_s=expiry_s, group=group)

    def answer(self, topic: str, payload: bytes, correlation: bytes | None) -> None:
        """Queue the answer to a command. It may be dropped, but replaces no other."""
        if self._connection is None or len(self._announcements) >= MAX_ANNOUNCEMENTS:
            self._stats.dropped["announcement"] += 1
            return
        self._answers += 1
        self._announcements[self._answers] = _Message(topic, payload, retain=False, correlation=correlation)

    def finish(self, now: float, deadline: float, topic: str, payload: bytes) -> bool:
        """Send the queue, then a last announcement; return whether the end is reached."""
        over = now >= deadline - LAST_S
        if self._finished or self._connection is None:
            return self.idle or over
        if self.idle or now >= deadline - FAREWELL_S:
            self._finished = True
            self._queue.clear()
            self._announcements.clear()
            self._send(self._connection, _Message(topic, payload, retain=True, group=topic))
        return over

    def begin(self, connection: Connection, limits: BrokerLimits) -> None:
        """Start on a connection that the broker has accepted."""
        self._connection, self._limits = connection, limits

    def lose(self, *, ours: bool) -> None:
        """Queue again the messages that are unanswered; ``ours``: we ended the connection."""
        self._connection = None
        self.hold()
        self._announcements.clear()
        for message in reversed(self._in_flight.values()):
            if message.outbox_id is None:
                continue
            message.losses += not ours
            self._queue.appendleft(message)
        self._in_flight.clear()
        self._stats.in_flight = 0
        while self._queue and self._queue[0].losses >= MAX_LOSSES:
            self._refuse(self._queue.popleft(), PACKET_TOO_LARGE)

    def pump(self) -> None:
        """Send as many messages as the window allows, announcements first."""
        if self._connection is None or not (self._queue or self._announcements):
            return
        window = min(self._settings.max_in_flight, self._limits.receive_maximum)
        while len(self._in_flight) < window:
            if self._announcements:
                first = next(iter(self._announcements))
                self._send(self._connection, self._announcements.pop(first))
            elif self._queue and self._is_let and not (self._queue[0].losses and self._in_flight):
                self._send(self._connection, self._queue.popleft())
                if any(message.losses for message in self._in_flight.values()):
                    break
            else:
                break
        self._stats.in_flight = len(self._in_flight)

    def _send(self, connection: Connection, message: _Message) -> None:
        out = message  # as it goes out; a repeat on another connection may have another stamp
        if message.outbox_id is not None and self._stamp is not None:
            payload = self._stamp(message.topic, message.payload)
            if payload is None:
                self._on_published(message.outbox_id, 0)
                return
            out = replace(message, payload=payload)
        limit = self._limits.max_packet_size or self._settings.max_packet_size
        if out.size > min(limit, self._settings.max_packet_size):
            self._refuse(message, PACKET_TOO_LARGE)
            return
        try:
            mid = connection.client.publish(
                message.topic,
                out.payload,
                retain=message.retain and self._limits.retain_available,
                properties=message.properties,
                expiry_s=message.expiry_s,
                correlation=message.correlation,
            )
        except ValueError:
            self._refuse(message, TOPIC_INVALID)
            return
        self._in_flight[mid] = message
        if message.outbox_id is not None:
            connection.passes("c9_published")

    def settle(self, mid: int, code: int) -> None:
        """Take the broker's PUBACK."""
        message = self._in_flight.pop(mid, None)
        self._stats.in_flight = len(self._in_flight)
        if message is None:
            return
        if code >= REFUSED:
            self._refuse(message, code)
            return
        self._stats.published += 1
        if message.outbox_id is None:
            self._unwelcome.pop(message.group, None)
        else:
            self._on_published(message.outbox_id, code)

    def _refuse(self, message: _Message, code: int) -> None:
        self._stats.publish_refused += 1
        if message.outbox_id is not None:
            self._on_published(message.outbox_id, code)
        else:
            known = message.group in self._unwelcome
            self._unwelcome[message.group] = self._mono() + UNWELCOME_S
            if known:
                return
            self._log(
                "mqtt_announcement_refused",
                level="warning",
                topic=message.topic,
                reason_code=code,
                remedy="allow this user to write this topic",
            )
