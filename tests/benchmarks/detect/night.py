"""Row `night`: devices that are off at night or at weekends, and their deaths.

A silence in a night is false; a death in the middle of a working day has to be reported within a few of the
device's usual gaps, however long its nights are.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from simulator.events import Message
from tests.benchmarks.detect import picture
from tests.benchmarks.detect.bases import DAY_S, HOUR_S, MONDAY, is_weekend
from tests.benchmarks.detect.contestants import PRODUCT
from tests.benchmarks.detect.life import live
from tests.benchmarks.detect.site import hour, sun
from tests.benchmarks.detect.table import Cell, Figure, Promise, Report, Table, spread_out

DAYS = 30
RIVAL = "EWMA z 4"  # of it only its patience counts: five mean gaps
CONTESTANTS = (PRODUCT, RIVAL)
FIRST_NIGHTS, FIRST_WEEKENDS = 3, 2
MAX_FALSE, MAX_GAPS = 2.0, 6.0


@dataclass(frozen=True, slots=True)
class Sleeper:
    """A device that sends every ``step_s`` while it is awake, give or take a share of the step."""

    name: str
    step_s: float
    awake: Callable[[float, random.Random], bool]
    dusk: float  # hour before which it never goes to sleep
    weekends: bool = False  # off at weekends too
    death_hour: float = 12.0
    jitter: float = 0.0
    tuned: bool = True

    @property
    def source(self) -> Mapping[str, str]:
        return {"topic": "site/{device}"}

    def death(self, days: int) -> float:
        """Return the hour of death on the last working day but one or two."""
        day = next(one for one in range(days - 2, -1, -1) if not is_weekend(MONDAY + one * DAY_S))
        return MONDAY + day * DAY_S + self.death_hour * HOUR_S

    def nights(self, at: float) -> int:
        """Return how many of its nights were over or had begun at an instant."""
        return 1 + int((at - MONDAY - self.dusk * HOUR_S) // DAY_S)

    def messages(self, *, days: int, seed: int, until: float) -> Iterator[Message]:
        """Yield what it sends."""
        dice = random.Random(f"{seed}/{self.name}")
        at, end = MONDAY, min(until, MONDAY + days * DAY_S)
        while at < end:
            if self.awake(at, dice):
                payload = f'{{"load": {40.0 + 20.0 * sun(at) + dice.gauss(0.0, 2.0):.1f}}}'
                yield Message(at, self.name, f"site/{self.name}", payload.encode(), 1, "", 0)
            at += self.step_s * (1.0 + self.jitter * dice.uniform(-1.0, 1.0))


def by_hours(first: float, last: float, *, weekends: bool = True) -> Callable[[float, random.Random], bool]:
    """Return whether it is between two hours, which may be around midnight."""

    def awake(at: float, _dice: random.Random) -> bool:
        inside = first < hour(at) < last if first < last else not last < hour(at) < first
        return inside and (weekends or not is_weekend(at))

    return awake


def by_sun(at: float, _dice: random.Random) -> bool:
    """Return whether it is light; the days become shorter by four minutes each."""
    shorter = (at - MONDAY) // DAY_S * 120.0 / HOUR_S
    return 6.2 + shorter < hour(at) < 19.0 - shorter


def with_cloudy_dawn(at: float, _dice: random.Random) -> bool:
    """Return whether there is light enough: the first quarter of an hour differs by up to 40 minutes."""
    late = random.Random(at // DAY_S).uniform(0.0, 0.7)
    return 6.3 + late < hour(at) < 18.6 - late


def shop(at: float, _dice: random.Random) -> bool:
    """Return whether a shop is open: to 20 h, on Saturdays to 16 h, not on Sundays."""
    weekday = int(at // DAY_S + 3) % 7
    return weekday < 6 and 7.5 < hour(at) < (16 if weekday == 5 else 20)


SLEEPERS = {
    one.name: one
    for one in (
        Sleeper("inverter 30 s", 30.0, by_hours(6.5, 18.5), 18),
        Sleeper("car 60 s", 60.0, by_hours(18, 7), 6.5, death_hour=22.0),
        Sleeper("office PC 60 s", 60.0, by_hours(8, 18, weekends=False), 17.5, weekends=True),
        Sleeper("machine 10 s", 10.0, by_hours(6, 22, weekends=False), 21.5, weekends=True),
        Sleeper("inverter 5 min", 300.0, by_hours(6.5, 18.5), 18),
        Sleeper("autumn inverter", 60.0, by_sun, 17, tuned=False),
        Sleeper("cloudy inverter", 120.0, with_cloudy_dawn, 17, jitter=0.1, tuned=False),
        Sleeper("shop till", 60.0, shop, 15, weekends=True, jitter=0.3, tuned=False),
        Sleeper(
            "school air 10 min", 600.0, by_hours(7, 16, weekends=False), 15.5, weekends=True, tuned=False
        ),
        Sleeper("night store heater", 120.0, by_hours(22, 6), 5.5, death_hour=2.0, jitter=0.2, tuned=False),
    )
}


@dataclass(frozen=True, slots=True)
class Job:
    """One device's month, alive or with its death, before one contestant."""

    sleeper: str
    contestant: str
    seed: int
    days: int
    dies: bool


