"""Units of a series: another unit is converted, a foreign one lets it learn again."""

import math
import random
from collections.abc import Iterable

import pytest

from agent.detect import Detector, Limit
from agent.domain.records import Reading, Score
from agent.verdict.local_opinion import opine
from tests.support.make import T0

Scored = tuple[Reading, Score]
LEARNT = 5000


def room(count: int, seed: int = 1) -> list[float]:
    """A room's temperature in degC, a value a minute."""
    dice = random.Random(seed)
    return [round(21 + 1.5 * math.sin(place / 229) + dice.gauss(0, 0.1), 2) for place in range(count)]


class Site:
    """One device whose readings follow each other by a minute."""

    def __init__(self, *limits: Limit) -> None:
        self.detector = Detector(limits=limits)
        self.at = T0

    def send(self, values: Iterable[float], unit: str | None, metric: str = "temperature") -> list[Scored]:
        scored = []
        for value in values:
            self.at += 60.0
            scored.append(self.detector.judge(Reading("d", metric, self.at, value, unit), self.at))
        return scored


def alarms(scored: Iterable[Scored]) -> list[Scored]:
    return [one for one in scored if one[1].value >= 1.0]


@pytest.mark.parametrize(
    ("metric", "first", "then", "factor", "offset"),
    [
        ("temperature", "°C", "°F", 1.8, 32.0),
        ("power", "W", "kW", 0.001, 0.0),
        ("pressure", "hPa", "kPa", 0.1, 0.0),
        ("flow", "m³/h", "L/min", 1000 / 60, 0.0),
        ("temperature", "degC", "Cel", 1.0, 0.0),
    ],
)
def test_a_known_unit_is_converted(metric: str, first: str, then: str, factor: float, offset: float) -> None:
    """A change of unit alone is not an anomaly, and the numbers stay in the unit of the series."""
    site = Site()
    values = room(LEARNT + 500)
    site.send(values[:LEARNT], first, metric)
    scored = site.send([value * factor + offset for value in values[LEARNT:]], then, metric)
    assert alarms(scored) == []
    assert [one.value for one, _ in scored] == pytest.approx(values[LEARNT:], rel=1e-6)
    view = site.detector.view("d", metric)
    assert view is not None
    assert (view.unit, view.progress, view.unit_was) == (first, None, None)
    assert (view.said is None) == (factor == 1.0)


def test_a_fault_in_another_unit_is_found_and_told_in_both() -> None:
    """People read the value as the device sent it."""
    site = Site()
    site.send(room(LEARNT), "degC")
    scored = site.send([140.0], "°F")
    assert alarms(scored)
    assert opine(scored).summary.startswith("temperature 60 degC (sent as 140 °F) ")


def test_one_reading_in_a_foreign_unit_costs_nothing_that_was_learnt() -> None:
    """It is not judged; the next one in the series' own unit is."""
    site = Site()
    site.send(room(LEARNT), "W", "power")
    (foreign,) = site.send([230.0], "V", "power")
    assert foreign[1].unit_was == "W"
    assert foreign[1].value == 0.0
    assert opine([foreign]).summary == "The unit of power changed from W to V: it learns again."
    assert alarms(site.send([21.0], "W", "power")) == []
    assert alarms(site.send([230.0], "W", "power"))
    assert not site.detector.unit_changes


@pytest.mark.parametrize(("first", "then"), [("W", "V"), ("foo", "bar"), ("°C", "widgets"), (None, "°F")])
def test_a_foreign_unit_lets_the_series_learn_again(first: str | None, then: str) -> None:
    """Never old numbers under the new unit."""
    site = Site()
    site.send(room(LEARNT), first)
    scored = site.send([70.0 + value for value in room(20, seed=2)], then)
    assert alarms(scored) == []
    assert all(score.expected is None for _, score in scored)
    view = site.detector.view("d", "temperature")
    assert view is not None
    assert (view.unit, view.n, view.unit_was) == (then, 19, first or "")
    assert view.median is not None
    assert view.median > 85.0
    was = first or "no unit"
    assert f"changed from {was} to {then}" in opine(scored).summary
    (change,) = site.detector.unit_changes
    assert str(change) == f"The unit of d/temperature changed from {was} to {then}"
    assert site.detector.relearning() == [change]


