"""The unit: how far it is shut, and whether systemd understands it."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.deployment.readme import REPO, page

pytestmark = pytest.mark.process

UNIT = REPO / "systemd/edge-agent.service"
THRESHOLD = 15  # of 100: the exposure 1.5


def exposure(unit: Path, threshold: int) -> tuple[int, float]:
    """Return the exit code of ``systemd-analyze security`` and the exposure level, 0 (best) to 10."""
    argv = [
        "systemd-analyze",
        "security",
        "--offline=true",
        "--no-pager",
        f"--threshold={threshold}",
        str(unit),
    ]
    told = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told.stdout)
    assert level is not None, told.stdout + told.stderr
    return told.returncode, float(level[1])


def test_exposure() -> None:
    """At most 1.5, and the figure of docs/deployment.md."""
    code, level = exposure(UNIT, THRESHOLD)
    assert code == 0
    assert level <= THRESHOLD / 10
    assert f"scores {level} with `systemd-analyze security`" in " ".join(page().split())


def test_the_gate_closes(tmp_path: Path) -> None:
    """Without its sandbox the unit fails the gate."""
    bare = tmp_path / "edge-agent.service"
    text = UNIT.read_text()
    bare.write_text(
        re.sub(r"(?m)^(Protect|Private|Restrict|SystemCall|Capability|NoNew|Dynamic).*\n", "", text)
    )
    code, level = exposure(bare, THRESHOLD)
    assert code != 0
    assert level > 5


def test_with_the_offline_drop_in(tmp_path: Path) -> None:
    """The drop-in for sites that stay on their gateway closes it further."""
    drop_in = (REPO / "systemd/offline.conf").read_text().partition("[Service]\n")[2]
    unit = tmp_path / "edge-agent.service"
    unit.write_text(UNIT.read_text().replace("[Install]", f"{drop_in}\n[Install]"))
    assert exposure(unit, 10) == (0, 0.9)


def test_systemd_understands_it(tmp_path: Path) -> None:
    """``verify`` finds nothing, with a program where the unit expects it."""
    unit = tmp_path / "edge-agent.service"
    unit.write_text(UNIT.read_text().replace("/opt/edge-agent/bin/edge-agent", "/bin/true"))
    argv = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)]
    told = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert (told.returncode, told.stdout + told.stderr) == (0, "")


@pytest.mark.parametrize(
    "line",
    [
        "ExecStart=/opt/edge-agent/bin/edge-agent run --config /etc/edge-agent/agent.yaml",
        "Type=notify",
        "WatchdogSec=120",
        "Restart=always",
        "RestartPreventExitStatus=2 69",
        "StartLimitIntervalSec=0",
        "DynamicUser=yes",
        "StateDirectory=edge-agent",
        "StateDirectoryMode=0700",
        "MemoryHigh=160M",
        "MemoryMax=200M",
        "MemoryDenyWriteExecute=yes",
        "SystemCallFilter=@system-service",
    ],
)
def test_the_decided_settings_are_there(line: str) -> None:
    """The run under a booted systemd used the shipped files."""
    assert line in UNIT.read_text().splitlines()
