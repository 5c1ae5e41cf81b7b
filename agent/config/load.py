"""Read the file, lay the environment over it, and validate the whole."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from agent.config.errors import ConfigError
from agent.config.models import Config
from agent.config.problems import describe, shown

MAX_BYTES = 256 * 1024
PREFIX = "EDGE_AGENT_"
#: Characters of a number or a date: PyYAML reads ``1:1:1...`` as one to the base 60, in quadratic time.
MAX_NUMBER = 64
_NUMBERS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "timestamp"))


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys, and aliases (they explode when expanded)."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML
            raise ConfigError(
                [f"line {mark.line + 1}: YAML aliases (*name) are refused; write the value out"]
            )
        return super().compose_node(parent, index)

    def resolve(self, kind: type[yaml.Node], value: str, implicit: Any) -> str:
        """Take a long plain scalar for a text, without trying it as a number or a date."""
        if kind is yaml.ScalarNode and len(value) > MAX_NUMBER:
            implicit = (False, implicit[1])
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]  # PyYAML

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's signature
        if node.tag in _NUMBERS and isinstance(node, yaml.ScalarNode) and len(node.value) > MAX_NUMBER:
            line = node.start_mark.line + 1
            raise ConfigError([f"line {line}: a number or date of {len(node.value)} characters; shorten it"])
        return super().construct_object(node, deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = str(key_node.value)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise ConfigError([f"{key}: duplicate key in line {line}; keep one of them"])
            seen.add(key)
        return super().construct_mapping(node, deep)


def load(path: Path, environ: Mapping[str, str] | None = None) -> Config:
    """Return the checked configuration of ``path`` with the environment laid over it.

    Variables are ``EDGE_AGENT_<SECTION>__<KEY>``, with further ``__`` for deeper keys, and hold YAML.
    Relative files are sought in ``$CREDENTIALS_DIRECTORY``, then beside the configuration.

    Raises:
        ConfigError: with one line per fault, each naming key, value and remedy.
    """
    environ = os.environ if environ is None else environ
    tree = _read(path)
    variables = _overlay(tree, environ)
    folders = [Path(folder) for folder in (environ.get("CREDENTIALS_DIRECTORY"), str(path.parent)) if folder]
    try:
        return Config.model_validate(tree, context={"folders": folders})
    except ValidationError as error:
        raise ConfigError(describe(error, Config, variables)) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            [f"{path}: cannot be read: {reason}; give the path of a readable YAML file"]
        ) from None
    if len(raw) > MAX_BYTES:
        raise ConfigError([f"{path}: larger than {MAX_BYTES // 1024} KiB; a configuration is a few KiB"])
    try:
        tree = yaml.load(raw, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError([_yaml_problem(path, error)]) from None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ConfigError(
            [f"{path}: not valid YAML ({type(error).__name__}); see configs/agent.yaml"]
        ) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError([f"{path}: {shown(tree)} is not a mapping of sections; see configs/agent.yaml"])
    return tree


def _yaml_problem(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    what = getattr(error, "problem", None)
    if what is None:
        return f"{path}: not valid YAML: it holds what is no text; save it as UTF-8"
    return f"{path}: not valid YAML{where}: {what}; mend that line"


def _overlay(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Lay ``EDGE_AGENT_A__B=yaml`` over ``tree`` in place; return the dotted keys with their variables."""
    variables: dict[str, str] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        if "__" not in name:
            _refuse_single_underscore(name)
            continue
        keys = [part.lower() for part in name.removeprefix(PREFIX).split("__")]
        try:
            value = yaml.safe_load(environ[name])
        except yaml.YAMLError:
            value = environ[name]
        here = tree
        for depth, key in enumerate(keys[:-1]):
            inside = here.setdefault(key, {})
            if inside is None:
                inside = here[key] = {}
            if not isinstance(inside, dict):
                place = ".".join(keys[: depth + 1])
                raise ConfigError([f"{name}: {place} is not a section; unset this variable"])
            here = inside
        here[keys[-1]] = value
        variables[".".join(keys)] = name
    return variables


def _refuse_single_underscore(name: str) -> None:
    """Without this, a mistyped variable would be ignored without a word."""
    section, underscore, key = name.removeprefix(PREFIX).partition("_")
    if underscore and section.lower() in Config.model_fields:
        raise ConfigError(
            [f"{name}: unknown variable; write {PREFIX}{section}__{key}, with two _, or unset it"]
        )
