"""CPU per message of each stage, on one thread and without a broker.

Usage: ``python -m tests.benchmarks.stages [--json] [--profile journal]``.

The agent is built as always, but its threads are not started: groups of 256 messages go through a turn of the
journal and then through the analyst, each timed by the CPU of this thread. So a change of some tenths of a
microsecond shows, which threads that wait for each other hide. The figure of a stage is the lowest of ten
parts of the run, which other load disturbs least.
"""

import argparse
import asyncio
import cProfile
import pstats
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from agent.app.build import Agent, build
from agent.app.memory import settle
from agent.config.load import load
from agent.domain.records import Arrival, LinkUp
from agent.observe.logs import LogWriter
from tests.benchmarks.backlog import LIMITS, PATTERN, backlog

STAGES = ("journal", "analyst")
GROUP = 256  # messages in a transaction, at most
PARTS = 10
RING = 65_535  # packet ids


class Bench:
    """One agent, driven by hand."""

    def __init__(self, folder: Path, *, profiled: str | None = None) -> None:
        path = folder / "agent.yaml"
        path.write_text(
            yaml.safe_dump(
                {
                    "agent": {"id": "stages", "state_dir": str(folder / "state")},
                    "mqtt": {"url": "mqtt://127.0.0.1:1"},
                    "web": {"listen": "127.0.0.1:0"},
                    "sources": [{"topic": PATTERN}],
                    "limits": LIMITS,
                    "review": {"mode": "none"},
                }
            )
        )
        self._loop = asyncio.new_event_loop()
        self._agent = self._build(path)
        self._loop.run_until_complete(self._agent.pipeline.restore(self._agent.journal.recovered))
        settle()
        self._profiled = profiled
        self._spent = dict.fromkeys(STAGES, 0.0)
        self.profile = cProfile.Profile()
        self._offer(LinkUp(1, session_present=False, protocol="5", mono=time.monotonic()))

    def _build(self, path: Path) -> Agent:
        def fail(error: BaseException) -> None:
            raise error

        return build(load(path, {}), logs=LogWriter(level="error"), loop=self._loop, fail=fail)

    def take(self, arrivals: Sequence[Arrival]) -> dict[str, float]:
        """Take messages in groups; return the CPU seconds of each stage."""
        self._spent = dict.fromkeys(STAGES, 0.0)
        for at in range(0, len(arrivals), GROUP):
            self._offer(*arrivals[at : at + GROUP])
            self._turn()
            while self._agent.journal.inbox.jobs:
                self._turn()
        return self._spent

    def _offer(self, *items: Arrival | LinkUp) -> None:
        if self._agent.journal.inbox.offer(items) < len(items):
            raise AssertionError("the inbox is full")

    def _turn(self) -> None:
        self._time("journal", self._agent.journal._writer.turn)  # its thread is not started
        self._time("analyst", lambda: self._loop.run_until_complete(self._consume()))

    async def _consume(self) -> None:
        for _ in range(3):  # what was handed over, and what it asks for
            await asyncio.sleep(0)
        while self._agent.pipeline.busy:  # noqa: ASYNC110 - its turns are all that there is to wait for
            await asyncio.sleep(0)

    def _time(self, stage: str, work: Callable[[], object]) -> None:
        if stage == self._profiled:
            self.profile.enable()
        begun = time.thread_time()
        work()
        self._spent[stage] += time.thread_time() - begun
        self.profile.disable()

    def close(self) -> None:
        """Close the journal."""
        self._agent.journal.stop(1.0)


def arrivals(count: int, series: int, *, json: bool) -> list[Arrival]:
    """Return the backlog of the benchmarks as it comes from the wire."""
    return [
        Arrival(
            generation=1,
            mid=number % RING + 1,
            qos=1,
            dup=False,
            retain=False,
            topic=topic,
            payload=b'{"value":%s,"unit":"x"}' % payload if json else payload,
            received=time.time(),
            mono=time.monotonic(),
        )
        for number, (topic, payload) in enumerate(backlog(count, series))
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.stages", description=__doc__)
    parser.add_argument("--messages", type=int, default=60_000)
    parser.add_argument("--series", type=int, default=300)
    parser.add_argument("--json", action="store_true", help="payloads with value and unit, not bare numbers")
    parser.add_argument("--profile", choices=STAGES, help="show where the time of a stage goes")
    args = parser.parse_args(argv)
    with TemporaryDirectory(prefix="edge-stages-") as folder:
        bench = Bench(Path(folder), profiled=args.profile)
        size = args.messages // PARTS
        parts = []
        for part in range(PARTS + 1):
            made = arrivals(size * (part + 1), args.series, json=args.json)[-size:]
            parts.append(bench.take(made))
        bench.close()
    cost = {stage: min(part[stage] for part in parts[1:]) / size * 1e6 for stage in STAGES}
    each = "  ".join(f"{stage} {us:.2f}" for stage, us in cost.items())
    print(f"us of CPU per message: {each}  sum {sum(cost.values()):.2f}")
    if args.profile:
        pstats.Stats(bench.profile).sort_stats("tottime").print_stats(50)
    return 0


if __name__ == "__main__":
    sys.exit(main())
