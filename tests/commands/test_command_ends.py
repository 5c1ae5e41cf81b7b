"""Ends of the two commands: interrupted while they load, or a fault of ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent import cli
from simulator.cli import main as simulate

pytestmark = pytest.mark.process

INTERRUPTED = """
import sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "{room}.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from {room}.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("room", "command", "code", "said"),
    [
        ("agent", "run", 0, ""),
        ("agent", "doctor", 130, ""),
        ("simulator", "list", 70, "ended at once"),
    ],
)
def test_ctrl_c_while_the_modules_load_shows_no_traceback(
    room: str, command: str, code: int, said: str
) -> None:
    """On a slow card that moment lasts for seconds."""
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(room=room), command],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert ended.returncode == code
    assert ended.stderr.strip() == (said and f"edge-sim: {said}")


@pytest.mark.parametrize(("command", "code"), [("run", 0), ("doctor", 130), ("check", 130)])
def test_an_interrupted_command_has_not_done_its_work(
    monkeypatch: pytest.MonkeyPatch, command: str, code: int
) -> None:
    """Ctrl-C ends an agent as asked; a script must not take an interrupted check for a good one."""

    def interrupted(_path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("signal.signal", lambda *_: None)  # of `run`
    for module in ("start", "check", "doctor"):
        monkeypatch.setattr(f"agent.commands.{module}.load_apart", interrupted)
    assert cli.main([command]) == code


def test_a_fault_of_ours_is_one_line_with_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 70, the kind and the place and no traceback."""

    def broken(_path: Path) -> None:
        raise RuntimeError("a list is shorter than it was")

    monkeypatch.setattr("agent.commands.check.load_apart", broken)
    assert cli.main(["check"]) == 70
    line = capsys.readouterr().err
    assert line.startswith("edge-agent: a fault of ours: RuntimeError")
    assert "test_command_ends.py" in line
    assert line.count("\n") == 1


COMMANDS = (["agent", "check", "--config", "/dev/null"], ["simulator", "list"])


def end(argv: list[str], redirection: str, *, buffered: bool) -> "subprocess.CompletedProcess[str]":
    """Run a command redirected as a shell does it; descriptor 9 is a pipe that nobody reads."""
    environ = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    if not buffered:
        environ["PYTHONUNBUFFERED"] = "1"
    ear, mouth = os.pipe()
    os.close(ear)
    script = f'exec "$@" {redirection.replace("9", str(mouth))}'
    try:
        return subprocess.run(
            ["bash", "-c", script, "-", sys.executable, "-m", *argv],
            capture_output=True,
            text=True,
            pass_fds=(mouth,),
            cwd=Path(__file__).parents[2],
            env=environ,
            check=False,
        )
    finally:
        os.close(mouth)


@pytest.mark.parametrize("redirection", [">&9", "2>&9", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_a_reader_that_left_and_a_closed_stream_are_no_faults(argv: list[str], redirection: str) -> None:
    """As in ``edge-agent inspect | head -1``, or below a supervisor that closes what it does not need."""
    ended = end(argv, redirection, buffered=True)
    assert ended.returncode == 0
    assert not any(sign in ended.stderr for sign in ("Traceback", "Exception", "fault of ours"))


@pytest.mark.parametrize("buffered", [True, False])
@pytest.mark.parametrize("argv", COMMANDS, ids=" ".join)
def test_an_output_that_cannot_be_written_is_one_line(argv: list[str], *, buffered: bool) -> None:
    """A full disk below the output is reported once, and the code is not 0."""
    ended = end(argv, ">/dev/full", buffered=buffered)
    assert ended.returncode == 69
    name = "edge-sim" if argv[0] == "simulator" else "edge-agent"
    assert ended.stderr == f"{name}: output: cannot be written: No space left on device\n"


def test_a_fault_of_the_simulator_is_one_line_with_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As for the agent: exit code 70 and no traceback."""

    def broken() -> None:
        raise RuntimeError("a list is shorter than it was")

    monkeypatch.setattr("simulator.commands.scenarios.scenarios.names", broken)
    assert simulate(["list"]) == 70
    line = capsys.readouterr().err
    assert line.startswith("edge-sim: a fault of ours: RuntimeError: a list is shorter than it was at ")
    assert "test_command_ends.py" in line
    assert line.count("\n") == 1
