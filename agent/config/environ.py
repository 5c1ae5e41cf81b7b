"""Variables: ``EDGE_AGENT_*`` override the file, others are defaults below it."""

from collections.abc import Mapping
from typing import Any

from agent.config.errors import ConfigError
from agent.config.sections import PREFIX, Config
from agent.config.strict_yaml import parse
from agent.domain.keys import keys_of

_OTLP = "OTEL_EXPORTER_OTLP"
_PROTOCOLS = {"grpc": "grpc", "http/protobuf": "http"}
_SAMPLERS = {"always_on": "1", "always_off": "0"}


def overlay(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Set each ``EDGE_AGENT_A__B=yaml`` in ``tree``; return the dotted keys with their variables.

    Raises:
        ConfigError: a variable does not name a key, or holds no YAML.
    """
    variables: dict[str, str] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX):
            continue
        if "__" not in name:
            _refuse_without_key(name)
            continue
        keys = [part.lower() for part in name.removeprefix(PREFIX).split("__")]
        if keys[0] == "sources":
            raise _in_file_alone(name, "sources")
        here = tree
        for depth, key in enumerate(keys[:-1]):
            inside = here.setdefault(key, {})
            if inside is None:
                inside = here[key] = {}
            if not isinstance(inside, dict):
                place = ".".join(keys[: depth + 1])
                raise ConfigError([f"{name}: {place} is not a section; unset this variable"])
            here = inside
        here[keys[-1]] = _value(name, environ[name])
        variables[".".join(keys)] = name
    return variables


def _value(name: str, text: str) -> Any:
    try:
        return parse(text, name)
    except ConfigError as error:
        said = error.problems[0]
        raise ConfigError([said if said.startswith(name) else f"{name}: {said}"]) from None


def _refuse_without_key(name: str) -> None:
    """Refuse a variable that begins like a key; ``weaknesses`` reports the others."""
    section, underscore, key = name.removeprefix(PREFIX).partition("_")
    if section.lower() not in keys_of(Config):
        return
    if underscore:
        raise ConfigError(
            [f"{name}: unknown variable; write {PREFIX}{section}__{key}, with two _, or unset it"]
        )
    if section.lower() in {"sources", "limits"}:
        raise _in_file_alone(name, section.lower())
    raise ConfigError(
        [f"{name}: names a whole section; set its keys one by one, as {PREFIX}{section}__KEY, or unset it"]
    )


def _in_file_alone(name: str, section: str) -> ConfigError:
    return ConfigError(
        [f"{name}: {section} is set in the file alone; write it there, and unset this variable"]
    )


def underlay(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Put the standard variables into ``tree`` where it has no value; return the keys with their variables.

    Raises:
        ConfigError: a variable asks for a protocol that the agent does not have.
    """
    values = {name: text.strip() for name, text in environ.items() if text.strip()}
    variables: dict[str, str] = {}
    _default(tree, "ai", "base_url", "OPENAI_BASE_URL", values, variables)
    _default(tree, "ai", "model", "OPENAI_MODEL", values, variables)
    if values.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return variables
    _push(tree, values, variables)
    if values.get("OTEL_TRACES_EXPORTER", "otlp").lower() == "otlp":
        _traces_endpoint(tree, values, variables)
    _sample_ratio(tree, values, variables)
    return variables


def _default(
    tree: dict[str, Any],
    section: str,
    key: str,
    name: str,
    values: Mapping[str, str],
    variables: dict[str, str],
) -> bool:
    """Set one key from the variable ``name`` if the file leaves it out or null; return whether it did."""
    here = tree.get(section)
    here = {} if here is None else here
    if name not in values or not isinstance(here, dict) or here.get(key) is not None:
        return False
    tree[section] = here | {key: values[name]}
    variables[f"{section}.{key}"] = name
    return True


def _push(tree: dict[str, Any], values: Mapping[str, str], variables: dict[str, str]) -> None:
    """Take the address of metrics and log lines, pushed where a key or a variable asks for it."""
    address = f"{_OTLP}_ENDPOINT"
    if _default(tree, "otel", "endpoint", address, values, variables):
        name = f"{_OTLP}_PROTOCOL"
        protocol = _PROTOCOLS.get(values.get(name, "").lower())
        if protocol is not None:
            _default(tree, "otel", "protocol", name, {name: protocol}, variables)
    section = tree.get("otel")
    if not isinstance(section, dict) or not section.get("endpoint"):
        return
    for signal in ("metrics", "logs"):
        name = f"OTEL_{signal.upper()}_EXPORTER"
        if values.get(name, "").lower() == "otlp":
            _default(tree, "otel", signal, name, {name: "true"}, variables)


def _traces_endpoint(tree: dict[str, Any], values: Mapping[str, str], variables: dict[str, str]) -> None:
    """Take address and protocol together: one without the other would be the wrong port."""
    traces = tree.get("traces") or {}
    if not isinstance(traces, dict) or traces.get("protocol") == "console":
        return
    own, common = f"{_OTLP}_TRACES_PROTOCOL", f"{_OTLP}_PROTOCOL"
    name = own if own in values else common
    asked = values.get(name)
    given = traces.get("protocol") or "http"
    protocol = given if asked is None else _PROTOCOLS.get(asked.lower(), "")
    address = f"{_OTLP}_ENDPOINT"
    if protocol == "http" and address in values:  # the address of all signals: each has a path below it
        values = {**values, address: f"{values[address].rstrip('/')}/v1/traces"}
    if not (
        _default(tree, "traces", "endpoint", f"{_OTLP}_TRACES_ENDPOINT", values, variables)
        or _default(tree, "traces", "endpoint", address, values, variables)
    ):
        return
    if not protocol:
        raise ConfigError(
            [f"{name}: {asked!r} is not spoken here; write grpc or http/protobuf, or set traces.endpoint"]
        )
    if asked is not None:
        tree["traces"]["protocol"] = protocol
        variables["traces.protocol"] = name


def _sample_ratio(tree: dict[str, Any], values: Mapping[str, str], variables: dict[str, str]) -> None:
    name, share = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
    sampler = values.get(name, "").lower().removeprefix("parentbased_")
    if sampler in _SAMPLERS:
        _default(tree, "traces", "sample_ratio", name, {name: _SAMPLERS[sampler]}, variables)
    elif sampler == "traceidratio":
        _default(tree, "traces", "sample_ratio", share, values, variables)
