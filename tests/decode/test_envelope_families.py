"""Families with an envelope: devices without values, states, intervals, times."""

import json
from typing import Any

import pytest

from agent.decode.families import FAMILIES
from agent.decode.family import Content, DecodeLimits, Note, Reader, Route, Skip, TimeFrom
from agent.decode.topics import TopicPattern
from agent.domain.records import DecodeError

NOW = 1_782_475_200.0
TTN = "v3/app/devices/d/up", "v3/{app}/devices/{device}/up"
CHIRP = "application/1/device/d/event/up", "application/{app}/device/{device}/event/up"
OPCUA = "opcua/json/data/k/g", "opcua/json/data/{publisher}/{group}"
SHADOW = "things/p/shadow/update", "things/{device}/shadow/update"
VICTRON = "N/c0/battery/512/Soc", "N/{portal}/{service}/{instance}/{metric+}"


def decode(word: str, topic: str, source: str, content: Any) -> Content:
    """Return the result of a new object of the family."""
    return run(FAMILIES[word](limits=DecodeLimits(), max_future_skew_s=300.0), topic, source, content)


def run(family: Any, topic: str, source: str, content: Any) -> Content:
    pattern = TopicPattern(source)
    identity, parts = pattern.identify(topic), pattern.match(topic)
    assert identity is not None
    assert parts is not None
    payload = content.encode() if isinstance(content, str) else json.dumps(content).encode()
    found: Content = family.decode(Route(topic, identity.device, identity.metric, parts), payload, NOW, ())
    return found


@pytest.mark.parametrize(
    ("word", "place", "content", "device", "why"),
    [
        ("ttn", TTN, {"uplink_message": {"frm_payload": "AQ==", "f_cnt": 1}}, "app/d", Skip.NO_VALUE),
        ("ttn", TTN, {"uplink_message": {"decoded_payload": {}}}, "app/d", Skip.NO_VALUE),
        ("ttn", TTN, {"uplink_message": {"decoded_payload": {"a": None}}}, "app/d", Skip.NO_VALUE),
        ("ttn", TTN, {"join_accept": {"session_key_id": "x"}}, "app/d", Skip.NOT_A_VALUE),
        ("chirpstack", CHIRP, {"fPort": 2, "data": "AQ==", "object": None}, "1/d", Skip.NO_VALUE),
        ("chirpstack", CHIRP, {"fPort": 2, "objectJSON": "{"}, "1/d", Skip.NO_VALUE),
        ("victron", VICTRON, {"value": None}, "c0/battery/512", Skip.NULL),
        ("opcua_pubsub", OPCUA, {"Payload": {"A": {"Value": 1, "StatusCode": 3e9}}}, "k/g", Skip.BAD_QUALITY),
        ("aws_shadow", SHADOW, {"state": {"reported": {}}}, "p", Skip.EMPTY),
        ("thingsboard", ("v1/gateway/telemetry", "v1/gateway/telemetry"), {"A": []}, "A", Skip.EMPTY),
        ("senml", ("senml/d", "senml/{d}"), [{"n": "label", "vs": "x"}], "d", Skip.TEXT),
    ],
)  # fmt: skip
def test_a_device_without_a_value_is_heard(
    word: str, place: tuple[str, str], content: Any, device: str, why: Skip
) -> None:
    """It is not silent, and the reason is named."""
    found = decode(word, *place, content)
    assert found.readings == ()
    assert found.heard == (device,)
    assert why in {one.why for one in found.skipped} or why is Skip.NO_VALUE


