"""Keys of a scenario file, with their defaults and checks."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from simulator.scenario_device import Device, Finite, Interval, Part
from simulator.scenario_fault import FaultEntry, refuse_overlaps

CONNECTIONS = r"^(each|shared(:[1-9][0-9]{0,4})?)$"  # one connection per device, for all, or N for all
MAX_SPAN_S = 14 * 86_400.0
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class History(Part):
    """The history before the live part, with event times in the payload."""

    span_s: Annotated[float, Field(ge=0, le=MAX_SPAN_S)] = 0
    per_message: Annotated[int, Field(ge=1, le=500)] = 1
    """Measurements that share one message."""


class Limit(Part):
    """The bounds of a series."""

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
    """Settings of the watching agent that people of the site make."""

    limits: dict[str, Limit] = Field(default={})
    """By globs of ``device/metric``."""
    knowledge: dict[str, str] = Field(default={})
    """Facts for the model by globs of devices; a model that is measured (``lift``) gets them."""


class TrialPart(Part):
    """How much of the scenario a trial takes, and how fast."""

    history_s: Annotated[float, Field(gt=0, le=MAX_SPAN_S)] = 7 * 86_400.0
    live_s: Annotated[float, Field(gt=0, le=MAX_SPAN_S)] = 6 * 3600.0
    speed: Annotated[float, Field(gt=0, le=100_000)] = 120.0


class ScenarioFile(Part):
    """The file as a whole."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    interval_s: Interval = 1.0
    """Between two measurements of a device."""
    connections: Annotated[str, Field(pattern=CONNECTIONS)] = "shared"
    """``each`` device has its own, all share one, or ``shared:N`` for N."""
    start_hour: Annotated[float, Field(ge=0, lt=24)] | None = None
    """Hour (UTC) of the simulated world at which the live part starts; left out: the real time."""
    start_day: Weekday = "wednesday"
    """Where ``start_hour`` is given."""
    history: History = History()
    agent: AgentPart = AgentPart()
    trial: TrialPart = TrialPart()
    """How much of it a trial takes."""
    devices: Annotated[tuple[Device, ...], Field(min_length=1, max_length=10_000)]
    faults: tuple[FaultEntry, ...] = ()

    @field_validator("devices")
    @classmethod
    def _ids_are_unique(cls, value: tuple[Device, ...]) -> tuple[Device, ...]:
        seen: set[str] = set()
        for device in value:
            if device.id in seen:
                raise ValueError(f"device {device.id!r} is repeated; give each its own id")
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
        refuse_overlaps(value)
        return value


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a scenario file."""
    body = ScenarioFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **body, "title": "edge-sim scenario"}
