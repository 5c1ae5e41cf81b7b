"""Row `signals`: faults found in synthetic signals, and false alarms without."""

import copy
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from agent.domain.records import Reading
from tests.benchmarks.detect import picture
from tests.benchmarks.detect.bases import BASES, DAY_S, FAULTS, Base, Fault, histories
from tests.benchmarks.detect.contestants import CONTESTANTS, PRODUCT, RIVALS, Contestant
from tests.benchmarks.detect.table import Cell, Figure, Promise, Report, Table, spread_out

DEVICE, METRIC = "bench/d", "value"
FIRST = 3000  # readings, the noisiest ones
HEALTHY_DAYS, HEALTHY_SLOW_DAYS = 30.0, 250.0
APART = 50  # calm readings between two incidents
CALM_BASES = ("white", "AR(1)", "student", "laplace")
Trial = tuple[str, str, float]  # history, fault, day


@dataclass(frozen=True, slots=True)
class Job:
    """One signal before one contestant."""

    base: str
    contestant: str
    seed: int
    trial: int


@dataclass(slots=True)
class Outcome:
    """The faults found and the false alarms of one contestant on one signal."""

    found: dict[Trial, bool] = field(default_factory=dict)
    first: int = 0  # false incidents among the first readings
    later: int = 0
    readings: int = 0


def feed(detector: Contestant, at: float, value: float) -> bool:
    """Return whether a reading, or the silence before it, is an alarm."""
    due = detector.next_due()
    late = due is not None and due < at and bool(detector.tick(at))
    return detector.judge(Reading(DEVICE, METRIC, at, value), at)[1].alarm or late


def find(detector: Contestant, values: Iterable[float], *, since: float, step_s: float) -> int | None:
    """Return after how many readings an alarm comes, None without one."""
    alarms = (feed(detector, since + count * step_s, value) for count, value in enumerate(values))
    return next((count for count, alarm in enumerate(alarms, start=1) if alarm), None)


def is_found(
    detector: Contestant,
    fault: Fault,
    healthy: Sequence[float],
    base: Base,
    place: int,
    begin: float,
    key: str,
) -> bool:
    """Return whether a fault that begins at ``place`` of the healthy values is found in time by a copy."""
    within = fault.deadline_s(base.step_s)
    ahead = healthy[place : place + round(within / base.step_s)]
    values = fault.happen(ahead, healthy[place - 1], base, random.Random(key))
    since, copied = begin + place * base.step_s, copy.deepcopy(detector)
    if not values:
        return bool(copied.tick(since + within))
    return find(copied, values, since=since, step_s=base.step_s) is not None


def run(job: Job) -> Outcome:
    """Live through every history of a signal once; at each day, try each fault on a copy of the detector."""
    base, outcome = BASES[job.base], Outcome()
    key = f"{job.seed}/{job.trial}"
    count = round(((HEALTHY_SLOW_DAYS if base.slow else HEALTHY_DAYS) + 3.0) * DAY_S / base.step_s)
    begin, healthy = base.take(key, count)
    for name, history in histories(base).items():
        values = history.spoil(healthy, base)
        days = {round(day * DAY_S / base.step_s): day for day in history.days}
        end = count if name == "clean" else max(days) + 1
        detector = CONTESTANTS[job.contestant]()
        detector.connected(begin)
        last = -APART - 1
        for place in range(end):
            if place in days:
                for fault in history.faults:
                    outcome.found[name, fault, days[place]] = is_found(
                        detector, FAULTS[fault], values, base, place, begin, key
                    )
            if feed(detector, begin + place * base.step_s, values[place]):
                if name == "clean" and place - last > APART:
                    outcome.first += place < FIRST
                    outcome.later += place >= FIRST
                last = place
    outcome.readings = count
    return outcome


