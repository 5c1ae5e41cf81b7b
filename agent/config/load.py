"""Reads the file, lays the environment over it, and validates the whole."""

import os
import select
import stat
import time
from collections.abc import Mapping
from dataclasses import replace
from errno import ENODATA, ETIMEDOUT
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.config.environ import overlay, underlay
from agent.config.errors import ConfigError
from agent.config.models import adapter
from agent.config.problems import describe, shown
from agent.config.sections import Config
from agent.config.strict_yaml import parse
from agent.decode.posted import with_posted

MAX_BYTES = 256 * 1024
PIPE_S = 5.0  # so long a pipe may take to be filled


def load(path: Path, environ: Mapping[str, str] | None = None) -> Config:
    """Return the checked configuration of ``path`` with the environment laid over it.

    Variables are ``EDGE_AGENT_<SECTION>__<KEY>``, with further ``__`` for deeper keys, and hold YAML.
    ``OPENAI_BASE_URL``, ``OPENAI_MODEL`` and the standard ``OTEL_*`` count where the file has no value.
    Relative files are looked up in ``$CREDENTIALS_DIRECTORY``, then in the configuration's folder.

    Raises:
        ConfigError: with one line per fault, each naming key, value and remedy.
    """
    return build(_read(path), path.parent, environ)


def build(tree: dict[str, Any], folder: Path, environ: Mapping[str, str] | None = None) -> Config:
    """Return the checked configuration of sections that were read; see :func:`load`.

    Raises:
        ConfigError: with one line per fault, each naming key, value and remedy.
    """
    environ = os.environ if environ is None else environ
    origins = overlay(tree, environ)
    origins |= underlay(tree, environ)
    folders = [Path(one) for one in (environ.get("CREDENTIALS_DIRECTORY"), str(folder)) if one]
    try:
        config = adapter().validate_python(tree, context={"folders": folders})
    except ValidationError as error:
        raise ConfigError(describe(error, origins)) from None
    sources = with_posted(config.sources) if config.web.intake else config.sources
    return replace(config, sources=sources, origins=origins)


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = _bytes(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            [f"{path}: cannot be read: {reason}; give the path of a readable YAML file"]
        ) from None
    if len(raw) > MAX_BYTES:
        raise ConfigError([f"{path}: larger than {MAX_BYTES // 1024} KiB; a configuration is a few KiB"])
    tree = parse(raw, str(path))
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError([f"{path}: {shown(tree)} is not a mapping of sections; see configs/agent.yaml"])
    return tree


def _bytes(path: Path) -> bytes:
    """Return the file's first bytes, one more than is allowed; a pipe or a device is not waited for."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
        piped = stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
        until, raw = time.monotonic() + PIPE_S, b""
        while len(raw) <= MAX_BYTES:
            if piped:
                select.select([file], [], [], max(0.0, until - time.monotonic()))
            chunk = file.read(MAX_BYTES + 1 - len(raw))
            if chunk is None:  # nothing there yet, and there may never be
                raise TimeoutError(ETIMEDOUT, "nothing was written into it")
            if not chunk:
                break
            raw += chunk
    if piped and not raw:
        raise OSError(ENODATA, "an empty pipe")
    return raw
