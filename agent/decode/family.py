"""The protocol of a device family, with the input and the result of its decoder."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from enum import StrEnum
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from agent.domain.records import Reading

Properties = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeLimits:
    """Limits of one message.

    ``max_depth`` counts objects and arrays inside each other. ``max_keys`` counts the keys of all objects, an
    array as its largest element: a backlog repeats the same keys. ``max_vector`` is the longest array without
    names or times whose places become metrics.
    """

    max_bytes: int = 256 * 1024
    max_depth: int = 8
    max_keys: int = 256
    max_string: int = 128
    max_readings: int = 4096
    max_vector: int = 16
    max_topic_bytes: int = 256
    max_topic_levels: int = 12


class Note(StrEnum):
    """Something in a message that was not believed; its readings are used all the same."""

    TIME_UNREADABLE = "time_unreadable"  # no date and time
    TIME_NOT_EPOCH = "time_not_epoch"  # a number outside calendar time
    TIME_WITHOUT_ZONE = "time_without_zone"  # could be any zone's
    TIME_IN_FUTURE = "time_in_future"  # beyond the allowed skew
    TIME_TOO_OLD = "time_too_old"  # before the clock of any device was set, or far behind its receipt
    NOT_UTF8 = "not_utf8"  # read as Latin-1
    REPEATED = "repeated"  # the same name and time twice: the first is kept
    SEQUENCE_GAP = "sequence_gap"  # messages before this one are missing
    BAD_TRACEPARENT = "bad_traceparent"
    NO_MESSAGE_ID = "no_message_id"  # missing at the path that the source configures


class TimeFrom(StrEnum):
    """Where the time of the readings comes from; the best one where they differ."""

    PAYLOAD = "payload"
    PROPERTY = "property"
    RECEIPT = "receipt"


class Skip(StrEnum):
    """Why a value of the payload did not become a reading."""

    TEXT = "text"
    NULL = "null"
    NOT_FINITE = "not_finite"
    VECTOR = "vector"  # a long array without names and times: samples of a signal, a picture
    EMPTY = "empty"
    TOO_DEEP = "too_deep"  # the branch below the depth limit
    TOO_LONG = "too_long"  # a text or a name beyond the limit of characters
    TOO_MANY = "too_many"  # beyond the limit of keys or readings
    BAD_NAME = "bad_name"  # an empty key, or one with a control character
    REPEATED = "repeated"  # the same name and time as another value of the message
    UNMAPPED = "unmapped"  # a word that neither the built-in pairs nor `values:` map to a number
    NO_VALUE = "no_value"  # unavailable, unknown, an error instead of a value
    BAD_QUALITY = "bad_quality"  # the sender marks the value as bad
    SENTINEL = "sentinel"  # the value that the sensor sends when it has none
    NOT_A_VALUE = "not_a_value"  # an id, version, time, address or sequence number
    OTHER_UNIT = "other_unit"  # the same quantity in a second unit
    EXCLUDED = "excluded"  # by `metrics:` of the source
    UNKNOWN_ALIAS = "unknown_alias"  # Sparkplug: no birth named it


class Skipped(NamedTuple):
    """A value that did not become a reading."""

    name: str
    why: Skip
    device: str | None = None  # None: that of the message or of its part; empty: of none
    word: str = ""  # the text of an unmapped one


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """The part of a source's configuration that a family needs to read a payload."""

    zone: tzinfo | None = None  # of times without a zone
    time_path: tuple[str, ...] | None = None  # keys that lead to the event time
    comma: bool = False  # a comma in a number is a decimal comma
    words: Mapping[str, float] = field(default_factory=dict)  # `values:`, casefolded
    request_rebirth: bool = False  # a family may ask a device for names that it has not received


DEFAULT_READER = Reader()


@dataclass(frozen=True, slots=True)
class Route:
    """Device and metric of a topic; the same object for every message of the topic."""

    topic: str
    device: str
    metric: str | None
    parts: Mapping[str, str] = field(default_factory=dict)  # named levels of the source's topic
    reader: Reader = DEFAULT_READER


