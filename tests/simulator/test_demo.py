"""The demo end to end: real broker, real model endpoint, real agent, real signals."""

import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.simulator.demo_process import Demo, write_config

pytestmark = pytest.mark.process


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
def test_demo_shows_verdicts_from_the_broker(tmp_path: Path) -> None:
    """On both brokers it finds a fault and asks the model; Ctrl-C sums up and leaves nothing behind."""
    with ExitStack() as stack:
        both = [
            stack.enter_context(Demo(tmp_path, write_config(tmp_path, kind), "--broker", kind))
            for kind in ("mosquitto", "embedded")
        ]
        for demo in both:
            demo.read_until("true fault begins")
            demo.read_until(">>> finding opened", "  ai, ")
            assert demo.interrupt() == 0, demo.text
            check_summary(demo.text)
    assert left_behind(tmp_path) == []


def check_summary(out: str) -> None:
    journaled = re.search(r"readings +([\d,]+) journaled of ([\d,]+) sent", out)
    assert journaled is not None, out
    assert int(journaled[1].replace(",", "")) >= 5_000
    assert journaled[1] == journaled[2], out
    assert re.search(r"AI calls +[1-9]\d* ", out), out
    assert re.search(r"verdicts +[\d,]+ from the broker: ai [1-9]", out), out
    assert "found as" in out, out
    assert re.search(r"findings +[1-9]\d* opened", out), out
    assert re.search(r"status page +http://127\.0\.0\.1:\d+/", out)


@pytest.mark.slow
def test_a_demo_that_is_too_short_asks_for_more_time(tmp_path: Path) -> None:
    """Its time ends it, before a verdict on a live window is possible."""
    with Demo(tmp_path, write_config(tmp_path), "--for", "3") as demo:
        assert demo.end() == 70, demo.text
    assert "--- after" in demo.text
    assert demo.text.rstrip().endswith("run it longer (FOR=30)")
    assert left_behind(tmp_path) == []


def test_agent_that_cannot_start_is_one_line(tmp_path: Path) -> None:
    """A configuration that the agent refuses ends the demo with the agent's own words and exit code."""
    config = write_config(tmp_path)
    config.write_text(config.read_text() + "colour: red\n")
    with Demo(tmp_path, config) as demo:
        assert demo.end() == 2
    last = demo.text.strip().splitlines()[-1]
    assert last.startswith("edge-sim: the agent ended with exit code 2:")
    assert "colour" in last
    assert left_behind(tmp_path) == []
