"""Limits without effect: no series matches, or the unit is another one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.detect import Limit, LimitUse
from agent.prompt.words import unit_word

#: Units by the last word of a metric's name, where there is no doubt.
_QUANTITIES = {
    "temperature": ("degC", "degF", "K"),
    "humidity": ("%",),
    "voltage": ("V", "mV", "kV"),
    "current": ("A", "mA"),
    "power": ("W", "kW", "mW", "MW", "VA", "kVA", "MVA", "var", "kvar"),
    "energy": ("Wh", "kWh", "MWh", "J", "kJ"),
    "frequency": ("Hz", "kHz"),
}


@dataclass(frozen=True, slots=True)
class LimitFault:
    """One limit without effect, or with less than it seems."""

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
        unit, metric = unit_word(limit.unit), limit.pattern.rpartition("/")[2].lower()
        fitting = next((units for word, units in _QUANTITIES.items() if metric.endswith(word)), None)
        if unit is None:
            what = (
                f"The limit {limit.pattern!r} is in {limit.unit!r}, which is not a known unit, so that it"
                " is checked only for readings that spell it the same"
            )
            remedy = "write the unit as the readings do, or a known one such as degC, kW or %"
        elif fitting is not None and unit not in fitting:
            what = f"The limit {limit.pattern!r} is in {limit.unit}, which does not fit its metric"
            remedy = f"write one of {', '.join(fitting)}"
        else:
            continue
        found.append(LimitFault(limit.pattern, what, remedy, sure=False))
    return found
