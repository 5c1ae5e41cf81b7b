"""A link that misbehaves, and a client id of two agents: no loss, no storm."""

from pathlib import Path

import pytest

from tests.faults.link import run_faults
from tests.faults.rig import RigSettings
from tests.faults.takeover import MAX_CONNECTS, count_connects
from tests.support.broker import Broker

pytestmark = [pytest.mark.broker, pytest.mark.process, pytest.mark.slow]


def test_six_faults_of_the_link_lose_nothing(tmp_path: Path) -> None:
    """Reset, sliced, frozen, half-closed under load: 0 lost, 0 ids with two contents, duplicates bounded."""
    run = run_faults(RigSettings(folder=tmp_path, seed=1, rate=200), faults=6)
    assert run.problems() == []
    assert run.faults.total() == 6
    assert run.found.acked > 300
    assert run.connections > 1
    assert run.redelivered > 0


def test_an_agent_that_drops_what_is_sent_again_loses_some(tmp_path: Path) -> None:
    """The control: the same faults of the link, and every message with DUP=1 taken for a journaled one."""
    settings = RigSettings(folder=tmp_path, seed=1, rate=200, review="none", without="redelivery")
    run = run_faults(settings, faults=1)
    assert run.redelivered > 0
    assert run.found.lost > 0


def test_an_agent_that_forgets_its_messages_passes_the_bound_on_duplicates(tmp_path: Path) -> None:
    """The control of the bound: a reset with 450 journaled messages that were never acknowledged."""
    settings = RigSettings(folder=tmp_path, seed=1, rate=100, review="none", without="memory")
    run = run_faults(settings, faults=1, in_flight=450)
    assert run.found.duplicated > run.bound


def test_two_agents_with_one_client_id_make_no_storm(tmp_path: Path, broker: Broker) -> None:
    """Neither connects more than 6 times; the whole minute is ``python -m tests.faults.takeover``."""
    connects, _ = count_connects(tmp_path, broker.url, seconds=12)
    assert max(connects) <= MAX_CONNECTS
    assert min(connects) >= 1
