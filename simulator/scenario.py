"""Scenarios: devices, their intervals and their faults, in checked YAML files."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from simulator.faults import Fault
from simulator.scenario_device import Device, Report
from simulator.scenario_fault import FaultEntry
from simulator.scenario_file import (
    CONNECTIONS,
    AgentPart,
    History,
    Limit,
    ScenarioFile,
    TrialPart,
    Weekday,
    schema,
)

__all__ = [
    "CONNECTIONS",
    "CONTEXT",
    "UNSCORED",
    "AgentPart",
    "Device",
    "History",
    "Limit",
    "Report",
    "Scenario",
    "ScenarioError",
    "TrialPart",
    "load",
    "names",
    "parse",
    "schema",
    "scored",
]

MAX_BYTES = 256 * 1024
#: Scenarios that only who knows the site can judge: `edge-sim lift` takes them.
CONTEXT = "context-"
#: Scenarios that no score counts: a demonstration, and two of whole sites.
UNSCORED = frozenset({"causes", "demo", "week"})
_MONDAY = 1_767_571_200.0  # 5 January 2026, 00:00 UTC
_DAYS: tuple[str, ...] = get_args(Weekday)
_NO_LIMITS, _USUAL = AgentPart(), TrialPart()


class ScenarioError(Exception):
    """A scenario that cannot be run; the text is one line: file, key, what is wrong and what to write."""


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
    agent: AgentPart = _NO_LIMITS
    trial: TrialPart = _USUAL
    start_hour: float | None = None
    start_day: str = "wednesday"

    @property
    def hard_negatives(self) -> tuple[Fault, ...]:
        """An event that only looks wrong, and is normal."""
        return tuple(fault for fault in self.faults if fault.normal)

    def without_faults(self) -> "Scenario":
        """Return the same scenario with nothing going wrong, nor looking wrong."""
        return replace(self, faults=())

    def world_start(self, start: float) -> float:
        """Return the world's time when the live part starts at ``start`` (both Unix seconds).

        With a start hour it is always the same day, so that the same seed gives the same values whenever a
        run begins; without one the world's clock is the real one.
        """
        if self.start_hour is None:
            return start
        return _MONDAY + 86_400.0 * _DAYS.index(self.start_day) + 3600.0 * self.start_hour


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which a repeated key and an alias are errors."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise ScenarioError("an alias (*name) is not allowed; write it out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ScenarioError(f"key {key!r} is repeated on line {node.start_mark.line + 1}")
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
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        # PyYAML answers some tags, numbers and escapes with whatever Python raises there.
        raise ScenarioError(f"{source}: is not YAML: {' '.join(str(error).split())[:200]}") from None
    except RecursionError:
        raise ScenarioError(f"{source}: is nested too deeply; write it flatter") from None
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
        agent=file.agent,
        trial=file.trial,
        start_hour=file.start_hour,
        start_day=file.start_day,
    )


def load(name: str) -> Scenario:
    """Return the scenario ``name``: one of :func:`names`, or the path of a YAML file."""
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        try:
            with path.open(encoding="utf-8") as file:
                return parse(file.read(MAX_BYTES + 1), name=path.stem, source=str(path))
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


def scored(name: str) -> bool:
    """Return whether `edge-sim trial` takes a scenario if none is named."""
    return name not in UNSCORED and not name.startswith(CONTEXT)


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
        case "model_type" | "dict_type":
            return f"{key}: {problem['input']!r:.60} is not a mapping; write {{key: value}}"
        case "tuple_type":
            return (
                f"{key}: {problem['input']!r:.60} is not a list; write [one, two] or a line with - for each"
            )
        case "value_error":
            text = str(problem["ctx"]["error"])
            return f"{key}{'' if text.startswith('[') else ': '}{text}"
        case _:
            return f"{key}: {problem['input']!r:.60}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
