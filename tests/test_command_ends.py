"""How the two commands end when they are interrupted while they load, or fail by a fault of ours."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent import cli

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


@pytest.mark.parametrize(("room", "code", "said"), [("agent", 0, ""), ("simulator", 70, "ended at once")])
def test_ctrl_c_while_the_modules_load_shows_no_traceback(room: str, code: int, said: str) -> None:
    """On a slow card that moment lasts for seconds."""
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(room=room)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert ended.returncode == code
    assert ended.stderr.strip() == (said and f"edge-sim: {said}")


def test_a_fault_of_ours_is_one_line_with_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 70, the kind and the place and no traceback."""

    def broken(_path: Path) -> None:
        raise RuntimeError("a list is shorter than it was")

    monkeypatch.setattr(cli, "load_apart", broken)
    assert cli.main(["check"]) == 70
    line = capsys.readouterr().err
    assert line.startswith("edge-agent: a fault of ours: RuntimeError")
    assert "test_command_ends.py" in line
    assert line.count("\n") == 1
