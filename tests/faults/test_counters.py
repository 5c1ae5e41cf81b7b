"""Within one process life the counters equal the journal (I7)."""

import time
from pathlib import Path

import pytest

from simulator import scrape
from tests.faults.checker import check
from tests.faults.rig import Rig, RigSettings
from tests.support.agent_process import AgentProcess

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]


def test_counters_equal_rows(tmp_path: Path) -> None:
    """Readings, quarantined messages, windows and verdicts are counted as they are journaled."""
    with Rig(RigSettings(folder=tmp_path, rate=200, review="none")) as rig:
        with rig.load:
            time.sleep(3)
            assert rig.settle(60)
        assert isinstance(rig.agent, AgentProcess)
        counted = scrape.metrics(f"http://127.0.0.1:{rig.agent.port}")
        rig.stop_agent()
    found = check(rig.evidence())
    assert found.broken() == []
    assert found.duplicated == 0
    assert counted is not None
    assert found.quarantined > 0
    expected = {
        "edge_readings_total": found.readings,
        "edge_quarantined_total": found.quarantined,
        "edge_windows_total": found.windows,
        "ai_verdicts_total": found.verdicts,
    }
    assert {name: int(counted.total(name)) for name in expected} == expected
