"""What a connection tells the link, in the order in which it happened."""

from dataclasses import dataclass

from agent.mqtt.settings import BrokerLimits


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
