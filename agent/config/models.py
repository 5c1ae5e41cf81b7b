"""The configuration as frozen models. ``configs/agent.yaml`` shows every key with its default."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, PrivateAttr, field_validator, model_validator

from agent.config.addresses import is_loopback, refuse_credentials, split_url
from agent.config.fields import (
    MAX_USD_PER_MTOK,
    ExistingFile,
    Number,
    Seconds,
    SecretFile,
    Section,
    Usd,
    Whole,
    expand,
    host_name,
)
from agent.config.sources import SourceSection, refuse_overlaps
from agent.config.web import WebSection

MAX_NAME, MAX_PATH = 255, 2048  # of a file system, and with room for the files within


class AgentSection(Section):
    """Who this agent is and where it keeps its state."""

    id: str = Field(default_factory=host_name)
    state_dir: Path = Path("/var/lib/edge-agent")

    @field_validator("state_dir")
    @classmethod
    def _state_dir_is_a_folder(cls, value: Path) -> Path:
        if value == Path():
            raise ValueError("is empty; write the path of a folder")
        if any(len(part.encode()) > MAX_NAME for part in value.parts) or len(str(value)) > MAX_PATH:
            raise ValueError("is longer than a path may be; write a shorter one")
        return expand(value)

    @field_validator("id")
    @classmethod
    def _id_fits_a_topic(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
            raise ValueError("is part of topics and ids; use 1 to 64 of A-Z a-z 0-9 _ -")
        return value


class JournalSection(Section):
    """How the journal commits and how much it keeps."""

    commit_ms: Annotated[Whole, Field(ge=1, le=5000)] = 100
    max_mib: Annotated[Whole, Field(ge=16, le=1_048_576)] = 512
    keep_days: Annotated[Number, Field(gt=0, le=3650)] = 7
    prune: bool = True


class MqttSection(Section):
    """The link to the broker."""

    url: str = "mqtt://127.0.0.1:1883"
    require_tls: bool = False
    username: str | None = None
    password_file: SecretFile = None
    ca_file: ExistingFile = None
    cert_file: ExistingFile = None
    key_file: SecretFile = None
    base_topic: str = "edge-agent/{id}"
    client_id: str | None = Field(default=None, min_length=1, max_length=128)
    keepalive_s: Annotated[Whole, Field(ge=5, le=1200)] = 15
    max_intake_mib: Annotated[Whole, Field(ge=4, le=256)] = 4

    @field_validator("url")
    @classmethod
    def _url_is_a_broker(cls, value: str) -> str:
        parts = refuse_credentials(value, "use mqtt.username and mqtt.password_file")
        if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
            raise ValueError("is not a broker address; write mqtt://host:1883, or mqtts://host:8883 for TLS")
        if parts.path not in {"", "/"} or parts.query or parts.fragment:
            raise ValueError("has a path, which MQTT over TCP does not know; remove what follows the port")
        return value

    @field_validator("base_topic")
    @classmethod
    def _base_topic_is_a_topic(cls, value: str) -> str:
        plain = value.replace("{id}", "x")
        if not re.fullmatch(r"[A-Za-z0-9_=.-]+(/[A-Za-z0-9_=.-]+)*", plain):
            raise ValueError(
                "is not a plain topic; write levels of A-Z a-z 0-9 _ . - such as edge-agent/{id}"
            )
        return value

    @model_validator(mode="after")
    def _pairs_are_whole(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together; give both or neither")
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file needs username; add mqtt.username")
        if not self.tls and (self.ca_file or self.cert_file):
            raise ValueError("ca_file and cert_file need TLS; write url: mqtts://...")
        if self.require_tls and not self.tls:
            raise ValueError("require_tls is true and url is not encrypted; write url: mqtts://...")
        return self

    @property
    def tls(self) -> bool:
        """Whether the link is encrypted."""
        return split_url(self.url).scheme == "mqtts"

    @property
    def host(self) -> str:
        """The broker's host name or address."""
        return split_url(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The broker's TCP port."""
        return split_url(self.url).port or (8883 if self.tls else 1883)


class LimitSection(Section):
    """What a series must not leave."""

    low: Number | None = None
    high: Number | None = None
    unit: str | None = Field(default=None, max_length=16)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("has neither low nor high; give at least one")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low} is not below high {self.high}; exchange or correct them")
        return self


class WindowSection(Section):
    """When a window seals."""

    max_age_s: Seconds = 60
    max_readings: Annotated[Whole, Field(ge=1, le=5000)] = 60
    settle_s: Annotated[Number, Field(ge=0, le=3600)] = 5


class BatchSection(Section):
    """How many windows share a call."""

    max_windows: Annotated[Whole, Field(ge=1, le=100)] = 20
    max_wait_s: Annotated[Number, Field(ge=0, le=3600)] = 2
    max_input_tokens: Annotated[Whole, Field(ge=800, le=200_000)] = 4000


