"""Payloads that real devices send, whose kind was once read wrongly."""

import json
from typing import Any

import pytest

from agent.decode.family import Skip, Skipped
from agent.decode.registry import Decoded, Registry, SourceSpec

NOW = 1_795_780_800.0
REGISTRY = Registry(sources=[SourceSpec("#")], base_topic="x")


def _decode(topic: str, payload: Any) -> Decoded:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return REGISTRY.decode(topic, text.encode(), NOW)


def _values(decoded: Decoded) -> dict[str, tuple[float, str | None]]:
    return {one.metric: (one.value, one.unit) for one in decoded.readings}


@pytest.mark.parametrize("topic", ["tele/meter/SENSOR", "stat/meter/STATUS10", "meter/x"])
def test_a_sensor_without_a_name(topic: str) -> None:
    """A smart meter script without a name gives an empty key: its values count, and all others too."""
    inner = {"": {"Total_in": 2173.5, "Power_curr": -136.39}, "DS18B20": {"Depth": 21.5}}
    decoded = _decode(topic, {"StatusSNS": inner} if topic.endswith("10") else inner)
    found = {metric: value for metric, (value, _) in _values(decoded).items()}
    assert found == {"Total_in": 2173.5, "Power_curr": -136.39, "DS18B20.Depth": 21.5}
    assert not decoded.skipped


def test_a_name_is_not_taken_twice() -> None:
    """Values below an empty key do not merge with a key of the same name."""
    decoded = _decode("meter/x", '{"a":1,"":{"a":2}}')
    assert [one.metric for one in decoded.readings] == ["a"]
    assert decoded.skipped == (Skipped("a", Skip.REPEATED),)


def test_a_switch_has_no_watts() -> None:
    """POWER of Tasmota is on or off, Power is in watts."""
    assert _values(_decode("tele/pow/STATE", {"POWER": "ON", "POWER2": "OFF"})) == {
        "POWER": (1.0, None),
        "POWER2": (0.0, None),
    }
    assert _values(_decode("tele/pow/SENSOR", {"ENERGY": {"Power": 12}})) == {"ENERGY.Power": (12.0, "W")}


@pytest.mark.parametrize("topic", ["evcc/updated", "vehicle/last_seen"])
def test_a_bare_time_is_no_value(topic: str) -> None:
    """A topic whose name is that of a time, with an epoch: else it would only ever rise."""
    decoded = _decode(topic, "1795780790")
    assert decoded.readings == ()
    assert [one.why for one in decoded.skipped] == [Skip.NOT_A_VALUE]
    assert _decode("evcc/chargedEnergyTotal", "1795780790").readings


@pytest.mark.parametrize("key", ["InvSerial", "c_serialnumber", "inv_serial_no", "PlantSerialNumber"])
def test_a_serial_number_is_no_value(key: str) -> None:
    """Serial numbers behind a prefix, as SBFspot and SolarEdge send them."""
    assert _values(_decode("sbfspot/1", {key: 2100, "PACTot": 12})) == {"PACTot": (12.0, None)}


def test_units_that_are_spelled_out() -> None:
    """As apcupsd sends them."""
    found = _values(
        _decode("ups/1", {"LINEV": "230.0 Volts", "LOADPCT": "12.0 Percent", "TIMELEFT": "45.3 Minutes"})
    )
    assert found == {"LINEV": (230.0, "Volts"), "LOADPCT": (12.0, "Percent"), "TIMELEFT": (45.3, "Minutes")}


def test_a_log_line_is_no_broken_json() -> None:
    """ESPHome publishes its log, with colours or without."""
    assert _decode("node/debug", "[D][sensor:094]: 'x': Sending state 21.5 with 1 decimals").text_only
