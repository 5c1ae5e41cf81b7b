"""Run long under load with faults: ``python -m tests.faults.soak --minutes 10``.

A proxy between agent and broker misbehaves every 20 s by a seed, the broker is restarted once in the middle.
Printed are the slope of the resident memory over the second half, descriptors, threads and scrape times.

With ``--review all --calls-per-s 8 --calm`` a model is called as often as an agent calls it in months, and
nothing else is done to the agent: memory that a call leaves behind is then seen in minutes.
"""

import argparse
import math
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.pruned import check_pruned
from tests.faults.rig import Rig, RigSettings
from tests.support.agent_process import AgentProcess
from tests.support.proxy import Proxy

SAMPLE_S = 2.0
FAULT_EVERY_S = 20.0
FAULT_HELD_S = 2.0
SERIES_PER_DEVICE = 4 / 3  # every third device has two metrics
AI: dict[str, Any] = {
    "prices": {"harness": {"input": 0.15, "output": 0.6}},  # what costs nothing is not booked in the ledger
    "budget": {"hour_usd": 1000, "day_usd": 1000, "month_usd": 1000},
}
PACED_AI = AI | {"deadline_s": 60, "cache_ttl_s": 0}  # every window of a burst is asked about in its turn
WINDOW_S, WINDOW_READINGS = 30, 50
SETTLE_S = 60.0
RECONNECT_S = 330.0  # the agent may take broken links for a second client with its id, and be silent


@dataclass(frozen=True, slots=True)
class Sample:
    at: float  # s since the begin
    rss_mib: float
    descriptors: int
    threads: int
    scrape_s: float
    calls: int  # that the model was asked so far


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a soak is made. ``census`` is a file for counts of the objects in the agent's memory."""

    seconds: float
    rate: float
    series: int
    seed: int
    review: str = "suspicious"
    calls_per_s: float | None = None
    calm: bool = False
    model_trouble: bool = True
    census: Path | None = None

    @property
    def devices(self) -> int:
        """Devices that have so many series."""
        return round(self.series / SERIES_PER_DEVICE)

    @property
    def overrides(self) -> dict[str, Any]:
        """Settings of the agent. For paced calls the windows are spread over as many batches."""
        review: dict[str, Any] = {"window": {"max_age_s": WINDOW_S, "max_readings": WINDOW_READINGS}}
        if self.calls_per_s is not None:
            aged = self.devices / WINDOW_S
            full = self.rate * self.series / self.devices / WINDOW_READINGS
            each = math.ceil(max(aged, full) / self.calls_per_s)
            review["batch"] = {"max_windows": min(20, max(1, each)), "max_input_tokens": 20_000}
        ai = AI if self.calls_per_s is None else PACED_AI
        return {"journal": {"prune": True}, "review": review, "ai": ai}


