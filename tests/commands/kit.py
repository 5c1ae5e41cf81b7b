"""Shared parts of the command tests: a configuration, a command in this process."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import agent.config.load  # noqa: F401 - so that the child that reads the configuration has it already
from agent.cli import main

Ask = Callable[..., tuple[int, str, str]]


def write_config(folder: Path, **sections: Any) -> Path:
    """Write an agent's configuration and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "agent.yaml"
    base: dict[str, Any] = {"agent": {"id": "gw1", "state_dir": str(folder / "state")}}
    path.write_text(yaml.safe_dump(base | sections))
    return path


def ask(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Run a command and return its exit code, stdout and stderr."""
    capsys.readouterr()
    code = main(argv)
    told = capsys.readouterr()
    return code, told.out, told.err


def as_json(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """Run a command with ``--json``, expect 0 and return what it printed."""
    code, out, err = ask(capsys, *argv, "--json")
    assert (code, err) == (0, "")
    value: dict[str, Any] = json.loads(out)
    return value
