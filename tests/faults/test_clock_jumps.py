"""The wall clock jumps while the model is called."""

from pathlib import Path

import pytest

from tests.faults.clock import run_jumps
from tests.faults.rig import RigSettings

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]


def test_clock_jumps_change_no_verdict_and_no_budget(tmp_path: Path) -> None:
    """Two jumps, a call after each: 0 lost, 0 twice, a verdict per window, the bill within the bookings."""
    run = run_jumps(RigSettings(folder=tmp_path, seed=1, rate=40, devices=4), jumps=2)
    assert run.problems() == []
    assert run.found.duplicated == 0
    assert run.found.acked > 100
