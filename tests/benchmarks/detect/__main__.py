"""The promised figures of the local detector, with those of its rivals.

    python -m tests.benchmarks.detect [--only ROW ...] [--seeds 3] [--jobs 2] [--data NAB]
                                      [--json FILE] [--svg DIR]

A seed is a set of trials or one month of each device; figures are mean and spread over the seeds.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.detect import cadence, cost, events, nab, night, ordinary, pairs, quiet_fleet, signals
from tests.benchmarks.detect.bases import BASES
from tests.benchmarks.detect.table import Report, Table

Measure = Callable[[argparse.Namespace], Report]
ROWS: dict[str, Measure] = {
    "signals": lambda given: signals.measure(
        given.seeds, given.jobs, trials=given.trials, bases=given.bases or tuple(BASES)
    ),
    "ordinary": lambda given: ordinary.measure(
        given.seeds, given.jobs, days=given.days, devices=given.devices or (), why=given.why
    ),
    "night": lambda given: night.measure(given.seeds, given.jobs),
    "events": lambda given: events.measure(given.seeds, given.jobs),
    "cadence": lambda given: cadence.measure(given.seeds, given.jobs, trials=given.trials),
    "pairs": lambda given: pairs.measure(given.seeds, given.jobs, why=given.why),
    "quiet": lambda given: quiet_fleet.measure(given.seeds, given.jobs),
    "nab": lambda given: nab.measure(given.jobs, given.data) if given.data else Report(),
    "cost": lambda given: cost.measure(given.seeds),
}


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS)
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--trials", type=int, default=5, help="signals of each base and seed")
    parser.add_argument("--bases", nargs="+", choices=BASES, metavar="BASE", help="of the signals")
    parser.add_argument("--days", type=int, default=ordinary.DAYS, help="of the ordinary devices")
    parser.add_argument(
        "--devices", nargs="+", choices=ordinary.DEVICES, metavar="DEVICE", help="ordinary ones"
    )
    parser.add_argument(
        "--why", action="store_true", help="print the findings of the ordinary devices and of pairs"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="of the Numenta Anomaly Benchmark")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables as JSON too")
    parser.add_argument("--svg", type=Path, metavar="DIR", help="write the pictures of the rows")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the tables, and then what was promised."""
    given = _parse(argv)
    every = Report()
    for name in given.only:
        began = time.monotonic()
        report = ROWS[name](given)
        for table in report.tables:
            print(f"{table}\n", flush=True)
        print(f"({name}: {time.monotonic() - began:.0f} s)\n", flush=True)
        every.tables += report.tables
        every.promises += report.promises
        every.pictures |= report.pictures
    every.tables.append(promised(every))
    print(every.tables[-1])
    if given.svg is not None:
        given.svg.mkdir(parents=True, exist_ok=True)
        for file, text in every.pictures.items():
            (given.svg / file).write_text(text)
    if given.json is not None:
        given.json.write_text(json.dumps([table.as_json() for table in every.tables], indent=1) + "\n")


def promised(report: Report) -> Table:
    """Return the table of the promises."""
    table = Table("promised", ("wanted", "shown", ""))
    for one in report.promises:
        table.add(one.what, one.wanted, one.shown, "" if one.kept else "NO")
    return table


if __name__ == "__main__":
    main()
