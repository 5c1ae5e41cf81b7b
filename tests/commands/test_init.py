"""``edge-agent init``, and where the state of an agent goes."""

import os
from pathlib import Path

import pytest
import yaml

from agent.commands.discovery.written import SYSTEM_STATE, state_dir
from tests.commands.kit import ask

pytestmark = pytest.mark.process


def test_the_commented_default_is_valid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It names every section, and `check` accepts it."""
    path = tmp_path / "agent.yaml"
    assert ask(capsys, "init", str(path))[0] == 0
    assert {"agent", "mqtt", "sources", "ai"} <= set(yaml.safe_load(path.read_text()))
    assert ask(capsys, "check", "--config", str(path))[0] == 0


def test_an_existing_file_is_replaced_only_with_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the file is as before."""
    path = tmp_path / "agent.yaml"
    path.write_text("mine")
    assert ask(capsys, "init", str(path))[0] == 2
    assert path.read_text() == "mine"
    assert ask(capsys, "init", str(path), "--force")[0] == 0
    assert [one.name for one in tmp_path.iterdir()] == ["agent.yaml"]


def test_a_missing_folder_is_named_with_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the name that was given, not that of its draft."""
    path = tmp_path / "missing" / "agent.yaml"
    code, _, said = ask(capsys, "init", str(path))
    assert (code, said.partition(";")[0]) == (69, f"edge-agent: {path}: No such file or directory")


def test_it_is_printed_for_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    """For a pipe."""
    code, out, _ = ask(capsys, "init", "-")
    assert (code, "sources:" in out) == (0, True)


@pytest.mark.parametrize(
    ("user", "environ", "exists", "wanted"),
    [
        (0, {}, False, SYSTEM_STATE),
        (1000, {"INVOCATION_ID": "x"}, False, SYSTEM_STATE),
        (1000, {}, True, SYSTEM_STATE),
        (1000, {"XDG_STATE_HOME": "/x/state"}, False, Path("/x/state/edge-agent")),
        (1000, {"XDG_STATE_HOME": "relative"}, False, Path("/home/u/.local/state/edge-agent")),
        (1000, {}, False, Path("/home/u/.local/state/edge-agent")),
    ],
)
def test_a_user_who_is_not_root_keeps_state_at_home(
    user: int, environ: dict[str, str], exists: bool, wanted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's folder is for root, systemd, and a machine that has it."""
    monkeypatch.setenv("HOME", "/home/u")
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(Path, "is_dir", lambda path: exists and path == SYSTEM_STATE)
    assert state_dir(environ) == wanted
