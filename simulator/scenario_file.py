"""What a scenario file may say: every key, its default and its checks."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from simulator.faults import LASTING, NORMAL, ONE_METRIC, SIGNAL_KINDS, SIZED, SWAPS, WIRE_KINDS, FaultKind
from simulator.signals import SIGNALS, Metric, Signal, parameters

CONNECTIONS = r"^(each|shared(:[1-9][0-9]{0,4})?)$"  # one connection per device, for all, or N for all
MAX_SPAN_S = 14 * 86_400.0
MAX_TIME_S = 1e8  # 3 years
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Finite = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Interval = Annotated[float, Field(ge=0.01, le=MAX_TIME_S, allow_inf_nan=False)]  # s; times are told to 1 ms
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Part(BaseModel):
    """A piece of a scenario file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class History(Part):
    """What is replayed before the live part begins, with event times in the payload."""

    span_s: Annotated[float, Field(ge=0, le=MAX_SPAN_S)] = 0
    per_message: Annotated[int, Field(ge=1, le=500)] = 1  # measurements that share one message


class Report(Part):
    """When a device says what it measured, if not always."""

    when: Literal["change"]
    band: dict[str, Positive] = {}  # metric -> dead band in its unit; left out: what its sensor resolves
    heartbeat_s: Interval = 3600.0  # says all at least that often


class Limit(Part):
    """What a series must not leave."""

    low: Finite | None = None
    high: Finite | None = None
    unit: Annotated[str, Field(max_length=16)] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("has neither low nor high; give at least one")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}; exchange or correct them")
        return self


class AgentPart(Part):
    """What the agent that watches should know: its limits, by globs of ``device/metric``."""

    limits: dict[str, Limit] = {}


class TrialPart(Part):
    """How much of the scenario a trial takes, and how fast."""

    history_s: Annotated[float, Field(gt=0, le=MAX_SPAN_S)] = 7 * 86_400.0
    live_s: Annotated[float, Field(gt=0, le=MAX_SPAN_S)] = 6 * 3600.0
    speed: Annotated[float, Field(gt=0, le=100_000)] = 120.0