class Content(NamedTuple):
    """The result of a decoder for one payload."""

    readings: tuple[Reading, ...]
    text_only: bool = False
    time_from: TimeFrom = TimeFrom.RECEIPT
    traceparent: object = None  # as found, not yet checked
    notes: tuple[Note, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    online: bool | None = None  # availability that the topic's device reports of itself
    states: tuple[tuple[str, bool], ...] = ()  # availability of other devices: device id, online
    heard: tuple[str, ...] = ()  # devices of the message that have no value in it
    expected_s: tuple[tuple[str, float], ...] = ()  # announced reporting interval: device id, seconds
    request: tuple[str, bytes] | None = None  # topic and payload to publish once (QoS 0, not retained)
    history: tuple[Reading, ...] = ()  # that the sender itself marks as stored while it had no connection
    off_s: float | None = None  # distance of a time that was not believed from receipt


def first_offset(contents: Iterable[Content]) -> float | None:
    """Return the distance of the first time that was not believed from receipt."""
    return next((one.off_s for one in contents if one.off_s is not None), None)


def only_device(readings: Iterable[Reading], heard: Iterable[str]) -> str | None:
    """Return the device that a message, or a part of one, is about; None if these are several or none."""
    devices = {reading.device for reading in readings}.union(heard)
    return devices.pop() if len(devices) == 1 else None


def skipped_of(part: Content) -> tuple[Skipped, ...]:
    """Return the skipped values of a part of a message, each with the device of the part."""
    if not part.skipped or (device := only_device(part.readings, part.heard)) is None:
        return part.skipped
    return tuple(one if one.device is not None else one._replace(device=device) for one in part.skipped)


class Decoder(Protocol):
    """Reader of one kind of payload."""

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        """Return the readings of ``payload``, or in ``online`` the availability of the topic's device.

        Args:
            route: device and metric that the topic names.
            payload: at most ``DecodeLimits.max_bytes``, otherwise untrusted.
            received: receipt time, Unix seconds.
            properties: MQTT 5 user properties in order.

        Raises:
            DecodeError: it has no reading, and not because it holds text only.
        """


@runtime_checkable
class ReadsPlain(Protocol):
    """A decoder with a short way for payloads that hold numbers at receipt time and nothing else."""

    def plain(self, route: Route, payload: bytes, received: float) -> tuple[Reading, ...] | None:
        """Return what :meth:`Decoder.decode` makes of ``payload``, None where that may be more.

        The readings, one or more of the route's device at ``received``, are all that the message holds; their
        values are finite.
        """


class Family(Decoder, Protocol):
    """One device family, a module of :mod:`agent.decode.families`.

    A registry makes one object per family and keeps it, so it may hold state: a family whose devices send
    only changes applies them to the values that it knows. The process loses such state when it ends, except
    where the family is :class:`Remembering` too.

    Attributes:
        topics: MQTT filters of the topics that its devices publish to, ``#`` if any. Under ``auto`` a family
            is not asked about other topics, so that many families cost a reading nothing.
    """

    topics: ClassVar[tuple[str, ...]]

    def __init__(self, *, limits: DecodeLimits, max_future_skew_s: float) -> None:
        """Take the limits of one message, and how far in the future a time may be."""

    def recognise(self, route: Route, payload: bytes) -> bool:
        """Return whether a source of format ``auto`` should give this message to this family.

        It is asked for every message of its topics and must not raise: look at the topic or at a few bytes,
        do not parse. Another family should not recognise the same message.
        """


class Elsewhere(NamedTuple):
    """How topics show that a family is below another base topic than its usual one.

    A family that can be has it as ``elsewhere``; ``discover`` then proposes a source with its format.
    """

    mark: re.Pattern[str]  # of a topic that only this family has; its group is the base topic
    tail: str  # of the source's topic, behind the base


@runtime_checkable
class Remembering(Protocol):
    """A family whose state outlives the process: later messages mean nothing without earlier ones."""

    def take_changes(self) -> Mapping[str, bytes | None]:
        """Return the rows that changed since the last call, by their key; None for one that is gone."""

    def restore(self, rows: Mapping[str, bytes]) -> None:
        """Take the rows that an earlier process kept."""
