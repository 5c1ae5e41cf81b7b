"""Row `ordinary`: the findings of healthy devices in four weeks.

Every finding is a false one. Decoder, windows, silences and findings are the product's own, in event time.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import fmean

from tests.benchmarks.detect import picture
from tests.benchmarks.detect.bases import DAY_S, MONDAY
from tests.benchmarks.detect.contestants import PRODUCT
from tests.benchmarks.detect.fresh_devices import FRESH
from tests.benchmarks.detect.known_devices import KNOWN
from tests.benchmarks.detect.later_devices import LATER
from tests.benchmarks.detect.life import Life, live
from tests.benchmarks.detect.site import Ordinary
from tests.benchmarks.detect.table import Figure, Promise, Report, Table, spread_out

DAYS = 28
RIVALS = ("EWMA z 4", "every 1000")
DEVICES: dict[str, Ordinary] = {**KNOWN.devices, **FRESH.devices, **LATER.devices}


@dataclass(frozen=True, slots=True)
class Job:
    """One device's weeks, before the contestants."""

    device: str
    seed: int
    days: int
    contestants: tuple[str, ...]


@dataclass(slots=True)
class Outcome:
    """The findings of one contestant on one device."""

    kinds: list[str] = field(default_factory=list)
    critical: int = 0
    told: list[str] = field(default_factory=list)  # one line each, to look into
    readings: int = 0


Results = dict[str, dict[int, dict[str, Outcome]]]  # by device, seed, contestant


def run(job: Job) -> dict[str, Outcome]:
    """Return the findings by contestant; the messages are made once."""
    device = DEVICES[job.device]
    messages, end = device.messages(days=job.days, seed=job.seed), MONDAY + job.days * DAY_S
    return {name: _outcome(live(name, device.source, messages, end=end)) for name in job.contestants}


def _outcome(life: Life) -> Outcome:
    agent = life.agent
    outcome = Outcome([one.kind for one in agent.openings], len(agent.critical), readings=life.readings)
    for opening, window in agent.why:
        at = datetime.fromtimestamp(opening.seen, UTC)
        mark = "CRITICAL " if opening.finding_id in agent.critical else ""
        outcome.told.append(
            f"day {(opening.seen - MONDAY) / DAY_S:.0f} {at:%a %H:%M} {opening.device}: "
            f"{mark}{window.local.summary} (score {window.local.score:g})"
        )
    return outcome


def measure(
    seeds: int,
    jobs: int,
    *,
    days: int = DAYS,
    devices: Sequence[str] = (),
    why: bool = False,
) -> Report:
    """Return the false findings per device, and their kinds."""
    chosen = tuple(devices) or tuple(DEVICES)
    # The rivals see one seed: they are the scale, not the measure.
    work = [
        Job(name, seed, days, (PRODUCT, *RIVALS) if seed == 1 else (PRODUCT,))
        for name in chosen
        for seed in range(1, seeds + 1)
    ]
    results: Results = defaultdict(dict)
    for job, outcomes in zip(work, spread_out(run, work, jobs), strict=True):
        results[job.device][job.seed] = outcomes
    tables: list[Table] = []
    promises: list[Promise] = []
    for tuned in (True, False):
        part = {name: one for name, one in results.items() if DEVICES[name].tuned is tuned}
        if part:
            tables += _tables(part, days, "tuned on" if tuned else "not looked at")
            promises += list(_promises(part, days, seeds, "tuned on" if tuned else "not looked at"))
    if why:
        tables.append(_why(results))
    bars = {
        name: (_mean(by_seed, lambda one: len(one.kinds)), _mean(by_seed, lambda one: one.critical))
        for name, by_seed in results.items()
    }
    title = f"False findings of healthy devices in {days} days, mean of {seeds} seeds"
    picture_text = picture.bars(title, bars, ("findings", "of them critical"))
    return Report(tables, promises, {"detect-ordinary.svg": picture_text})


def _mean(by_seed: dict[int, dict[str, Outcome]], count: Callable[[Outcome], int]) -> float:
    return round(fmean(count(outcomes[PRODUCT]) for outcomes in by_seed.values()), 1)


def _tables(results: Results, days: int, sort: str) -> Iterator[Table]:
    table = Table(
        f"ordinary devices, {sort}: false findings in {days} days (rivals: of the first seed)",
        ("findings", "critical", *RIVALS, "readings"),
    )
    kinds: dict[str, Counter[str]] = {name: Counter() for name in (PRODUCT, *RIVALS)}
    for name, by_seed in results.items():
        own = [outcomes[PRODUCT] for outcomes in by_seed.values()]
        table.add(
            name,
            Figure.of((len(one.kinds) for one in own), 1),
            Figure.of((one.critical for one in own), 1),
            *(len(by_seed[1][rival].kinds) for rival in RIVALS),
            by_seed[1][PRODUCT].readings,
        )
        for outcomes in by_seed.values():
            for contestant, outcome in outcomes.items():
                kinds[contestant].update(outcome.kinds)
    table.add(
        "all",
        _sum(results, lambda one: len(one.kinds)),
        _sum(results, lambda one: one.critical),
        *(sum(len(by_seed[1][rival].kinds) for by_seed in results.values()) for rival in RIVALS),
        sum(by_seed[1][PRODUCT].readings for by_seed in results.values()),
    )
    yield table
    names = sorted({kind for counted in kinds.values() for kind in counted})
    by_kind = Table(f"ordinary devices, {sort}: findings by kind, of all seeds", (PRODUCT, *RIVALS))
    for kind in names:
        by_kind.add(kind, *(kinds[contestant][kind] for contestant in (PRODUCT, *RIVALS)))
    yield by_kind


def _sum(results: Results, count: Callable[[Outcome], int]) -> Figure | None:
    seeds: Iterable[int] = next(iter(results.values()), {}).keys()
    return Figure.of(
        (sum(count(by_seed[seed][PRODUCT]) for by_seed in results.values()) for seed in seeds), 1
    )


def _promises(results: Results, days: int, seeds: int, sort: str) -> Iterator[Promise]:
    share = len(results) * days / (28 * 28)
    found, critical = _sum(results, lambda one: len(one.kinds)), _sum(results, lambda one: one.critical)
    for what, figure, line in (("false findings", found, 10 * share), ("of them critical", critical, 0.0)):
        kept = figure is not None and figure.mean <= line
        yield Promise(
            f"{len(results)} ordinary devices ({sort}), {days} days, {seeds} seeds: {what}",
            f"<= {line:.1f}",
            figure,
            kept,
        )


def _why(results: Results) -> Table:
    table = Table("the findings of the detector", ())
    for by_seed in results.values():
        for seed, outcomes in by_seed.items():
            for line in outcomes[PRODUCT].told:
                table.add(f"seed {seed} {line}")
    return table
