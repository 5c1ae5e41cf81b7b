"""Scenarios: which devices there are, how they talk and what goes wrong. YAML files, checked in full."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from simulator.faults import SIZED, Fault, FaultKind
from simulator.signals import SIGNALS, Signal, parameters

MAX_BYTES = 256 * 1024
CONNECTIONS = r"^(each|shared(:[1-9][0-9]{0,4})?)$"  # one connection per device, for all, or N for all
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class ScenarioError(Exception):
    """A scenario that cannot be run; the text is one line: file, key, what is wrong and what to write."""


class Part(BaseModel):
    """A piece of a scenario file: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class History(Part):
    """What is replayed before the live part begins, with event times in the payload."""

    span_s: Annotated[float, Field(ge=0, le=14 * 86_400)] = 0
    per_message: Annotated[int, Field(ge=1, le=500)] = 1  # measurements that share one message


class Device(Part):
    """One device: what it measures and how it says so."""

    id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    signal: Annotated[str, Field(validate_default=True)]
    topic: str = "sensors/{device}"
    payload: Literal["object", "value", "plain"] = "object"
    interval_s: Positive | None = None
    qos: Literal[0, 1] = 1
    retain: bool = False
    availability: Annotated[str, Field(pattern=r"^[^+#]*\{device\}[^+#]*$")] | None = None  # online, offline
    params: dict[str, Finite] = {}

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
        for name in value:
            if name not in known:
                raise ValueError(f"{name!r} is not a parameter of {signal}; use {', '.join(known)}")
        return value

    @model_validator(mode="after")
    def _topic_fits_the_payload(self) -> Self:
        if "{device}" not in self.topic or any(sign in self.topic for sign in "+#"):
            raise ValueError(f"topic {self.topic!r} must hold {{device}} and no wildcard")
        if self.payload == "object" and "{metric}" in self.topic:
            raise ValueError("payload object holds all metrics; remove {metric} from topic or use value")
        if self.payload != "object" and "{metric}" not in self.topic:
            raise ValueError(f"payload {self.payload} holds one metric; add {{metric}} to topic")
        return self

    def build(self) -> Signal:
        """Return the device's signal."""
        return SIGNALS[self.signal](**self.params)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what it measures."""
        return tuple(metric.name for metric in SIGNALS[self.signal].METRICS)


class FaultEntry(Part):
    """One fault as it is written down."""

    device: str
    metric: str | None = None
    kind: FaultKind
    from_s: Annotated[float, Field(ge=0)]
    for_s: Positive
    size: Finite | None = None
    every_s: Positive | None = None

    @model_validator(mode="after")
    def _size_fits_the_kind(self) -> Self:
        if (self.size is not None) != (self.kind in SIZED):
            word = "needs" if self.kind in SIZED else "takes no"
            raise ValueError(f"{self.kind} {word} size")
        if (self.metric is None) != (self.kind is FaultKind.DEVICE_SILENT):
            word = "concerns the whole device, remove" if self.metric else "needs"
            raise ValueError(f"{self.kind} {word} metric")
        if self.every_s is not None and self.every_s <= self.for_s:
            raise ValueError(f"every_s {self.every_s:g} must be above for_s {self.for_s:g}")
        return self


class ScenarioFile(Part):
    """The file as a whole."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    interval_s: Positive = 1.0
    connections: Annotated[str, Field(pattern=CONNECTIONS)] = "shared"
    history: History = History()
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
        metrics = {device.id: device.metrics for device in info.data.get("devices", ())}
        for place, fault in enumerate(value):
            if not metrics:
                break
            if fault.device not in metrics:
                raise ValueError(
                    f"[{place}].device {fault.device!r} is not a device; use one of {', '.join(metrics)}"
                )
            if fault.metric is not None and fault.metric not in metrics[fault.device]:
                raise ValueError(
                    f"[{place}].metric {fault.metric!r} is not measured by {fault.device}; "
                    f"use one of {', '.join(metrics[fault.device])}"
                )
        return value


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked scenario."""

    name: str
    title: str
    interval_s: float
    connections: str
    history: History
    devices: tuple[Device, ...]
    faults: tuple[Fault, ...]

    def without_faults(self) -> "Scenario":
        """Return the same scenario with nothing going wrong."""
        return Scenario(
            self.name, self.title, self.interval_s, self.connections, self.history, self.devices, ()
        )


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which a key that stands twice and an alias are errors."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ScenarioError("an alias (*name) is not allowed; write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ScenarioError(f"key {key!r} stands twice on line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


def parse(text: str, *, name: str, source: str) -> Scenario:
    """Check the YAML ``text`` and return the scenario; ``source`` names the file in errors.

    Raises:
        ScenarioError: with one line that names file, key, value and remedy.
    """
    if len(text) > MAX_BYTES:
        raise ScenarioError(f"{source}: is larger than {MAX_BYTES // 1024} KiB")
    try:
        raw = yaml.load(text, _StrictLoader)  # noqa: S506 - a SafeLoader
    except ScenarioError as error:
        raise ScenarioError(f"{source}: {error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ScenarioError(f"{source}: is not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(raw, Mapping):
        raise ScenarioError(f"{source}: is not a mapping; begin with title: and devices:")
    try:
        file = ScenarioFile.model_validate(raw)
    except ValidationError as error:
        raise ScenarioError(f"{source}: {_first_problem(error)}") from None
    return Scenario(
        name=name,
        title=file.title,
        interval_s=file.interval_s,
        connections=file.connections,
        history=file.history,
        devices=file.devices,
        faults=tuple(Fault(**_plain(entry)) for entry in file.faults),
    )


def load(name: str) -> Scenario:
    """Return the scenario ``name``: one of :func:`names`, or the path of a YAML file."""
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        try:
            return parse(path.read_text(encoding="utf-8"), name=path.stem, source=str(path))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is not UTF-8"
            raise ScenarioError(f"{path}: cannot be read: {reason}") from None
    if name not in names():
        raise ScenarioError(
            f"no scenario {name!r}; use one of {', '.join(names())}, or a path to a .yaml file"
        )
    text = (_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    return parse(text, name=name, source=f"{name}.yaml")


def names() -> list[str]:
    """Return the names of the scenarios that are shipped."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in _folder().iterdir() if entry.name.endswith(".yaml")
    )


def _folder() -> Any:
    return resources.files("simulator") / "scenarios"


def _plain(entry: FaultEntry) -> dict[str, Any]:
    raw = entry.model_dump()
    return {**raw, "size": raw["size"] or 0.0}


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
    match problem["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key; remove or correct it"
        case "missing":
            return f"{key}: is missing; add it"
        case "enum" | "literal_error":
            expected = str(problem.get("ctx", {}).get("expected", "")).replace("'", "")
            return f"{key}: {problem['input']!r} is not allowed; use {expected}"
        case "value_error":
            text = str(problem["ctx"]["error"])
            return f"{key}{'' if text.startswith('[') else ': '}{text}"
        case _:
            return f"{key}: {problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
