"""Steps that the families share: the device of a topic, ids, many devices at once."""

import json

import pytest

from agent.decode.device_ids import device_of, identity
from agent.decode.families import FAMILIES
from agent.decode.family import Content, DecodeLimits, Note, Properties, Route, Skip, Skipped, TimeFrom
from agent.decode.json_family import JsonFamily
from agent.decode.ruuvi import ruuvi_values
from agent.domain.records import Reading
from tests.decode.cases import CASES, NOW, Case

LIMITS = DecodeLimits()
FAMILY = JsonFamily(limits=LIMITS, max_future_skew_s=300.0)
NONE: Properties = ()


@pytest.mark.parametrize("case", [case for case in CASES if "expected" in case.wanted], ids=str)
def test_an_announced_interval_is_returned(case: Case) -> None:
    """With its device, also where the message has no reading."""
    family = FAMILIES[case.family](limits=LIMITS, max_future_skew_s=300.0)
    content = family.decode(Route(case.topic, case.topic, None), case.payload, case.received, NONE)
    assert dict(content.expected_s) == case.wanted["expected"]


@pytest.mark.parametrize(
    ("source", "topic", "given", "own", "device"),
    [
        ("tele/{device}/SENSOR", "tele/plug/SENSOR", "plug", "plug", "plug"),
        ("#", "tele/plug/SENSOR", "tele/plug/SENSOR", "plug", "plug"),
        ("tele/#", "tele/plug/SENSOR", "plug/SENSOR", "plug", "plug"),
        ("home/tele/{device}/SENSOR", "home/tele/plug/SENSOR", "plug", "home/plug", "plug"),
        ("home/tele/+/SENSOR", "home/tele/plug/SENSOR", "plug", "home/plug", "home/plug"),
        ("+/rtl_433/+/events", "a/rtl_433/h1/events", "a/h1", "M/7", "M/7"),
        ("rtl_433/{device+}/x", "rtl_433/h1/devices/M/7/x", "h1/M/7", "M/7", "h1/M/7"),
        ("a constant", "tele/plug/SENSOR", "boiler room", "plug", "boiler room"),
        ("msh/+/2/json/+/+", "msh/EU/2/json/L/!aa", "EU/L/!aa", "3121468972", "3121468972"),
        ("#", "zigbee2mqtt/a/b", "zigbee2mqtt/a/b", "a/b", "a/b"),
    ],
)
def test_the_device_is_the_familys_unless_the_source_names_it(
    source: str, topic: str, given: str, own: str, device: str
) -> None:
    """Wildcards name no device; a constant, a template or the same device with other levels does."""
    parts = {"device": given} if "{" in source else {}
    assert device_of(Route(topic, given, None, parts), own) == device


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        (("M", 7.0), "M/7"),
        (("M", "0b"), "M/0b"),
        ((3121468972.0,), "3121468972"),
        (("M/7", 1.0), None),
        (("M", 7.5), None),
        (("M", None), None),
        (("M", True), None),
        (("M", "x" * 65), None),
        (("M", "a\x00"), None),
        (("M", " "), None),
        ((2.0**60,), None),
        ((), None),
    ],
)
def test_only_names_become_a_device(parts: tuple[object, ...], wanted: str | None) -> None:
    """Two ids never become one, and hostile text becomes none."""
    assert identity(*parts) == wanted


def test_devices_of_one_message_are_joined() -> None:
    """Readings, notes and reasons are kept; a device with readings is not listed as one without."""
    first = Content(
        (Reading("a", "t", NOW, 1.0),), time_from=TimeFrom.PAYLOAD, notes=(Note.TIME_WITHOUT_ZONE,)
    )
    second = Content((), text_only=True, notes=(Note.TIME_WITHOUT_ZONE,), heard=("a", "b"))
    both = FAMILY.join([first, second])
    assert both == first._replace(heard=("b",))
    assert FAMILY.join([second]).text_only