def run(job: Job) -> list[float]:
    """Return the clocks of the silences; with a death, the seconds until it was reported, none if never."""
    sleeper = SLEEPERS[job.sleeper]
    end = MONDAY + job.days * DAY_S
    death = sleeper.death(job.days) if job.dies else end
    messages = list(sleeper.messages(days=job.days, seed=job.seed, until=death))
    silences = live(job.contestant, sleeper.source, messages, end=end).silences
    if not job.dies:
        return silences
    return [at - messages[-1].at for at in silences if at > messages[-1].at][:1]


def at_weekend(sleeper: Sleeper, at: float) -> bool:
    """Return whether a silence belongs to the gap of a weekend: from Friday evening to Monday morning."""
    return sleeper.weekends and (is_weekend(at) or is_weekend(at + 6 * HOUR_S) or is_weekend(at - 8 * HOUR_S))


def measure(seeds: int, jobs: int, *, days: int = DAYS, sleepers: Sequence[str] = tuple(SLEEPERS)) -> Report:
    """Return false silences by night and weekend, and how soon a death is reported."""
    work = [
        Job(name, contestant, seed, days, dies)
        for name in sleepers
        for contestant in CONTESTANTS
        for seed in range(1, seeds + 1)
        for dies in (False, True)
    ]
    told: dict[tuple[str, str, bool], list[list[float]]] = defaultdict(list)
    for job, result in zip(work, spread_out(run, work, jobs), strict=True):
        told[job.sleeper, job.contestant, job.dies].append(result)
    table = Table(
        f"devices that are off at night or at weekends: false silences in {days} days, and a death by day",
        (
            "at night",
            f"after night {FIRST_NIGHTS}",
            "at weekends",
            f"after weekend {FIRST_WEEKENDS}",
            "death told after, usual gaps",
            f"{RIVAL}: false",
            f"{RIVAL}: death, gaps",
        ),
    )
    promises, bars = [], {}
    for name in sleepers:
        sleeper = SLEEPERS[name]
        alive = told[name, PRODUCT, False]
        nights = [[at for at in one if not at_weekend(sleeper, at)] for one in alive]
        weekends = [[at for at in one if at_weekend(sleeper, at)] for one in alive]
        after_nights = [[at for at in one if sleeper.nights(at) > FIRST_NIGHTS] for one in nights]
        after_weekends = [
            [at for at in one if at >= MONDAY + 7 * FIRST_WEEKENDS * DAY_S + DAY_S / 2] for one in weekends
        ]
        cells = [Figure.of(map(len, part), 1) for part in (nights, after_nights, weekends, after_weekends)]
        bars[name] = (
            round(fmean(map(len, alive)), 1),
            round(fmean(map(len, told[name, RIVAL, False])), 1),
        )
        death = _gaps(told[name, PRODUCT, True], sleeper)
        rival: tuple[Cell, ...] = (
            Figure.of(map(len, told[name, RIVAL, False]), 1),
            _gaps(told[name, RIVAL, True], sleeper),
        )
        table.add(name if sleeper.tuned else f"{name} (not looked at)", *cells, death, *rival)
        lines = (MAX_FALSE, 0.0, MAX_FALSE, 0.0)
        for figure, line, what in zip(cells, lines, table.columns, strict=False):
            kept = figure is not None and figure.mean <= line
            if sleeper.weekends or "weekend" not in what:
                promises.append(Promise(f"{name}: false silences {what}", f"<= {line:g}", figure, kept))
        kept = isinstance(death, Figure) and death.mean <= MAX_GAPS
        promises.append(Promise(f"{name}: a death told after, usual gaps", f"<= {MAX_GAPS:g}", death, kept))
    title = f"False silences of devices that are off at night or at weekends, in {days} days"
    words = ("detector", "five mean gaps of patience")
    return Report([table], promises, {"detect-nights.svg": picture.bars(title, bars, words)})


def _gaps(delays: Sequence[Sequence[float]], sleeper: Sleeper) -> Cell:
    """Return after how many usual gaps a death was reported."""
    if not all(delays):
        return "never"
    return Figure.of((one[0] / sleeper.step_s for one in delays), 1)
