"""The protocol between the outbox and a sink, and the routes that lead to it.

The outbox holds each message on disk until its sink has answered :class:`Delivered`. A message may be
sent again after a crash, so every repeat has the same bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from agent.domain.messages import Outgoing


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has stored the message; its row is deleted."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The receiver cannot be reached or is busy: send the message again after ``after_s`` seconds."""

    after_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The receiver rejects the message; it is sent again with a doubling backoff of 30 s to 1 h.

    ``code`` is the receiver's own number, for the log only; ``remedy`` is advice for a person.
    """

    reason: str
    remedy: str
    code: int | None = None


Answer = Delivered | Retry | Refused


class Sink(Protocol):
    """A destination of messages.

    The outbox calls ``send`` on the analyst's loop. It must return at once, so a sink that waits for its
    receiver does so in its own thread. ``answer`` may be called from any thread, at any later time, once
    per message. Without an answer the message stays in the outbox, and the next process sends it again.

    Attributes:
        name: the sink in routes and in the rows of the outbox; it must never change.
        title: the receiver in messages to people, such as "the broker".
        pipelined: whether ``send`` may get a message while another one of its key is unanswered. If false,
            the messages of a key are delivered strictly in order, one at a time.
    """

    name: str
    title: str
    pipelined: bool

    def send(self, message: Outgoing, answer: Callable[[Answer], object]) -> None:
        """Take a message for delivery."""


@runtime_checkable
class Careful(Protocol):
    """A sink that begins no other delivery before the last one is on disk: a kill repeats at most one."""

    def noted(self) -> None:
        """Go on: the delivery is on disk."""


class MessageKind(StrEnum):
    """The messages that a concluded window makes."""

    VERDICT = "verdict"
    EVENT = "event"  # a finding was opened, updated or cleared
    INCIDENT = "incident"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One kind of message for one sink.

    Attributes:
        sink: the name of the sink.
        kind: the kind of message.
        key: the key of a device's messages, or of an incident's; those of one key keep their order.
        retain: whether the newest message of a key replaces the older ones at the receiver.
        settles: whether the verdict waits for this delivery. Its readings stay in the journal until then.
    """

    sink: str
    kind: MessageKind
    key: Callable[[str], str]
    retain: bool = False
    settles: bool = False
