"""One backlog drained three times.

Usage: ``python -m tests.benchmarks.drain --messages 60000 --series 300``.

Bare paho, our agent without AI and our agent with it each have a persistent session; one backlog is queued
for all three, then each drains it alone, in a process of its own. CPU is what the process used from its start
until it is idle again, less what the same process uses to start with nothing queued (with AI: and to make its
first call, which loads openai). Wall time is from the first reading to the last activity.
"""

import argparse
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from simulator import scrape
from simulator.model import ModelEndpoint
from tests.benchmarks.backlog import LIMITS, PATTERN, backlog, queue
from tests.faults.rig import QUIET_BROKER
from tests.support.agent_process import AgentProcess, Child
from tests.support.broker import Broker
from tests.support.waiting import wait_for

STEP_S = 0.05
IDLE_S = 1.0
IDLE_SHARE = 0.06  # of one core
DRAIN_LIMIT_S = 300.0
OPENAI_FILES = ("/jiter/",)  # the extension module that only openai needs
GRPC_FILES = ("/grpc/",)


@dataclass(frozen=True, slots=True)
class Start:
    """The resources of a process at a start with nothing queued."""

    cpu_s: float
    rss_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """How one process drained the backlog."""

    name: str
    messages: int
    start: Start
    cpu_s: float  # start included
    wall_s: float  # from the first reading to the last activity
    peak_rss_mib: float
    openai: bool = False
    grpc: bool = False
    note: str = ""

    @property
    def us_per_reading(self) -> float:
        """CPU time per reading without the start, us."""
        return (self.cpu_s - self.start.cpu_s) / self.messages * 1e6


@dataclass(frozen=True, slots=True)
class Work:
    """The resources of a process until it came to rest, and when it worked (monotonic)."""

    cpu_s: float
    begun: float
    ended: float


def wait_idle(
    child: Child,
    limit_s: float,
    *,
    begun: Callable[[], bool] = lambda: True,
    done: Callable[[], bool] = lambda: True,
) -> Work:
    """Wait until ``done`` holds and the process has used next to no CPU for a second."""
    first = 0.0
    cpu_s = mark_s = child.cpu_s()
    ended = mark = time.monotonic()
    deadline = mark + limit_s
    while time.monotonic() < deadline:
        time.sleep(STEP_S)
        if not child.running:
            break
        now_s, now = child.cpu_s(), time.monotonic()
        if not first and begun():
            first = now
        if now_s - mark_s > IDLE_SHARE * max(now - mark, IDLE_S / 4):
            cpu_s, ended = now_s, now
            mark_s, mark = now_s, now
        elif now - mark >= IDLE_S:
            if done():
                return Work(cpu_s, first, ended)
            mark_s, mark = child.cpu_s(), time.monotonic()
    raise AssertionError(f"not drained and idle within {limit_s:g} s; its log ends:\n{child.tail()}")


def measure_start(child: Child) -> Start:
    """Wait until a process that was just started rests; return what it has used."""
    return Start(wait_idle(child, 60).cpu_s, child.rss_mib())


class Bare:
    """Bare paho."""

    name = "bare paho"

    def __init__(self, *, broker: Broker, folder: Path, messages: int) -> None:
        self._messages = messages
        argv = ["-m", "tests.benchmarks.bare_paho", "--port", str(broker.port), "--count", str(messages)]
        self.child = Child(argv=argv, log=folder / "bare.log")

    def prepare(self) -> Start:
        """Create the session; return what a start uses."""
        self.child.start()
        wait_for(lambda: "subscribed" in self.child.text(), 10, "bare paho is subscribed")
        start = measure_start(self.child)
        self.child.stop()
        return start

    def drain(self, start: Start) -> Drain:
        """Drain the backlog."""
        self.child.start()
        try:
            work = wait_idle(
                self.child,
                DRAIN_LIMIT_S,
                begun=lambda: "first" in self.child.text(),
                done=lambda: "done" in self.child.text(),
            )
            return Drain(
                name=self.name,
                messages=self._messages,
                start=start,
                cpu_s=work.cpu_s,
                wall_s=work.ended - work.begun,
                peak_rss_mib=self.child.peak_rss_mib(),
            )
        finally:
            self.child.kill()


