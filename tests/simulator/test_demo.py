"""The demo end to end: real broker, real model endpoint, real agent, real signals."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.broker import free_port

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "EDGE_"))}
    return {**kept, "TMPDIR": str(tmp_path)}


def write_config(folder: Path, name: str = "demo") -> Path:
    """Write the demo's configuration with a port that nothing else uses."""
    text = (ROOT / "configs" / "demo.yaml").read_text()
    path = folder / f"{name}.yaml"
    path.write_text(text.replace("127.0.0.1:8000", f"127.0.0.1:{free_port()}"))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path)


def start(environment: dict[str, str], config: Path, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", "demo", "--config", str(config), *more],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left_behind(tmp_path: Path) -> list[str]:
    """Return the command lines of processes that were started under ``tmp_path``, and files there."""
    found = [entry.name for entry in tmp_path.glob("edge-sim-*")]
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(tmp_path / "edge-sim-") in words:
            found.append(words)
    return found


@pytest.mark.slow
def test_demo_shows_verdicts_from_the_broker(environment: dict[str, str], tmp_path: Path) -> None:
    """On both brokers it finds a fault, asks the model, sums up and leaves nothing behind."""
    began = time.monotonic()
    both = [
        start(environment, write_config(tmp_path, kind), "--for", "20", "--broker", kind)
        for kind in ("mosquitto", "embedded")
    ]
    for process in both:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0, out
        check_summary(out)
    assert time.monotonic() - began < 90  # a busy machine starts slowly
    assert left_behind(tmp_path) == []


def check_summary(out: str) -> None:
    journaled = re.search(r"readings +([\d,]+) journaled of ([\d,]+) sent", out)
    assert journaled is not None, out
    assert int(journaled[1].replace(",", "")) >= 5_000
    assert journaled[1] == journaled[2], out
    assert re.search(r"AI calls +[1-9]\d* ", out), out
    assert re.search(r"verdicts +[\d,]+ from the broker: ai [1-9]", out), out
    assert "found as" in out, out
    assert re.search(r"status page +http://127\.0\.0\.1:\d+/", out)


@pytest.mark.slow
def test_interrupt_ends_everything_cleanly(environment: dict[str, str], config: Path, tmp_path: Path) -> None:
    """Ctrl-C stops agent, broker and model, prints the summary and leaves nothing behind."""
    with start(environment, config, "--for", "300") as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(line.startswith("live") for line in lines)
        assert any("  ai, " in line for line in lines)  # the model has answered, however slow the machine
        process.send_signal(signal.SIGINT)
        rest = "".join(lines)
        assert process.wait(120) == 0, rest
    assert "findings" in rest
    assert left_behind(tmp_path) == []


def test_agent_that_cannot_start_is_one_line(
    environment: dict[str, str], config: Path, tmp_path: Path
) -> None:
    """A configuration that the agent refuses ends the demo with the agent's own words and exit code."""
    config.write_text(config.read_text() + "colour: red\n")
    process = start(environment, config, "--for", "20")
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    last = out.strip().splitlines()[-1]
    assert last.startswith("edge-sim: the agent ended with exit code 2:")
    assert "colour" in last
    assert left_behind(tmp_path) == []
