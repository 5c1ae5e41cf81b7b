"""Limits and tuning rules without effect: no series, or another unit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.detect import Limit, LimitUse, Tuning, TuningUse
from agent.domain.metric_names import find_dimensions
from agent.domain.units import UNITS, find_dimension

MAX_OFFERED = 4  # units that a remedy names


@dataclass(frozen=True, slots=True)
class LimitFault:
    """One limit or tuning rule without effect, or with less than it seems."""

    pattern: str
    what: str  # a sentence without its end
    remedy: str
    sure: bool  # false: the series may not have sent a reading yet

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}."


def judge_uses(uses: Iterable[LimitUse]) -> list[LimitFault]:
    """Return the limits that match no known series, or whose unit is not that of the readings."""
    found = []
    for use in uses:
        pattern = use.limit.pattern
        if use.unfit and use.example is not None:
            name, unit = use.example
            more = f" and {use.unfit - 1} more" if use.unfit > 1 else ""
            found.append(
                LimitFault(
                    pattern,
                    f"The limit {pattern!r} is in {use.limit.unit}, but {name[:80]}{more} sends {unit[:20]},"
                    " so that it is not checked",
                    f"give limits.{pattern} in {unit[:20]}, with that unit",
                    sure=True,
                )
            )
        elif not use.covered:
            near = f"; the nearest is {use.nearest[:80]}" if use.nearest else ""
            found.append(
                LimitFault(
                    pattern,
                    f"The limit {pattern!r} matches no series that was received so far{near}",
                    "correct it under limits, or wait until its device speaks (patterns are DEVICE/METRIC)",
                    sure=False,
                )
            )
    return found


def judge_patterns(limits: Sequence[Limit]) -> list[LimitFault]:
    """Return the limits whose unit is unknown or another quantity's, as far as the text itself shows."""
    found = []
    for limit in limits:
        if limit.unit is None:
            continue
        dimension = find_dimension(limit.unit)
        fitting = find_dimensions(limit.pattern.rpartition("/")[2])
        if dimension is None:
            what = (
                f"The limit {limit.pattern!r} is in {limit.unit!r}, which is not a known unit, so that it"
                " is checked only for readings that spell it the same"
            )
            remedy = "write the unit as the readings do, or a known one such as degC, kW or %"
        elif fitting and dimension not in fitting:
            what = f"The limit {limit.pattern!r} is in {limit.unit}, which does not fit its metric"
            units = [name for name, unit in UNITS.items() if unit.dimension == fitting[0]]
            remedy = f"write one of {', '.join(units[:MAX_OFFERED])}"
        else:
            continue
        found.append(LimitFault(limit.pattern, what, remedy, sure=False))
    return found


def judge_tuning_use(uses: Iterable[TuningUse]) -> list[LimitFault]:
    """Return the tuning rules that match no known series."""
    return [
        LimitFault(
            use.rule.pattern,
            f"The tuning rule {use.rule.pattern!r} matches no series that was received so far"
            + (f"; the nearest is {use.nearest[:80]}" if use.nearest else ""),
            "correct it under tuning, or wait until its device speaks (patterns are DEVICE/METRIC)",
            sure=False,
        )
        for use in uses
        if not use.covered
    ]


def judge_tuning(rules: Sequence[Tuning]) -> list[LimitFault]:
    """Return the tuning rules whose series an earlier rule takes, as far as the text itself shows."""
    found = []
    for place, rule in enumerate(rules):
        device, _, metric = rule.pattern.rpartition("/")
        earlier = next((one for one in rules[:place] if one.covers(device, metric)), None)
        if earlier is not None:
            found.append(
                LimitFault(
                    rule.pattern,
                    f"The tuning rule {rule.pattern!r} never holds: {earlier.pattern!r} takes its series",
                    "move it before the other rule, or remove it",
                    sure=False,
                )
            )
    return found
