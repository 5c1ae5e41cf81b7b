"""Others fill the disk under load: no ack without a row; all goes on afterwards."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.disk import why_not
from tests.faults.full_disk import run_cycles
from tests.faults.rig import RigSettings

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow, pytest.mark.root]


@pytest.mark.skipif(why_not() is not None, reason=f"no disk of its own here: {why_not()}")
def test_full_disks_lose_nothing_and_the_control_loses_some(tmp_path: Path) -> None:
    """Filled and freed twice, one kill while it is full: 0 lost; acknowledged on arrival, some are."""
    settings = RigSettings(folder=tmp_path / "ours", seed=1, rate=150, review="none")
    ours = run_cycles(settings, cycles=2)
    assert ours.problems() == []
    assert ours.losses == 1
    assert ours.found.acked > 200
    weak = replace(settings, folder=tmp_path / "control", without="late-acks")
    assert run_cycles(weak, cycles=2).found.lost > 0
