"""Run the harness: ``python -m tests.faults.run --kills 20 --rate 300 --seed 1``.

Exit code 0: ours lost nothing and the naive agent did, because a harness that cannot fail proves nothing.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.faults.checker import check, check_naive
from tests.faults.nemesis import kill_repeatedly
from tests.faults.report import Result, append, find_recoveries, say_bound, show, total
from tests.faults.rig import Rig, RigSettings
from tests.faults.workload import PAYLOADS

MAX_CONTROL_KILLS = 20
SETTLE_S = 120.0


def run_kills(settings: RigSettings, *, kills: int, settle_s: float = SETTLE_S) -> Result:
    """Kill one agent ``kills`` times under load, let it finish, and check what is left."""
    begun = time.monotonic()
    with Rig(settings) as rig:
        with rig.load:
            time.sleep(0.5)
            kill_repeatedly(
                rig.agent,
                kills=kills,
                seed=settings.seed,
                record=rig.record,
                open_since=None if settings.review == "none" else rig.model.open_since,
                progress=True,
            )
            settled = rig.settle(settle_s)
        code, stop_s = rig.stop_agent()
        reasons, model = dict(rig.collector.reasons), dict(rig.model.counts)
    evidence, record, overspent = rig.evidence(), rig.record, rig.overspent()
    received = () if evidence.journal is None else evidence.journal.received
    recovery_s, interrupted = find_recoveries(record.kills, received)
    return Result(
        agent=settings.agent,
        fault="kill",
        seed=settings.seed,
        rate=settings.rate,
        seconds=time.monotonic() - begun,
        faults=kills,
        findings=check_naive(evidence) if evidence.journal is None else check(evidence),
        recovery_s=recovery_s,
        interrupted=interrupted if received else 0,
        settled=settled,
        exit_code=code,
        stop_s=stop_s,
        peak_rss_mib=record.peak_rss_mib,
        max_descriptors=record.max_descriptors,
        max_threads=record.max_threads,
        ended=record.ended,
        asking=record.asking,
        overspent=overspent,
        reasons=reasons,
        model=model,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run, print the table, and return whether the promises hold and the control fails."""
    args = _parser().parse_args(argv)
    first, _, last = args.seed.partition("-")
    results = []
    with tempfile.TemporaryDirectory(prefix="edge-faults-") as temporary:
        folder = args.folder or Path(temporary)
        for seed in range(int(first), int(last or first) + 1):
            results += [_run(args, name, seed, folder / f"{name}-{seed}") for name in _agents(args.agent)]
    if args.json is not None:
        append(args.json, results)
        for name, sums in total(args.json).items():
            print(f"all runs in {args.json}, {name}: {sums}; {say_bound(sums['faults'], sums['lost'])}")
    return _judge(results, args)


def _run(args: argparse.Namespace, name: str, seed: int, folder: Path) -> Result:
    kills = args.kills if name == "ours" else min(args.kills, MAX_CONTROL_KILLS)
    print(f"{name}: {kills} kills at {args.rate:g} messages/s, seed {seed}", flush=True)
    settings = RigSettings(
        folder=folder, agent=name, seed=seed, rate=args.rate, devices=args.devices,
        payloads=args.payloads, review=args.review,
    )  # fmt: skip
    result = run_kills(settings, kills=kills)
    print(f"  {result.seconds:.0f} s, verdicts {result.reasons}, model {result.model}", flush=True)
    return result


def _agents(wish: str) -> tuple[str, ...]:
    return ("ours", "naive") if wish == "both" else (wish,)


def _judge(results: Sequence[Result], args: argparse.Namespace) -> int:
    print(show(results))
    ours = [result for result in results if result.agent == "ours"]
    for one in ours:
        found = one.findings
        print(
            f"seed {one.seed}: {one.faults} kills in {one.seconds:.0f} s, {one.asking} with a question open; "
            f"lost {found.lost}, conflicting {found.conflicting}, missing {found.missing}, "
            f"budget {one.overspent or 'kept'}, duplicates {found.duplicated} (bound {one.bound})"
        )
    control = [result for result in results if result.agent == "naive"]
    problems = [f"seed {result.seed}: {text}" for result in ours for text in result.problems()]
    if ours:
        lost = sum(result.findings.lost for result in ours)
        print("ours: " + say_bound(sum(result.faults for result in ours), lost))
    if control:
        lost = sum(result.findings.lost for result in control)
        print(f"naive: {lost} lost in {sum(result.faults for result in control)} kills")
        if not lost:
            problems.append("the naive agent lost nothing: this harness could not have seen a loss")
    if ours and args.review != "none" and not any(one.asking for one in ours):
        problems.append("no kill came while the model was asked: no answer could have been lost")
    for text in problems:
        print(f"NOT KEPT: {text}")
    return 1 if problems else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.run", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="per seed; the control gets at most 20")
    parser.add_argument("--rate", type=float, default=300.0, help="messages/s")
    parser.add_argument("--seed", default="1", help="one seed, or a range such as 1-5")
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--payloads", choices=PAYLOADS, default="mixed")
    parser.add_argument("--review", choices=("all", "suspicious", "none"), default="all")
    parser.add_argument("--agent", choices=("ours", "naive", "both"), default="both")
    parser.add_argument("--json", type=Path, metavar="FILE", help="add one line per run, and print totals")
    parser.add_argument("--folder", type=Path, help="keep everything here; default: a temporary folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
