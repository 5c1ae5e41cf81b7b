"""A run with AI client and backlog under a memory limit, 160 MiB as in the unit.

    sudo .venv/bin/python -m tests.deployment.memory [--limit 160] [--messages 60000] [--traces grpc]

Makes a memory control group of its own (cgroup v2, or v1) and takes it away again; needs root. The control is
the same agent under 30 MiB, which the kernel must end. Exit codes: 0 the agent stayed alive and lost nothing,
1 it did not, or the control lived; 69 no control group can be made here.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.model import ModelEndpoint
from tests.benchmarks.backlog import LIMITS, PATTERN, backlog, queue
from tests.benchmarks.drain import last_seq, wait_idle
from tests.faults.rig import QUIET_BROKER
from tests.support.agent_process import AgentProcess, ChildError
from tests.support.broker import Broker
from tests.support.waiting import wait_for

MIB = 2**20
CONTROL_MIB = 30


@dataclass(frozen=True, slots=True)
class Group:
    """One memory control group and the names of its files, which differ between the two versions."""

    path: Path
    limit: str
    peak: str

    def figure(self, name: str) -> int:
        """Return the number in a file of the group."""
        return int((self.path / name).read_text())

    def kills(self) -> int:
        """Return how often the kernel ended a process of the group because of missing memory."""
        for name in ("memory.events", "memory.oom_control"):
            if (self.path / name).exists():
                pairs = dict(line.split() for line in (self.path / name).read_text().splitlines())
                return int(pairs.get("oom_kill", 0))
        return 0


@contextmanager
def group(limit_mib: int) -> Iterator[Group]:
    """Make a control group with a limit, and take it away.

    Raises:
        OSError: there is none to be had.
    """
    name = f"edge-agent-test-{os.getpid()}"
    root = Path("/sys/fs/cgroup")
    if (root / "memory").is_dir():
        made = Group(root / "memory" / name, "memory.limit_in_bytes", "memory.max_usage_in_bytes")
    else:
        (root / "cgroup.subtree_control").write_text("+memory")
        made = Group(root / name, "memory.max", "memory.peak")
    made.path.mkdir()
    try:
        (made.path / made.limit).write_text(str(limit_mib * MIB))
        yield made
    finally:
        wait_for(lambda: not (made.path / "cgroup.procs").read_text(), 10, "the group is empty")
        made.path.rmdir()


class LimitedAgent(AgentProcess):
    """An agent that starts inside a control group, so that all its memory counts."""

    def __init__(self, folder: Path, made: Group, *, broker_url: str, settings: dict[str, Any]) -> None:
        super().__init__(folder, broker_url=broker_url, settings=settings)
        self.argv = ["/bin/sh", "-c", f'echo $$ >{made.path}/cgroup.procs && exec "$0" "$@"', *self.argv]


def settings(model: ModelEndpoint, traces: str) -> dict[str, Any]:
    """Return what loads most: the model, limits that are broken, and traces that nobody takes."""
    told: dict[str, Any] = {
        "agent": {"id": "memory"},
        "sources": [{"topic": PATTERN}],
        "limits": LIMITS,
        "review": {"mode": "suspicious", "window": {"max_age_s": 60, "max_readings": 60, "settle_s": 5}},
        "ai": {"base_url": model.url, "model": "bench", "prices": {"bench": {"input": 0, "output": 0}}},
    }
    if traces != "none":
        told["traces"] = {"endpoint": "http://127.0.0.1:9", "protocol": traces}
    return told


def run(folder: Path, *, limit_mib: int, messages: int, traces: str) -> tuple[str, bool]:
    """Let the agent drain a backlog under the limit; return a line and whether it lived and has it all."""
    broker = Broker(folder / "broker", QUIET_BROKER).start()
    try:
        with ModelEndpoint() as model, group(limit_mib) as made:
            agent = LimitedAgent(
                folder / "agent", made, broker_url=broker.url, settings=settings(model, traces)
            )
            try:
                with agent:
                    agent.stop()
                queue(broker.port, backlog(messages, 300))
                with agent:
                    wait_idle(agent, 300, done=lambda: last_seq(agent.journal) >= messages)
                    used = made.figure(made.peak) / MIB
                    line = (
                        f"{messages} messages, 300 series, {model.director.calls} AI calls, traces {traces}: "
                        f"peak RSS {agent.peak_rss_mib():.0f} MiB; with page cache {used:.0f} of {limit_mib} "
                        f"MiB; {made.kills()} kills"
                    )
                    return line, made.kills() == 0
            except ChildError:
                return f"ended by the kernel at {limit_mib} MiB: {made.kills()} kills", False
            finally:
                agent.kill()
    finally:
        broker.stop()


def main() -> int:
    """Run under the limit, then the control."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, default=160, metavar="MIB")
    parser.add_argument("--messages", type=int, default=60_000)
    parser.add_argument("--traces", choices=("none", "http", "grpc"), default="none")
    args = parser.parse_args()
    try:
        with group(args.limit):
            pass
    except OSError as error:
        print(f"memory: no control group can be made here: {error}", file=sys.stderr)
        return 69
    with tempfile.TemporaryDirectory() as folder:
        line, good = run(
            Path(folder) / "run", limit_mib=args.limit, messages=args.messages, traces=args.traces
        )
        print(line, flush=True)
        control, lived = run(Path(folder) / "control", limit_mib=CONTROL_MIB, messages=1000, traces="none")
        print(f"control: {control}")
    return int(not good or lived)


if __name__ == "__main__":
    sys.exit(main())