class Ours:
    """Our agent; with a ``model`` it reviews what is suspicious."""

    def __init__(self, *, broker: Broker, folder: Path, messages: int, model: ModelEndpoint | None) -> None:
        self._messages = messages
        self._model = model
        self.name = "agent, review none" if model is None else "agent, suspicious"
        self._broker = broker
        self.child = AgentProcess(
            folder,
            broker_url=broker.url,
            settings={
                "agent": {"id": folder.name},
                "sources": [{"topic": PATTERN}],
                "limits": LIMITS,
                "review": {
                    "mode": "none" if model is None else "suspicious",
                    "window": {"max_age_s": 60, "max_readings": 60, "settle_s": 5},
                },
                "ai": {
                    "base_url": None if model is None else model.url,
                    "model": "bench",
                    "prices": {"bench": {"input": 0, "output": 0}},
                },
            },
        )

    def prepare(self) -> Start:
        """Create the session, with AI make a first call; return what that uses."""
        with self.child:
            if (model := self._model) is not None:
                queue(self._broker.port, [("bench/first/temperature", b"99")])
                wait_for(lambda: model.director.calls > 0, 60, "a first AI call")
            start = measure_start(self.child)
            self.child.stop()
        return start

    def drain(self, start: Start) -> Drain:
        """Drain the backlog."""
        self.child.start()
        try:
            seq = last_seq(self.child.journal)
            work = wait_idle(
                self.child,
                DRAIN_LIMIT_S,
                begun=lambda: last_seq(self.child.journal) > seq,
                done=self._is_drained,
            )
            calls = int(self._metric("ai_api_calls_total"))
            verdicts = int(self._metric("ai_verdicts_total"))
            return Drain(
                name=self.name,
                messages=self._messages,
                start=start,
                cpu_s=work.cpu_s,
                wall_s=work.ended - work.begun,
                peak_rss_mib=self.child.peak_rss_mib(),
                openai=self.child.maps(*OPENAI_FILES),
                grpc=self.child.maps(*GRPC_FILES),
                note=f"{verdicts} verdicts, {calls} AI calls",
            )
        finally:
            self.child.kill()

    def _is_drained(self) -> bool:
        return self._metric("edge_readings_total") >= self._messages

    def _metric(self, name: str) -> float:
        samples = scrape.metrics(f"http://127.0.0.1:{self.child.port}")
        return 0.0 if samples is None else samples.total(name)


def last_seq(journal: Path) -> int:
    """Return the highest seq among the messages of a journal."""
    try:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=10)) as db:
            return int(db.execute("SELECT coalesce(max(seq), 0) FROM messages").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def run(*, messages: int, series: int, folder: Path) -> list[Drain]:
    """Prepare the three sessions, queue the backlog once, and drain it from each."""
    broker = Broker(folder / "broker", extra=QUIET_BROKER).start()
    try:
        with ModelEndpoint() as model:
            drains: list[Bare | Ours] = [
                Bare(broker=broker, folder=folder, messages=messages),
                Ours(broker=broker, folder=folder / "none", messages=messages, model=None),
                Ours(broker=broker, folder=folder / "ai", messages=messages, model=model),
            ]
            starts = [one.prepare() for one in drains]
            took_s = queue(broker.port, backlog(messages, series))
            print(f"{messages} messages of {series} series queued in {took_s:.1f} s", flush=True)
            return [one.drain(start) for one, start in zip(drains, starts, strict=True)]
    finally:
        broker.stop()


_COLUMNS = (
    "readings/s", "wall s", "CPU s", "start s", "us/reading", "x bare", "idle MiB", "peak MiB", "openai",
    "grpc",
)  # fmt: skip


def show(drains: Sequence[Drain]) -> str:
    """Return the table; the ratio is to the first row."""
    head = ("", *_COLUMNS)
    rows: list[tuple[str, ...]] = [head]
    for drain in drains:
        loaded = ("loaded" if there else "-" for there in (drain.openai, drain.grpc))
        rows.append(
            (
                drain.name,
                f"{drain.messages / drain.wall_s:,.0f}",
                f"{drain.wall_s:.1f}",
                f"{drain.cpu_s:.2f}",
                f"{drain.start.cpu_s:.2f}",
                f"{drain.us_per_reading:.1f}",
                f"{drain.us_per_reading / drains[0].us_per_reading:.2f}",
                f"{drain.start.rss_mib:.1f}",
                f"{drain.peak_rss_mib:.1f}",
                *loaded,
            )
        )
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    lines = [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([*lines, *(f"{drain.name}: {drain.note}" for drain in drains if drain.note)])


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.drain", description=__doc__)
    parser.add_argument("--messages", type=int, default=60_000)
    parser.add_argument("--series", type=int, default=300)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
        drains = run(messages=args.messages, series=args.series, folder=Path(folder))
    print(show(drains))
    print("us/reading and x bare leave the start out, CPU s holds it; idle MiB is after the start.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