class Device(Part):
    """One device: what it measures and how it says so."""

    id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    signal: Annotated[str, Field(validate_default=True, json_schema_extra={"enum": sorted(SIGNALS)})]
    topic: str = "sensors/{device}"
    payload: Literal["object", "value", "plain"] = "object"
    interval_s: Interval | None = None
    qos: Literal[0, 1] = 1
    retain: bool = False
    availability: Annotated[str, Field(pattern=r"^[^+#]*\{device\}[^+#]*$")] | None = None  # online, offline
    params: dict[str, Finite] = {}
    step: dict[str, Positive] = {}  # metric -> its sensor says multiples of it
    report: Report | None = None

    @field_validator("signal")
    @classmethod
    def _signal_exists(cls, value: str) -> str:
        if value not in SIGNALS:
            raise ValueError(f"{value!r} is not a signal; use one of {', '.join(sorted(SIGNALS))}")
        return value

    @field_validator("params")
    @classmethod
    def _params_exist(cls, value: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        signal = info.data.get("signal")
        known = parameters(signal) if signal else tuple(value)
        for name, number in value.items():
            if name not in known:
                raise ValueError(f"{name!r} is not a parameter of {signal}; use {', '.join(known)}")
            if name.endswith("_s") and number < 1.0:
                raise ValueError(f"{name} {number:g} is too short; give 1 s or more")
            if name == "duty" and not 0.01 <= number <= 0.99:  # noqa: PLR2004 - a cycle has two parts
                raise ValueError(f"duty {number:g} is no share of a cycle; give 0.01 to 0.99")
            if abs(number) > 1e6:  # noqa: PLR2004 - far beyond any of these devices
                raise ValueError(f"{name} {number:g} is beyond any {signal}; give at most 1000000")
        return value

    @model_validator(mode="after")
    def _topic_fits_the_payload(self) -> Self:
        if "{device}" not in self.topic or any(sign in self.topic for sign in "+#"):
            raise ValueError(f"topic {self.topic!r} must hold {{device}} and no wildcard")
        if any(sign in self.topic.replace("{device}", "").replace("{metric}", "") for sign in "{}"):
            raise ValueError(f"topic {self.topic!r} holds other braces than {{device}} and {{metric}}")
        if self.payload == "object" and "{metric}" in self.topic:
            raise ValueError("payload object holds all metrics; remove {metric} from topic or use value")
        if self.payload != "object" and "{metric}" not in self.topic:
            raise ValueError(f"payload {self.payload} holds one metric; add {{metric}} to topic")
        return self

    @model_validator(mode="after")
    def _metrics_exist(self) -> Self:
        for key, names in (("step", self.step), ("report.band", self.report.band if self.report else {})):
            for name in names:
                if name not in self.metrics:
                    raise ValueError(
                        f"{key}: {name!r} is not measured by {self.signal}; use {', '.join(self.metrics)}"
                    )
        return self

    def build(self) -> Signal:
        """Return the device's signal."""
        return SIGNALS[self.signal](**self.params)

    @property
    def sensors(self) -> tuple[Metric, ...]:
        """What it measures, as finely as its sensors do."""
        return tuple(
            metric._replace(step=self.step.get(metric.name, metric.step))
            for metric in SIGNALS[self.signal].METRICS
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what it measures."""
        return tuple(metric.name for metric in SIGNALS[self.signal].METRICS)


class FaultEntry(Part):
    """One fault or hard negative as it is written down."""

    device: str
    metric: str | None = None
    kind: FaultKind
    #: After the live start; only what is normal may begin before it.
    from_s: Annotated[float, Field(ge=-MAX_TIME_S, le=MAX_TIME_S, allow_inf_nan=False)]
    for_s: Interval
    size: Finite | None = None
    every_s: Annotated[float, Field(ge=1, le=MAX_TIME_S, allow_inf_nan=False)] | None = None
    #: Each time it comes up to that much later.
    jitter_s: Annotated[float, Field(ge=0, le=MAX_TIME_S, allow_inf_nan=False)] = 0.0

    @model_validator(mode="after")
    def _size_fits_the_kind(self) -> Self:
        if (self.size is not None) != (self.kind in SIZED):
            word = "needs" if self.kind in SIZED else "takes no"
            raise ValueError(f"{self.kind} {word} size")
        if self.kind is FaultKind.DROPOUT and not 0.0 < (self.size or 0.0) <= 1.0:
            raise ValueError(f"dropout loses a share, not {self.size:g}; give a size above 0, up to 1")
        if self.kind is FaultKind.LEAK and not (self.size or 0.0) > 0.0:
            raise ValueError("leak grows to its size; give one above 0")
        if self.metric is None and self.kind in ONE_METRIC:
            raise ValueError(f"{self.kind} needs metric")
        if self.metric is not None and self.kind not in ONE_METRIC | {FaultKind.DROPOUT}:
            raise ValueError(f"{self.kind} concerns the whole device, remove metric")
        return self

    @model_validator(mode="after")
    def _times_fit_the_kind(self) -> Self:
        if self.from_s < 0 and self.kind not in NORMAL - WIRE_KINDS:
            raise ValueError(f"{self.kind} cannot begin before the live part; give from_s 0 or more")
        if self.every_s is None and self.jitter_s:
            raise ValueError("jitter_s needs every_s")
        if self.every_s is None:
            return self
        if self.kind is FaultKind.LEAK:
            raise ValueError("leak comes once; remove every_s, or write it down again")
        if self.every_s <= self.for_s + self.jitter_s:
            what, lasts = ("for_s + jitter_s" if self.jitter_s else "for_s"), self.for_s + self.jitter_s
            raise ValueError(f"every_s {self.every_s:g} must be above {what} {lasts:g}")
        return self

    def hits(self, devices: dict[str, Device]) -> None:
        """Check that the device is there and can go through it.

        Raises:
            ValueError: with the key at fault, what is wrong and what to write.
        """
        if self.device not in devices:
            raise ValueError(f".device {self.device!r} is not a device; use one of {', '.join(devices)}")
        device = devices[self.device]
        if self.metric is not None and self.metric not in device.metrics:
            raise ValueError(
                f".metric {self.metric!r} is not measured by {self.device}; "
                f"use one of {', '.join(device.metrics)}"
            )
        known = SIGNALS[device.signal].EVENTS
        if self.kind in SIGNAL_KINDS and self.kind not in known:
            raise ValueError(
                f".kind {self.kind} does not happen to a {device.signal}; "
                f"use one of {', '.join(sorted(known)) or 'the other kinds'}"
            )
        unit = next((one.unit for one in device.sensors if one.name == self.metric), "")
        if self.kind is FaultKind.UNIT_SWAP and unit not in SWAPS:
            raise ValueError(
                f".metric {self.metric!r} has no other unit; use one measured in {', '.join(SWAPS)}"
            )
        if self.kind is FaultKind.CLOCK_SKEW and device.payload == "plain":
            raise ValueError(
                f".kind clock_skew needs a time in the payload of {self.device}; use payload value"
            )


class ScenarioFile(Part):
    """The file as a whole."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    interval_s: Interval = 1.0
    connections: Annotated[str, Field(pattern=CONNECTIONS)] = "shared"
    #: Of the live part, in the world of the signals (UTC); left out: the world's clock is the real one.
    start_hour: Annotated[float, Field(ge=0, lt=24)] | None = None
    start_day: Weekday = "wednesday"  # of the live part, where start_hour is given
    history: History = History()
    agent: AgentPart = AgentPart()
    trial: TrialPart = TrialPart()
    devices: Annotated[tuple[Device, ...], Field(min_length=1, max_length=10_000)]
    faults: tuple[FaultEntry, ...] = ()

    @field_validator("devices")
    @classmethod
    def _ids_are_unique(cls, value: tuple[Device, ...]) -> tuple[Device, ...]:
        seen: set[str] = set()
        for device in value:
            if device.id in seen:
                raise ValueError(f"device {device.id!r} stands there twice; give each its own id")
            seen.add(device.id)
        return value

    @field_validator("faults")
    @classmethod
    def _faults_hit_something(
        cls, value: tuple[FaultEntry, ...], info: ValidationInfo
    ) -> tuple[FaultEntry, ...]:
        devices = {device.id: device for device in info.data.get("devices", ())}
        for place, fault in enumerate(value):
            if not devices:
                break
            try:
                fault.hits(devices)
            except ValueError as error:
                raise ValueError(f"[{place}]{error}") from None
        _refuse_overlaps(value)
        return value


def _refuse_overlaps(entries: tuple[FaultEntry, ...]) -> None:
    """Two of one kind, or two that change the same values, must not overlap: one would hide the other."""
    for place, one in enumerate(entries):
        for other_place, other in enumerate(entries[:place]):
            same = one.device == other.device and one.metric == other.metric
            clash = one.kind is other.kind or {one.kind, other.kind} <= ONE_METRIC
            if not (same and clash and one.every_s is None and other.every_s is None):
                continue
            lasts = math.inf if one.kind is other.kind and one.kind in LASTING - {FaultKind.REBOOT} else 0.0
            ends, other_ends = one.from_s + max(one.for_s, lasts), other.from_s + max(other.for_s, lasts)
            if one.from_s < other_ends and other.from_s < ends:
                raise ValueError(
                    f"[{place}] overlaps with [{other_place}] on {one.device}; move or remove one of them"
                )


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a scenario file."""
    body = ScenarioFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **body, "title": "edge-sim scenario"}
