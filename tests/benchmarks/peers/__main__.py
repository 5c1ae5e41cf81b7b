"""The agent and its peers on one broker: CPU, memory, delay.

Usage: ``python -m tests.benchmarks.peers [--growth] [--svg FILE]``.

Each contestant runs alone, with a session and a topic of its own, on the same Mosquitto: a burst, then
steady rates, all at QoS 1 with JSON payloads of a value and a unit. CPU is that of all its threads; a share
is of one core. The delay of a PUBACK is measured at 1,000 messages/s through a proxy, in a run of its own.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.detect.picture import bars
from tests.benchmarks.detect.table import Table
from tests.benchmarks.peers.contestants import ALL, BarePaho, Contestant, NodeRed
from tests.benchmarks.peers.growth import Growth, grow
from tests.benchmarks.peers.measure import Plan, Result, compare

STEADY = 1_000.0  # messages/s at which ratios are taken


def main(argv: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    parser.add_argument("--burst", type=int, default=Plan.burst, help="messages")
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="at each steady rate")
    parser.add_argument("--series", type=int, default=Plan.series)
    parser.add_argument("--only", nargs="*", metavar="NAME", help="those whose name holds one of these")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the CPU per message")
    parser.add_argument(
        "--growth", action="store_true", help="the agent alone, by series, payload and journal"
    )
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="edge-peers-") as name:
        folder = Path(name)
        if args.growth:
            print(grow(Growth(messages=args.burst), folder))
            return
        plan = Plan(series=args.series, burst=args.burst, seconds=args.seconds)
        kinds = [kind for kind in ALL if _wanted(kind, args.only)]
        results = []
        for one in compare(kinds, plan, folder):
            print(f"{one.name}: {one.burst_us:.1f} us per message of the burst", flush=True)
            results.append(one)
    print(figures(results, plan))
    print(ratios(results))
    for one in results:
        print(*(f"{one.name}: {note}\n" for note in one.notes), sep="", end="")
    if args.svg is not None:
        args.svg.write_text(chart(results))


def _wanted(kind: type[Contestant], only: Sequence[str] | None) -> bool:
    if only and not any(part in kind.name for part in only):
        return False
    if (why := kind.missing()) is not None:
        print(f"{kind.name}: skipped: {why}")
    return why is None


def figures(results: Sequence[Result], plan: Plan) -> Table:
    """Return the figures as a table."""
    shares = (f"at {rate:,.0f}/s" for rate in plan.rates)
    table = Table(
        f"{plan.burst:,} messages of {plan.series} series in a burst, then {plan.seconds:g} s at each rate",
        ("us/message", *shares, "peak MiB", "PUBACK p99 ms", "lost"),
    )
    for one in results:
        acked = "QoS 0" if one.ack_p99_ms is None else f"{one.ack_p99_ms:.1f}"
        parts = (f"{share:.1%}" for share in one.shares.values())
        lost = f"{one.lost} of {one.sent}" if one.lost else "0"
        table.add(one.name, f"{one.burst_us:.1f}", *parts, f"{one.peak_mib:.1f}", acked, lost)
    return table


def ratios(results: Sequence[Result]) -> Table:
    """Return burst and steady CPU against bare paho and Node-RED in the same run."""
    by_name = {one.name: one for one in results}
    bases = [by_name[kind.name] for kind in (BarePaho, NodeRed) if kind.name in by_name]
    columns = [f"{what}, x {base.name.split(',')[0]}" for base in bases for what in ("burst", "at 1,000/s")]
    table = Table("CPU against bare paho and Node-RED in the same run", tuple(columns))
    for one in results:
        cells: list[str] = []
        for base in bases:
            cells += [f"{one.burst_us / base.burst_us:.2f}", f"{one.us_at(STEADY) / base.us_at(STEADY):.2f}"]
        table.add(one.name, *cells)
    return table


def chart(results: Sequence[Result]) -> str:
    """Return CPU per message as bars."""
    rows = {one.name: (round(one.burst_us), round(one.us_at(STEADY))) for one in results}
    return bars("µs of CPU per message", rows, ("in a burst", "at 1,000 messages/s"))


if __name__ == "__main__":
    main()
