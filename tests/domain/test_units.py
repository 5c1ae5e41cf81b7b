"""Units: spellings and conversion."""

import math

import pytest
from hypothesis import given, strategies as st

from agent.decode.family import Skip
from agent.decode.values import Found, read_value
from agent.domain.units import SAME, UNITS, canonical, conversion


@pytest.mark.parametrize(
    ("name", "spellings"),
    [
        ("degC", "°C|℃|ºC|C|Cel|degc|celsius|° C|deg C"),
        ("degF", "°F|℉|F|degF|fahrenheit"),
        ("%", "%|\uff05|%RH|% RH|percent|pct"),
        ("ug/m3", "µg/m³|μg/m³|ug/m3|µg/m3"),
        ("uS/cm", "µS/cm|us/cm"),
        ("m3/h", "m³/h|㎥/h|m^3/h"),
        ("L/min", "l/min|L/min|lpm"),
        ("kohm", "kΩ|kΩ|kohm"),
        ("lx", "lux|lx|㏓"),
        ("mW", "mW|mw"),
        ("MW", "MW"),
        ("mAh", "mAh|MAH"),
        ("deg", "°"),
    ],
)
def test_a_unit_has_many_spellings(name: str, spellings: str) -> None:
    """People, firmware and standards write one unit in different ways."""
    assert {canonical(one) for one in spellings.split("|")} == {name}


@pytest.mark.parametrize("text", ["", "parsec", "20.6", "C" * 1000, "\x00", "°°C", "W W W"])
def test_an_unknown_unit_is_no_unit(text: str) -> None:
    """Nothing is guessed."""
    assert canonical(text) is None


@pytest.mark.parametrize(
    ("value", "given_unit", "wanted", "result"),
    [
        (68.0, "°F", "°C", 20.0),
        (20.0, "C", "F", 68.0),
        (293.15, "K", "degC", 20.0),
        (0.782, "kW", "W", 782.0),
        (1.5, "MWh", "kWh", 1500.0),
        (3.6, "MJ", "kWh", 1.0),
        (1013.25, "hPa", "kPa", 101.325),
        (1.0, "bar", "psi", 14.5037737730),
        (3300.0, "mV", "V", 3.3),
        (100.0, "km/h", "m/s", 27.7777777778),
        (60.0, "gal/min", "L/min", 227.12470704),
        (3000.0, "rpm", "Hz", 50.0),
        (0.5, "/", "%", 50.0),
        (90.0, "min", "h", 1.5),
    ],
)
def test_a_value_converts_within_its_dimension(
    value: float, given_unit: str, wanted: str, result: float
) -> None:
    """The result has no more digits than the value deserves."""
    way = conversion(given_unit, wanted)
    assert way is not None
    assert way.apply(value) == result


@pytest.mark.parametrize(
    ("one", "other"), [("V", "A"), ("W", "var"), ("dB", "dBm"), ("degC", "%"), ("foo", "bar"), ("foo", "W")]
)
def test_nothing_converts_between_dimensions(one: str, other: str) -> None:
    """Nor from or to an unknown unit."""
    assert conversion(one, other) is None


def test_spellings_of_one_unit_are_the_same() -> None:
    """Unknown units are compared by their text."""
    assert conversion("°C", "Cel") is SAME
    assert conversion("foo", " FOO ") is SAME


@given(st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)), st.floats(-1e6, 1e6))
def test_a_conversion_has_a_way_back(one: str, other: str, value: float) -> None:
    """To eleven digits, or to those that the offset leaves."""
    there, back = conversion(one, other), conversion(other, one)
    assert (there is None) == (back is None) == (UNITS[one].dimension != UNITS[other].dimension)
    if there is not None and back is not None:
        assert math.isclose(back.apply(there.apply(value)), value, rel_tol=1e-9, abs_tol=1e-9)


@given(st.text(max_size=40))
def test_no_text_is_a_fault(text: str) -> None:
    """A unit is foreign text; its canonical form is in the table."""
    assert canonical(text) in {None, *UNITS}


def test_each_canonical_name_is_its_own() -> None:
    """Ascii, and found again."""
    assert [name for name in UNITS if canonical(name) != name or not name.isascii()] == []


@pytest.mark.parametrize("name", UNITS)
def test_each_unit_of_the_table_is_read_behind_a_number(name: str) -> None:
    """One table for the decoder and for limits and conversions."""
    assert read_value(f"5 {name}") == Found(5.0, name)
    assert read_value(f"5.5{name}") == Found(5.5, name)


@pytest.mark.parametrize("text", ["4k", "5G", "12b", "3D", "2M", "10T", "12 monkeys", "100/", "12e5"])
def test_part_of_a_name_is_not_a_unit(text: str) -> None:
    """Short units count in the letters of the table only."""
    assert isinstance(read_value(text), Skip)


@pytest.mark.parametrize(
    ("text", "unit"),
    [("5 Minutes", "min"), ("5 WATTS", "W"), ("5 kVAr", "kvar"), ("5 % RH", "%"), ("5 nm", "nm")],
)
def test_spellings_behind_a_number(text: str, unit: str) -> None:
    """Those of firmware and of people; "nm" is not a newton metre."""
    found = read_value(text)
    assert not isinstance(found, Skip)
    assert canonical(found[1] or "") == unit
