"""What status says of limits, of what is kept back and of which findings come first."""

from agent.detect import Detector, Limit
from agent.domain.records import Finding, Kind, Reading, Severity
from agent.status.held_back import (
    backlog_words,
    given_up_words,
    intake_words,
    journal_words,
    refused_words,
    unit_change_words,
)
from agent.status.limits import judge_patterns, judge_uses
from agent.status.report import worst_first
from tests.support.make import T0

SINCE = "2023-11-14T22:13:20.000Z"


def detector(*limits: Limit, unit: str = "kW") -> Detector:
    """A detector that heard boiler/temperature in degC and pump/power in ``unit``."""
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
    """An unknown unit and that of another quantity are said."""
    (other,) = judge_patterns([limit("boiler/supply_temperature", "kW")])
    assert "'boiler/supply_temperature' is in kW, which does not fit its metric: write one of degC" in str(
        other
    )
    (unknown,) = judge_patterns([limit("*/temperature", "Grad")])
    assert "'Grad', which is not a known unit" in str(unknown)
    assert judge_patterns([limit("*/temperature", "°C"), limit("*/x", "kW"), limit("*")]) == []


def test_what_is_kept_back_is_named_with_since_when_and_what_helps() -> None:
    """No counter stands alone."""
    said = {
        journal_words("490 of 512 MiB used; raise journal.max_mib", T0): "raise journal.max_mib",
        intake_words(T0): "raise mqtt.max_intake_mib",
        backlog_words(1500, T0): "1500 messages wait for the broker",
        refused_words(["gw/verdicts/a", "gw/verdicts/b"], code=0x87, since=T0, base_topic="gw"): (
            "Allow the agent to write below gw/"
        ),
        given_up_words(3, topic="gw/verdicts/a", since=T0, keep_days=7): "see the broker's ACL",
    }
    for words, helps in said.items():
        assert SINCE in words
        assert helps in words


def test_the_worst_findings_come_first_then_the_newest() -> None:
    """Of 61 the critical one is never left out, whenever it opened."""
    warnings = [
        Finding(f"w{place}", f"d{place}", Kind.SPIKE, Severity.WARNING, T0 + place, T0) for place in range(60)
    ]
    critical = Finding("c", "boiler", Kind.OUT_OF_RANGE, Severity.CRITICAL, T0 - 9e5, T0)
    shown = [one.id for one in worst_first([*warnings, critical])]
    assert shown == ["c", *(f"w{place}" for place in reversed(range(60)))]
