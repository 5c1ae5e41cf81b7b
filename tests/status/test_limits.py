"""Limits without effect are found and explained."""

from agent.detect import Detector, Limit
from agent.domain.records import Reading
from agent.status.limits import judge_patterns, judge_uses
from agent.status.sentences import unit_change_words
from tests.support.make import T0


def detector(*limits: Limit, unit: str = "kW") -> Detector:
    """A detector that received boiler/temperature in degC and pump/power in ``unit``."""
    made = Detector(limits=limits)
    made.update(Reading("boiler", "temperature", T0, 71.0, "degC"), T0)
    made.update(Reading("pump", "power", T0, 3.1, unit), T0)
    return made


def limit(pattern: str, unit: str | None = None) -> Limit:
    return Limit(pattern, high=90.0, unit=unit)


def test_a_limit_that_matches_no_series_names_the_nearest() -> None:
    """A slip of the pen in a limit is a boiler without one; it is not sure before the device has spoken."""
    (fault,) = judge_uses(detector(limit("boiler/temprature")).limit_use())
    assert not fault.sure
    assert "'boiler/temprature' matches no series" in str(fault)
    assert "the nearest is boiler/temperature" in str(fault)


def test_a_limit_in_another_unit_names_the_series_and_its_unit() -> None:
    """As long as the readings come in a unit that nothing converts to its own; a kW is a thousand W."""
    (fault,) = judge_uses(detector(limit("*/power", "A")).limit_use())
    assert fault.sure
    assert "'*/power' is in A, but pump/power sends kW, so that it is not checked" in str(fault)
    assert judge_uses(detector(limit("*/power", "kilo"), unit="kilo").limit_use()) == []
    for unit in ("w", "kW", "MW"):
        assert judge_uses(detector(limit("*/power", "W"), unit=unit).limit_use()) == []


def test_a_unit_that_changes_is_noticed() -> None:
    """A limit that held stops to hold when the series begins again in a unit that nothing converts."""
    changing = detector(limit("*/power", "kW"))
    assert judge_uses(changing.limit_use()) == []
    for second in (1, 2):
        changing.update(Reading("pump", "power", T0 + second, 3100.0, "rpm"), T0 + second)
    assert "pump/power sends rpm" in str(judge_uses(changing.limit_use())[0])
    said = unit_change_words(changing.relearning())
    assert said.startswith("The unit of pump/power changed from kW to rpm: what was learnt before")


def test_a_limit_that_another_one_overrides_is_no_fault() -> None:
    """It covers series, although a more literal limit holds for them. Without readings none is one."""
    assert judge_uses(detector(limit("*/temperature"), limit("boiler/temperature")).limit_use()) == []
    assert Detector(limits=[limit("a/b")]).limit_use() == []


def test_a_unit_that_cannot_be_meant_is_seen_without_any_reading() -> None:
    """An unknown unit and that of another quantity are reported."""
    (other,) = judge_patterns([limit("boiler/supply_temperature", "kW")])
    assert "'boiler/supply_temperature' is in kW, which does not fit its metric: write one of degC" in str(
        other
    )
    (unknown,) = judge_patterns([limit("*/temperature", "Grad")])
    assert "'Grad', which is not a known unit" in str(unknown)
    assert judge_patterns([limit("*/temperature", "°C"), limit("*/x", "kW"), limit("*")]) == []