def test_a_series_takes_the_unit_that_its_device_begins_to_say() -> None:
    """As long as the value goes on from the last one; what was learnt stays."""
    site = Site()
    values = room(LEARNT + 100)
    site.send(values[:LEARNT], None)
    assert alarms(site.send(values[LEARNT:], "°C")) == []
    view = site.detector.view("d", "temperature")
    assert view is not None
    assert (view.unit, view.progress, view.unit_was) == ("°C", None, None)


def test_zero_does_not_tell_a_unit() -> None:
    """An inverter at night sends 0 W or 0 kW: the series stays without a unit until it is clear."""
    site = Site()
    day = [max(0.0, 1800.0 * math.sin(place / 229)) for place in range(LEARNT)]
    site.send([*day, 0.0, 0.0], None, "power")
    site.send([0.0], "kW", "power")
    view = site.detector.view("d", "power")
    assert view is not None
    assert view.unit is None
    assert view.n == LEARNT + 3


def test_a_reading_without_a_unit_is_in_that_of_its_series() -> None:
    """A device may leave it out."""
    site = Site()
    values = room(LEARNT + 50)
    site.send(values[:LEARNT], "degC")
    assert alarms(site.send(values[LEARNT:], None)) == []
    assert alarms(site.send([60.0], None))


@pytest.mark.parametrize(
    ("unit", "value", "broken"),
    [("°F", 190.0, True), ("°F", 180.0, False), ("K", 360.0, True), ("K", 350.0, False)],
)
def test_a_limit_holds_in_every_unit_that_converts(unit: str, value: float, broken: bool) -> None:
    """From the first reading on; the allowed range is given in the unit of the reading."""
    site = Site(Limit("*/temperature", low=-40.0, high=85.0, unit="degC"))
    ((_, score),) = site.send([value], unit)
    assert score.limit is broken
    assert score.unchecked is None
    view = site.detector.view("d", "temperature")
    assert view is not None
    assert view.limits == ((-40.0, 185.0) if unit == "°F" else (233.15, 358.15))


def test_a_limit_holds_for_the_one_foreign_reading_too() -> None:
    """As configured for its unit."""
    site = Site(Limit("*/power", high=3000.0, unit="W"))
    site.send([20.0] * 5, "A", "power")
    ((_, score),) = site.send([4.0], "kW", "power")
    assert score.limit
    assert score.unit_was == "A"


def test_a_diagnostic_is_kept_and_shown_but_not_judged() -> None:
    """A radio that is moved is not an anomaly; a configured limit holds all the same."""
    site = Site(Limit("*/rssi", low=-95.0))
    site.send([-60.0 - value for value in room(LEARNT)], "dBm", "rssi")
    scored = site.send([-20.0, -90.0], "dBm", "rssi")
    assert alarms(scored) == []
    assert opine(scored).summary == "Diagnostic values only, which are not judged."
    view = site.detector.view("d", "rssi")
    assert view is not None
    assert (view.n, view.last_value, view.usual, view.progress) == (LEARNT + 2, -90.0, None, None)
    assert view.diagnostic
    assert site.detector.learning_count() == 0
    assert alarms(site.send([-100.0], "dBm", "rssi"))


def test_units_survive_a_restart() -> None:
    """During a change of unit a loaded detector goes on as the one that was saved."""
    site = Site()
    site.send(room(400), "°C")
    site.send([70.0], "°F")
    site.send(room(400), "W", "power")
    site.send([230.0], "V", "power")
    site.send(room(400), "A", "x")
    site.send([230.0, 231.0], "V", "x")
    again = Detector()
    again.load(site.detector.dump())
    for metric in ("temperature", "power", "x"):
        assert again.view("d", metric) == site.detector.view("d", metric)
    assert again.relearning() == site.detector.relearning()
    at = site.at + 60.0
    for metric, unit in (("temperature", "°F"), ("power", "V"), ("x", "V")):
        reading = Reading("d", metric, at, 71.0, unit)
        assert again.judge(reading, at) == site.detector.judge(reading, at)
    assert again.dump() == site.detector.dump()


def test_a_value_that_no_float_holds_is_not_converted() -> None:
    """Text of a device cannot make an infinite value."""
    site = Site()
    site.send([1.0], "W", "power")
    ((reading, score),) = site.send([1e308], "MW", "power")
    assert reading.value == 1e308
    assert score.unit_was == "W"
