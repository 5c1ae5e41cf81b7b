"""Each package of the installer has a pinned wheel for a Raspberry Pi."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment.readme import REPO
from tests.deployment.wheels import PYTHONS, choices, pins

UV = Path(sys.executable).with_name("uv")
EXPORTS = {
    "requirements.txt": ["--no-default-groups", "--no-emit-project", "--extra", "apprise"],
    "requirements-build.txt": ["--only-group", "build"],
}


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_every_package_has_a_wheel(arch: str) -> None:
    """For Python 3.11 to 3.13, with a hash that the installer accepts."""
    found = list(choices(arch))
    assert {python for _, python, _ in found} == set(PYTHONS)
    assert len(found) > 80
    assert [(pin.name, python) for pin, python, wheel in found if wheel is None] == []


def test_the_check_can_fail() -> None:
    """There is no PyYAML for a 32-bit system, and the error names it."""
    missing = {pin.name for pin, _, wheel in choices("armv7l") if wheel is None}
    assert "pyyaml" in missing


def test_every_pin_has_hashes() -> None:
    """Pip refuses what does not match one of them."""
    for file in EXPORTS:
        assert all(pin.hashes and pin.version for pin in pins(file))


@pytest.mark.process
@pytest.mark.parametrize("file", list(EXPORTS))
def test_the_pins_are_the_locks(file: str, tmp_path: Path) -> None:
    """The shipped file is the output of `uv export` today; the error has the command to renew it."""
    for name in ("pyproject.toml", "uv.lock", "README.md", "LICENSE"):
        shutil.copy(REPO / name, tmp_path / name)
    argv = [str(UV), "export", "--frozen", "--offline", "-q", "--no-header", "--no-annotate", *EXPORTS[file]]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "UV_NO_CONFIG": "1"}
    told = subprocess.run(
        argv, cwd=tmp_path, env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    shipped = (REPO / "systemd" / file).read_text()
    renew = f".venv/bin/uv export --frozen -q --no-header --no-annotate {' '.join(EXPORTS[file])}"
    assert told.stdout == shipped, f"renew it: {renew} -o systemd/{file}"