def test_readings_beyond_the_limit_are_left_out_with_a_reason() -> None:
    """A message of many sensors is bounded as a whole."""
    parts = [Content((Reading(f"d{place}", "t", NOW, 1.0),)) for place in range(6)]
    content = JsonFamily(limits=DecodeLimits(max_readings=4), max_future_skew_s=300.0).join(parts)
    assert len(content.readings) == 4
    assert content.skipped == (Skipped("the rest", Skip.TOO_MANY),)


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ("0201061BFF9904058000FFFFFFFF800080008000FFFFFFFFFFCDCBB8334C884F", {}),  # all not available
        (
            "0201061BFF99040500C8271012348000FFFC040CFFFFFFFFFFCDCBB8334C884F",
            {"temperature": 1.0, "humidity": 25.0, "pressure": 546.6, "accelY": -0.004, "accelZ": 1.036},
        ),
        ("0201061BFF990403291A1ECE1EFC18F94202CA0B53", {}),  # format 3
        ("FF990405", {}),
        ("FF990405" + "zz" * 20, {}),
        ("", {}),
    ],
)
def test_a_ruuvi_advertisement_gives_the_values_that_its_sensor_has(
    data: str, wanted: dict[str, float]
) -> None:
    """A value that is marked as not available is left out; another format gives nothing."""
    assert ruuvi_values(data) == wanted


def test_a_partial_notification_reads_what_it_holds_only() -> None:
    """Values of an earlier message are not repeated as if they were measured again."""
    family = FAMILIES["shelly"](limits=LIMITS, max_future_skew_s=300.0)
    route = Route("shelly1/events/rpc", "shelly1", None)
    full = b'{"method":"NotifyFullStatus","params":{"switch:0":{"id":0,"apower":1.5,"voltage":230}}}'
    part = b'{"method":"NotifyStatus","params":{"switch:0":{"id":0,"apower":2.5}}}'
    assert len(family.decode(route, full, NOW, NONE).readings) == 2
    assert [one.metric for one in family.decode(route, part, NOW + 1, NONE).readings] == ["switch:0.apower"]


def test_tables_of_attributes_are_bounded() -> None:
    """A flood of Homie attributes or Meshtastic packets replaces the oldest entries."""
    homie = FAMILIES["homie"](limits=LIMITS, max_future_skew_s=300.0)
    mesh = FAMILIES["meshtastic"](limits=LIMITS, max_future_skew_s=300.0)
    for place in range(5000):
        topic = f"homie/d{place}/n/p/$unit"
        homie.decode(Route(topic, topic, None), b"W", NOW, NONE)
        packet = b'{"from":1,"id":%d,"type":"telemetry","payload":{"voltage":4}}' % place
        mesh.decode(Route("msh/x", "msh/x", None), packet, NOW, NONE)
    assert len(homie._units) == 4096  # type: ignore[attr-defined]
    assert len(mesh._packets) == 1024  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["s\x00witch:0", "\x8cm:0", "x" * 129, "."])
def test_a_name_of_the_payload_that_is_none_is_left_out(name: str) -> None:
    """A component that cannot name a metric is skipped; the device has sent."""
    family = FAMILIES["shelly"](limits=LIMITS, max_future_skew_s=300.0)
    frame = json.dumps({"method": "NotifyStatus", "params": {name: {"apower": 1.5}}}).encode()
    content = family.decode(Route("shelly1/events/rpc", "shelly1", None), frame, NOW, NONE)
    assert (content.readings, content.heard) == ((), ("shelly1",))


def test_two_ids_are_two_devices() -> None:
    """Whatever the ids are: the sensors of a list are never merged, and one without an id is left out."""
    family = FAMILIES["ble_gateway"](limits=LIMITS, max_future_skew_s=300.0)
    ids = ["A", "a", "A ", "A:1", "A1", 1, "1.0", "A/1", "", None, "\u200b", "\u00e9", "e\u0301"]
    items = [{"mac": one, "temperature": float(place)} for place, one in enumerate(ids)]
    content = family.decode(Route("ble/g", "ble/g", None), json.dumps(items).encode(), NOW, NONE)
    named = {reading.value: reading.device for reading in content.readings}
    assert len(set(named.values())) == len(named) >= 6
