"""Keys of a device in a scenario file."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from simulator.signals import SIGNALS, Metric, Signal, parameters

MAX_TIME_S = 1e8  # 3 years
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Finite = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Interval = Annotated[
    float, Field(ge=0.01, le=MAX_TIME_S, allow_inf_nan=False)
]  # s; times have a resolution of 1 ms


class Part(BaseModel):
    """A piece of a scenario file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Report(Part):
    """When a device sends its values, if not always."""

    when: Literal["change"]
    """When a value left its dead band."""
    band: dict[str, Positive] = {}
    """Dead bands by metric, in its unit; left out: what its sensor resolves."""
    heartbeat_s: Interval = 3600.0
    """It sends all values at least that often."""


class Device(Part):
    """One device: its values and its way of sending them."""

    id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    signal: Annotated[str, Field(validate_default=True, json_schema_extra={"enum": sorted(SIGNALS)})]
    """The kind of device, and so its metrics."""
    topic: str = "sensors/{device}"
    """Holds ``{device}``, and ``{metric}`` where a message holds one metric."""
    payload: Literal["object", "value", "plain"] = "object"
    """All metrics in one object, one metric with ``ts``, ``value`` and ``unit``, or the bare number."""
    interval_s: Interval | None = None
    """Between two measurements; left out: the scenario's."""
    qos: Literal[0, 1] = 1
    retain: bool = False
    availability: Annotated[str, Field(pattern=r"^[^+#]*\{device\}[^+#]*$")] | None = None
    """A topic with ``{device}`` where it publishes ``online`` and ``offline``, retained."""
    params: dict[str, Finite] = {}
    """Numbers of its signal."""
    step: dict[str, Positive] = {}
    """Coarser sensors by metric: multiples of it."""
    report: Report | None = None
    """Left out: it sends all its values."""

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
                raise ValueError(f"duty {number:g} is not a share of a cycle; give 0.01 to 0.99")
            if (name.endswith("_hour") or name in {"arrive", "leave"}) and not 0.0 <= number <= 24.0:  # noqa: PLR2004
                raise ValueError(f"{name} {number:g} is not an hour of a day; give 0 to 24")
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
        """Its values, with the resolution of its sensors."""
        return tuple(
            metric._replace(step=self.step.get(metric.name, metric.step))
            for metric in SIGNALS[self.signal].METRICS
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of its metrics."""
        return tuple(metric.name for metric in SIGNALS[self.signal].METRICS)