@dataclass(slots=True)
class Soak:
    """The observations."""

    samples: list[Sample] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    broker_restarts: int = 0

    def slope_mib_h(self) -> float:
        """Return the least-squares slope of the resident memory over the second half, MiB per hour."""
        return 3600 * self._slope([sample.at for sample in self._half()])

    def bytes_per_call(self) -> float | None:
        """Return the same slope over the calls made, bytes; None without calls."""
        calls = [float(sample.calls) for sample in self._half()]
        return 2**20 * self._slope(calls) if calls[-1] > calls[0] else None

    def _half(self) -> list[Sample]:
        return self.samples[len(self.samples) // 2 :]

    def _slope(self, over: list[float]) -> float:
        """Return MiB per unit of ``over`` in the second half."""
        half = self._half()
        middle = sum(over) / len(over)
        mean = sum(sample.rss_mib for sample in half) / len(half)
        spread = sum((one - middle) ** 2 for one in over)
        return sum((one - middle) * (s.rss_mib - mean) for one, s in zip(over, half, strict=True)) / spread

    def show(self) -> str:
        """Return the figures as lines."""
        scrapes = sorted(sample.scrape_s for sample in self.samples)
        rss = [sample.rss_mib for sample in self.samples]
        quarter = max(1, len(rss) // 4)
        means = [sum(rss[n : n + quarter]) / quarter for n in range(0, 4 * quarter, quarter)]
        descriptors = [sample.descriptors for sample in self.samples]
        threads = [sample.threads for sample in self.samples]
        p50, p99, longest = (1000 * scrapes[int(share * (len(scrapes) - 1))] for share in (0.5, 0.99, 1))
        lines = [f"RSS by quarter {' / '.join(f'{mean:.1f}' for mean in means)} MiB, peak {max(rss):.1f}"]
        lines.append(f"RSS slope of the second half {self.slope_mib_h():+.1f} MiB/h")
        per_call = self.bytes_per_call()
        if per_call is not None:
            seen = self.samples[-1].calls - self._half()[0].calls
            lines.append(
                f"{self.samples[-1].calls} calls, {per_call:+.0f} bytes a call over the last {seen} of them"
            )
        for name, counts in (("descriptors", descriptors), ("threads", threads)):
            lines.append(f"{name} {min(counts)} to {max(counts)}, first {counts[0]}, last {counts[-1]}")
        lines.append(f"{len(scrapes)} scrapes, p50/p99/max {p50:.1f} / {p99:.1f} / {longest:.1f} ms")
        lines.append(f"{len(self.faults)} faults ({' '.join(self.faults)})")
        lines.append(f"broker restarts {self.broker_restarts}")
        return "\n".join(lines)


def run_soak(folder: Path, plan: Plan) -> list[str]:
    """Run, print what was seen, and return what was not kept."""
    rig = Rig(
        RigSettings(
            folder=folder, seed=plan.seed, rate=plan.rate, devices=plan.devices, review=plan.review,
            overrides=plan.overrides, calls_per_s=plan.calls_per_s,
            trouble=None if plan.model_trouble else {},
        )
    )  # fmt: skip
    agent = rig.agent
    assert isinstance(agent, AgentProcess)
    if plan.census is not None:
        agent.argv[1:3] = ["-m", "tests.faults.census", str(plan.census)]
    soak = Soak()
    with Proxy(rig.broker.port, seed=plan.seed) as proxy:
        agent.settings["mqtt"]["url"] = f"mqtt://127.0.0.1:{proxy.port}"
        with rig:
            with rig.load:
                done = threading.Event()
                trouble = threading.Thread(
                    target=_make_trouble, args=(rig, proxy, soak, plan.seconds, done), daemon=True
                )
                if not plan.calm:
                    trouble.start()
                _sample(rig, agent, soak, plan.seconds)
                done.set()
                if not plan.calm:
                    trouble.join(60)
                proxy.calm()
                print(soak.show(), flush=True)
                rig.wait_ready(RECONNECT_S)
                settled = rig.settle(SETTLE_S)
            code, _ = rig.stop_agent()
    found = check_pruned(rig.evidence())
    print(found)
    problems = found.broken()
    if not settled:
        problems.append("the agent was not done in time")
    if code:
        problems.append(f"SIGTERM ended in exit code {code}")
    return problems


def _sample(rig: Rig, agent: AgentProcess, soak: Soak, seconds: float) -> None:
    begun = time.monotonic()
    while (at := time.monotonic() - begun) < seconds:
        before = time.monotonic()
        code, _ = agent.get("/metrics")
        took_s = time.monotonic() - before
        if code != 200:
            raise AssertionError(f"/metrics answered {code}: {agent.tail(3)}")
        calls = rig.model.counts.total()
        soak.samples.append(Sample(at, agent.rss_mib(), agent.descriptors(), agent.threads(), took_s, calls))
        time.sleep(SAMPLE_S)


def _make_trouble(rig: Rig, proxy: Proxy, soak: Soak, seconds: float, done: threading.Event) -> None:
    begun = time.monotonic()
    while not done.wait(FAULT_EVERY_S):
        if soak.broker_restarts == 0 and time.monotonic() - begun > seconds / 2:
            rig.broker.stop()
            done.wait(FAULT_HELD_S)
            rig.broker.start()
            soak.broker_restarts += 1
            continue
        soak.faults.append(proxy.misbehave())
        done.wait(FAULT_HELD_S)
        proxy.calm()


def main(argv: Sequence[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=500.0, help="messages/s")
    parser.add_argument("--series", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--review", choices=("none", "suspicious", "all"), default="suspicious")
    parser.add_argument("--calls-per-s", type=float, help="pace of the model, and batches of a size for it")
    parser.add_argument("--model-trouble", action="store_true", help="with --calls-per-s: late, wrong, 500")
    parser.add_argument("--calm", action="store_true", help="no faults of link and broker")
    parser.add_argument("--census", type=Path, help="file for counts of what the agent's memory holds")
    args = parser.parse_args(argv)
    plan = Plan(
        seconds=60 * args.minutes, rate=args.rate, series=args.series, seed=args.seed, review=args.review,
        calls_per_s=args.calls_per_s, calm=args.calm, census=args.census,
        model_trouble=args.model_trouble or args.calls_per_s is None,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="edge-soak-") as folder:
        problems = run_soak(Path(folder), plan)
    for text in problems:
        print(f"NOT KEPT: {text}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
