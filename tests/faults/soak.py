"""Run long under load with faults: ``python -m tests.faults.soak --minutes 10 --rate 500 --series 2000``.

A proxy between agent and broker misbehaves every 20 s by a seed, the broker is restarted once in the middle.
Printed are the slope of the resident memory over the second half, descriptors, threads and scrape times.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.pruned import check_pruned
from tests.faults.rig import Rig, RigSettings
from tests.support.agent_process import AgentProcess
from tests.support.proxy import Proxy

SAMPLE_S = 2.0
FAULT_EVERY_S = 20.0
FAULT_HELD_S = 2.0
SERIES_PER_DEVICE = 4 / 3  # every third device has two metrics
SETTLE_S = 60.0
RECONNECT_S = 330.0  # the agent may take broken links for a second client with its id, and be silent


@dataclass(frozen=True, slots=True)
class Sample:
    at: float  # s since the begin
    rss_mib: float
    descriptors: int
    threads: int
    scrape_s: float


@dataclass(slots=True)
class Soak:
    """What was seen."""

    samples: list[Sample] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    broker_restarts: int = 0

    def slope_mib_h(self) -> float:
        """Return the least-squares slope of the resident memory over the second half, MiB per hour."""
        half = self.samples[len(self.samples) // 2 :]
        mean_at = sum(sample.at for sample in half) / len(half)
        mean = sum(sample.rss_mib for sample in half) / len(half)
        spread = sum((sample.at - mean_at) ** 2 for sample in half)
        return 3600 * sum((s.at - mean_at) * (s.rss_mib - mean) for s in half) / spread

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
        for name, counts in (("descriptors", descriptors), ("threads", threads)):
            lines.append(f"{name} {min(counts)} to {max(counts)}, first {counts[0]}, last {counts[-1]}")
        lines.append(f"{len(scrapes)} scrapes, p50/p99/max {p50:.1f} / {p99:.1f} / {longest:.1f} ms")
        lines.append(f"{len(self.faults)} faults ({' '.join(self.faults)})")
        lines.append(f"broker restarts {self.broker_restarts}")
        return "\n".join(lines)


def run_soak(folder: Path, *, seconds: float, rate: float, series: int, seed: int) -> list[str]:
    """Run, print what was seen, and return what was not kept."""
    overrides = {
        "journal": {"prune": True},
        "review": {"window": {"max_age_s": 30, "max_readings": 50}},
    }
    rig = Rig(
        RigSettings(
            folder=folder, seed=seed, rate=rate, devices=round(series / SERIES_PER_DEVICE),
            review="suspicious", overrides=overrides,
        )
    )  # fmt: skip
    agent = rig.agent
    assert isinstance(agent, AgentProcess)
    soak = Soak()
    with Proxy(rig.broker.port, seed=seed) as proxy:
        agent.settings["mqtt"]["url"] = f"mqtt://127.0.0.1:{proxy.port}"
        with rig:
            with rig.load:
                done = threading.Event()
                trouble = threading.Thread(
                    target=_make_trouble, args=(rig, proxy, soak, seconds, done), daemon=True
                )
                trouble.start()
                _sample(agent, soak, seconds)
                done.set()
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


def _sample(agent: AgentProcess, soak: Soak, seconds: float) -> None:
    begun = time.monotonic()
    while (at := time.monotonic() - begun) < seconds:
        before = time.monotonic()
        code, _ = agent.get("/metrics")
        took_s = time.monotonic() - before
        if code != 200:
            raise AssertionError(f"/metrics answered {code}: {agent.tail(3)}")
        soak.samples.append(Sample(at, agent.rss_mib(), agent.descriptors(), agent.threads(), took_s))
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
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="edge-soak-") as folder:
        problems = run_soak(
            Path(folder), seconds=60 * args.minutes, rate=args.rate, series=args.series, seed=args.seed
        )
    for text in problems:
        print(f"NOT KEPT: {text}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
