"""Several agents on one broker: the loss of one of them, and readings a second.

Usage: ``python -m tests.benchmarks.partition --devices 2000 --agents 4 --seconds 20 --backlog 40000``.

Two parts, each on a Mosquitto of its own. In the first, one of the agents is killed under load, its standby
takes over, and the agent is started again; every reading that the broker took has to be in a published
window, no epoch of a device may have two agents, and the order of each device is kept. In the second, a
backlog waits for 1, 2 and 4 agents that start together: the time until its last reading is journaled, and
CPU time without that of the start. The exit code is 1 if something was broken.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

from tests.scaling.site import Site
from tests.support.agent_process import AgentProcess
from tests.support.broker import Broker
from tests.support.waiting import wait_for

KILLED = 1
SAVES = (
    "autosave_on_changes false\nautosave_interval 60"  # as shipped: a save takes time with each retained one
)
ROUNDS_PER_S = 0.5  # readings a second of each device


def main(argv: Sequence[str] | None = None) -> int:
    """Run both parts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--devices", type=int, default=2000)
    parser.add_argument("--agents", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--backlog", type=int, default=40_000)
    args = parser.parse_args(argv)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        if args.seconds:
            good = lose_one(Path(folder), args.devices, args.agents, args.seconds)
        for agents in (1, 2, 4) if args.backlog else ():
            print(drain(Path(folder) / f"drain-{agents}", args.devices, agents, args.backlog), flush=True)
    return 0 if good else 1


def lose_one(folder: Path, devices: int, of: int, seconds: float) -> bool:
    """Kill one agent under load; print what was found and return whether all is well."""
    broker = Broker(folder / "broker", SAVES).start()
    site = Site(folder, broker, of=of, devices=devices, name="bench")
    over = {"review": {"window": {"max_age_s": 10}}}  # five readings
    agents = [site.agent(index, over) for index in range(of)]
    standby = site.agent(KILLED % of, over, standby=True, takeover_s=5)
    try:
        with site.open() as load:
            for agent in (*agents, standby):
                agent.start()
            for agent in agents:
                agent.wait_ready()
                wait_phase(agent, "holding")
            standby.wait_ready()
            load.run(seconds, ROUNDS_PER_S)
            agents[KILLED % of].kill()
            died = time.monotonic()
            load.run(1, ROUNDS_PER_S)
            wait_phase(standby, "holding")
            gone_s = time.monotonic() - died
            load.run(seconds, ROUNDS_PER_S)
            agents[KILLED % of].start().wait_ready()
            wait_phase(agents[KILLED % of], "holding")
            load.run(seconds, ROUNDS_PER_S)
            load.settle()
            found = site.wait_covered(load, 60)
            print(
                f"{of} agents and a standby, {devices:,} devices: {found.readings:,} readings,"
                f" {found.verdicts:,} verdicts, {found.uncovered} readings lost, {found.twice} in two epochs;"
                f" epochs of a device with two agents: {found.shared_epochs}, verdicts behind a higher epoch:"
                f" {found.lower}, out of order: {found.disordered}, conflicting: {found.conflicting},"
                f" miscounted: {found.miscounted}; takeover after {gone_s:.1f} s;"
                f" verdicts by epoch: {json.dumps(dict(sorted(found.epochs.items())))}",
                flush=True,
            )
            return not found.broken
    finally:
        broker.stop()


def drain(folder: Path, devices: int, of: int, backlog: int) -> str:
    """Let a backlog wait for some agents, start them, and return how fast its readings are journaled."""
    broker = Broker(folder / "broker", SAVES).start()
    site = Site(folder, broker, of=of, devices=devices, name="bench")
    agents = [site.agent(index) for index in range(of)]
    try:
        with site.open() as load:
            start_s = []  # CPU time of a start without a backlog
            for agent in agents:
                with agent:
                    wait_phase(agent, "holding")
                    start_s.append(agent.cpu_s())
                    agent.stop()
            while sum(map(len, load.taken.values())) < backlog:
                load.round(dense=True)
                load.settle()
            began = time.monotonic()
            for agent in agents:
                agent.start()
            for agent in agents:
                agent.wait_ready()
            ready = time.monotonic()
            total = sum(map(len, load.taken.values()))
            wait_for(lambda: readings(agents) == total, 120, "the backlog is journaled", 0.3)
            wall_s = time.monotonic() - began
            cpu_s = [agent.cpu_s() - start for agent, start in zip(agents, start_s, strict=True)]
    finally:
        broker.stop()
    each_us = [round(1e6 * one / total) for one in cpu_s]
    return (
        f"{of} agents: {total:,} readings in {wall_s:.1f} s, {ready - began:.1f} s of it to start all:"
        f" {total / wall_s:,.0f}/s; CPU {sum(cpu_s):.1f} s, {sum(each_us)} us a reading in all,"
        f" {max(each_us)} us of the busiest"
    )


def readings(agents: Sequence[AgentProcess]) -> int:
    """Return the readings that the agents have journaled; one that is too busy to answer counts as none."""
    answers = [agent.get("/status.json", 20) for agent in agents]
    return sum(json.loads(body)["counters"]["readings"] for code, body in answers if code == HTTPStatus.OK)


def wait_phase(agent: AgentProcess, wanted: str) -> None:
    """Wait until an agent does something about its partition."""
    wait_for(lambda: agent.status()["partition"]["phase"] == wanted, 60, f"it is {wanted}", 0.2)


if __name__ == "__main__":
    sys.exit(main())
