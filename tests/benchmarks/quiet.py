"""Benchmark of a fleet without faults: findings and model calls per device-day.

    python -m tests.benchmarks.quiet [--seeds 3]

Seven simulated days are learnt, seven more are judged. Wanted: at most 1 finding in 100 device-days and at
most 0.2 calls per device-day without audits. Each window that the model would be asked about counts as a
call.
"""

import argparse
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from simulator import scenario as scenarios
from simulator.events import history, live
from simulator.scenario import History
from tests.benchmarks.inprocess import LocalAgent

DAY_S = 86_400.0
START = datetime(2026, 3, 11, tzinfo=UTC).timestamp()
MAX_FINDINGS = 1.0 / 100.0
MAX_CALLS = 0.2


def quiet(
    name: str, *, seed: int, learn_days: float = 7.0, judge_days: float = 7.0, devices: int | None = None
) -> tuple[LocalAgent, float]:
    """Return the agent after it lived through a scenario without its faults, and the device-days judged.

    ``devices`` takes the first few only.
    """
    whole = scenarios.load(name).without_faults()
    history_of = History(span_s=learn_days * DAY_S, per_message=1)
    scenario = replace(whole, history=history_of, devices=whole.devices[:devices])
    agent = LocalAgent(live_from=START)
    agent.hear(history(scenario, seed=seed, start=START))
    until = START + judge_days * DAY_S
    agent.hear(live(scenario, seed=seed, start=START, until=until))
    agent.pass_time(until)
    return agent, len(scenario.devices) * judge_days


def main() -> None:
    """Print the figures of every seed and of all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", default=["quiet"], help="scenarios, taken without their faults")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    findings = asks = audits = 0
    device_days = 0.0
    for name in given.names:
        for seed in range(1, given.seeds + 1):
            agent, days = quiet(name, seed=seed)
            print(
                f"{name}, seed {seed}: {len(agent.openings)} findings, {agent.counts.asks} calls, "
                f"{agent.counts.audits} audits in {days:.0f} device-days"
            )
            for opening, window in agent.why:
                at = datetime.fromtimestamp(opening.seen, UTC)
                print(f"    {at:%a %H:%M} {opening.device}: {window.local.summary} ({window.local.score})")
            print("   ", dict(Counter(one.device for one in agent.openings)))
            findings += len(agent.openings)
            asks += agent.counts.asks
            audits += agent.counts.audits
            device_days += days
    per_100 = 100 * findings / device_days
    print(
        f"all: {per_100:.2f} findings in 100 device-days (wanted: {100 * MAX_FINDINGS:g}), "
        f"{asks / device_days:.3f} calls per device-day (wanted: {MAX_CALLS:g}), "
        f"{audits / device_days:.2f} audits per device-day"
    )


if __name__ == "__main__":
    main()
