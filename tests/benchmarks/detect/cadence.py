"""Row `cadence`: stuck sensors from 1 s to 1 h, and shifts of hourly ones."""

import copy
import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean

from tests.benchmarks.detect import picture
from tests.benchmarks.detect.bases import BASES, DAY_S, FAULTS, HOUR_S, Base, Fault
from tests.benchmarks.detect.contestants import CONTESTANTS, PRODUCT
from tests.benchmarks.detect.signals import feed, find
from tests.benchmarks.detect.table import Cell, Figure, Promise, Report, Table, spread_out

#: Seconds between readings, and days of history.
CADENCES: Mapping[float, float] = {
    1.0: 0.25,
    10.0: 1.0,
    60.0: 3.0,
    600.0: 7.0,
    3000.0: 14.0,
    3600.0: 14.0,
}
STUCK_BASES = ("white", "day", "half degrees", "weather")
SLOW_BASES = ("hourly", "hourly-day", "hourly weather")
SLOW_DAYS = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0)
SLOW_SHIFT = Fault("shift", 10.0, 6 * HOUR_S, 6)
WANTED = 90.0  # percent
MAX_DAYS = 3.0


@dataclass(frozen=True, slots=True)
class Job:
    """One base at one cadence, before one contestant: the days of history on which a fault is tried."""

    base: str
    step_s: float
    days: tuple[float, ...]
    fault: Fault
    contestant: str
    seed: int
    trial: int


def run(job: Job) -> dict[float, int | None]:
    """Return per day of history after how many readings the fault was found, None if not in time."""
    base = replace(BASES[job.base], step_s=job.step_s)
    within = round(job.fault.deadline_s(job.step_s) / job.step_s)
    places = {round(day * DAY_S / job.step_s): day for day in job.days}
    key = f"{job.seed}/{job.trial}/{job.step_s:g}"
    begin, raw = base.take(key, max(places) + within)
    values = [round(value, 2) for value in raw]
    detector, found = CONTESTANTS[job.contestant](), dict[float, int | None]()
    detector.connected(begin)
    for place in range(max(places) + 1):
        at = begin + place * job.step_s
        if place in places:
            ahead = values[place : place + within]
            broken = job.fault.happen(ahead, values[place - 1], base, random.Random(key))
            found[places[place]] = find(copy.deepcopy(detector), broken, since=at, step_s=job.step_s)
        feed(detector, at, values[place])
    return found


def measure(seeds: int, jobs: int, *, trials: int = 5, cadences: Mapping[float, float] = CADENCES) -> Report:
    """Return found shares by cadence, and by days of history."""
    stuck = FAULTS["stuck"]
    kinds: list[tuple[str, float, tuple[float, ...], Fault]] = [
        (base, step_s, (day,), stuck) for base in STUCK_BASES for step_s, day in cadences.items()
    ]
    kinds += [(base, HOUR_S, SLOW_DAYS, SLOW_SHIFT) for base in SLOW_BASES]
    work = [
        Job(*kind, contestant, seed, trial)
        for kind in kinds
        for contestant in CONTESTANTS
        for seed in range(1, (seeds if contestant == PRODUCT else 1) + 1)
        for trial in range(trials)
    ]
    results: Results = defaultdict(lambda: defaultdict(list))
    for job, found in zip(work, spread_out(run, work, jobs), strict=True):
        results[job.fault.kind, job.base, job.step_s, job.contestant][job.seed].append(found)
    series = {
        f"{base}: {name}": [
            None if (share := _share(results, ("shift", base, HOUR_S, name), day)) is None else share.mean
            for day in SLOW_DAYS
        ]
        for base in SLOW_BASES
        for name in (PRODUCT, "EWMA z 4")
    }
    title = "Hourly sensors: a 10-sd shift found within 6 readings, by days of history"
    return Report(
        [_stuck_table(results, cadences), _slow_table(results)],
        _promises(results, cadences),
        {"detect-hourly.svg": picture.lines(title, SLOW_DAYS, series)},
    )


Results = defaultdict[tuple[str, str, float, str], defaultdict[int, list[dict[float, int | None]]]]


def _share(results: Results, key: tuple[str, str, float, str], day: float) -> Figure | None:
    """Return the percentage of the trials that were found."""
    return Figure.of(
        100.0 * fmean(found[day] is not None for found in trials) for trials in results[key].values()
    )


def _stuck_table(results: Results, cadences: Mapping[float, float]) -> Table:
    table = Table(
        "stuck sensors, values in hundredths: found within 6 h or 60 readings, %, and after so many readings",
        (PRODUCT, "readings", *(name for name in CONTESTANTS if name != PRODUCT)),
    )
    for base in STUCK_BASES:
        for step_s, day in cadences.items():
            own = results["stuck", base, step_s, PRODUCT]
            after = [after for trials in own.values() for one in trials if (after := one[day]) is not None]
            cells: list[Cell] = [_share(results, ("stuck", base, step_s, PRODUCT), day)]
            cells.append(Figure(fmean(after)) if after else None)
            cells += [
                _share(results, ("stuck", base, step_s, name), day) for name in CONTESTANTS if name != PRODUCT
            ]
            table.add(f"{_name(BASES[base])}, every {step_s:g} s, after {day:g} d", *cells)
    return table


def _slow_table(results: Results) -> Table:
    table = Table(
        "hourly sensors, shift of 10 sd: found within 6 readings by days of history, %",
        tuple(f"{day:g} d" for day in SLOW_DAYS),
    )
    for base in SLOW_BASES:
        for name in CONTESTANTS:
            cells = [_share(results, ("shift", base, HOUR_S, name), day) for day in SLOW_DAYS]
            table.add(f"{_name(BASES[base])}: {name}", *cells)
    return table


def _name(base: Base) -> str:
    return base.name if base.tuned else f"{base.name} (not looked at)"


def _promises(results: Results, cadences: Mapping[float, float]) -> list[Promise]:
    promises = []
    for base in STUCK_BASES:
        for step_s, day in cadences.items():
            share = _share(results, ("stuck", base, step_s, PRODUCT), day)
            kept = share is not None and share.mean >= WANTED
            promises.append(
                Promise(f"{base}: stuck, every {step_s:g} s, found, %", f">= {WANTED:g}", share, kept)
            )
    for base in SLOW_BASES:
        first = _first_day(results, base)
        kept = first is not None and first <= MAX_DAYS
        shown = "never" if first is None else f"{first:g}"
        promises.append(
            Promise(f"{base}: days until a 10-sd shift is found", f"<= {MAX_DAYS:g}", shown, kept)
        )
    return promises


def _first_day(results: Results, base: str) -> float | None:
    """Return the first day of history from which on a shift is found at least as often as promised."""
    first = None
    for day in reversed(SLOW_DAYS):
        share = _share(results, ("shift", base, HOUR_S, PRODUCT), day)
        if share is None or share.mean < WANTED:
            break
        first = day
    return first
