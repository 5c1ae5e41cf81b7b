"""The installer into a staging directory: files, repetition, removal."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deployment.wheelhouse import build, copy_checkout, set_version

pytestmark = pytest.mark.process

INSTALLED = (
    "etc/edge-agent/agent.yaml",
    "etc/systemd/system/edge-agent.service",
    "opt/edge-agent/bin/edge-agent",
    "opt/edge-agent/bin/edge-sim",
    "usr/local/bin/edge-agent",
    "usr/local/bin/edge-sim",
)


class Trap:
    """A directory of programs and modules that note when they are run, and variables that lead there."""

    MODULES = (
        "venv",
        "ensurepip",
        "pip",
        "glob",
        "sysconfig",
        "compileall",
        "hatchling",
        "sitecustomize",
        "os",
    )
    PROGRAMS = ("python3", "sed", "mkdir", "find", "install", "cat", "dirname", "id", "mosquitto_passwd")

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sprung = folder / "sprung"
        (folder / "site").mkdir(parents=True)
        for place in (folder, folder / "site"):
            for name in self.MODULES:
                (place / f"{name}.py").write_text(f"open({str(self.sprung)!r}, 'a').write({name!r})\n")
        for name in self.PROGRAMS:
            (folder / name).write_text(f"#!/bin/sh\necho {name} >>{self.sprung}\nexit 1\n")
            (folder / name).chmod(0o755)
        (folder / "pip.conf").write_text(f"[global]\nno-index = false\ntarget = {folder / 'target'}\n")
        self.environ = {
            "PATH": f".:{folder}:{os.environ['PATH']}",
            "PYTHONPATH": f"{folder / 'site'}:",
            "PYTHONSTARTUP": str(folder / "os.py"),
            "PIP_CONFIG_FILE": str(folder / "pip.conf"),
            "PIP_TARGET": str(folder / "target"),
            "TMPDIR": str(folder / "tmp"),
            "CDPATH": str(folder),
        }


class Stage:
    """A copied checkout, its wheels, and the directory that it is installed into."""

    def __init__(self, folder: Path) -> None:
        self.checkout = copy_checkout(folder / "checkout")
        self.wheels = build(self.checkout, folder / "wheels")
        self.root = folder / "root"
        self.trap = Trap(folder / "trap")

    def run(self, *options: str, code: int = 0, stdin: str = "") -> str:
        """Run the installer; return what it wrote."""
        environ = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "DESTDIR": str(self.root)}
        told = subprocess.run(
            [self.checkout / "systemd/install.sh", *options],
            cwd=self.trap.folder,
            input=stdin, env=environ | self.trap.environ, capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip
        assert told.returncode == code, told.stdout + told.stderr
        return told.stdout + told.stderr

    def install(self, *options: str, code: int = 0) -> str:
        """Install without a network, with the Python of the tests."""
        return self.run(
            "--offline", str(self.wheels), "--python", sys.executable, "--id", "gw7", *options, code=code
        )

    def files(self) -> dict[str, tuple[str, float]]:
        """Return each file and link below the root with its target and time of change."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            if path.is_symlink() or path.is_file():
                target = str(path.readlink()) if path.is_symlink() else ""
                found[str(path.relative_to(self.root))] = (target, path.lstat().st_mtime)
        return found

    def agent(self, *arguments: str) -> str:
        """Run the installed ``edge-agent``; it works without the checkout."""
        told = subprocess.run(
            [self.root / "opt/edge-agent/current/bin/python", "-m", "agent", *arguments],
            cwd=self.root, env={}, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        return told.stdout + told.stderr

    def current(self) -> str:
        """Return the name of the release in use."""
        return (self.root / "opt/edge-agent/current").readlink().name


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return one installation for the tests of this file, which change it in their order."""
    stage = Stage(tmp_path_factory.mktemp("installer"))
    stage.install("--with-mosquitto")
    yield stage
    stage.run("--purge", "--with-mosquitto")
    assert stage.files() == {}


@pytest.mark.slow
def test_what_is_installed(stage: Stage) -> None:
    """Program, unit, configuration; nothing names the directory it was staged in, and the agent runs."""
    files = stage.files()
    assert [name for name in INSTALLED if name not in files] == []
    for name, (target, _) in files.items():
        assert str(stage.root) not in target, name
        path = stage.root / name
        if not target and path.suffix != ".pth":
            assert str(stage.root).encode() not in path.read_bytes(), name
    script = (stage.root / "opt/edge-agent/current/bin/edge-agent").read_text().splitlines()[0]
    assert script == f"#!/opt/edge-agent/releases/{stage.current()}/bin/python"
    assert "Agent gw7 reads" in stage.agent("check", "--config", str(configuration(stage)))
    assert not (stage.root / "opt/edge-agent/current/bin/pip").exists()


def test_the_links_of_the_installed_readme_work(stage: Stage) -> None:
    """The unit names this file, so its pages, pictures and configurations are next to it."""
    share = stage.root / "opt/edge-agent/current/share/edge-agent"
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (share / "README.md").read_text())
    assert len(links) > 20
    assert [link for link in links if not (share / link).exists()] == []


def test_nothing_of_the_current_directory_is_run(stage: Stage) -> None:
    """Neither modules nor programs nor settings there, and none that the caller's variables name."""
    assert not stage.trap.sprung.exists(), stage.trap.sprung.read_text()
    assert not (stage.trap.folder / "target").exists()


def test_a_checkout_that_everybody_can_write_is_refused(stage: Stage) -> None:
    """Its code would be run by root."""
    for name in (".", "agent/app/app.py", "systemd/install-release.sh", "pyproject.toml"):
        path = stage.checkout / name
        mode = path.stat().st_mode
        path.chmod(mode | 0o002)
        assert "every user can write" in stage.install(code=69)
        path.chmod(mode)


def configuration(stage: Stage) -> Path:
    """Return the installed configuration."""
    return stage.root / "etc/edge-agent/agent.yaml"


def test_the_brokers_login(stage: Stage) -> None:
    """A random password, kept as a credential and, hashed, for Mosquitto; the ACL has the agent's id."""
    text = configuration(stage).read_text()
    assert "\n  id: gw7\n" in text
    assert "\n  username: agent-gw7\n  password_file: mqtt.password\n" in text
    assert text.count("password_file: mqtt.password") == 1
    secret = stage.root / "etc/edge-agent/mqtt.password"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert len(secret.read_text().strip()) == 48
    passwords = (stage.root / "etc/mosquitto/edge-agent.passwords").read_text()
    assert passwords.startswith("agent-gw7:$")
    assert secret.read_text().strip() not in passwords
    acl = (stage.root / "etc/mosquitto/edge-agent.acl").read_text()
    assert "user agent-gw7\n" in acl
    assert "topic write edge-agent/gw7/#\n" in acl
    assert "gw1" not in acl
    drop_in = stage.root / "etc/systemd/system/edge-agent.service.d/mqtt.password.conf"
    assert "LoadCredential=mqtt.password:/etc/edge-agent/mqtt.password\n" in drop_in.read_text()


def test_a_second_run_changes_nothing(stage: Stage) -> None:
    """Neither a file nor its time of change."""
    before = stage.files()
    assert "is there already" in stage.install("--with-mosquitto")
    assert stage.files() == before


def test_an_edited_configuration_stays(stage: Stage) -> None:
    """The new default is written next to it, until the edited one is the default again."""
    path, beside = configuration(stage), configuration(stage).with_suffix(".yaml.new")
    shipped = path.read_text()
    path.write_text(shipped.replace("max_mib: 512", "max_mib: 100"))
    assert "kept /etc/edge-agent/agent.yaml as you have it" in stage.install("--with-mosquitto")
    assert "max_mib: 100" in path.read_text()
    assert beside.read_text() == shipped
    path.write_text(shipped)
    stage.install("--with-mosquitto")
    assert not beside.exists()


def test_a_credential(stage: Stage) -> None:
    """A secret is a file of one mode and one drop-in; names that are none are refused."""
    stage.run("--credential", "ai.key", stdin="sk-secret\n")
    path = stage.root / "etc/edge-agent/ai.key"
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("sk-secret\n", 0o600)
    drop_in = stage.root / "etc/systemd/system/edge-agent.service.d/ai.key.conf"
    assert "LoadCredential=ai.key:/etc/edge-agent/ai.key" in drop_in.read_text()
    for name in ("../x", "agent.yaml", ".hidden", "a b", ""):
        assert "a name has" in stage.run("--credential", name, stdin="x", code=2)
    assert "was empty" in stage.run("--credential", "web.password", code=2)
    assert not (stage.root / "etc/edge-agent/web.password").exists()


@pytest.mark.slow
def test_upgrade_and_rollback(stage: Stage) -> None:
    """A release is used once it is complete; the one before is kept; one that fails leaves all as it was."""
    first = stage.current()
    set_version(stage.checkout, "0.2.0")
    build(stage.checkout, stage.wheels)
    stage.install("--with-mosquitto")
    second = stage.current()
    assert second.startswith("0.2.0-")
    assert "0.2.0" in stage.agent("--version")
    before = stage.files()
    wheel = next(stage.wheels.glob("edge_agent_test*"))
    wheel.write_bytes(wheel.read_bytes() + b"another")
    (stage.checkout / "systemd/requirements-build.txt").touch()
    set_hash = stage.checkout / "systemd/requirements.txt"
    good = set_hash.read_text()
    set_hash.write_text(good + "# another release\n")
    assert "nothing was changed" in stage.install(code=69)
    assert stage.files() == before
    set_hash.write_text(good)
    stage.run("--rollback")
    assert stage.current() == first
    assert "0.1.0" in stage.agent("--version")
    stage.run("--rollback")
    assert stage.current() == second


def test_uninstall_keeps_what_is_the_sites(stage: Stage) -> None:
    """Program and unit go; configuration, secrets, journal and the broker's files stay."""
    journal = stage.root / "var/lib/edge-agent/journal.sqlite"
    journal.parent.mkdir(parents=True)
    journal.touch()
    stage.run("--uninstall")
    left = {name for name in stage.files() if not name.startswith("etc/mosquitto/")}
    assert left == {
        "etc/edge-agent/agent.yaml",
        "etc/edge-agent/ai.key",
        "etc/edge-agent/mqtt.password",
        "etc/systemd/system/edge-agent.service.d/ai.key.conf",
        "etc/systemd/system/edge-agent.service.d/mqtt.password.conf",
        "var/lib/edge-agent/journal.sqlite",
    }
    stage.run("--uninstall")  # again: nothing to do is not a fault
    assert "no release to go back to" in stage.run("--rollback", code=69)
