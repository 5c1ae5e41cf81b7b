"""Tuning rules of the configuration for single series, and their coverage."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import translate

from agent.detect.expect import LEARNT, Expect
from agent.detect.limits import MAX_NEAREST, find_nearest

NORMAL = "normal"


@dataclass(frozen=True, slots=True)
class Tuning:
    """One rule. ``pattern`` is a ``device/metric`` glob whose ``*`` crosses slashes; the first match wins."""

    pattern: str
    ignore: bool = False  # not judged; a configured limit holds all the same
    sensitivity: str = NORMAL
    expect: Expect = LEARNT  # of the silence of its devices
    _regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_regex", re.compile(translate(self.pattern)))

    def covers(self, device: str, metric: str) -> bool:
        """Return whether the rule holds for a series."""
        return self._regex.match(f"{device}/{metric}") is not None


#: The rule of a series that no configured one covers.
UNTUNED = Tuning("")


def choose_tuning(rules: Sequence[Tuning], device: str, metric: str) -> Tuning:
    """Return the first rule that covers a series."""
    return next((rule for rule in rules if rule.covers(device, metric)), UNTUNED)


def expect_of(rules: Sequence[Tuning], held: Iterable[Tuning]) -> Expect:
    """Return the configured silence of a device, by the rules that hold for its series.

    Of several about silence the first in the list; it is muted if each of its series is ignored.
    """
    held = list(held)
    if held and all(rule.ignore for rule in held):
        return Expect(muted=True)
    return next((rule.expect for rule in rules if rule.expect != LEARNT and rule in held), LEARNT)


@dataclass(frozen=True, slots=True)
class TuningUse:
    """How many known series a rule covers, and the nearest name if none."""

    rule: Tuning
    covered: int
    nearest: str | None = None


def find_tuning_use(rules: Sequence[Tuning], series: Iterable[tuple[str, str]]) -> list[TuningUse]:
    """Return how each rule fares with the known series; nothing while none is known."""
    every = list(series)
    if not every:
        return []
    found, sought = [], 0
    for rule in rules:
        covered, near = sum(rule.covers(device, metric) for device, metric in every), None
        if not covered and sought < MAX_NEAREST:
            sought += 1
            near = find_nearest(rule.pattern, every)
        found.append(TuningUse(rule, covered, near))
    return found
