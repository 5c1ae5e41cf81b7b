"""The broker stops, starts, or is absent: the agent waits, reports, loses nothing."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.broker import FORGETFUL, OWED, SAVING, SLOW_COMMITS, run_broker_kills
from tests.faults.checker import check
from tests.faults.rig import Rig, RigSettings
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

ABSENT_S = 4.0
RECONNECT_S = 60.0  # the agent waits 1 to 30 s between attempts


def test_a_broker_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    """Absent at start: the agent lives, is not ready and reports why; with the broker it is ready."""
    broker = Broker(tmp_path / "broker")
    agent = AgentProcess(tmp_path / "agent", broker_url=broker.url)
    agent.start()
    try:
        wait_for(lambda: agent.get("/healthz")[0] == 200, 20, "the agent is alive without a broker")
        time.sleep(ABSENT_S)
        code, body = agent.get("/readyz")
        assert code == 503
        assert "broker" in body.lower()
        assert agent.running
        broker.start()
        agent.wait_ready(RECONNECT_S)
        assert agent.stop() == 0
    finally:
        agent.kill()
        broker.stop()
    assert "Traceback" not in agent.text()


def test_a_broker_that_restarts_loses_nothing(tmp_path: Path) -> None:
    """Stopped and started twice under load: every acknowledged reading gets its one verdict."""
    with Rig(RigSettings(folder=tmp_path, rate=100, review="none")) as rig:
        with rig.load:
            for _ in range(2):
                time.sleep(2)
                rig.broker.stop()
                wait_for(lambda: not _is_ready(rig), 20, "the agent says that the broker is gone")
                time.sleep(0.5)
                rig.broker.start()
                rig.wait_ready(RECONNECT_S)
            time.sleep(1)
            assert rig.settle(60)
        code, stop_s = rig.stop_agent()
    found = check(rig.evidence())
    assert found.broken() == []
    assert found.acked > 300
    assert (code, stop_s < 10) == (0, True)


def test_a_broker_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """SIGKILL of Mosquitto under load, the agent there or absent: 0 lost; both controls lose."""
    settings = RigSettings(folder=tmp_path / "ours", rate=100, review="none", broker_extra=SAVING)
    ours = run_broker_kills(settings, kills=2)
    assert ours.problems() == []
    assert ours.found.acked > 100
    forgetful = replace(settings, folder=tmp_path / "forgetful", broker_extra=FORGETFUL)
    assert run_broker_kills(forgetful, kills=1).counts[OWED] != 0
    weak = replace(settings, folder=tmp_path / "weak", without="late-acks", overrides=SLOW_COMMITS)
    assert run_broker_kills(weak, kills=1).found.lost > 0


def _is_ready(rig: Rig) -> bool:
    assert isinstance(rig.agent, AgentProcess)
    return rig.agent.is_ready()
