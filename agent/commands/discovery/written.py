"""The configuration that ``discover`` and ``init`` write, with comments."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from textwrap import wrap
from typing import Any
from uuid import uuid4

from agent.commands.discovery.found import Result, SourceResult
from agent.commands.discovery.limits import Proposal, propose_limits
from agent.commands.printing import UnknownError, many, number, printable, span
from agent.config import Config, one_line
from agent.config.load import load
from agent.config.reference import agent_yaml
from agent.config.sections import AgentSettings
from agent.decode.families import formats
from agent.decode.family import Note, Skip
from agent.mqtt.settings import MqttSettings

SYSTEM_STATE = Path("/var/lib/edge-agent")
MAX_NAMED = 8  # devices, metrics or words in one comment
MAX_LIMITS = 40
MAX_TEXT = 60  # characters of a name in a comment
WIDTH = 100
_UNDER_SYSTEMD = ("INVOCATION_ID", "STATE_DIRECTORY")


def state_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Return the folder for the agent's state: the system's, else one of this user."""
    environ = os.environ if environ is None else environ
    own = os.geteuid() == 0 or any(environ.get(name) for name in _UNDER_SYSTEMD)
    if own or SYSTEM_STATE.is_dir():
        return SYSTEM_STATE
    given = environ.get("XDG_STATE_HOME", "")
    base = Path(given) if given.startswith("/") else Path.home() / ".local" / "state"
    return base / "edge-agent"


def write(path: Path, text: str, *, force: bool) -> Config:
    """Check a configuration and put it in place at once; an existing file stays unless ``force``.

    Raises:
        UnknownError: the file exists.
        ConfigError: the configuration is not valid.
        OSError: it cannot be written.
    """
    if not force and (path.exists() or path.is_symlink()):
        raise UnknownError(f"{path} exists; choose another name, or replace it with --force")
    draft = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        draft.write_text(text)
        config = load(draft)
        draft.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # not the name of the draft
    finally:
        with suppress(OSError):
            draft.unlink()
    return config


def default_text(path: Path) -> str:
    """Return the commented default."""
    return agent_yaml(header=_header(path, []), values={"agent": _agent(None)})


def discovered_text(path: Path, config: Config, result: Result, summary: list[str]) -> str:
    """Return the commented configuration that reads what was found.

    Args:
        path: of the file, for the hint in its header.
        config: whose broker was listened to.
        result: the proposed sources and what they read.
        summary: lines for the header.
    """
    mqtt = replace(config.mqtt, base_topic=MqttSettings().base_topic)
    return agent_yaml(
        header=_header(path, summary),
        values={"agent": _agent(config), "mqtt": mqtt},
        texts={
            "sources": "\n".join(_sources(result)) + "\n",
            "limits": "\n".join(_limits(result)) + "\n",
        },
    )


def _agent(config: Config | None) -> AgentSettings:
    settings = config.agent if config is not None else AgentSettings()
    return replace(settings, state_dir=state_dir())


def _header(path: Path, summary: list[str]) -> str:
    lines = [
        *summary,
        "All keys are optional; those that are missing have their default (docs/configuration.md).",
        "Environment variables override them: EDGE_AGENT_<SECTION>__<KEY>, such as EDGE_AGENT_MQTT__URL.",
        f"Check it:      edge-agent check --config {path}",
        f"Try it:        edge-agent doctor --config {path}",
        f"Run it:        edge-agent run --config {path}",
    ]
    return "".join(f"# {one_line(line)}\n" for line in lines)


def _sources(result: Result) -> Iterator[str]:
    yield "sources:                            # what is read"
    for one in result.sources:
        for line in describe(one):
            yield from (f"  # {part}" for part in wrap(line, WIDTH, subsequent_indent="  "))
        first, *others = [f"{key}: {flow(value)}" for key, value in one.source.keys().items()]
        yield f"  - {first}"
        yield from (f"    {line}" for line in others)
        if one.notes[Note.TIME_WITHOUT_ZONE]:
            yield f"  #  time: {{zone: {flow(_zone())}}}  # its times name no zone: receipt counts instead"
        if one.skipped[Skip.UNKNOWN_ALIAS]:
            yield "  #  request_rebirth: true  # its values have no name until a node is born again"
        if one.words:
            words = sorted({word for texts in one.words.values() for word in texts})[:MAX_NAMED]
            values = ", ".join(f"{flow(word)}: {place}" for place, word in enumerate(words))
            yield f"  #  metrics: {{values: {{{values}}}}}  # give these words the right numbers"
    if result.missed:
        yield "# Not read:"
        yield from (f"#   {line}" for line in missed_lines(result.missed))


def _limits(result: Result) -> Iterator[str]:
    yield "limits: {}                          # the range of a series, by device/metric globs"
    lines = [limit_line(one) for one in propose_limits(result.sources)]
    if lines:
        yield "# Proposed for the values received; to use one, remove the {} above and the # of its line:"
    yield from (f"#  {line}" for line in lines[:MAX_LIMITS])


def limit_line(one: Proposal) -> str:
    """Return a proposed limit as a line of YAML with a comment."""
    sides = {"low": one.kind.low, "high": one.kind.high, "unit": one.kind.unit if one.unit else None}
    bounds = ", ".join(f"{key}: {flow(value)}" for key, value in sides.items() if value is not None)
    received = number(one.low) if one.low == one.high else f"{number(one.low)} to {number(one.high)}"
    # ASCII: a line separator in a name would end the comment.
    return f"{json.dumps(one.pattern)}: {{{bounds}}}  # as of {one.kind.name}; received: {received}"


def missed_lines(missed: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each reason why topics are not read, with a few of the topics."""
    reasons: dict[str, list[str]] = {}
    for topic, why in missed.items():
        reasons.setdefault(why, []).append(topic)
    for why, topics in reasons.items():
        yield f"{why} ({many(len(topics), 'topic')}): {_listed(topics)}"


def _zone() -> str:
    """Return this machine's zone by its name."""
    with suppress(OSError):
        name = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
        if re.fullmatch(r"[A-Za-z_]+(?:/[A-Za-z_+-]+){0,2}", name):
            return name.removeprefix("posix/")
    return "UTC"


def describe(one: SourceResult) -> Iterator[str]:
    """Yield lines about a source: its devices, interval and metrics."""
    names = list(one.devices)
    gaps = sorted(gap for device in one.devices.values() if (gap := device.interval_s) is not None)
    every = f", each about every {span(gaps[len(gaps) // 2])}" if gaps else ""
    yield f"{many(len(names), 'device')}{every}: {_listed(names)}"
    units: dict[str, str | None] = {}
    for device in one.devices.values():
        for name, metric in device.metrics.items():
            units[name] = units.get(name) or metric.unit
    if units:
        yield f"metrics: {_listed([f'{name} {unit}' if unit else name for name, unit in units.items()])}"
    for name, words in list(one.words.items())[:MAX_NAMED]:
        yield f"words without a number at {short(name)}: {_listed(sorted(words))}"


def _listed(names: list[str]) -> str:
    shown = ", ".join(short(name) for name in names[:MAX_NAMED])
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"{shown}{more}" if names else "none"


def short(text: str) -> str:
    """Return a text of a device for one line: escaped, and cut."""
    safe = printable(text)
    return safe if len(safe) <= MAX_TEXT else f"{safe[:MAX_TEXT]}..."


def flow(value: Any) -> str:
    """Return a value as YAML in one line; texts are quoted."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {flow(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, str) and value in formats():
        return value
    return json.dumps(value, ensure_ascii=False)
