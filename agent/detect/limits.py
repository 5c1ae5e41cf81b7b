"""Configured limits: the limit of a series, its score, and its coverage."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from math import inf
from typing import NamedTuple

from agent.domain.records import Kind, Score
from agent.domain.units import SAME, conversion

CRITICAL = 3.0
MAX_EXTRA = 7.0
MAX_COMPARED = 200  # series names among which the nearest is looked for
MAX_NEAREST = 5  # limits for which it is looked for


class Bounds(NamedTuple):
    """A limit in the unit of a series."""

    low: float | None
    high: float | None

    def judge(self, value: float) -> Score | None:
        """Return the score of a value beyond the bounds, from 3.0 up; None within."""
        low = -inf if self.low is None else self.low
        high = inf if self.high is None else self.high
        if low <= value <= high:
            return None
        over = low - value if value < low else value - high
        scale = high - low if low > -inf and high < inf else max(abs(low if high == inf else high), 1.0)
        return Score(CRITICAL + min(MAX_EXTRA, over / scale), Kind.OUT_OF_RANGE, (low, high), limit=True)


@dataclass(frozen=True, slots=True)
class Limit:
    """The allowed range of a series. ``pattern`` is a ``device/metric`` glob whose ``*`` crosses slashes.

    It holds for readings in any unit that ``unit`` converts to: a limit in degC for readings in °F.
    """

    pattern: str
    low: float | None = None
    high: float | None = None
    unit: str | None = None
    _regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_regex", re.compile(translate(self.pattern)))

    def covers(self, device: str, metric: str) -> bool:
        """Return whether the limit holds for a series."""
        return self._regex.match(f"{device}/{metric}") is not None

    @property
    def literal(self) -> int:
        """How many characters of the pattern are literal."""
        return sum(character not in "*?[]" for character in self.pattern)

    def bounds(self, unit: str | None) -> Bounds | None:
        """Return low and high in ``unit``, None where the limit does not hold for it.

        A value without a unit is taken to be in that of the limit.
        """
        way = SAME if unit is None or self.unit is None else conversion(self.unit, unit)
        if way is None:
            return None
        low, high = (
            side if side is None or way is SAME else way.apply(side) for side in (self.low, self.high)
        )
        return Bounds(low, high)

    def judge(self, value: float, unit: str | None) -> Score | None:
        """Return the score of a value beyond the limit, from 3.0 up; None within, or in another unit."""
        bounds = self.bounds(unit)
        return None if bounds is None else bounds.judge(value)

    def speaks_of(self, unit: str | None) -> bool:
        """Return whether the limit holds for values in ``unit``; without a unit it does."""
        return unit is None or self.unit is None or conversion(self.unit, unit) is not None


def choose(limits: Sequence[Limit], device: str, metric: str) -> Limit | None:
    """Return the limit that holds for a series: of several the most literal, of equals the last."""
    best: Limit | None = None
    for limit in limits:
        if limit.covers(device, metric) and (best is None or limit.literal >= best.literal):
            best = limit
    return best


Known = tuple[str, str, str | None, Limit | None]  # device, metric, unit, the limit that holds for it


@dataclass(slots=True)
class LimitUse:
    """The series that one limit holds for."""

    limit: Limit
    covered: int = 0  # series that its pattern covers
    unfit: int = 0  # series that it should hold for, whose unit it does not know
    example: tuple[str, str] | None = None  # one of these, as device/metric, and its unit
    nearest: str | None = None  # of a limit that covers nothing: the series with the most similar name


def find_use(limits: Sequence[Limit], series: Iterable[Known]) -> list[LimitUse]:
    """Return how each limit fares with the known series; nothing while none is known."""
    every = list(series)
    if not every:
        return []
    uses = {limit.pattern: LimitUse(limit) for limit in limits}
    for device, metric, unit, limit in every:
        use = None if limit is None else uses.get(limit.pattern)
        if limit is None or use is None:
            continue
        use.covered += 1
        if not limit.speaks_of(unit):
            use.unfit += 1
            use.example = use.example or (f"{device}/{metric}", unit or "")
    sought = 0
    for use in uses.values():
        if not use.covered:  # another limit may hold for all that it covers
            use.covered = sum(use.limit.covers(device, metric) for device, metric, _, _ in every)
        if not use.covered and sought < MAX_NEAREST:
            sought += 1
            use.nearest = find_nearest(use.limit.pattern, [(device, metric) for device, metric, *_ in every])
    return list(uses.values())


def find_nearest(pattern: str, series: Sequence[tuple[str, str]]) -> str | None:
    """Return the name that a pattern may have meant, as device/metric."""
    from difflib import get_close_matches  # noqa: PLC0415 - for a limit that fits nothing

    names = [f"{device}/{metric}" for device, metric in series[:MAX_COMPARED]]
    return next(iter(get_close_matches(pattern, names, n=1, cutoff=0.5)), None)
