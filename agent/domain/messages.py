"""Records that pass between the link and the journal."""

from concurrent.futures import Future
from dataclasses import field
from typing import NamedTuple

from agent.domain.record import record


class Reply(NamedTuple):
    """The address of an answer, as the sender gave it: not checked, and bounded by the packet alone."""

    topic: str
    correlation: bytes | None = None


@record(frozen=True, slots=True)
class Arrival:
    """One PUBLISH as it came off the wire, not yet journaled and not yet acknowledged."""

    generation: int  # connection generation that it arrived in
    mid: int  # MQTT packet id; 0 for QoS 0
    qos: int
    dup: bool
    retain: bool  # true only for a replay of a retained message (retain-as-published is off)
    topic: str
    payload: bytes
    received: float  # wall clock
    mono: float  # time.monotonic()
    properties: tuple[tuple[str, str], ...] = ()  # MQTT 5 user properties, in order
    identifiers: tuple[int, ...] = ()  # MQTT 5: of the subscriptions that this copy was sent for
    reply: Reply | None = None  # MQTT 5: where the sender awaits an answer
    waited_s: float = 0.0  # before ``mono`` in the socket, at most


#: Reason of a receipt: a message of a device family that holds no value by intent, such as a join.
NOTHING_READ = "nothing_read"


class Receipt(NamedTuple):
    """The outcome of a posted message; without a reason it is on disk."""

    reason: str | None = None  # a DecodeReason, `no_source`, `no_value`, `idempotency_key`, NOTHING_READ
    detail: str = ""


@record(frozen=True, slots=True, kw_only=True, eq=False)
class Posted(Arrival):
    """A message whose sender waits for the receipt, which comes once it is on disk.

    While it waits in the queue the receipt can be cancelled; the message is then dropped. ``key`` is the
    sender's own: a message with a known one is not journaled again.
    """

    key: str | None = None
    receipt: Future[Receipt] = field(default_factory=Future)


@record(frozen=True, slots=True)
class LinkUp:
    """A CONNACK: everything that arrives after it belongs to ``generation``."""

    generation: int
    session_present: bool
    protocol: str  # "5" or "3.1.1"
    mono: float
    filters: tuple[str, ...] = ()  # that the session may hold from now on


@record(frozen=True, slots=True)
class LinkDown:
    """The connection of ``generation`` is over."""

    generation: int
    reason: str
    mono: float


@record(frozen=True, slots=True)
class Outgoing:
    """One message that must reach a sink; ``outbox_id`` is its row in the outbox."""

    outbox_id: int
    sink: str
    key: str  # messages of one key keep their order; for MQTT the topic
    payload: bytes
    retain: bool = False  # replaces older messages of its key at the receiver
    properties: tuple[tuple[str, str], ...] = ()
    not_before: float = 0.0  # agent time from which it may be released; 0: it may be sent
    settles: bool = False  # its verdict waits for it
