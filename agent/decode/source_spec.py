"""One entry of ``sources``: its keys, and the checks that need several of them."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from agent.decode.availability import AvailabilitySpec, availability_pattern
from agent.decode.device_template import DeviceTemplate
from agent.decode.families import AUTO, formats
from agent.decode.family import DEFAULT_READER, Reader
from agent.decode.json_path import JsonPath
from agent.decode.metric_rules import MetricSettings
from agent.decode.topics import METRIC, TopicPattern
from agent.domain.keys import Key

RETAINED = ("seed", "live", "ignore")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSettings:
    """Section ``time`` of a source."""

    field: Annotated[
        str | None, Key("path of the event time in a JSON payload, such as `$.when`", default="known names")
    ] = None
    zone: Annotated[
        str | None,
        Key(
            "zone of times that name none, such as `Europe/Berlin`; without it they are not believed. Also "
            "of local times that claim to be UTC and would be in the future"
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One entry of ``sources`` in the configuration; the first one that has a message's topic reads it."""

    topic: Annotated[
        str,
        Key(
            "`{name}` is one level of the topic, `{name+}` one or more; all named parts except `{metric}`"
            " form the device id; the first source that matches reads a message"
        ),
    ]
    format: Annotated[
        str,
        Key("payload format, a word of `docs/devices.md`; `auto` asks each family in turn", one_of=formats()),
    ] = AUTO
    qos: Annotated[Literal[0, 1], Key("0 gives up the promise that no message is lost")] = 1
    retained: Annotated[
        str,
        Key(
            "a retained message is only the last value (`seed`), a reading (`live`) or ignored",
            one_of=RETAINED,
        ),
    ] = "seed"
    exclude: Annotated[
        tuple[str, ...],
        Key("topics (MQTT filters) of the source that are not read, by a later source neither"),
    ] = ()
    device: Annotated[
        str | None,
        Key(
            'device id: a constant, or a template over the topic and the payload: `"{site}/{$.id}"`',
            default="the named parts of the topic",
        ),
    ] = None
    metrics: Annotated[
        MetricSettings | None, Key("which metrics are read, their names, units, words and non-values")
    ] = None
    time: Annotated[TimeSettings | None, Key("where the event time is, and its zone")] = None
    decimal: Annotated[
        str,
        Key(
            "`comma`: a comma in a number is always a decimal comma, not only where nothing else is possible",
            one_of=("point", "comma"),
        ),
    ] = "point"
    availability: Annotated[
        AvailabilitySpec | None, Key("online and offline topic of the devices; offline is silence at once")
    ] = None
    dedupe: Annotated[
        str | None,
        Key(
            "path of the publisher's message id in a JSON payload, such as `$.id`; a message with a known id"
            " counts once (24 h, at most 100,000 ids)"
        ),
    ] = None
    new_devices_per_min: Annotated[
        int,
        Key(
            "new device ids per minute, after a burst of 10,000; messages beyond it go to quarantine, known"
            " devices continue",
            ge=0,
            le=1_000_000,
        ),
    ] = 200
    request_rebirth: Annotated[
        bool,
        Key(
            "format `sparkplug` only: ask a node for its birth after messages that cannot be understood"
            " without it; needs the right to write `spBv1.0/+/NCMD/+`"
        ),
    ] = False
    group: Annotated[
        str | None,
        Key(
            "MQTT 5 shared subscription: the broker deals the topics to the agents with this word; needs a"
            " broker that keeps each topic with one of them (`edge-agent doctor`)"
        ),
    ] = None
    name: str = ""  # the topic when empty
    posted: bool = False  # fed over HTTP alone: not subscribed

    @property
    def label(self) -> str:
        """The name of this source."""
        return self.name or self.topic

    @property
    def template(self) -> DeviceTemplate | None:
        """The template of its device ids."""
        return None if self.device is None else DeviceTemplate(self.device, TopicPattern(self.topic))

    @property
    def reader(self) -> Reader:
        """The options with which a family reads payloads."""
        time, words = self.time or TimeSettings(), self.metrics.values if self.metrics else {}
        if self.time is None and not words and self.decimal == "point" and not self.request_rebirth:
            return DEFAULT_READER
        return Reader(
            zone=None if time.zone is None else ZoneInfo(time.zone),
            time_path=None if time.field is None else JsonPath(time.field).keys,
            comma=self.decimal == "comma",
            words={word.casefold(): value for word, value in words.items()},
            request_rebirth=self.request_rebirth,
        )

    def check(self) -> None:
        """Compare keys with each other.

        Raises:
            ValueError: with a sentence for a person that names the key.
        """
        try:
            key = f"device {self.device!r}"
            _ = self.template
            key = f"dedupe {self.dedupe!r}"
            _ = self.dedupe is None or JsonPath(self.dedupe)
            if self.group is not None:
                key = f"group {self.group!r}"
                _check_group(self.group, TopicPattern(self.topic))
            if self.availability is not None:
                key = f"availability.topic {self.availability.topic!r}"
                availability_pattern(self.availability, TopicPattern(self.topic))
        except ValueError as error:
            raise ValueError(f"{key} {error}") from None


def _check_group(group: str, topic: TopicPattern) -> None:
    """Refuse a name that no group can have, and topics that would part the metrics of a device."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", group):
        raise ValueError("is one level of a filter; use 1 to 64 of A-Z a-z 0-9 _ -")
    if METRIC in topic.names:
        raise ValueError(
            "needs all values of a device in one topic: the broker deals topics, and the metrics of a device"
            " would come to several agents; use partition"
        )
