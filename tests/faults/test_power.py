"""The power is cut: the disk holds enough; without a flush a loss is seen."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.disk import why_not
from tests.faults.power import run_cuts
from tests.faults.rig import RigSettings

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow, pytest.mark.root]


@pytest.mark.skipif(why_not() is not None, reason=f"no power cut here: {why_not()}")
def test_power_cuts_lose_nothing_and_the_control_loses_some(tmp_path: Path) -> None:
    """Three cuts under load: 0 lost, 0 conflicting, 0 missing; with synchronous=NORMAL readings are gone."""
    settings = RigSettings(folder=tmp_path / "ours", seed=1, rate=150)
    ours = run_cuts(settings, cuts=3)
    assert ours.problems() == []
    assert ours.found.acked > 200
    weak = replace(settings, folder=tmp_path / "control", without="flush", review="none")
    assert run_cuts(weak, cuts=2).found.lost > 0
