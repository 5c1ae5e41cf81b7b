"""The summary of an alarm: its usual range is as exact as the value."""

import pytest

from agent.domain.records import Kind, Partner, Reading, Score
from agent.verdict.local_opinion import opine


def summary(value: float, low: float, high: float, kind: Kind = Kind.SPIKE, *, limit: bool = False) -> str:
    return opine(
        [(Reading("d", "pressure", 0.0, value, "hPa"), Score(2.0, kind, (low, high), limit))]
    ).summary


@pytest.mark.parametrize(
    ("value", "low", "high", "told"),
    [
        (1011.3, 1010.94, 1011.26, "usual at this time is 1011 to 1011.2 hPa"),
        (1011.3, 1011.24, 1011.26, "usual at this time is 1011.24 to 1011.26 hPa"),
        (-5.0, 19.3055, 19.8977, "usual at this time is 19.4 to 19.8 hPa"),
        (5.0, 18.712, 22.388, "usual at this time is 19 to 22 hPa"),
        (2003.961, 2003.9611, 2004.2, "usual at this time is 2003.97 to 2004.2 hPa"),
        (48_211_305.0, 48_211_310.2, 48_211_390.0, "usual at this time is 48211311 to 48211390 hPa"),
        (1e9, 1e307, 1.0000001e307, "usual at this time is about 1e+307 hPa"),
        (-40.0, 3.0, 3.0, "usual at this time is about 3 hPa"),
    ],
)
def test_usual_range_is_as_exact_as_the_value(value: float, low: float, high: float, told: str) -> None:
    """No summary calls the value usual."""
    assert told in summary(value, low, high)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Kind.DRIFT, "has drifted away; usual at this time is 10 to 30.2 hPa, but not for so long."),
        (Kind.LEVEL_SHIFT, "10 to 30.2 hPa, but not for so long."),
        (Kind.SPIKE, "10 to 30.2 hPa, but not so far from the readings before."),
        (Kind.NOISE, "10 to 30.2 hPa, but not with such steps."),
        (Kind.FLATLINE, "has not moved for unusually long."),
    ],
)
def test_a_value_that_is_usual_alone_tells_what_is_not(kind: Kind, told: str) -> None:
    """A drift or noise may be known by a mean only; the range is rounded so that the value stays in it."""
    assert summary(30.2, 10.04, 30.19 + 0.01, kind).endswith(told)


def test_a_range_that_is_the_value_is_left_out() -> None:
    """It has nothing to add."""
    assert "usual" not in summary(20.0, 20.0, 20.0, Kind.DRIFT)


def test_limit_is_told_as_configured() -> None:
    """A limit is not a habit."""
    assert "allowed is -40 to 85 hPa" in summary(99.0, -40.0, 85.0, limit=True)


def parted(metric: str, partner: Partner, expected: tuple[float, float] = (30.21, 33.49)) -> str:
    score = Score(1.4, Kind.OTHER, expected, partner=partner)
    return opine([(Reading("d", metric, 0.0, 37.4, "°C"), score)] * 3).summary


def test_two_that_parted_are_told_with_both_levels() -> None:
    """The reading itself may be usual at its moment, so the mean is in the text."""
    one = Partner("flow", 41.0312, "°C", 38.0049, "Tue 14:00 CET")
    assert parted("return", one) == (
        "return has not gone with flow since Tue 14:00 CET: it was 38 °C on average in the last hour, the"
        " other 41.03 °C; usual is then 31 to 33 °C."
    )
    assert "usual is then 38.0079 to 38.008 °C." in parted("return", one, (38.0079, 38.0081))


def test_names_of_two_that_parted_are_bounded() -> None:
    """They are text of strangers."""
    name, unit = "x" * 200, "u" * 200
    told = parted(name, Partner(name, 1e300, unit, -1e300, "Tue 14:00 UTC"))
    assert len(told) <= 300
    assert (told.count("x"), told.count("u" * 16)) == (120, 1)
    assert " since Tue 14:00 UTC: " in told
    assert told.endswith(".")
