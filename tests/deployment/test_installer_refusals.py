"""Refusals of the installer: one line, an exit code, and nothing changed."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.deployment.readme import REPO

pytestmark = pytest.mark.process

SCRIPTS = sorted((REPO / "systemd").glob("*.sh"))


def refused(*options: str, code: int, destdir: Path | str, path: str | None = None) -> str:
    """Run the installer of the checkout; return its one line."""
    told = subprocess.run(
        [REPO / "systemd/install.sh", *options],
        env={"PATH": path or os.environ["PATH"], "DESTDIR": str(destdir)},
        capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert told.returncode == code, told.stdout + told.stderr
    lines = told.stderr.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("install.sh: ")
    return lines[0]


def python(folder: Path, text: str) -> str:
    """Write a program in place of a Python."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_options_that_are_none(tmp_path: Path) -> None:
    """A wrong word, a missing value and a wrong id are reported."""
    assert "--frob is not an option" in refused("--frob", code=2, destdir=tmp_path)
    assert "--offline wants a value" in refused("--offline", code=2, destdir=tmp_path)
    assert "a/b" in refused("--id", "a/b", code=2, destdir=tmp_path)
    assert "64" in refused("--id", "a" * 65, code=2, destdir=tmp_path)
    assert "absolute" in refused(code=2, destdir="some/where")
    assert list(tmp_path.iterdir()) == []


def test_a_python_that_does_not_do(tmp_path: Path) -> None:
    """None, too old, or without the module that makes environments."""
    root = tmp_path / "root"
    assert "no such program" in refused("--python", str(tmp_path / "x"), code=69, destdir=root)
    old = python(tmp_path, "exit 1")
    assert "older than Python 3.11" in refused("--python", old, code=69, destdir=root)
    bare = python(tmp_path, 'case "$2" in *ensurepip*) exit 1 ;; esac')
    assert "apt-get install python3-venv" in refused("--python", bare, code=69, destdir=root)
    assert not root.exists()


@pytest.mark.parametrize(
    ("names", "says"),
    [((), "no edge_agent-"), (("1", "2"), "more than one edge_agent-"), (None, "no such directory")],
)
def test_wheels_that_do_not_do(tmp_path: Path, names: tuple[str, ...] | None, says: str) -> None:
    """The directory must hold one wheel of the agent."""
    wheels = tmp_path / "wheels"
    if names is not None:
        wheels.mkdir()
        for name in names:
            (wheels / f"edge_agent-{name}-py3-none-any.whl").touch()
    assert says in refused("--offline", str(wheels), code=69, destdir=tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_a_broker_with_passwords_of_its_own(tmp_path: Path) -> None:
    """Two password files would keep Mosquitto from starting."""
    other = tmp_path / "etc/mosquitto/conf.d/local.conf"
    other.parent.mkdir(parents=True)
    other.write_text("listener 1883\npassword_file /etc/mosquitto/passwd\n")
    line = refused("--with-mosquitto", code=69, destdir=tmp_path)
    assert "/etc/mosquitto/conf.d/local.conf has a password_file" in line
    assert not (tmp_path / "opt").exists()


def test_rollback_without_a_release(tmp_path: Path) -> None:
    """Reported, not tried."""
    assert "no release to go back to" in refused("--rollback", code=69, destdir=tmp_path)


def test_help_names_every_option() -> None:
    """Each option that the script takes is in its help."""
    text = (REPO / "systemd/install.sh").read_text()
    usage, _, rest = text.partition("\nEND\n")
    loop = rest.partition("while [ $# -gt 0 ]")[2].partition("\ndone\n")[0]
    options = set(re.findall(r"(?<=[\s(])--[a-z-]+(?=[ )])", loop))
    assert len(options) > 8
    assert [option for option in sorted(options) if option not in usage] == []


def test_the_scripts_are_clean() -> None:
    """Shellcheck finds nothing."""
    told = subprocess.run(
        ["shellcheck", "-x", "-P", str(REPO / "systemd"), *map(str, SCRIPTS)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout
