"""The detector and its rivals: blind alarms and z-scores, with its interface.

A rival that never looks at the data shows what a measure gives away: whatever it finds, chance finds. Each
judges a series alone, and a device as silent after a fixed number of its mean gaps.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import tzinfo
from math import inf, sqrt
from typing import Protocol

from agent.detect import Detector
from agent.domain.records import CALM, Kind, Progress, Reading, Score, SeriesView, Silence

PRODUCT = "detector"
BLIND_EVERY = 1000  # readings
HALF_LIFE = 200.0  # readings, of the moving mean and variance
WARM = 100  # readings before a rival's first alarm
MEAN_GAPS = 5.0  # of silence that a rival reports


class Contestant(Protocol):
    """The part of the detector that the benchmarks use."""

    def judge(self, reading: Reading, clock: float) -> tuple[Reading, Score]: ...
    def connected(self, clock: float) -> None: ...
    def heard(self, device: str, clock: float) -> object: ...
    def next_due(self, until: float = inf) -> float | None: ...
    def tick(self, clock: float) -> list[Silence]: ...
    @property
    def zone(self) -> tzinfo | None: ...
    def silence_progress(self, device: str) -> Progress | None: ...
    def absent(self, device: str) -> list[str]: ...
    def some_views(self, device: str, metrics: Iterable[str], limit: int) -> list[SeriesView]: ...


class Rule(Protocol):
    """One series of a rival."""

    def score(self, value: float) -> float:
        """Return the score of a value, 1.0 for an alarm, and learn from it."""


@dataclass(slots=True)
class Every:
    """An alarm with every 1,000th reading."""

    count: int = 0

    def score(self, value: float) -> float:  # noqa: ARG002 - it is blind
        self.count += 1
        return float(self.count % BLIND_EVERY == 0)


@dataclass(slots=True)
class Chance:
    """An alarm with one reading in 1,000, at random; the first value only throws the dice."""

    dice: random.Random | None = None

    def score(self, value: float) -> float:
        if self.dice is None:
            self.dice = random.Random(value)
        return float(self.dice.random() < 1 / BLIND_EVERY)


@dataclass(slots=True)
class MovingZ:
    """Distance from an exponentially weighted mean, in its standard deviations."""

    line: float = 4.0
    weight: float = 1.0 - 0.5 ** (1.0 / HALF_LIFE)
    count: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def score(self, value: float) -> float:
        self.count += 1
        off = value - self.mean
        sd = sqrt(self.variance)
        score = abs(off) / (self.line * sd) if sd and self.count > WARM else 0.0
        weight = max(self.weight, 1.0 / self.count)
        self.mean += weight * off
        self.variance = (1.0 - weight) * (self.variance + weight * off * off)
        return score


@dataclass(slots=True)
class AllZ(MovingZ):
    """Distance from the mean of everything so far, in standard deviations."""

    line: float = 3.0
    weight: float = 0.0


@dataclass(slots=True)
class _Gaps:
    clock: float
    mean_s: float = 0.0
    count: int = 0
    silent: bool = False

    def due(self) -> float:
        return inf if self.silent or self.count < WARM else self.clock + MEAN_GAPS * self.mean_s


class Rival:
    """A detector that scores each series by its own rule and waits for a few mean gaps."""

    zone: tzinfo | None = None

    def __init__(self, rule: Callable[[], Rule]) -> None:
        self._rule = rule
        self._series: dict[tuple[str, str], Rule] = {}
        self._gaps: dict[str, _Gaps] = {}

    def judge(self, reading: Reading, clock: float) -> tuple[Reading, Score]:
        self.heard(reading.device, clock)
        rule = self._series.get(reading.series)
        if rule is None:
            rule = self._series[reading.series] = self._rule()
        score = rule.score(reading.value)
        return reading, Score(score, Kind.SPIKE) if score else CALM

    def connected(self, clock: float) -> None:
        """Take that the clocks run from now on; they begin with the first message."""

    def heard(self, device: str, clock: float) -> None:
        gaps = self._gaps.setdefault(device, _Gaps(clock))
        if clock > gaps.clock:
            gaps.count += 1
            gaps.mean_s += (clock - gaps.clock - gaps.mean_s) / min(gaps.count, HALF_LIFE)
        gaps.clock, gaps.silent = clock, False

    def next_due(self, until: float = inf) -> float | None:  # noqa: ARG002 - the detector's
        due = min((gaps.due() for gaps in self._gaps.values()), default=inf)
        return None if due == inf else due

    def tick(self, clock: float) -> list[Silence]:
        late = [(device, gaps) for device, gaps in self._gaps.items() if gaps.due() <= clock]
        for _, gaps in late:
            gaps.silent = True
        return [
            Silence(device, gaps.clock, None, None, gaps.mean_s, clock - gaps.clock, 1.0)
            for device, gaps in late
        ]

    def note_hour(self, device: str, at: float, clock: float) -> None:
        """Take that a message is whole: no series is compared with another."""

    def absent(self, device: str) -> list[str]:  # noqa: ARG002 - it misses no series
        return []

    def silence_progress(self, device: str) -> None:
        """Return that silence is judged from the first gap on."""

    def some_views(self, device: str, metrics: Iterable[str], limit: int) -> list[SeriesView]:  # noqa: ARG002
        return []


CONTESTANTS: dict[str, Callable[[], Contestant]] = {
    PRODUCT: Detector,
    "EWMA z 4": lambda: Rival(MovingZ),
    "3 sd": lambda: Rival(AllZ),
    "every 1000": lambda: Rival(Every),
    "random": lambda: Rival(Chance),
}
RIVALS = tuple(name for name in CONTESTANTS if name != PRODUCT)
