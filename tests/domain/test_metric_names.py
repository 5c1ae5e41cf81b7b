"""Names of metrics: their word and their class."""

import time

import pytest
from hypothesis import given, strategies as st

from agent.domain import metric_names
from agent.domain.metric_names import MetricClass, find_dimensions, look_up, name_for_people


@pytest.mark.parametrize(
    ("word", "names"),
    [
        (
            "temperature",
            "AM2301.Temperature|tC|temp_c|temperatur|Temperature_C|ext_temperatures.0.tC|temp|TEMP|bme280_temp",
        ),
        (
            "temperature",
            "DS18B20-1.Temperature|temperature:0.tC|température|kitchen_temperature|temperatura|temperatuur",
        ),
        (
            "outdoor_temperature",
            "Außentemperatur|outdoor_temp|buiten_temperatuur",
        ),
        ("supply_temperature", "Vorlauftemperatur|supplyTemp|vorlauf_temperatur"),
        ("humidity", "rh|SI7021.Humidity|Luftfeuchtigkeit|humidité|hum|luchtvochtigheid|humidity:0.rh"),
        ("power", "apower|Wirkleistung|puissance|potencia|em:0.a_act_power|power_w"),
        ("energy", "energy_kwh|energie|aenergy"),
        ("energy_total", "ENERGY.Total|aenergy.total"),
        ("battery_voltage", "batt_v|BatV|vbat|battery_mv|devicepower:0.battery.V|Batteriespannung"),
        ("wind_speed", "windspeed|Wind Speed|ws90.wind_speed|Windgeschwindigkeit"),
        ("soil_moisture", "soilmoisture|soil.moisture|Bodenfeuchte"),
        ("pm2_5", "pm25|PM2.5|pm2_5"),
        ("supply_temperature_2", "supplyTemperature2|supply_temperature_2"),
        (None, "event|attempt|empress|l1|1-0:1.8.0|gizmo.3:z9z!|Überlauf-7|" + "t" * 200),
    ],
)
def test_a_metric_has_a_word_whatever_its_maker_calls_it(word: str | None, names: str) -> None:
    """In five languages, with sensor, place and unit around it."""
    assert {name: look_up(name).word for name in names.split("|")} == dict.fromkeys(names.split("|"), word)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            MetricClass.DIAGNOSTIC,
            "linkquality|rssi|Wifi.RSSI|Wifi.Signal|Wifi.LinkCount|rxSnr|uptime|UptimeSec|Heap|sys.ram_free",
        ),
        (
            MetricClass.DIAGNOSTIC,
            "battery_voltage|BatV|LoadAvg|wlan.channel|gateway_rssi|signal_strength",
        ),
        (
            MetricClass.NOT_A_VALUE,
            "f_cnt|fCnt|msg_id|firmware.version|serial|IMEI|mac|latitude|error_code|nonce|tst|seq|valve_id",
        ),
        (
            MetricClass.READING,
            "temperature|battery|voltage|power|wifi_power|load|device_temperature|x|count|humidity|rain_rate",
        ),
    ],
)
def test_a_metric_has_a_class(kind: MetricClass, names: str) -> None:
    """Radio, uptime, memory and battery voltage are diagnostic; ids, versions and positions not values."""
    assert {name: look_up(name).kind for name in names.split("|")} == dict.fromkeys(names.split("|"), kind)


def test_people_read_the_word_and_the_name() -> None:
    """The name is the identifier; it is not repeated where it is the same."""
    assert name_for_people("AM2301.Temperature") == "temperature (AM2301.Temperature)"
    assert name_for_people("supplyTemp") == "supply_temperature (supplyTemp)"
    assert name_for_people("Soil-Moisture") == "Soil-Moisture"
    assert name_for_people("Überlauf-7") == "Überlauf-7"


def test_a_quantity_knows_its_units() -> None:
    """A limit in kW does not fit a temperature."""
    assert find_dimensions("supply_temperature") == ("temperature",)
    assert "apparent" in find_dimensions("Wirkleistung")
    assert find_dimensions("x") == ()


@given(st.text(max_size=140))
def test_only_listed_words_leave_the_site(name: str) -> None:
    """And numbers of at most two digits."""
    word = look_up(name).word
    listed = {part for known in metric_names._WORDS.values() for part in known.split("_")}
    for part in (word or "value").split("_"):
        assert part in listed or len(part.lstrip("abcdefghijklmnopqrstuvwxyz")) <= 2


def test_a_hostile_name_costs_little() -> None:
    """The look-up is linear, and bounded by the length of a name."""
    for name in ("a_" * 64, "temperature" * 11, "1." * 64, "aA" * 64, "ä" * 128, "." * 128, "x" * 10**6):
        begin = time.thread_time()
        look_up(name)
        assert time.thread_time() - begin < 0.05
