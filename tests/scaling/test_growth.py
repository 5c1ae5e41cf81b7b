"""From one agent to two with copies of its state, and the rights of a pair."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from agent.decode.partition import partition_of
from agent.testing.failpoint import MARKER, VARIABLE
from tests.commands.kit import ask
from tests.commands.shipped import USERS, ShippedBroker, User
from tests.mqtt.link_harness import peer, send
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.process, pytest.mark.broker]

SOON_S = 15.0
DEVICES = [f"d{number}" for number in range(8)]
READINGS = 15


def devices(agent: AgentProcess) -> dict[str, Any]:
    return {view["id"]: view for view in agent.status()["devices"]}


def test_copies_of_a_state_know_what_was_learnt(
    tmp_path: Path, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each keeps its own devices with all that was learnt of them, and forgets the others without a word."""
    name = tmp_path.name
    settings = {
        "agent": {"id": name},
        "sources": [{"topic": f"{name}/{{device}}"}],
        "review": {"window": {"max_age_s": 1}},
    }
    old = AgentProcess(tmp_path / "old", broker_url=broker.url, settings=settings)
    with peer(broker.port, f"edge-agent/{name}-0/#", f"edge-agent/{name}-1/#") as client:
        with old:
            for device in DEVICES:
                send(client, f"{name}/{device}", *[b"%d" % (20 + value % 3) for value in range(READINGS)])

            def learning() -> dict[str, Any]:
                return {one: view["metrics"][0]["learning"] for one, view in devices(old).items()}

            wait_for(
                lambda: [one["seen"] for one in learning().values()] == [READINGS] * len(DEVICES),
                SOON_S,
                "all are learnt",
            )
            learnt = learning()
            assert old.stop() == 0
        agents = []
        for index in range(2):
            over = settings | {"partition": {"index": index, "of": 2}}
            agents.append(AgentProcess(tmp_path / str(index), broker_url=broker.url, settings=over))
            shutil.copytree(old.state_dir, agents[index].state_dir)
        with agents[0], agents[1]:
            for index, agent in enumerate(agents):
                own = {one for one in DEVICES if partition_of(one, 2) == index}
                wait_for(lambda agent=agent, own=own: set(devices(agent)) == own, SOON_S, "others are gone")  # type: ignore[misc]
                assert {one: view["metrics"][0]["learning"] for one, view in devices(agent).items()} == {
                    one: learnt[one] for one in own
                }
            foreign = next(one for one in DEVICES if partition_of(one, 2) == 1)
            config = str(agents[0].config_path)
            code, out, err = ask(capsys, "device", "forget", foreign, "--config", config)
            assert code != 0
            assert "it is of partition 1 of 2: ask that agent" in out + err
            for device in DEVICES:
                send(client, f"{name}/{device}", b"21")
            heard = client.heard  # type: ignore[attr-defined]

            def said() -> set[tuple[str, str]]:
                verdicts = [one for one in list(heard) if "/verdicts/" in one.topic and one.payload]
                bodies = [json.loads(one.payload) for one in verdicts]
                return {(one["agent"], one["device"]) for one in bodies if one["window"]["readings"]}

            wanted = {(f"{name}-{partition_of(one, 2)}", one) for one in DEVICES}
            wait_for(lambda: said() >= wanted, SOON_S, "each device has a verdict")
            assert said() == wanted


def test_a_kill_between_disk_and_claim(tmp_path: Path, broker: Broker) -> None:
    """The standby dies when its epoch is on disk; the next process claims the same one, alone."""
    name = tmp_path.name
    over = {"agent": {"id": name}}
    first = AgentProcess(tmp_path / "first", broker_url=broker.url, settings=over | {"partition": {}})
    standby = AgentProcess(
        tmp_path / "standby",
        broker_url=broker.url,
        settings=over | {"partition": {"standby": True, "takeover_s": 1}},
        environ={VARIABLE: "epoch_stored:2"},  # the first time it learns that of the other
    )
    standby.state_dir.mkdir(parents=True, mode=0o700)
    (standby.state_dir / MARKER).touch()
    with first, standby, peer(broker.port, f"edge-agent/{name}-0/epoch") as client:
        wait_for(lambda: standby.status()["partition"]["highest_epoch"] == 2, SOON_S, "it has read the claim")
        first.kill()
        wait_for(lambda: standby.code == -signal.SIGKILL, SOON_S, "the standby has died")
        heard = client.heard  # type: ignore[attr-defined]
        assert not any(json.loads(one.payload)["epoch"] == 3 for one in list(heard))
        standby.environ.clear()
        standby.start().wait_ready()
        wait_for(lambda: standby.status()["partition"]["epoch"] == 3, SOON_S, "it holds the partition")

        def claims() -> set[tuple[int, str]]:
            found = [json.loads(one.payload) for one in list(heard)]
            return {(one["epoch"], one["agent"]) for one in found}

        wait_for(lambda: len(claims()) >= 2, SOON_S, "its claim is there")
        assert claims() == {(2, f"{name}-0"), (3, f"{name}-0-standby")}


def test_the_shipped_rights_are_enough_for_a_pair(tmp_path: Path) -> None:
    """The first holds the partition, its standby takes over, and no other login can claim it."""
    pair = ("agent-gw1-0", "agent-gw1-0-standby")
    broker = ShippedBroker(tmp_path / "broker", users=(*USERS, *pair))
    broker.start()
    agents = []
    for user in pair:
        agent = AgentProcess(tmp_path / user, broker_url=broker.url)
        (agent.folder / "password").write_text(user)
        (agent.folder / "password").chmod(0o600)
        agent.settings |= {
            "agent": {"id": "gw1", "state_dir": str(agent.folder / "state")},
            "partition": {"standby": user.endswith("standby"), "takeover_s": 1},
            "sources": [{"topic": "sensors/{device}/{metric}"}],
        }
        agent.settings["mqtt"] |= {"username": user, "password_file": "password"}
        agents.append(agent)
    first, standby = agents
    try:
        with standby, first:
            wait_for(lambda: first.status()["partition"]["phase"] == "holding", SOON_S, "the first holds")
            wait_for(
                lambda: standby.status()["partition"]["phase"] == "following", SOON_S, "the standby follows"
            )
            with User(broker, "dashboard") as viewer, User(broker, "th1") as device:
                for login in (viewer, device):
                    assert login.publish("edge-agent/gw1-0/epoch") == 0x87
            first.kill()
            wait_for(lambda: standby.status()["partition"]["phase"] == "holding", SOON_S, "the standby holds")
            wait_for(
                lambda: any("in place of gw1-0" in one for one in standby.status()["problems"]),
                SOON_S,
                "its status names the first",
            )
            first.start()
    finally:
        broker.stop()
