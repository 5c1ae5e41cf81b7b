"""Agent time is scaled in a test's state directory, and nowhere else."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agent.journal.sequence import AgentClock
from agent.testing.failpoint import MARKER
from agent.testing.time_scale import VARIABLE, TimeScale, TimeScaleRefusedError, time_scale_of


def test_without_the_variable_time_is_real(tmp_path: Path) -> None:
    """No marker is asked for, and nothing is stretched."""
    pace = time_scale_of({}, tmp_path)
    assert pace.stretch(12.5) == 12.5
    assert pace.turn_s(0.2) == 0.2
    assert abs(pace.wall() - time.time()) < 1.0


def test_time_runs_at_the_speed_from_its_moment_on(tmp_path: Path) -> None:
    """Before the moment it is real time, so that agents may start; after it 120 seconds a second."""
    (tmp_path / MARKER).touch()
    pace = time_scale_of({VARIABLE: "1000000.0:50.0:120"}, tmp_path)
    assert [pace.stretch(mono) for mono in (40.0, 50.0, 51.0)] == [40.0, 50.0, 170.0]
    assert pace.turn_s(0.2) == 0.02
    clock = AgentClock(last=0.0, wall=lambda: 1e6, mono=lambda: 50.0, stretch=pace.stretch)
    assert (clock.at(49.0), clock.now(), clock.at(51.0)) == (999_999.0, 1e6, 1_000_120.0)


def test_wall_clock_follows_the_same_line() -> None:
    """The time in verdicts moves as fast as agent time."""
    began = time.monotonic() - 2.0
    pace = TimeScale(began, 100.0, 5000.0)
    assert pace.wall() == pytest.approx(5200.0, abs=100.0)
    assert pace.wall_at(began + 3.0, 77.0) == pytest.approx(5300.0)
    assert TimeScale().wall_at(began, 77.0) == 77.0


def test_production_refuses_a_pace(tmp_path: Path) -> None:
    """Without the marker in the state directory start-up ends, in words."""
    with pytest.raises(TimeScaleRefusedError, match="only a test's state directory"):
        time_scale_of({VARIABLE: "0:0:120"}, tmp_path)


@pytest.mark.process
def test_agent_that_is_refused_its_pace_says_so_in_one_line(tmp_path: Path) -> None:
    """Exit code 2, one line on stderr, and no journal."""
    config = tmp_path / "agent.yaml"
    config.write_text(f"agent: {{id: x, state_dir: {tmp_path / 'state'}}}\n")
    config.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-m", "agent", "run", "--config", str(config)],
        env={**os.environ, VARIABLE: "0:0:120"},
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    assert done.returncode == 2
    assert "only a test's state directory" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("wanted", ["120", "0:0:0.5", "0:0:nan", "a:b:c", "0:0:1e9", "inf:0:2"])
def test_senseless_pace_is_refused(tmp_path: Path, wanted: str) -> None:
    """The error names the expected form."""
    (tmp_path / MARKER).touch()
    with pytest.raises(TimeScaleRefusedError, match="wall:mono:speed"):
        time_scale_of({VARIABLE: wanted}, tmp_path)