class Shares:
    """Per base and contestant: found shares (percent) and false alarms, one figure per seed."""

    def __init__(self, jobs: Iterable[Job], outcomes: Iterable[Outcome]) -> None:
        hits: dict[tuple[str, str, Trial], dict[int, list[bool]]] = defaultdict(lambda: defaultdict(list))
        false: dict[tuple[str, str], dict[int, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
        for job, outcome in zip(jobs, outcomes, strict=True):
            false[job.base, job.contestant][job.seed].append(outcome)
            for trial, found in outcome.found.items():
                hits[job.base, job.contestant, trial][job.seed].append(found)
        self._hits, self._false = hits, false

    def found(self, base: str, contestant: str, trial: Trial) -> Figure | None:
        """Return the share of the trials that were found, None if there were none."""
        by_seed = self._hits.get((base, contestant, trial), {})
        return Figure.of(100.0 * fmean(found) for found in by_seed.values())

    def mean(self, base: str, contestant: str, trials: Sequence[Trial]) -> Figure | None:
        """Return the share over several trials."""
        figures = [figure for trial in trials if (figure := self.found(base, contestant, trial)) is not None]
        return Figure(fmean(figure.mean for figure in figures)) if figures else None

    def false(self, base: str, contestant: str) -> tuple[Figure | None, Figure | None]:
        """Return the false incidents per 10,000 readings: among the first, and later."""
        by_seed = self._false[base, contestant].values()
        return (
            Figure.of((1e4 * fmean(one.first for one in group) / FIRST for group in by_seed), 1),
            Figure.of((1e4 * sum(one.later for one in group) / _later(group) for group in by_seed), 2),
        )


def _later(outcomes: Iterable[Outcome]) -> int:
    return sum(max(one.readings - FIRST, 1) for one in outcomes)


def measure(seeds: int, jobs: int, *, trials: int = 5, bases: Sequence[str] = tuple(BASES)) -> Report:
    """Return found shares and false alarms of every base.

    The rivals see one seed: they are the scale, not the measure.
    """
    work = [
        Job(base, contestant, seed, trial)
        for base in bases
        for contestant in CONTESTANTS
        for seed in range(1, (seeds if contestant == PRODUCT else 1) + 1)
        for trial in range(trials)
    ]
    shares = Shares(work, spread_out(run, work, jobs))
    tables = [*_found_tables(shares, bases), _calm_table(shares, bases)]
    return Report(tables, list(_promises(shares, bases)), dict(_pictures(shares, bases)))


def _found_tables(shares: Shares, bases: Sequence[str]) -> Iterator[Table]:
    for tuned in (True, False):
        sort = "tuned on" if tuned else "not looked at"
        kept = [BASES[name] for name in bases if BASES[name].tuned is tuned]
        groups: Mapping[tuple[str, tuple[float, ...]], list[Base]] = defaultdict(list)
        for base in kept:
            for name, history in histories(base).items():
                groups[name, history.days].append(base)
        for (name, days), group in groups.items():
            table = Table(
                f"signals, {sort}, history {name}: found in time, % (rivals: mean over the days, first seed)",
                (*(f"{day:g} d" for day in days), *RIVALS),
            )
            for base in group:
                for fault in histories(base)[name].faults:
                    trials: list[Trial] = [(name, fault, day) for day in days]
                    cells: list[Cell] = [shares.found(base.name, PRODUCT, trial) for trial in trials]
                    cells += [shares.mean(base.name, rival, trials) for rival in RIVALS]
                    table.add(f"{base.name}: {fault}", *cells)
            yield table


def _calm_table(shares: Shares, bases: Sequence[str]) -> Table:
    columns = tuple(f"{name} {part}" for name in CONTESTANTS for part in ("first", "later"))
    table = Table(
        f"signals without a fault: false alarms per 10,000, first {FIRST} and later (rivals: first seed)",
        columns,
    )
    for base in bases:
        cells = [cell for name in CONTESTANTS for cell in shares.false(base, name)]
        table.add(base if BASES[base].tuned else f"{base} (not looked at)", *cells)
    return table


def _promises(shares: Shares, bases: Sequence[str]) -> Iterator[Promise]:
    for base in bases:
        wanted: list[tuple[Trial, float]] = []
        if not BASES[base].slow:
            wanted += [(("dirty30", fault, 8.0), 90.0) for fault in ("shift 8", "spike 10")]
        if base == "day":
            wanted += [
                (("clean", fault, day), line)
                for fault, line in (("shift 10", 95.0), ("spike 6", 70.0))
                for day in (0.25, 1.0, 2.0)
            ]
        if BASES[base].slow:
            wanted.append((("clean", "shift 10", 3.0), 90.0))
        for trial, line in wanted:
            share = shares.found(base, PRODUCT, trial)
            name, fault, day = trial
            what = f"{base}, {name}: {fault} sd on day {day:g} found, %"
            yield Promise(what, f">= {line:g}", share, share is not None and share.mean >= line)
        if base in CALM_BASES:
            for figure, line, part in zip(
                shares.false(base, PRODUCT), (4.0, 1.5), ("first 3,000", "later"), strict=True
            ):
                kept = figure is not None and figure.mean <= line
                yield Promise(f"{base}: false per 10,000, {part}", f"<= {line:g}", figure, kept)


def _pictures(shares: Shares, bases: Sequence[str]) -> Iterator[tuple[str, str]]:
    faults = ("spike 6", "shift 10", "noise x3"), ("spike 10", "shift 8")
    for name, title, kinds, file in (
        ("clean", "Found in the first days, no incident before", faults[0], "detect-first-days.svg"),
        ("dirty30", "Found after an incident of 30 minutes on day 6", faults[1], "detect-after-incident.svg"),
    ):
        chosen = [base for base in ("white", "day", "AR(1)") if base in bases]
        if not chosen:
            return
        days = histories(BASES[chosen[0]])[name].days
        series = {
            f"{base}: {fault}": [
                None if (share := shares.found(base, PRODUCT, (name, fault, day))) is None else share.mean
                for day in days
            ]
            for base in chosen
            for fault in kinds
        }
        yield file, picture.lines(title, days, series)
