"""Row `quiet`: the simulator's healthy fleet, a week learnt and a week judged."""

from tests.benchmarks.detect.table import Figure, Promise, Report, Table, spread_out
from tests.benchmarks.quiet import quiet

JUDGED_DAYS = 7.0


def run(seed: int) -> tuple[int, int, float]:
    """Return findings, windows that the model would be asked about, and device-days."""
    agent, device_days = quiet("quiet", seed=seed, judge_days=JUDGED_DAYS)
    return len(agent.openings), agent.counts.asks, device_days


def measure(seeds: int, jobs: int) -> Report:
    """Return the findings of each seed; all are false."""
    table = Table("quiet fleet of the simulator: false findings", ("findings", "calls", "device-days"))
    results = spread_out(run, range(1, seeds + 1), jobs)
    for seed, (findings, asks, days) in enumerate(results, start=1):
        table.add(f"seed {seed}", findings, asks, Figure(days))
    table.add("mean", *(Figure.of(column, 1) for column in zip(*results, strict=True)))
    findings = sum(one[0] for one in results)
    days = sum(one[2] for one in results)
    what = f"quiet fleet, {days:g} device-days: false findings"
    return Report([table], [Promise(what, "0", findings, findings == 0)])
