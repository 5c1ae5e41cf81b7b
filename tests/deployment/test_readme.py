"""The commands of docs/deployment.md are those of the run under a booted systemd."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.deployment import steps
from tests.deployment.readme import REPO, commands, section, typed

TYPED_BLOCKS = (1, 2, 3, 4, 5)


def test_every_command_is_typed() -> None:
    """Each block is typed whole by a step, except the commands for another machine."""
    source = Path(steps.__file__).read_text()
    taken = {(int(block), int(index) if index else None) for block, index in re.findall(
        r"typed\((\d)\)(?:\[(\d)\])?", source
    )}  # fmt: skip
    for block in TYPED_BLOCKS:
        lines = range(len(typed(block)))
        assert (block, None) in taken or all((block, index) in taken for index in lines), block
    assert typed(5) == ["sudo systemd/install.sh --offline wheels"]
    assert {one.block for one in commands()} == set(TYPED_BLOCKS)


def test_the_readme_shows_the_first_of_them() -> None:
    """The six commands of its section are the first of the page, word for word."""
    shown = [one.text for one in commands(section())]
    assert len(shown) == 6
    assert shown == typed(1)[:6]


@pytest.mark.process
def test_what_the_commands_name_exists() -> None:
    """Scripts, options, targets and programs."""
    usage = subprocess.run(
        [REPO / "systemd/install.sh", "--help"], capture_output=True, text=True, check=True, timeout=10
    ).stdout
    makefile = (REPO / "Makefile").read_text()
    scripts = 0
    for command in commands():
        for part in command.text.split(" && "):
            words = part.removeprefix("sudo ").split()
            if words[0].startswith("systemd/"):
                scripts += 1
                assert (REPO / words[0]).stat().st_mode & 0o111
                assert [word for word in words if word.startswith("--") and word not in usage] == []
            if words[0] == "make":
                assert f"\n{words[1]}: " in makefile
    assert scripts > 5
