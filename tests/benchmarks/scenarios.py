"""Score of the local agent on the simulator's scenarios, in seconds.

    python -m tests.benchmarks.scenarios [NAME ...] [--why]

For work on the detector. The published table comes from real agents (``make score``).
"""

import argparse
import time
from dataclasses import replace
from datetime import UTC, datetime

from simulator import scenario as scenarios
from simulator.events import history, live
from simulator.faults import label
from simulator.scenario import History
from simulator.score import Match, match
from simulator.trial.plan import WINDOW_S, limits_of
from tests.benchmarks.inprocess import LocalAgent

START = datetime(2026, 3, 11, 6, tzinfo=UTC).timestamp()


def trial(
    name: str, *, seed: int, start: float, history_s: float, live_s: float, why: bool
) -> tuple[int, ...]:
    """Print what became of one scenario; return its counts."""
    whole = scenarios.load(name)
    scenario = replace(whole, history=History(span_s=history_s, per_message=1))
    agent = LocalAgent(live_from=start, limits=limits_of(whole))
    began = time.monotonic()
    agent.hear(history(scenario, seed=seed, start=start))
    agent.hear(live(scenario, seed=seed, start=start, until=start + live_s))
    agent.pass_time(start + live_s)
    labels = label(scenario.faults, start=start, until=start + live_s)
    score = match(labels, agent.openings, grace_s=2 * WINDOW_S)
    counts = agent.counts
    print(
        f"{name}: {score.found} of {len(score.faults)} found, {len(score.true)} findings for them, "
        f"{len(score.false)} false, fooled {len(score.fooled)} of {len(score.normal)}, "
        f"{counts.windows} windows, {counts.asks} asks, {time.monotonic() - began:.0f} s"
    )
    for one in score.matches:
        print("   ", _line(one, start))
    for false in score.false:
        print(f"    FALSE {_at(false.seen, start)} {false.device} {false.kind}")
    if why:
        _explain(agent, start)
    return len(score.faults), score.found, len(score.false), len(score.normal), len(score.fooled), counts.asks


def _line(one: Match, start: float) -> str:
    where = f"{one.label.device}/{one.label.metric or '*'}"
    lasts = (one.label.end - one.label.start) / 60
    head = f"{_at(one.label.start, start)} +{lasts:4.0f} min {one.label.kind!s:16} {where:28}"
    if one.opening is None:
        return head + ("left alone" if one.normal else "MISSED")
    what = "FOOLED" if one.normal else "found" if one.named_rightly else "found, misnamed"
    more = f", {one.findings} findings" if one.findings > 1 else ""
    return (
        f"{head}{what} as {', '.join((one.opening.kind, *one.opening.later))} after {one.delay_s:.0f} s{more}"
    )


def _explain(agent: LocalAgent, start: float) -> None:
    for opening, window in agent.why:
        told = f"{window.local.summary} (score {window.local.score})"
        print(f"    {_at(opening.seen, start)} {opening.device}: {told}")


def _at(at: float, start: float) -> str:
    minutes = (at - start) / 60
    return f"{minutes // 60:3.0f}:{minutes % 60:02.0f}"


def main() -> None:
    """Run the scenarios that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--history", type=float, default=7 * 86_400.0)
    parser.add_argument("--live", type=float, default=6 * 3600.0)
    parser.add_argument("--start", type=float, default=START)
    parser.add_argument("--why", action="store_true")
    given = parser.parse_args()
    names = given.names or [name for name in scenarios.names() if scenarios.scored(name)]
    sums = [0] * 6
    for name in names:
        counts = trial(
            name,
            seed=given.seed,
            start=given.start,
            history_s=given.history,
            live_s=given.live,
            why=given.why,
        )
        sums = [one + other for one, other in zip(sums, counts, strict=True)]
    print("all: {1} of {0} found, {2} false, fooled {4} of {3}, {5} asks".format(*sums))


if __name__ == "__main__":
    main()
