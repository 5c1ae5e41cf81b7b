"""Limits to propose for quantities whose usual range is known, as comments only."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from agent.commands.discovery.found import Metric, SourceResult
from agent.domain.metric_names import MetricClass, look_up
from agent.domain.units import conversion

MAX_NAMED = 8  # devices with a line of their own, of one quantity
_SPECIAL: Final = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]"})


class Range(NamedTuple):
    """A range of values that a device of one kind sends, and the limits that suit it."""

    word: str  # of the metric
    unit: str
    least: float  # the values received are between these
    most: float
    low: float | None
    high: float | None
    name: str


#: The first one that fits counts; limits always have room around the values received.
RANGES: Final = (
    Range("temperature", "degC", -45.0, -13.0, None, -10.0, "a freezer"),
    Range("temperature", "degC", 0.5, 7.5, 0.0, 8.0, "a refrigerator"),
    Range("temperature", "degC", 14.0, 29.0, 5.0, 35.0, "a room"),
    Range("humidity", "%", 25.0, 70.0, None, 80.0, "a room"),
    Range("co2", "ppm", 300.0, 1400.0, None, 2000.0, "a room"),
    Range("battery", "%", 25.0, 100.0, 15.0, None, "a battery"),
    Range("voltage", "V", 215.0, 245.0, 207.0, 253.0, "the mains, EN 50160"),
    Range("frequency", "Hz", 49.7, 50.3, 49.5, 50.5, "the mains"),
    Range("leak", "", 0.0, 0.0, None, 0.0, "dry"),
    Range("smoke", "", 0.0, 0.0, None, 0.0, "no smoke"),
)


class Proposal(NamedTuple):
    """A line of section ``limits``."""

    pattern: str  # a device/metric glob
    kind: Range
    unit: bool  # whether the readings have one
    low: float  # values received, in the unit of the limit
    high: float


def propose_limits(sources: Iterable[SourceResult]) -> Iterator[Proposal]:
    """Yield limits for the series whose values are in a known range.

    Where every series of a metric is of one kind, the limit is for all devices, those to come among them.
    """
    metrics: dict[str, list[tuple[str, Metric]]] = defaultdict(list)
    for source in sources:
        for device, found in source.devices.items():
            for name, metric in found.metrics.items():
                metrics[name].append((device, metric))
    for name, series in metrics.items():
        lines = [one for device, metric in series if (one := _propose(device, name, metric)) is not None]
        kinds, units = {one.kind for one in lines}, {one.unit for one in lines}
        if len(series) > 1 and len(lines) == len(series) and len(kinds) == len(units) == 1:
            low, high = min(one.low for one in lines), max(one.high for one in lines)
            yield Proposal(f"*/{name.translate(_SPECIAL)}", kinds.pop(), units.pop(), low, high)
        else:
            yield from lines[:MAX_NAMED]


def _propose(device: str, name: str, metric: Metric) -> Proposal | None:
    """Return the limit of a series, None where its quantity or its values are of no known kind."""
    known = look_up(name)
    word = (known.word or "").rpartition("_")[2]
    if known.kind is MetricClass.NOT_A_VALUE or known.word == "battery_voltage":
        return None
    for one in RANGES:
        if one.word != word:
            continue
        low, high = metric.low, metric.high
        if metric.unit is not None and one.unit:
            change = conversion(metric.unit, one.unit)
            if change is None:
                continue
            low, high = change.apply(low), change.apply(high)
        if one.least <= low and high <= one.most:
            pattern = f"{device}/{name}".translate(_SPECIAL)
            return Proposal(pattern, one, metric.unit is not None and bool(one.unit), low, high)
    return None
