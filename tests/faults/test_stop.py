"""The end of the process: SIGTERM under load, a journal in use, a wrong file."""

import time
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.rig import Rig, RigSettings
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker, free_port
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]

LIMIT_S = 10.0  # 9 s are promised; a call in flight would last for 60 s


def test_sigterm_under_load_ends_in_time_and_loses_nothing(tmp_path: Path) -> None:
    """SIGTERM with messages and AI calls in flight: exit 0 in time, the rest comes after a restart."""
    slow = {"late": 1.0}
    ai = {"ai": {"deadline_s": 60}}
    with Rig(RigSettings(folder=tmp_path, trouble=slow, overrides=ai)) as rig:
        rig.model.late_s = 60
        with rig.load:
            wait_for(lambda: rig.model.counts.total() > 0, 20, "an AI call is in flight")
            ends = [rig.stop_agent()]
            rig.model.trouble = {}
            rig.agent.start()
            rig.wait_ready()
            time.sleep(1)
            ends.append(rig.stop_agent())
            rig.agent.start()
            rig.wait_ready()
            assert rig.settle(90)
        ends.append(rig.stop_agent())
    found = check(rig.evidence())
    assert found.broken() == []
    assert [code for code, _ in ends] == [0, 0, 0]
    assert max(stop_s for _, stop_s in ends) < LIMIT_S
    assert found.acked > 300


def test_sigterm_without_a_broker_ends_in_time(tmp_path: Path) -> None:
    """SIGTERM while the broker is away: exit 0 in time."""
    agent = AgentProcess(tmp_path, broker_url=f"mqtt://127.0.0.1:{free_port()}").start()
    try:
        wait_for(lambda: agent.get("/healthz")[0] == 200, 20, "the agent is alive")
        begun = time.monotonic()
        assert agent.stop() == 0
        assert time.monotonic() - begun < LIMIT_S
    finally:
        agent.kill()


def test_a_second_agent_on_one_journal_exits_69(tmp_path: Path, broker: Broker) -> None:
    """The second reports in one line which directory is taken, and the first is not disturbed."""
    with AgentProcess(tmp_path / "first", broker_url=broker.url) as first:
        second = AgentProcess(
            tmp_path / "second",
            broker_url=broker.url,
            settings={"agent": {"id": "gw2", "state_dir": str(first.state_dir)}},
        ).start()
        assert second.wait(20) == 69
        complaints = [line for line in second.text().splitlines() if not line.startswith("{")]
        assert len(complaints) == 1
        assert str(first.state_dir) in complaints[0]
        assert first.is_ready()
        assert first.stop() == 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"review": {"widow": {}}}, "review.widow"),
        ({"mqtt": {"url": "http://example"}}, "mqtt.url"),
        ({"sources": [{"topic": "a/#/b"}]}, "sources[0].topic"),
    ],
)
def test_a_wrong_configuration_exits_2_with_one_line(
    tmp_path: Path, settings: dict[str, object], named: str
) -> None:
    """The line names the key; nothing is started, no journal is made."""
    agent = AgentProcess(tmp_path, broker_url="mqtt://127.0.0.1:1", settings=settings).start()
    assert agent.wait(20) == 2
    lines = agent.text().splitlines()
    assert len(lines) == 1
    assert named in lines[0]
    assert not agent.journal.exists()


def test_a_missing_configuration_exits_2_with_one_line(tmp_path: Path) -> None:
    """The line names the file."""
    agent = AgentProcess(tmp_path, broker_url="mqtt://127.0.0.1:1")
    agent.argv[-1] = str(tmp_path / "nowhere.yaml")
    assert agent.start().wait(20) == 2
    assert agent.text().count("\n") == 1
    assert "nowhere.yaml" in agent.text()
