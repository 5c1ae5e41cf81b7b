"""The commands of docs/metrics.md, run as they are written in a root of their own."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.process

REPO = Path(__file__).resolve().parents[2]


def commands() -> list[str]:
    """Return the indented lines of the section."""
    text = (REPO / "docs" / "metrics.md").read_text()
    section = text.split("\n## Monitoring\n", 1)[1].split("\n## ", 1)[0]
    return [line.strip() for line in section.splitlines() if line.startswith("    ")]


def test_the_monitoring_commands_put_each_file_in_its_place(tmp_path: Path) -> None:
    """Each copied file is checked in its place, and Grafana's provider finds the dashboard."""
    for command in commands():
        if command.startswith("systemctl "):
            continue  # no systemd in a test; what it would load has just been checked
        moved = re.sub(r"(?<= )/(?=etc/|var/)", f"{tmp_path}/", command)
        assert moved != command
        if command.startswith("install -m"):
            (tmp_path / "etc/prometheus").mkdir(parents=True)  # the package has made it
        done = subprocess.run(
            ["sh", "-c", moved],
            cwd=REPO,
            env=os.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    provider = yaml.safe_load((tmp_path / "etc/grafana/provisioning/dashboards/edge-agent.yaml").read_text())
    folder = provider["providers"][0]["options"]["path"]
    assert (tmp_path / folder.removeprefix("/") / "edge-agent.json").is_file()
    units = [command for command in commands() if command.startswith("systemctl ")]
    assert units == ["systemctl reload-or-restart prometheus prometheus-alertmanager"]
