"""Receiver: offers a message once, acknowledges it in its own generation."""

import math
from collections.abc import Callable, Iterable, Sequence

from agent.domain.records import Arrival, LinkDown, LinkUp, Reply
from agent.mqtt.connection import Connection
from agent.mqtt.settings import BROKER_DROPS, LinkStats

MAX_PAUSE_S = 5.0  # well below the keepalive

#: Takes items in order and returns how many had room; the first without room ends it.
Offer = Callable[[Sequence[Arrival | LinkUp | LinkDown]], int]

#: Before a topic that is not UTF-8; no filter of ours matches a topic under ``$``, so it ends in quarantine.
INVALID_TOPIC = "$invalid-utf8/"
_DROPS = BROKER_DROPS.encode()
QOS_BITS = 6


class Receiver:
    """Offers arrivals and link changes in their order, and sends the acks. All on the net thread.

    Once an offer is refused, nothing newer of that generation is offered or acknowledged: the broker
    sends all of it again after a reconnect, in its order.
    """

    def __init__(
        self,
        *,
        offer: Offer,
        pressed: Callable[[], bool],
        stats: LinkStats,
        first_generation: int,
        wall: Callable[[], float],
        mono: Callable[[], float],
    ) -> None:
        #: Topic -> what takes its payloads, which are not journaled, such as Home Assistant's birth message.
        self.asides: dict[bytes, Callable[[bytes], None]] = {}
        #: The same for all topics with a beginning.
        self.aside_below: tuple[bytes, Callable[[bytes], None]] | None = None
        self._offer = offer
        self._pressed = pressed
        self._pressed_since = math.inf
        self._stats = stats
        self._wall = wall
        self._mono = mono
        self._connection: Connection | None = None
        self._taken: list[Arrival] = []  # since the last hand-over
        self.waited_s = 0.0  # of the messages that are read now, at most
        self._owed: LinkDown | None = None  # not yet accepted by the journal
        self._next = first_generation
        self.attempted = 0  # the generation of the last attempt to connect
        self.generation = 0
        self._announced = False  # the journal knows this generation
        self.refusing: str | None = None  # why arrivals are dropped: intake_full or stopping

    @property
    def stalled(self) -> bool:
        """Whether an offer was refused in this generation."""
        return self.refusing == "intake_full"

    def attempt(self) -> int:
        """Return the generation of a new attempt to connect; it is on disk before CONNECT is written."""
        self.attempted = self._next
        self._next += 1
        return self.attempted

    def withdraw(self) -> None:
        """Use the number again: the attempt did not reach the session."""
        self._next = self.attempted

    def begin(self, connection: Connection, *, session_present: bool, filters: tuple[str, ...] = ()) -> int:
        """Start a generation; its LinkUp goes before anything that arrives in it.

        ``filters`` is what the session may hold from now on: on disk before any of it is asked for.
        """
        self._connection = connection
        self.generation = self.attempted
        up = LinkUp(self.generation, session_present, connection.protocol, self._mono(), filters)
        self._announced = self._settle_debt() and self._offer([up]) == 1
        if not self._announced:
            self._refuse()
        return self.generation

    def end(self, reason: str) -> None:
        """End the generation. Acks of it that come later are dropped."""
        self.hand_over()
        if self.stalled:
            self.refusing = None
        self._connection = None
        if self._announced:
            self._announced = False
            self._owed = LinkDown(self.generation, reason, self._mono())
            self._settle_debt()

    def take(
        self,
        first: int,
        topic: bytes,
        mid: int,
        payload: bytes,
        properties: tuple[tuple[str, str], ...],
        identifiers: tuple[int, ...] = (),
        reply: Reply | None = None,
        /,
    ) -> None:
        """Take one PUBLISH for the next hand-over; drop it unacknowledged while there is no room."""
        stats = self._stats
        if topic == _DROPS:
            stats.broker_drops.note(payload, self._mono(), live=not first & 1)
            return
        aside = self.asides.get(topic)
        if aside is None and self.aside_below is not None and topic.startswith(self.aside_below[0]):
            aside = self.aside_below[1]
        if aside is not None:
            aside(payload)
            if not first & QOS_BITS:
                return  # of our own subscription; the copy of a source goes on
        stats.received += 1
        stats.received_bytes += len(payload)
        qos = first >> 1 & 3
        if self.refusing is not None:
            stats.dropped[self.refusing] += 1
            return
        if qos > 1:
            stats.dropped["qos2"] += 1  # we never ask for QoS 2
            return
        try:
            name = topic.decode()
        except UnicodeDecodeError:
            name = INVALID_TOPIC + topic.decode("utf-8", "backslashreplace")
        self._taken.append(
            Arrival(
                self.generation,
                mid,
                qos,
                first & 8 != 0,
                first & 1 != 0,
                name,
                payload,
                self._wall(),
                self._mono(),
                properties,
                identifiers,
                reply,
                self.waited_s,
            )
        )

    def hand_over(self) -> int:
        """Offer the messages of a read at once; drop those without room. Return how many there were."""
        taken, self._taken = self._taken, []
        if taken and (refused := len(taken) - self._offer(taken)):
            self._stats.dropped["intake_full"] += refused
            self._refuse()
        return len(taken)

    def ack(self, acks: Iterable[tuple[int, int]]) -> None:
        """Send the acks of this generation, in the order given; drop the others."""
        generation = self.generation if self._connection is not None else None
        mids, stale = [], 0
        for owner, mid in acks:
            if owner != generation:
                stale += 1
            elif mid:
                mids.append(mid)
        self._stats.acks_stale += stale
        if mids and self._connection is not None:
            self._connection.ack(mids)
            self._stats.acks_sent += len(mids)

    def close(self) -> None:
        """Drop every message from now on: the agent is stopping."""
        self.refusing = "stopping"

    @property
    def closing(self) -> bool:
        """Whether the agent is stopping."""
        return self.refusing == "stopping"

    def pauses(self, now: float) -> bool:
        """Return whether to stop reading the socket: TCP slows the broker, and nothing is dropped.

        Only for a moment, because the answers to our own messages come through the same socket.
        """
        if self.refusing is not None or not self._pressed():
            self._pressed_since = math.inf
            return False
        self._pressed_since = min(self._pressed_since, now)
        return now - self._pressed_since < MAX_PAUSE_S

    def _refuse(self) -> None:
        if self.refusing is None:
            self.refusing = "intake_full"

    def _settle_debt(self) -> bool:
        if self._owed is not None and self._offer([self._owed]):
            self._owed = None
        return self._owed is None