class ReviewSection(Section):
    """Which windows the model is asked about."""

    mode: Literal["suspicious", "all", "none"] = "suspicious"
    audits_per_day: Annotated[Whole, Field(ge=0, le=10_000)] = 24
    window: WindowSection = WindowSection()
    batch: BatchSection = BatchSection()


class BudgetSection(Section):
    """Caps on spend, USD."""

    hour_usd: Usd = 0.10
    day_usd: Usd = 1.00
    month_usd: Usd = 20.00
    timezone: str | None = None

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str | None) -> str | None:
        try:
            return value if value is None else ZoneInfo(value).key
        except (OSError, ValueError, KeyError):  # unknown, not a name, or a folder of them
            raise ValueError(
                "is no time zone of this machine; write for example Europe/Berlin, or null"
            ) from None


class PriceSection(Section):
    """USD per million tokens."""

    input: Annotated[Usd, Field(le=MAX_USD_PER_MTOK)]
    cached_input: Annotated[Usd, Field(le=MAX_USD_PER_MTOK)] | None = None
    output: Annotated[Usd, Field(le=MAX_USD_PER_MTOK)]


class AiSection(Section):
    """The model and what it may cost."""

    base_url: str | None = None
    model: str = Field(default="gpt-4o-mini", min_length=1, max_length=100)
    api_key_file: SecretFile = None
    profile: Literal["openai", "azure", "vllm", "llamacpp", "ollama"] = "openai"
    deadline_s: Seconds = 30
    concurrency: Annotated[Whole, Field(ge=1, le=16)] = 2
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = 0.0
    moderation_model: str | None = Field(default=None, min_length=1, max_length=100)
    safety_categories: (
        Annotated[tuple[Annotated[str, Field(min_length=1, max_length=64)], ...], Field(max_length=12)] | None
    ) = None  # more would not fit the label
    device_share: Annotated[Number, Field(gt=0, le=1)] = 0.25
    cache_ttl_s: Annotated[Number, Field(ge=0, le=7 * 86_400)] = 21_600
    budget: BudgetSection = BudgetSection()
    prices: dict[str, PriceSection] = Field(
        default={"gpt-4o-mini": PriceSection(input=0.15, cached_input=0.075, output=0.60)}
    )
    fallback: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = ()

    @field_validator("base_url")
    @classmethod
    def _https_or_loopback(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = refuse_credentials(value, "use ai.api_key_file")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("is not an HTTP address; write https://host/v1")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError("is not encrypted and not on this machine; write https://")
        return value

    @model_validator(mode="after")
    def _some_price(self) -> Self:
        if not self.prices:
            raise ValueError(
                "prices is empty, so no call could be budgeted; price at least one model (0 = free)"
            )
        return self


class TracesSection(Section):
    """Where spans go."""

    endpoint: str | None = None
    protocol: Literal["http", "grpc", "console"] = "http"
    sample_ratio: Annotated[Number, Field(ge=0, le=1)] = 1.0
    content: bool | None = None

    @field_validator("endpoint")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = refuse_credentials(value, "use the variable OTEL_EXPORTER_OTLP_HEADERS")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(
                "is not an HTTP address; write http://host:4318 (http) or http://host:4317 (grpc)"
            )
        return value


class LogsSection(Section):
    """What the log says."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"
    content: Literal["none", "hash", "redacted", "full"] = "none"


class Config(Section):
    """The whole configuration."""

    agent: AgentSection = Field(default_factory=AgentSection)
    journal: JournalSection = JournalSection()
    mqtt: MqttSection = MqttSection()
    sources: tuple[SourceSection, ...] = (SourceSection(topic="sensors/{device}/{metric}"),)
    limits: dict[str, LimitSection] = Field(default={})
    review: ReviewSection = ReviewSection()
    ai: AiSection = AiSection()
    web: WebSection = WebSection()
    traces: TracesSection = TracesSection()
    logs: LogsSection = LogsSection()
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("limits")
    @classmethod
    def _keys_are_series(cls, value: dict[str, LimitSection]) -> dict[str, LimitSection]:
        for key in value:
            if "/" not in key.strip("/"):
                raise ValueError(f"{key!r} is not device/metric; write for example '*/temperature'")
        return value

    @field_validator("sources")
    @classmethod
    def _filters_are_apart(cls, value: tuple[SourceSection, ...]) -> tuple[SourceSection, ...]:
        if not value:
            raise ValueError("is empty, so nothing would be read; list at least one {topic: ...}")
        refuse_overlaps(value)
        return value

    def came_from(self, origins: Mapping[str, str]) -> None:
        """Note which dotted keys were set by which variables."""
        self._origins.update(origins)

    @property
    def origins(self) -> Mapping[str, str]:
        """The dotted keys that variables of the environment have set, with the variables."""
        return dict(self._origins)

    @property
    def base_topic(self) -> str:
        """The agent's own topic root."""
        return self.mqtt.base_topic.replace("{id}", self.agent.id)