@pytest.mark.parametrize(
    ("word", "place", "content"),
    [
        ("ttn", ("v3/app/devices/d/down/ack", "v3/{app}/devices/{device}/down/ack"), {"downlink_ack": {}}),
        ("chirpstack", ("application/1/device/d/event/log", "application/{a}/device/{d}/#"), {"code": "A"}),
        ("aws_shadow", ("things/p/shadow/update/delta", "things/{d}/shadow/#"), {"state": {"a": 1}}),
        ("victron", ("N/c0/settings/0/Settings/X", "N/{p}/{s}/{i}/{metric+}"), {"value": 1}),
        ("thingsboard", ("v1/gateway/attributes", "v1/gateway/attributes"), {"A": {"limit": 1}}),
        ("opendtu", ("solar/114190641177/cmd/power", "solar/{device}/{metric+}"), "1"),
    ],
)  # fmt: skip
def test_messages_to_or_about_a_device_are_no_sign_of_life(
    word: str, place: tuple[str, str], content: Any
) -> None:
    """The network, the cloud or a person sent them."""
    found = decode(word, *place, content)
    assert (found.readings, found.heard, found.states, found.online) == ((), (), (), None)
    assert found.text_only


def test_senml_resolves_times_and_lists() -> None:
    """Base time and offsets give each record its own time (RFC 8428, 5.1.3)."""
    pack = [
        {"bn": "urn:dev:ow:10e2:", "bt": NOW - 60, "bu": "A", "n": "voltage", "u": "V", "v": 120.1},
        {"n": "current", "t": -5, "v": 1.2},
        {"n": "current", "v": 1.7},
    ]
    found = decode("senml", "senml/d1", "senml/{device}", pack)
    assert [(one.metric, one.at - NOW, one.value, one.unit) for one in found.readings] == [
        ("urn:dev:ow:10e2:voltage", -60.0, 120.1, "V"),
        ("urn:dev:ow:10e2:current", -65.0, 1.2, "A"),
        ("urn:dev:ow:10e2:current", -60.0, 1.7, "A"),
    ]
    assert found.time_from is TimeFrom.PAYLOAD


def test_senml_announces_its_interval() -> None:
    """``ut`` is the longest time to the next update."""
    found = decode("senml", "senml/d1", "senml/{device}", [{"n": "a", "v": 1, "ut": 600}])
    assert found.expected_s == (("d1", 600.0),)


def test_a_shadow_keeps_the_time_of_each_key() -> None:
    """A document repeats old values with the time at which they were reported."""
    document = {
        "state": {"reported": {"a": 1, "m": {"b": 2, "c": 3}}},
        "metadata": {"reported": {"a": {"timestamp": NOW - 3600}, "m": {"b": {"timestamp": NOW - 60}}}},
        "timestamp": NOW - 60,
    }
    found = decode(
        "aws_shadow", "things/p/shadow/get/accepted", "things/{device}/shadow/get/accepted", document
    )
    assert {one.metric: one.at - NOW for one in found.readings} == {"a": -3600.0, "m.b": -60.0, "m.c": -60.0}


def test_a_time_in_the_future_is_noted() -> None:
    """It is replaced by the receipt time, for each device of a gateway by itself."""
    content = {
        "A": [{"ts": (NOW + 9e6) * 1000, "values": {"t": 1}}],
        "B": [{"ts": NOW * 1000, "values": {"t": 2}}],
    }
    found = decode("thingsboard", "v1/gateway/telemetry", "v1/gateway/telemetry", content)
    assert [one.at for one in found.readings] == [NOW, NOW]
    assert found.notes == (Note.TIME_IN_FUTURE,)


def test_devices_of_two_gateways_never_merge() -> None:
    """A source that names its gateway puts it before the device's name."""
    content = {"Dev A": [{"t": 1}]}
    found = decode("thingsboard", "s1/v1/gateway/telemetry", "{site}/v1/gateway/telemetry", content)
    assert [one.device for one in found.readings] == ["s1/Dev A"]


