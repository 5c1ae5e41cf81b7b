"""One source made ready: its topics, its device and how it reads payloads."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from agent.decode.availability import (
    AvailabilityDecoder,
    SharedAvailability,
    availability_pattern,
    names_device,
)
from agent.decode.device_template import DeviceTemplate
from agent.decode.families import AUTO
from agent.decode.family import DecodeLimits, Decoder, Family, Reader, ReadsPlain, Route
from agent.decode.json_path import JsonPath
from agent.decode.members import Members
from agent.decode.metric_rules import MetricRules, MetricSettings
from agent.decode.source_spec import RETAINED, SourceSpec
from agent.decode.topics import METRIC, Identity, TopicPattern, covers
from agent.decode.values import is_name
from agent.domain.records import DecodeError, DecodeReason


class Watch(NamedTuple):
    """The availability topic of a source."""

    pattern: TopicPattern
    decoder: AvailabilityDecoder
    one: bool  # it names one device
    members: Members


class Source(NamedTuple):
    """One source. For one topic of it, ``families`` are those that have the topic."""

    spec: SourceSpec
    label: str
    pattern: TopicPattern
    families: tuple[tuple[str, Family], ...]  # asked first, in this order, if they have the topic
    otherwise: tuple[str, Decoder]
    retained: str
    reader: Reader
    plain: bool = False  # it has none of the following
    template: DeviceTemplate | None = None
    by_payload: DeviceTemplate | None = None  # the template, if a part of it is in the payload
    id_path: JsonPath | None = None
    rules: MetricRules | None = None
    excluded: tuple[TopicPattern, ...] = ()
    watch: Watch | None = None
    members: Members | None = None  # to remember for the availability topic
    short: ReadsPlain | None = None  # for one topic: the way of plain payloads, if there is one

    @classmethod
    def of(cls, spec: SourceSpec, families: Mapping[str, Family]) -> Self:
        """Return the source of one entry of the configuration.

        Raises:
            ValueError: with a sentence for a person.
        """
        for key, value, known in (
            ("format", spec.format, (AUTO, *families)),
            ("retained", spec.retained, sorted(RETAINED)),
        ):
            if value not in known:
                raise ValueError(
                    f"source {spec.label}: {key} {value!r} is unknown; use one of: {', '.join(known)}"
                )
        try:
            spec.check()
            excluded = tuple(map(TopicPattern, spec.exclude))
        except ValueError as error:
            raise ValueError(f"source {spec.label}: {error}") from None
        *first, last = families.items() if spec.format == AUTO else [(spec.format, families[spec.format])]
        pattern, template, watch = TopicPattern(spec.topic), spec.template, _watch(spec)
        rules = _rules(spec, pattern, template)
        return cls(
            spec=spec,
            label=spec.label,
            pattern=pattern,
            families=tuple(first),
            otherwise=last,
            retained=spec.retained,
            reader=spec.reader,
            plain=template is None and rules is None and watch is None and spec.dedupe is None,
            template=template,
            by_payload=template if template is not None and template.paths else None,
            id_path=None if spec.dedupe is None else JsonPath(spec.dedupe),
            rules=rules,
            excluded=excluded,
            watch=watch,
            members=watch.members if watch is not None else None,
        )

    def excluded_by(self, topic: str) -> str | None:
        """Return the entry of ``exclude`` that has a topic of this source."""
        return next((one.text for one in self.excluded if one.identify(topic) is not None), None)

    def for_topic(self, topic: str, identity: Identity) -> tuple[Self, Route] | None:
        """Return the source for one topic with its route, None where a level that names it is empty."""
        single = [name for name in self._naming(identity) if name != self.pattern.many]
        blank = any(not identity.parts[name].strip() for name in single)
        nameless = self.template is None and not identity.device.strip(" /")
        if blank or nameless or (identity.metric or "x").strip(" .") == "":
            return None
        asked = tuple(one for one in self.families if any(covers(own, topic) for own in one[1].topics))
        route = Route(topic, self.device_of(identity), identity.metric, identity.parts, self.reader)
        return self._replace(families=asked, short=self._short()), route

    def _short(self) -> ReadsPlain | None:
        """Return the short way where this source has no rules for values and their times."""
        last = self.otherwise[1]
        free = self.plain and self.reader.time_path is None
        return last if free and isinstance(last, ReadsPlain) else None

    def device_of(self, identity: Identity) -> str:
        """Return the device of a topic; empty where the payload names it."""
        if self.template is None:
            return identity.device
        return "" if self.by_payload is not None else self.template.render(identity.parts)

    def _naming(self, identity: Identity) -> Sequence[str]:
        """Return the named levels of which device and metric are made."""
        if self.template is None:
            return tuple(identity.parts)
        return [name for name in identity.parts if name == METRIC or name in self.template.names]

    def watched(self, topic: str) -> tuple[AvailabilityDecoder, Route] | None:
        """Return decoder and route of a state of this source's devices, None where the topic holds none."""
        watch = self.watch
        identity = None if watch is None else watch.pattern.identify(topic)
        if watch is None or identity is None:
            return None
        parts = identity.parts
        if not watch.one:
            device = ""
        elif self.template is not None:
            device = self.template.render(parts)
        else:
            device = "/".join(parts[name] for name in self.pattern.names if name != METRIC) or self.spec.topic
        return watch.decoder, Route(topic, device, None, parts)


def availability_of(sources: Sequence[Source], topic: str) -> tuple[Source, Route] | None:
    """Return the availability topic of all sources that have it, as one source; a retained state counts."""
    found = [one for source in sources if (one := source.watched(topic)) is not None]
    if not found:
        return None
    first = next(source for source in sources if source.watched(topic) is not None)
    decoder = ("availability", SharedAvailability(found))
    made = Source(first.spec, first.label, first.pattern, (), decoder, "live", first.reader)
    return made, found[0][1]


def refuse_topic(topic: str, limits: DecodeLimits) -> None:
    """Refuse a topic that cannot name a device.

    Raises:
        DecodeError: with the reason.
    """
    size = limits.max_topic_bytes
    if len(topic) > size or len(topic.encode(errors="replace")) > size:
        raise DecodeError(DecodeReason.BAD_TOPIC, f"longer than {size} bytes")
    if topic.count("/") >= limits.max_topic_levels:
        raise DecodeError(DecodeReason.BAD_TOPIC, f"more than {limits.max_topic_levels} levels")
    if not is_name(topic):
        raise DecodeError(DecodeReason.BAD_TOPIC, "empty, or holds a control character")
    if topic.startswith("$"):
        raise DecodeError(DecodeReason.BAD_TOPIC, "begins with $, which belongs to the broker")


def _watch(spec: SourceSpec) -> Watch | None:
    if spec.availability is None:
        return None
    source = TopicPattern(spec.topic)
    pattern = availability_pattern(spec.availability, source)
    one = names_device(pattern, source, spec.template)
    members = Members(pattern.names, one=one)
    return Watch(pattern, AvailabilityDecoder(spec.availability, members), one, members)


def _rules(spec: SourceSpec, pattern: TopicPattern, template: DeviceTemplate | None) -> MetricRules | None:
    """Return the rules for metrics, None where there are none."""
    paths = list(template.paths) if template is not None else []
    if spec.time is not None and spec.time.field is not None:
        paths.append(JsonPath(spec.time.field))
    settings = spec.metrics or MetricSettings()
    if not paths and settings == MetricSettings(values=settings.values):
        return None
    labels = [".".join(path.keys) for path in paths]
    return MetricRules(settings, labels=labels, based=METRIC in pattern.names)
