"""Several agents on a real broker: a killed one is replaced by its standby."""

from pathlib import Path

import pytest

from tests.scaling.site import Found, Load, Said, Site, check, journaled
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.broker, pytest.mark.slow]

OF, KILLED = 2, 1


def phase(agent: AgentProcess) -> str:
    return str(agent.status()["partition"]["phase"])


def wait_phase(agent: AgentProcess, wanted: str) -> None:
    wait_for(lambda: phase(agent) == wanted, 30, f"it is {wanted}")


def drive(site: Site, load: Load, first: AgentProcess, standby: AgentProcess) -> Found:
    """Kill the first agent of a partition under load, let its standby take over, and start it again."""
    load.run(5, 10)
    first.kill()
    wait_phase(standby, "holding")
    load.run(5, 10)
    first.start().wait_ready()
    wait_phase(first, "holding")
    load.run(5, 10)
    load.settle()
    return site.wait_covered(load, 30)


def test_a_standby_loses_nothing(tmp_path: Path, broker: Broker) -> None:
    """Each reading is in a published window; no epoch has two agents; each device keeps its order."""
    site = Site(tmp_path, broker, of=OF, devices=24, name=tmp_path.name[-20:])
    agents = [site.agent(index) for index in range(OF)]
    standby = site.agent(KILLED, standby=True, takeover_s=1)
    with site.open() as load:
        for agent in (*agents, standby):
            agent.start()
        for agent in agents:
            agent.wait_ready()
            wait_phase(agent, "holding")
        standby.wait_ready()
        found = drive(site, load, agents[KILLED], standby)
        assert found.broken == {}
        assert set(found.epochs) == {2, 3, 4}
        others = [agent.status()["partition"]["others"] for agent in agents]
        readings = [agent.status()["counters"]["readings"] for agent in agents]
        own = {(one, at) for one in site.own(KILLED) for at in load.taken[one]}
        # Sent twice at the kill, perhaps; never lost.
        wait_for(lambda: set(journaled(standby)) >= own, 30, "the standby has read what the other published")
    for agent in (standby, agents[KILLED]):
        assert set(journaled(agent)) == own
    assert min(*others, *readings) > 0


def test_the_check_can_fail(tmp_path: Path, broker: Broker) -> None:
    """The control: two agents of one partition without epochs publish at once."""
    site = Site(tmp_path, broker, of=1, devices=6, name=tmp_path.name[-20:])
    base = f"edge-agent/{site.name}-0"
    both = [
        site.agent(0, {"partition": None, "agent": {"id": name}, "mqtt": {"base_topic": base}})
        for name in (f"{site.name}-a", f"{site.name}-b")
    ]
    for agent in both:
        agent.settings["agent"]["state_dir"] = str(agent.folder / agent.settings["agent"]["id"])
        agent.config_path = agent.folder / f"{agent.settings['agent']['id']}.yaml"
        agent.argv[-1] = str(agent.config_path)
        agent.log = agent.folder / f"{agent.settings['agent']['id']}.log"
    with site.open() as load:
        for agent in both:
            agent.start()
        for agent in both:
            agent.wait_ready()
        load.run(4, 10)
        load.settle()
        found = site.wait_covered(load, 10)
    assert {"shared_epochs", "disordered"} <= found.broken.keys()


def said(start: int, end: int, epoch: int = 2, agent: str = "a", count: int = 2, name: str = "") -> Said:
    return Said("d", name or f"{start}-{end}-{epoch}", name, agent, epoch, start, end, count)


@pytest.mark.parametrize(
    ("verdicts", "broken"),
    [
        ([said(0, 10), said(20, 30)], {}),
        ([said(0, 10), said(0, 10), said(20, 30)], {}),  # a repeat
        ([said(0, 10), said(0, 30, 3, "b", 4)], {}),  # a takeover
        ([said(0, 10)], {"uncovered": 2}),
        ([said(0, 10), said(20, 30, 2, "b")], {"shared_epochs": 1}),
        ([said(0, 10, 3), said(20, 30, 2, "b")], {"lower": 1}),
        ([said(20, 30), said(0, 10)], {"disordered": 1}),
        ([said(0, 10), said(20, 30, count=3)], {"miscounted": 1}),
    ],
)
def test_the_checker_names_what_is_wrong(verdicts: list[Said], broken: dict[str, int]) -> None:
    """Lost readings, two publishers, wrong order and wrong counts."""
    assert check({"d": [0, 10, 20, 30]}, verdicts).broken == broken