@pytest.mark.parametrize(
    ("word", "topic", "content"),
    [
        ("ttn", "v3/a@t/devices/d/up", {"uplink_message": {"decoded_payload": {"t": 1}}}),
        ("chirpstack", "application/1/device/d/event/up", {"fPort": 1, "object": {"t": 1}}),
        ("aws_shadow", "things/d/shadow/update", {"state": {"reported": {"t": 1}}}),
        ("victron", "N/c0/battery/1/Soc", {"value": 1}),
        ("opendtu", "solar/114190641177/0/power", "1"),
        ("ems_esp", "ems-esp/boiler_data", {"t": 1}),
        ("opcua_pubsub", "opcua/json/data/p/g", {"PublisherId": "p", "Payload": {"t": 1}}),
        ("thingsboard", "v1/gateway/telemetry", {"d": {"t": 1}}),
    ],
)
def test_devices_of_two_sites_never_merge(word: str, topic: str, content: Any) -> None:
    """Whatever part of the topic the source names."""
    for sources in (("#", "#"), ("s1/#", "s2/#"), ("+/#", "+/#"), ("{site}/#", "{site}/#")):
        devices = [
            decode(word, f"s{place}/{topic}", source, content).readings[0].device
            for place, source in enumerate(sources, start=1)
        ]
        assert devices[0] != devices[1]


def test_a_gateway_of_thingsboard_reports_its_devices() -> None:
    """Connect and disconnect are the availability of the named device."""
    found = decode("thingsboard", "v1/gateway/disconnect", "v1/gateway/disconnect", {"device": "Dev A"})
    assert found.states == (("Dev A", False),)


def test_the_will_of_ems_esp_stands_for_all_its_devices() -> None:
    """The devices of the bus cannot speak without their gateway; another gateway is not meant."""
    family = FAMILIES["ems_esp"](limits=DecodeLimits(), max_future_skew_s=300.0)
    for topic in ("ems-esp/boiler_data", "ems-esp/thermostat_data", "b/ems-esp/boiler_data"):
        source = "ems-esp/{device}" if topic.startswith("ems") else "{house}/ems-esp/{device}"
        run(family, topic, source, {"curflowtemp": 43.8})
    assert run(family, "ems-esp/status", "ems-esp/{device}", "offline").states == (
        ("boiler_data", False),
        ("thermostat_data", False),
    )


def test_connected_is_the_state_of_a_victron_device() -> None:
    """The bus reports it for each service."""
    found = decode("victron", "N/c0/battery/512/Connected", VICTRON[1], {"value": 0})
    assert found.states == (("c0/battery/512", False),)


def test_a_long_name_costs_only_itself() -> None:
    """The other values of the message are read."""
    values = {"a" * 200: 1, "b": 2}
    found = decode("ttn", *TTN, {"uplink_message": {"decoded_payload": values}})
    assert [one.metric for one in found.readings] == ["b"]
    assert Skip.TOO_LONG in {one.why for one in found.skipped}


def test_a_must_understand_field_of_senml_is_refused() -> None:
    """RFC 8428, 4.4: the whole pack means something else."""
    with pytest.raises(DecodeError, match="must be understood"):
        decode("senml", "senml/d", "senml/{device}", [{"n": "a", "v": 1}, {"n": "b", "v": 1, "x_": 1}])


@pytest.mark.parametrize(
    ("word", "topic", "content"),
    [
        ("ttn", TTN[0], {"at": NOW - 60, "uplink_message": {"decoded_payload": {"t": 1}}}),
        ("ttn", TTN[0], {"uplink_message": {"decoded_payload": {"t": 1, "at": NOW - 60}}}),
        ("opcua_pubsub", OPCUA[0], {"at": NOW - 60, "Payload": {"A": 1}}),
        ("victron", VICTRON[0], {"at": NOW - 60, "value": 1}),
        ("tasmota", "tele/plug/SENSOR", {"at": NOW - 60, "ENERGY": {"Power": 1}}),
    ],
)
def test_the_time_that_the_source_names_may_be_anywhere(word: str, topic: str, content: Any) -> None:
    """Next to the values, or in the envelope around them."""
    family = FAMILIES[word](limits=DecodeLimits(), max_future_skew_s=300.0)
    route = Route(topic, topic, None, reader=Reader(time_path=("at",)))
    readings = family.decode(route, json.dumps(content).encode(), NOW, ()).readings
    assert {one.at for one in readings} == {NOW - 60}
