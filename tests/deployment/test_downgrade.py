"""An agent older than its journal: one clear line, exit 69, and nothing touched."""

import hashlib
import sqlite3
from pathlib import Path

import pytest

from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker

pytestmark = [pytest.mark.process, pytest.mark.slow]


def test_an_older_agent_refuses_a_newer_journal(broker: Broker, tmp_path: Path) -> None:
    """Which is what a rollback over a change of schema leads to; with the newer agent all goes on."""
    agent = AgentProcess(tmp_path / "agent", broker_url=broker.url, settings={"agent": {"id": "downgrade"}})
    with agent:
        assert agent.stop() == 0
    connection = sqlite3.connect(agent.journal)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version={version + 1}")
    connection.close()
    before = hashlib.sha256(agent.journal.read_bytes()).digest()
    written = len(agent.text())
    assert agent.start().wait(20) == 69
    said = [line for line in agent.text()[written:].splitlines() if line.startswith("edge-agent: ")]
    assert len(said) == 1
    assert "nothing was touched. Install the newer agent" in said[0]
    assert hashlib.sha256(agent.journal.read_bytes()).digest() == before
    connection = sqlite3.connect(agent.journal)
    connection.execute(f"PRAGMA user_version={version}")
    connection.close()
    with agent:
        assert agent.stop() == 0
