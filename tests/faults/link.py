"""Misbehave between agent and broker: ``python -m tests.faults.link --seed 1``.

The proxy resets, slices to 7 bytes, freezes, half-closes or delays, as the seed decides. After each fault the
agent has time to come back; nothing may be lost, and no verdict id may have two contents.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.faults.bound import ROUND_TRIP_S, most_duplicates
from tests.faults.checker import Findings, check
from tests.faults.rig import Rig, RigSettings
from tests.support.agent_process import AgentProcess
from tests.support.proxy import Proxy
from tests.support.waiting import wait_for

HELD_S = (0.2, 1.5)
CALM_S = (0.1, 0.8)
RECONNECT_S = 60.0  # the agent waits 1 to 30 s between attempts
SETTLE_S = 90.0
MIN_CONNECTIONS = 2
IN_FLIGHT = 5  # messages without an acknowledgement
IN_FLIGHT_S = 0.3  # of messages that the agent has not seen
CONTROL_FAULTS = 3


@dataclass(slots=True)
class LinkRun:
    """The faults and their effects."""

    faults: Counter[str] = field(default_factory=Counter)
    rate: float = 0.0
    connections: int = 0
    redelivered: int = 0  # messages that the broker sent again
    silences: int = 0  # the agent took the faults for a second client with its id
    settled: bool = False
    exit_code: int = 0
    seconds: float = 0.0
    found: Findings = field(default_factory=Findings)

    def problems(self) -> list[str]:
        """Name everything that must not be."""
        out = self.found.broken()
        if self.found.duplicated > self.bound:
            out.append(f"duplicated {self.found.duplicated}, the bound is {self.bound}")
        if self.connections < MIN_CONNECTIONS:
            out.append("no connection broke: this run could not have lost anything")
        if not self.redelivered:
            out.append("nothing was sent again: this run could not have lost anything")
        if not self.settled:
            out.append("the agent was not done in time")
        return [*out, f"SIGTERM ended in exit code {self.exit_code}"] if self.exit_code else out

    @property
    def bound(self) -> int:
        """The most messages that may be there twice."""
        losses = self.connections - 1  # the last one ends with DISCONNECT
        return most_duplicates(losses=losses, rate=self.rate, held_s=HELD_S[1] + ROUND_TRIP_S)


def run_faults(
    settings: RigSettings, *, faults: int, limit_s: float = float("inf"), in_flight: int = IN_FLIGHT
) -> LinkRun:
    """Do ``faults`` seeded faults under load, as many as fit into ``limit_s``, and check what is left.

    The first is a reset with so many messages in flight, whatever the seed.
    """
    rng = random.Random(settings.seed)
    run = LinkRun(rate=settings.rate)
    rig = Rig(settings)
    agent = rig.agent
    assert isinstance(agent, AgentProcess)
    begun = time.monotonic()
    with Proxy(rig.broker.port, seed=settings.seed) as proxy:
        agent.settings["mqtt"]["url"] = f"mqtt://127.0.0.1:{proxy.port}"
        with rig:
            with rig.load:
                _reset(proxy, run, in_flight)
                _come_back(agent, run)
                while run.faults.total() < faults and time.monotonic() - begun < limit_s:
                    time.sleep(rng.uniform(*CALM_S))
                    run.faults[proxy.misbehave().partition("/")[0]] += 1
                    time.sleep(rng.uniform(*HELD_S))
                    proxy.calm()
                    _come_back(agent, run)
                run.settled = rig.settle(SETTLE_S)
            run.exit_code, _ = rig.stop_agent()
        run.connections, run.redelivered = proxy.connections, proxy.redelivered
    run.seconds = time.monotonic() - begun
    run.found = check(rig.evidence())
    return run


def _reset(proxy: Proxy, run: LinkRun, in_flight: int) -> None:
    """Reset the link while the broker waits for acknowledgements, so that it must send again."""
    wait_for(lambda: proxy.unacknowledged >= in_flight, RECONNECT_S, "messages in flight", 0.002)
    proxy.reset_in_flight(IN_FLIGHT_S)
    run.faults["reset"] += 1


def _come_back(agent: AgentProcess, run: LinkRun) -> None:
    """Wait until the agent is ready; end its silence, if it fell silent, by a restart."""

    def is_back() -> bool:
        return agent.is_ready() or _silences(agent) > run.silences

    wait_for(is_back, RECONNECT_S, "the agent is ready, or silent")
    if (silences := _silences(agent)) > run.silences:
        run.silences = silences
        agent.stop()
        agent.start().wait_ready()


def _silences(agent: AgentProcess) -> int:
    return len(agent.events("mqtt_client_id_contested"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.link", description=__doc__)
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--limit", type=float, default=float("inf"), help="begin no fault after so many s")
    parser.add_argument("--rate", type=float, default=200.0, help="messages/s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep everything here; default: a temporary folder")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="edge-link-") as temporary:
        folder = args.folder or Path(temporary)
        settings = RigSettings(folder=folder / "ours", seed=args.seed, rate=args.rate)
        run = run_faults(settings, faults=args.faults, limit_s=args.limit)
        weak = replace(settings, folder=folder / "control", without="redelivery")
        control = run_faults(weak, faults=CONTROL_FAULTS)
    found, problems = run.found, run.problems()
    if not control.found.lost:
        problems.append("the control lost nothing: this harness could not have seen a loss")
    print(f"{run.faults.total()} faults in {run.seconds:.0f} s: {dict(run.faults)}")
    print(f"{run.connections} connections, {run.silences} silences, {run.redelivered} messages sent again")
    print(
        f"acknowledged {found.acked}, lost {found.lost}, duplicated {found.duplicated} (bound {run.bound}), "
        f"verdicts {found.verdicts}, sent again {found.repeats}, conflicting {found.conflicting}, "
        f"missing {found.missing}"
    )
    print(f"control, which takes every repeat for journaled: lost {control.found.lost}")
    for text in problems:
        print(f"NOT KEPT: {text}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
