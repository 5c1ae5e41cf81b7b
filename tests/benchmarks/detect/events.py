"""Row `events`: false silences of devices that send on events, and their deaths.

Nothing is due at an hour, so a silence is judged by the tail of the gaps. A false one in the first days is
the price of a first night or weekend; a death has to be reported, late as it may be.
"""

import json
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
from tests.benchmarks.detect.site import hour
from tests.benchmarks.detect.table import Cell, Figure, Promise, Report, Table, spread_out

DAYS = 28
DEATH = 22.5  # days: a Tuesday at noon
MAX_WAIT_DAYS = 14.0  # a death that is not reported by then counts as never
RIVAL = "EWMA z 4"  # of it only its patience counts: five mean gaps
CONTESTANTS = (PRODUCT, RIVAL)
MAX_FALSE = 2.0

Dice = random.Random
Times = Iterator[tuple[float, float]]  # receipt and the device's own time
Life = Callable[[Dice, float], Times]


@dataclass(frozen=True, slots=True)
class Eventful:
    """A device that sends at the times of ``life``, until it dies."""

    name: str
    life: Life
    tuned: bool = True

    @property
    def source(self) -> Mapping[str, str]:
        return {"topic": "site/{device}"}

    def messages(self, *, seed: int, until: float) -> Iterator[Message]:
        """Yield what it sends."""
        dice = random.Random(f"{seed}/{self.name}")
        for clock, at in self.life(dice, until):
            payload = {"value": round(dice.gauss(20.0, 1.0), 1), "time": round(at, 3)}
            yield Message(clock, self.name, f"site/{self.name}", json.dumps(payload).encode(), 1, "", 0)


def at_random(
    rate: Callable[[float], float], burst: Callable[[Dice], Sequence[float]] = lambda _: (0.0,)
) -> Life:
    """Return events with a rate per hour that depends on the time, each followed by its burst, seconds."""

    def life(dice: Dice, until: float) -> Times:
        at = MONDAY
        while True:
            # Time passes in steps of ten minutes at most, in which the rate is taken to be constant.
            per_hour = max(rate(at), 1e-9)
            wait = dice.expovariate(per_hour / HOUR_S)
            if wait > 600.0:
                at += 600.0
            else:
                at += wait
                for later in burst(dice):
                    if at + later >= until:
                        return
                    yield at + later, at + later
                at += later
            if at >= until:
                return

    return life


def between(first: float, last: float, inside: float, outside: float = 0.0) -> Callable[[float], float]:
    """Return a rate per hour between two hours of the day, and outside of them."""
    return lambda at: inside if first < hour(at) < last else outside


def at_home(at: float) -> float:
    """Return the rate of a motion sensor in a living room."""
    now = hour(at)
    return 0.4 if now < 6 else 6.0 if now < 22.5 else 1.5


def in_an_office(at: float) -> float:
    """Return the rate of a sensor that sees people on working days."""
    if is_weekend(at):
        return 0.02
    return 4.0 if 7.5 < hour(at) < 18 else 0.3 if 18 < hour(at) < 20 else 0.01


def opened_and_closed(dice: Dice) -> Sequence[float]:
    """Return the moments of an opening and its closing."""
    return 0.0, dice.choice((4.0, 9.0, 30.0, 240.0))


def lossy(step_s: float, loss: float) -> Life:
    """Return a steady reporter behind a radio that loses a share of the messages."""

    def life(dice: Dice, until: float) -> Times:
        at = MONDAY
        while at < until:
            if dice.random() >= loss:
                yield at, at
            at += step_s * dice.uniform(0.98, 1.02)

    return life


