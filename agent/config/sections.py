"""The configuration as frozen dataclasses, mostly settings of other folders."""

import re
import socket
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from agent.ai.settings import AiSettings
from agent.decode.partition import STANDBY, PartitionSettings
from agent.decode.source_spec import SourceSpec
from agent.detect import SENSITIVITY
from agent.domain.keys import Key, keys_of
from agent.journal import JournalSettings
from agent.mqtt.settings import MqttSettings
from agent.observe.telemetry_settings import LogsSettings, OtelSettings, TracesSettings
from agent.pipeline.review_queue import BatchSettings
from agent.pipeline.window import WindowSettings
from agent.prompt.site import MAX_CHARACTERS
from agent.sinks.homeassistant import HomeAssistantSettings
from agent.sinks.settings import NotifySettings
from agent.verdict.review_policy import ReviewSettings

PREFIX = "EDGE_AGENT_"  # of the variables that set keys


def host_name() -> str:
    """Return this machine's name, made fit for a topic."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:64] or "gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Section ``agent``."""

    id: Annotated[
        str,
        Key(
            "name of the agent, part of topics and ids: 1 to 64 of A-Z a-z 0-9 _ -",
            default="the host name",
            example="gw1",
        ),
    ] = field(default_factory=host_name)
    state_dir: Annotated[Path, Key("folder of journal and budget")] = Path("/var/lib/edge-agent")
    timezone: Annotated[
        str | None,
        Key("zone of the site, for hours of silence", default="the machine's", example="Europe/Berlin"),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """One entry of ``limits``."""

    low: Annotated[float | None, Key("values below it break the limit")] = None
    high: Annotated[float | None, Key("values above it break the limit")] = None
    unit: Annotated[
        str | None, Key("unit of `low` and `high`; other units of its quantity are converted", max_length=16)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectSettings:
    """``expect`` of one entry of ``tuning``."""

    interval: Annotated[
        str | None,
        Key("time between its readings, such as 30s, 5min or 1h; null: it is learnt", max_length=16),
    ] = None
    quiet: Annotated[
        tuple[str, ...],
        Key(
            "hours in which it may be silent, by the clock of `agent.timezone`, such as 18:00-07:00, "
            "sat-sun 00:00-24:00 or mon-fri 12:00-13:00",
            max_length=40,
            max_items=32,
        ),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningSettings:
    """One entry of ``tuning``."""

    match: Annotated[str, Key("device/metric glob; `*` crosses slashes", min_length=1, max_length=256)]
    ignore: Annotated[
        bool, Key("`true`: only limits alarm; with all metrics of a device, nor does its silence")
    ] = False
    sensitivity: Annotated[
        str, Key("distance of the alarm lines: `calm` twice, `eager` half", one_of=tuple(SENSITIVITY))
    ] = "normal"
    expect: Annotated[ExpectSettings | None, Key("silence of the devices that the glob matches")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSection(ReviewSettings):
    """Section ``review``."""

    window: Annotated[WindowSettings, Key("when a window seals")] = field(default_factory=WindowSettings)
    batch: Annotated[BatchSettings, Key("how many windows share a call")] = field(
        default_factory=BatchSettings
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSettings:
    """Section ``web``."""

    listen: Annotated[str, Key("address of /metrics, /healthz, /readyz, /status.json and the page")] = (
        "127.0.0.1:8000"
    )
    cert_file: Annotated[Path | None, Key("certificate for TLS; needs `key_file`", file="readable")] = None
    key_file: Annotated[Path | None, Key("key of the certificate", file="secret")] = None
    username: Annotated[
        str | None, Key("user for basic authentication; needs `password_file`", min_length=1, max_length=64)
    ] = None
    password_file: Annotated[Path | None, Key("file with the password alone", file="secret")] = None
    intake: Annotated[
        bool, Key("`true`: readings may be posted to /iot/data and /intake/<path> (topic `http/<path>`)")
    ] = False
    intake_per_min: Annotated[int, Key("messages a minute that are accepted over HTTP", ge=1, le=60_000)] = (
        3000
    )
    actions: Annotated[
        bool, Key("buttons of the page: acknowledge, normal here, snooze, forget; `false`: none")
    ] = True
    quarantine_text: Annotated[
        bool, Key("`true`: page, /status.json and health quote unreadable messages, payload text included")
    ] = False
    insecure: Annotated[
        bool, Key("`true` allows an address that others can reach without TLS and a password")
    ] = False

    @property
    def host(self) -> str:
        """Address to bind."""
        return urlsplit(f"http://{self.listen}").hostname or ""

    @property
    def port(self) -> int:
        """Port to bind; 0 takes a free one."""
        return urlsplit(f"http://{self.listen}").port or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration."""

    agent: Annotated[AgentSettings, Key("name of this agent, folder of its state")] = field(
        default_factory=AgentSettings
    )
    journal: Annotated[JournalSettings, Key("how readings are kept")] = field(default_factory=JournalSettings)
    mqtt: Annotated[MqttSettings, Key("the broker")] = field(default_factory=MqttSettings)
    sources: Annotated[
        tuple[SourceSpec, ...],
        Key(
            "topics to read",
            example="""\
- topic: "zigbee2mqtt/{device}"
  availability: {topic: "zigbee2mqtt/{device}/availability", online: [online], offline: [offline]}
- topic: "plant/{area}/{device}"
  dedupe: "$.meta.id"
- topic: "rtl_433/{host}/events"       # the first source that matches reads a message
  exclude: ["rtl_433/test/#"]
  device: "{host}/{$.model}/{$.id}"    # instead of the named parts of the topic
  metrics: {include: [], exclude: [mic], rename: {temperature_C: temperature}, units: {rain_mm: mm},
            values: {open: 1, closed: 0}, ignore_values: {"*": [85, -127]}}
  time: {field: "$.time", zone: "Europe/Berlin"}
  decimal: comma
  availability: {topic: "rtl_433/{host}/status", field: "$.state"}   # of all devices of the host""",
        ),
    ] = field(default_factory=lambda: (SourceSpec("sensors/{device}/{metric}"),))
    partition: Annotated[
        PartitionSettings | None,
        Key(
            "one of several agents on a broker, each with its share of the devices (`docs/scaling.md`)",
            example="{index: 0, of: 4, standby: false, takeover_s: 10}",
        ),
    ] = None
    limits: Annotated[
        Mapping[str, LimitSettings],
        Key(
            "the range of a series, by device/metric globs",
            example='"*/temperature": {low: -40, high: 85, unit: "degC"}',
        ),
    ] = field(default_factory=dict)
    tuning: Annotated[
        tuple[TuningSettings, ...],
        Key(
            "strictness of the detector for single series; the first match wins",
            example="""\
- {match: "pv/*", expect: {interval: 30s, quiet: "18:00-07:00"}}
- {match: "*/linkquality", ignore: true}
- {match: "cold/*", sensitivity: eager}""",
            max_items=1000,
        ),
    ] = ()
    review: Annotated[ReviewSection, Key("which windows a model reviews")] = field(
        default_factory=ReviewSection
    )
    ai: Annotated[AiSettings, Key("the model and what it may cost")] = field(default_factory=AiSettings)
    knowledge: Annotated[
        Mapping[str, str],
        Key(
            "facts for the model, by device globs, at most 400 words each; sent with `ai.share: names`",
            max_length=MAX_CHARACTERS,
            example="""\
"freezer/*": "Defrosts every 12 h for 20 minutes. The door is opened often on Tuesdays."
boiler: Heats from October to April. The flow temperature follows the outdoor temperature.""",
        ),
    ] = field(default_factory=dict)
    notify: Annotated[NotifySettings, Key("messages to people about findings")] = field(
        default_factory=NotifySettings
    )
    homeassistant: Annotated[HomeAssistantSettings, Key("devices and findings in Home Assistant")] = field(
        default_factory=HomeAssistantSettings
    )
    web: Annotated[WebSettings, Key("the local HTTP port")] = field(default_factory=WebSettings)
    traces: Annotated[TracesSettings, Key("where spans go")] = field(default_factory=TracesSettings)
    otel: Annotated[OtelSettings, Key("metrics and log lines pushed over OTLP")] = field(
        default_factory=OtelSettings
    )
    logs: Annotated[LogsSettings, Key("the log on stdout")] = field(default_factory=LogsSettings)
    origins: Mapping[str, str] = field(default_factory=dict)  # dotted keys that variables set, with these

    @property
    def name(self) -> str:
        """The agent's name in topics, ids and verdicts; that of a partition ends with its index."""
        return self.agent.id + ("" if self.partition is None else self.partition.suffix)

    @property
    def base_topic(self) -> str:
        """The topic root of verdicts and commands, which a standby shares with the agent that it follows."""
        return self.mqtt.base_topic.replace(
            "{id}", self.name.removesuffix(STANDBY) if self.standby else self.name
        )

    @property
    def own_topic(self) -> str:
        """The topic root of the agent's own status, health and alerts."""
        return f"{self.base_topic}/standby" if self.standby else self.base_topic

    @property
    def standby(self) -> bool:
        """Whether it follows another agent."""
        return self.partition is not None and self.partition.standby


def variables() -> list[str]:
    """Return the names of the variables that set a key; lists and mappings are set in the file alone."""
    return [f"{PREFIX}{name}" for name in _variables(Config)]


def _variables(settings: type) -> Iterator[str]:
    for name, one in keys_of(settings).items():
        if isinstance(one.type, type) and is_dataclass(one.type):
            yield from (f"{name.upper()}__{inner}" for inner in _variables(one.type))
        elif settings is not Config:
            yield name.upper()


def differences(old: Config, new: Config) -> list[str]:
    """Return the dotted keys whose values differ, sorted."""
    return sorted(_differ(old, new, ""))


def _differ(old: Any, new: Any, key: str) -> Iterator[str]:
    kind = type(old)
    if is_dataclass(kind) and kind is type(new):
        old, new = (
            {name: getattr(one, key.attribute) for name, key in keys_of(kind).items()} for one in (old, new)
        )
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield key
        return
    for name in {**old, **new}:
        inner = f"{key}.{name}" if key else str(name)
        if name in old and name in new:
            yield from _differ(old[name], new[name], inner)
        else:
            yield inner


def merge(old: Config, new: Config, *, sections: Collection[str], keep: Collection[str]) -> Config:
    """Return ``old`` with ``sections`` of ``new``, in which the dotted keys ``keep`` stay as they were."""
    merged = replace(old, **{name: getattr(new, name) for name in sections})
    for key in keep:
        value: Any = old
        for name in key.split("."):
            value = getattr(value, name)
        merged = _put(merged, key.split("."), value)
    return merged


def _put(section: Any, names: list[str], value: Any) -> Any:
    name, *deeper = names
    return replace(section, **{name: _put(getattr(section, name), deeper, value) if deeper else value})
