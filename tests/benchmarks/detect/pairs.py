"""Row `pairs`: two series part that usually go together, each within its range.

Each device lives four weeks twice: as it is, when every finding is a false one, and with a parting in the
third or fourth week. Until then both are the same. Decoder, windows and findings are the product's own.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from tests.benchmarks.detect.bases import DAY_S, HOUR_S, MONDAY
from tests.benchmarks.detect.contestants import PRODUCT
from tests.benchmarks.detect.coupled_devices import COUPLED
from tests.benchmarks.detect.life import live
from tests.benchmarks.detect.table import Cell, Figure, Promise, Report, Table, spread_out

DAYS = 28
RIVALS = ("EWMA z 4", "every 1000")  # the scale, of the first seed


@dataclass(frozen=True, slots=True)
class Job:
    """Four weeks of one device, with or without a parting, before one contestant."""

    device: str
    seed: int
    parts: bool
    contestant: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """When findings were opened, and of them those after the parting, in hours since then."""

    opened: tuple[float, ...]
    told: tuple[str, ...]
    after_h: tuple[float, ...]


def run(job: Job) -> Outcome:
    """Return the findings of a contestant."""
    device = COUPLED[job.device]
    messages = device.messages(days=DAYS, seed=job.seed, parts=job.parts)
    why = live(job.contestant, device.source, messages, end=MONDAY + DAYS * DAY_S).agent.why
    opened = tuple(opening.seen for opening, _ in why)
    after = tuple((at - device.onset(job.seed)) / HOUR_S for at in opened if at >= device.onset(job.seed))
    return Outcome(opened, tuple(window.local.summary for _, window in why), after)


def measure(seeds: int, jobs: int, *, devices: Sequence[str] = tuple(COUPLED), why: bool = False) -> Report:
    """Return which partings were found, and the false findings."""
    work = [
        Job(name, seed, parts, contestant)
        for name in devices
        for seed in range(1, seeds + 1)
        for parts in (False, True)
        for contestant in ((PRODUCT, *RIVALS) if seed == 1 else (PRODUCT,))
    ]
    results: dict[tuple[str, str], dict[tuple[int, bool], Outcome]] = defaultdict(dict)
    for job, outcome in zip(work, spread_out(run, work, jobs), strict=True):
        results[job.device, job.contestant][job.seed, job.parts] = outcome
    columns = ("found", "hours until then", "false", *(f"{one}: found, false" for one in RIVALS))
    tables, promises = [], []
    for tuned in (True, False):
        names = [name for name in devices if COUPLED[name].tuned is tuned]
        if not names:
            continue
        sort = "tuned on" if tuned else "not looked at"
        table = Table(f"series that part, {sort}: found, and false findings in {DAYS} days", columns)
        for name in names:
            own = results[name, PRODUCT]
            table.add(name, *_cells(own, seeds), *(_both(results[name, one]) for one in RIVALS))
        tables.append(table)
        rate = fmean(_found(results[name, PRODUCT], seed) for name in names for seed in range(1, seeds + 1))
        promises.append(
            Promise(f"partings found, {sort}", ">= 50 %", Figure(100.0 * rate, digits=0), rate >= 0.5)
        )
    if why:
        tables.append(_why(results, seeds))
    return Report(tables, promises)


def _found(own: dict[tuple[int, bool], Outcome], seed: int) -> bool:
    """Return whether a parting was found: by more findings than there are without it."""
    return bool(_hours(own, seed))


def _hours(own: dict[tuple[int, bool], Outcome], seed: int) -> list[float]:
    """Return the hours until the findings that are there because of the parting."""
    usual = set(own[seed, False].opened)
    parted = own[seed, True]
    late = parted.opened[len(parted.opened) - len(parted.after_h) :]
    return [hours for at, hours in zip(late, parted.after_h, strict=True) if at not in usual]


def _cells(own: dict[tuple[int, bool], Outcome], seeds: int) -> Iterator[Cell]:
    first = [found[0] for seed in range(1, seeds + 1) if (found := _hours(own, seed))]
    yield f"{len(first)} of {seeds}"
    yield Figure.of(first, 1)
    yield Figure.of((len(own[seed, False].opened) for seed in range(1, seeds + 1)), 1)


def _both(rival: dict[tuple[int, bool], Outcome]) -> str:
    return f"{int(_found(rival, 1))}, {len(rival[1, False].opened)}"


def _why(results: dict[tuple[str, str], dict[tuple[int, bool], Outcome]], seeds: int) -> Table:
    table = Table("the findings of the detector", ())
    for (name, contestant), own in results.items():
        for seed in range(1, seeds + 1) if contestant == PRODUCT else ():
            for parts in (False, True):
                one = own[seed, parts]
                for at, told in zip(one.opened, one.told, strict=True):
                    late = parts and at >= COUPLED[name].onset(seed)
                    day = (at - MONDAY) / DAY_S
                    table.add(f"{name} seed {seed}{' parted' if late else ''}: day {day:.1f} {told}")
    return table