def mailbox(dice: Dice, until: float) -> Times:
    """Yield a flap that moves once or twice on working days."""
    for day in range(int((until - MONDAY) // DAY_S) + 1):
        begin = MONDAY + day * DAY_S
        if int(begin // DAY_S + 3) % 7 < 6:
            for first, last in ((10.0, 13.0), (16.0, 19.5))[: dice.choice((1, 2, 2))]:
                at = begin + dice.uniform(first, last) * HOUR_S
                for later in (0.0, 5.0):
                    if at + later < until:
                        yield at + later, at + later


def sump_pump(dice: Dice, until: float) -> Times:
    """Yield a pump that sends each ten seconds while it runs, every few hours."""
    at = MONDAY
    while at < until:
        for _ in range(dice.randint(15, 60)):
            yield at, at
            at += 10.0
            if at >= until:
                return
        at += dice.uniform(2.0, 8.0) * HOUR_S


def vehicle(dice: Dice, until: float) -> Times:
    """Yield a tracker that sends each half minute on its trips, two on most working days."""
    for day in range(int((until - MONDAY) // DAY_S) + 1):
        begin = MONDAY + day * DAY_S
        if dice.random() < (0.3 if is_weekend(begin) else 0.9):
            for around in (7.6, 17.0):
                at = begin + (around + dice.gauss(0.0, 0.5)) * HOUR_S
                for _ in range(dice.randint(20, 80)):
                    if at < until:
                        yield at, at
                    at += 30.0


def holiday_flat(dice: Dice, until: float) -> Times:
    """Yield the door of a flat that is visited for a weekend or a week, with up to two weeks in between."""
    at = MONDAY + dice.uniform(9.0, 12.0) * HOUR_S
    while at < until:
        leave = at + dice.choice((2.0, 3.0, 7.0)) * DAY_S
        while at < leave:
            at += dice.expovariate(1 / (1.6 * HOUR_S))
            at += max(0.0, 8.0 - hour(at)) * HOUR_S * (hour(at) < 7)
            for later in opened_and_closed(dice):
                if at + later >= until:
                    return
                yield at + later, at + later
        at += dice.uniform(3.0, 14.0) * DAY_S


def rain(dice: Dice, until: float) -> Times:
    """Yield a gauge that sends each tip of its bucket: showers, with dry days in between."""
    at = MONDAY + dice.uniform(2.0, 20.0) * HOUR_S
    while True:
        end, tip_s = at + dice.expovariate(1 / (2.5 * HOUR_S)), dice.choice((40.0, 150.0, 600.0))
        while at < end:
            if at >= until:
                return
            yield at, at
            at += dice.expovariate(1 / tip_s)
        at += dice.choice((1.0, 6.0, 24.0, 60.0, 110.0)) * dice.uniform(0.6, 1.5) * HOUR_S


def on_change(dice: Dice, until: float) -> Times:
    """Yield a thermometer that sends at each change of 0.3 degrees: by day often, at night seldom."""
    value, said, at = 20.0, 20.0, MONDAY
    while at < until:
        restless = 0.05 if 7.0 < hour(at) < 22.0 else 0.012
        value += dice.gauss(0.0, restless) + (20.0 - value) * 0.004
        if abs(value - said) >= 0.3:
            said = value
            yield at, at
        at += 60.0


def snowed_in(dice: Dice, until: float) -> Times:
    """Yield an inverter in winter: minutes that follow the sun, and days under snow."""
    covered = 0
    for day in range(int((until - MONDAY) // DAY_S) + 1):
        begin = MONDAY + day * DAY_S
        covered = covered - 1 if covered else dice.choice((1, 2, 4)) if dice.random() < 0.12 else 0
        first, last = 8.1 + dice.uniform(0.0, 0.6), 16.4 - dice.uniform(0.0, 0.7)
        at = begin + first * HOUR_S
        while not covered and at < begin + last * HOUR_S:
            if at < until:
                yield at, at
            at += 60.0


def batches(dice: Dice, until: float) -> Times:
    """Yield a logger on mobile radio: a reading each ten minutes, sent thrice a day."""
    kept: list[float] = []
    at, sends = MONDAY, [MONDAY + (6.0 + 8.0 * number) * HOUR_S for number in range(3 * DAYS)]
    for due in sends:
        clock = due + dice.uniform(0.0, 0.4) * HOUR_S
        while at < clock:
            kept.append(at)
            at += 600.0
        if dice.random() < 0.05:
            continue  # no network: with the next batch
        if clock >= until:
            return
        for number, one in enumerate(kept):
            yield clock + 0.05 * number, one
        kept.clear()


def switched(every_s: float, most: int, share: float, hours: tuple[float, float], weekend: float) -> Life:
    """Return a device that sends each ``every_s`` while a person has it switched on.

    Up to ``most`` times a day, between 9 and 22 o'clock, on that ``share`` of the days (``weekend``: of those
    at the weekend), for some hours.
    """

    def life(dice: Dice, until: float) -> Times:
        at = MONDAY
        for day in range(int((until - MONDAY) // DAY_S) + 1):
            begin = MONDAY + day * DAY_S
            for _ in range(dice.randint(1, most)):
                if dice.random() >= (weekend if is_weekend(begin) else share):
                    continue
                at = max(at + 600.0, begin + dice.uniform(9.0, 21.0) * HOUR_S)
                off = at + dice.uniform(*hours) * HOUR_S
                while at < min(off, until):
                    yield at, at
                    at += every_s

    return life


def heartbeat(changes: Life, every_s: float) -> Life:
    """Return a contact that sends its changes, and its state when nothing has changed for so long."""

    def life(dice: Dice, until: float) -> Times:
        due = MONDAY
        for at, _ in changes(dice, until):
            while due < at:
                yield due, due
                due += every_s
            yield at, at
            due = at + every_s
        while due < until:
            yield due, due
            due += every_s

    return life


def failing_link(dice: Dice, until: float) -> Times:
    """Yield a sensor that sends each minute, and cannot for minutes at any hour of every third day."""
    at, fails = MONDAY, MONDAY + 3 * DAY_S * dice.random()
    while at < until:
        yield at, at
        at += 60.0 * dice.uniform(0.98, 1.02)
        if at >= fails:
            at += dice.uniform(7.0, 25.0) * 60.0
            fails = at + DAY_S * dice.uniform(1.5, 4.5)


def two_rates(dice: Dice, until: float) -> Times:
    """Yield a printer: each minute, and each 5 s while it prints."""
    at, done, begins = MONDAY, 0.0, MONDAY + 9.0 * HOUR_S
    while at < until:
        if at >= begins:
            done = at + dice.uniform(0.5, 9.0) * HOUR_S
            begins = done + dice.expovariate(1 / (20.0 * HOUR_S))
        yield at, at
        at += 5.0 if at < done else 60.0


EVENTFUL = {
    one.name: one
    for one in (
        Eventful("motion at home", at_random(at_home, lambda _: (0.0, 90.0))),
        Eventful("at random, 12 an hour", at_random(lambda _: 12.0)),
        Eventful("fridge door", at_random(between(6, 23, 1.5, 0.05), opened_and_closed)),
        Eventful("hourly, 30 % lost", lossy(3600.0, 0.3)),
        Eventful("mailbox", mailbox),
        Eventful("sump pump", sump_pump),
        Eventful("vehicle", vehicle),
        Eventful("printer of two rates", two_rates),
        Eventful("printer, off by hand", switched(10.0, 2, 0.6, (1.0, 8.0), 0.8)),
        Eventful("television", switched(10.0, 2, 0.7, (0.5, 4.0), 0.9)),
        Eventful("laptop", switched(60.0, 2, 0.8, (2.0, 8.0), 0.2)),
        Eventful("band saw", switched(30.0, 2, 0.15, (0.3, 2.0), 0.5)),
        Eventful("wallbox", switched(30.0, 1, 0.5, (2.0, 7.0), 0.4)),
        Eventful("sauna", switched(60.0, 1, 0.25, (1.5, 3.0), 0.5)),
        Eventful("car", switched(10.0, 2, 0.85, (0.2, 1.2), 0.5)),
        Eventful("contact with an hourly heartbeat", heartbeat(at_random(between(7, 22, 1.5, 0.02)), HOUR_S)),
        Eventful("link that fails for minutes", failing_link),
        # Written before the rules for such devices, and not looked at since.
        Eventful("door of a holiday flat", holiday_flat, tuned=False),
        Eventful("button", at_random(between(7, 23, 0.35, 0.02)), tuned=False),
        Eventful("rain gauge", rain, tuned=False),
        Eventful("motion in a corridor", at_random(in_an_office, lambda _: (0.0, 60.0)), tuned=False),
        Eventful("thermometer on change", on_change, tuned=False),
        Eventful("inverter under snow", snowed_in, tuned=False),
        Eventful("radio node, 25 % lost", lossy(900.0, 0.25), tuned=False),
        Eventful("logger, thrice a day", batches, tuned=False),
    )
}


@dataclass(frozen=True, slots=True)
class Job:
    """One device's weeks, alive or with its death, before one contestant."""

    device: str
    contestant: str
    seed: int
    dies: bool


def run(job: Job) -> list[float]:
    """Return the clocks of the silences; with a death, the days until it was reported, none if never."""
    device = EVENTFUL[job.device]
    death = MONDAY + (DEATH if job.dies else DAYS) * DAY_S
    messages = list(device.messages(seed=job.seed, until=death))
    end = death + (MAX_WAIT_DAYS * DAY_S if job.dies else 0.0)
    silences = live(job.contestant, device.source, messages, end=end).silences
    if not job.dies:
        return silences
    last = messages[-1].at
    return [(at - last) / DAY_S for at in silences if at > last][:1]


def measure(seeds: int, jobs: int, *, devices: Sequence[str] = tuple(EVENTFUL)) -> Report:
    """Return the false silences of each device, and how soon its death is reported."""
    work = [
        Job(name, contestant, seed, dies)
        for name in devices
        for contestant in CONTESTANTS
        for seed in range(1, seeds + 1)
        for dies in (False, True)
    ]
    told: dict[tuple[str, str, bool], list[list[float]]] = defaultdict(list)
    for job, result in zip(work, spread_out(run, work, jobs), strict=True):
        told[job.device, job.contestant, job.dies].append(result)
    table = Table(
        f"devices that send on events: false silences in {DAYS} days, and a death on a Tuesday at noon",
        (
            "false",
            "after day 7",
            "death told after, days",
            f"{RIVAL}: false",
            f"{RIVAL}: death, days",
        ),
    )
    promises, bars = [], {}
    for name in devices:
        alive, rival = told[name, PRODUCT, False], told[name, RIVAL, False]
        false = Figure.of(map(len, alive), 1)
        later = Figure.of((sum(at > MONDAY + 7 * DAY_S for at in one) for one in alive), 1)
        table.add(
            name if EVENTFUL[name].tuned else f"{name} (not looked at)",
            false,
            later,
            _days(told[name, PRODUCT, True]),
            Figure.of(map(len, rival), 1),
            _days(told[name, RIVAL, True]),
        )
        kept = false is not None and false.mean <= MAX_FALSE
        promises.append(Promise(f"{name}: false silences", f"<= {MAX_FALSE:g}", false, kept))
        bars[name] = (round(fmean(map(len, alive)), 1), round(fmean(map(len, rival)), 1))
    title = f"False silences of devices that send on events, in {DAYS} days"
    words = ("detector", "five mean gaps of patience")
    return Report([table], promises, {"detect-events.svg": picture.bars(title, bars, words)})


def _days(delays: Sequence[Sequence[float]]) -> Cell:
    """Return after how many days a death was reported."""
    if not all(delays):
        return "never"
    return Figure.of((one[0] for one in delays), 1)
