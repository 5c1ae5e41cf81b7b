"""The generic family: payloads of the field and what becomes of each."""

import gzip
import json
from typing import Any

import pytest

from agent.decode.families.generic import Generic
from agent.decode.family import DecodeLimits, Note, Reader, Route, Skip, Skipped, TimeFrom
from agent.decode.metric_rules import MetricSettings
from agent.decode.registry import Decoded, Registry, SourceSpec
from agent.domain.records import DecodeError, DecodeReason, Reading

NOW = 1_782_475_200.0  # 2026-06-26T12:00:00Z
REGISTRY = Registry(
    sources=[SourceSpec("sensors/{device}/{metric}"), SourceSpec("flat/{device}")],
    base_topic="edge-agent/gw1",
)


def decode(payload: str | bytes, topic: str = "flat/th1", properties: Any = ()) -> Decoded:
    raw = payload.encode() if isinstance(payload, str) else payload
    return REGISTRY.decode(topic, raw, NOW, properties)


def values(decoded: Decoded) -> dict[str, float]:
    made = {reading.metric: reading.value for reading in decoded.readings}
    assert len(made) == len(decoded.readings)
    return made


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"21.5", 21.5),
        (b"-3", -3.0),
        (b"+.5", 0.5),
        (b"5.", 5.0),
        (b"1e3", 1000.0),
        (b"007", 7.0),
        (b" 21.5\r\n", 21.5),
        (b"\xef\xbb\xbf21.5", 21.5),
        (b'"21.5"', 21.5),
        ("21.5 °C".encode(), 21.5),
        (b"45%", 45.0),
        (b"ON", 1.0),
        (b"off", 0.0),
        (b"True", 1.0),
        (b"false", 0.0),
        (b'"ON"', 1.0),
        (b'{"value":21.5}', 21.5),
        (b'{"value":"21.5"}', 21.5),
        (b'{"value":true}', 1.0),
        (b'{"Value":21.5}', 21.5),
        (b'[{"value":21.5}]', 21.5),
        (b"12345678901234567890", 12345678901234567890.0),
    ],
)
def test_single_value(payload: bytes, expected: float) -> None:
    """A bare number, a word or a value object is one reading of the topic's metric."""
    decoded = decode(payload, "sensors/th1/temperature")
    assert [("th1", "temperature", NOW, expected)] == [
        (reading.device, reading.metric, reading.at, reading.value) for reading in decoded.readings
    ]
    assert not decoded.text_only


def test_metric_value_where_nothing_names_it() -> None:
    """Without a metric in the pattern a bare number is the metric ``value``."""
    assert (Reading("th1", "value", NOW, 21.5),) == decode("21.5").readings


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ('{"temperature":21.5,"humidity":40,"on":true}', {"temperature": 21.5, "humidity": 40.0, "on": 1.0}),
        (
            '{"battery":100,"last_seen":"2026-06-26T11:59:58.259Z","temperature":25.5}',
            {"battery": 100.0, "temperature": 25.5},
        ),
        ('{"state":"ON","model":"x"}', {"state": 1.0}),
        ('{"temperature":"21.5","humidity":"40 %"}', {"temperature": 21.5, "humidity": 40.0}),
        ('{"bme":{"t":21.5,"more":{"h":40}}}', {"bme.t": 21.5, "bme.more.h": 40.0}),
        ('{"a":{"b":{"c":{"d":1}}}}', {"a.b.c.d": 1.0}),
        ('{"temperature:0":{"id":0,"tC":19.0}}', {"temperature:0.tC": 19.0}),
        ('{"acc":[0.1,0.2,0.3]}', {"acc.0": 0.1, "acc.1": 0.2, "acc.2": 0.3}),
        ("[1,2]", {"value.0": 1.0, "value.1": 2.0}),
        ('{"metric":"temperature","value":21.5}', {"temperature": 21.5}),
        (
            '{"name":"temperature","value":21.5,"quality":3}',
            {"temperature": 21.5},
        ),
        ('{"n":"voltage","u":"V","v":120.1}', {"voltage": 120.1}),
        ('{"v":3.3,"t":21}', {"v": 3.3, "t": 21.0}),
        ('{"name":"acc","value":{"x":1,"y":2}}', {"acc.x": 1.0, "acc.y": 2.0}),
        ('{"value":21.5,"battery":90}', {"value": 21.5, "battery": 90.0}),
        ('{"id":196,"seq":7,"mac":12,"temperature_C":13.1}', {"temperature_C": 13.1}),
        ('{"Time":"2021-01-08T14:31:48","SI7021":{"Temperature":18.4}}', {"SI7021.Temperature": 18.4}),
        ('{"temperature":21.5,"pressure":null,"status":"nan"}', {"temperature": 21.5}),
        ('{"action":"on","battery":90}', {"battery": 90.0}),
        ('{"温度":21.5}', {"温度": 21.5}),
        ('{"a b":1}', {"a b": 1.0}),
    ],
)
def test_json_object(payload: str, expected: dict[str, float]) -> None:
    """Numbers become metrics by dot path; times, ids and texts do not."""
    assert expected == values(decode(payload))


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ('[{"name":"t","value":1.5},{"name":"h","value":40}]', {"t": 1.5, "h": 40.0}),
        ('{"measurements":[{"metric":"t","value":1.5},{"metric":"h","value":40}]}', {"t": 1.5, "h": 40.0}),
        (
            '{"indoor":[{"name":"t","value":1}],"outdoor":[{"name":"t","value":2}]}',
            {"indoor.t": 1.0, "outdoor.t": 2.0},
        ),
        ('[{"sensor":1,"value":20},{"sensor":2,"value":21}]', {"1": 20.0, "2": 21.0}),
        ('[{"name":"a","t":20},{"name":"b","t":21}]', {"a.t": 20.0, "b.t": 21.0}),
        ('[{"t":20},{"t":21}]', {"t": 20.0, "1.t": 21.0}),
        ('[{"type":"bme","t":20},{"type":"bme","t":21}]', {"t": 20.0, "1.t": 21.0}),
        ('[{"t":20,"h":40}]', {"t": 20.0, "h": 40.0}),
    ],
)
def test_array_of_measurements(payload: str, expected: dict[str, float]) -> None:
    """Elements are distinguished by name, else by place; two sensors never share a series."""
    assert expected == values(decode(payload))


def test_samples_keep_their_times() -> None:
    """An array of objects with times is a backlog of the same metrics, in payload order."""
    decoded = decode(f'[{{"ts":{NOW - 60},"t":1}},{{"ts":{NOW - 30},"t":2}},{{"ts":{NOW - 90},"t":3}}]')
    assert [(reading.metric, reading.at, reading.value) for reading in decoded.readings] == [
        ("t", NOW - 60, 1.0),
        ("t", NOW - 30, 2.0),
        ("t", NOW - 90, 3.0),
    ]
    assert decoded.time_from is TimeFrom.PAYLOAD


def test_inner_time_overrides_outer() -> None:
    """Each object may have a time of its own and inherits that around it."""
    decoded = decode(f'{{"ts":{NOW - 9},"a":{{"x":1}},"b":{{"time":{NOW - 5},"x":2}}}}')
    assert {r.metric: r.at for r in decoded.readings} == {"a.x": NOW - 9, "b.x": NOW - 5}


def test_topic_metric_stands_before_the_keys() -> None:
    """Keys below a topic that names a metric are joined to it, so two such topics never mix."""
    decoded = decode('{"temperature":21.5,"humidity":40}', "sensors/th1/indoor")
    assert values(decoded) == {"indoor.temperature": 21.5, "indoor.humidity": 40.0}
    decoded = decode('{"name":"Temperature","value":21.5}', "sensors/th1/temperature")
    assert values(decoded) == {"temperature": 21.5}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ('{"value":21.5,"unit":"C"}', "C"),
        ('{"value":21.5,"unit_of_measurement":"°C"}', "°C"),
        ('{"value":"21.5 °C"}', "°C"),
        ('{"value":"21.5 °F","unit":"C"}', "°F"),
        ('{"name":"t","val":21.5,"uom":"K"}', "K"),
        ('{"temperature":21.5,"unit":"C"}', "C"),
        ('{"value":21.5,"unit":"seventeen letters"}', None),
        ('{"value":21.5,"unit":"a\\u0007b"}', None),
        ('{"value":21.5,"unit":""}', None),
        ('{"value":21.5,"unit":null}', None),
        ('{"value":21.5}', None),
        ("21.5 hPa", "hPa"),
    ],
)
def test_unit(payload: str, expected: str | None) -> None:
    """A short printable unit comes along, from its key or from behind the number."""
    assert expected == decode(payload).readings[0].unit


def test_unit_of_many_numbers_is_nobodys() -> None:
    """A unit next to several numbers belongs to none of them."""
    decoded = decode('{"temperature":21.5,"humidity":40,"unit":"C"}')
    assert [reading.unit for reading in decoded.readings] == [None, None]


@pytest.mark.parametrize(
    "payload",
    [
        "online",
        "1,234",
        "2026-06-26",
        "12e5x",
        '{"action":"single"}',
        '{"action":"on"}',
        '{"action":""}',
        '{"device":"th1","model":"x"}',
        '{"update":{"state":"idle"},"tags":["a","b"]}',
        '"hello"',
        "",
        " \r\n",
    ],
)
def test_text_only(payload: str) -> None:
    """A payload of text only is neither a reading nor a fault."""
    decoded = decode(payload)
    assert (decoded.text_only, decoded.readings) == (True, ())


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"{}", None),
        (b"[]", None),
        (b"null", Skip.NULL),
        (b'{"temperature":null}', Skip.NULL),
        (b'{"temperature":"nan"}', Skip.NOT_FINITE),
        (b'{"ts":1782475200}', None),
        (b'{"id":5}', Skip.NOT_A_VALUE),
        (b'{"unit":"C"}', None),
        (b'{"wave":[' + b",".join([b"1"] * 17) + b"]}", Skip.VECTOR),
        (b"nan", Skip.NOT_FINITE),
        (b"-inf", Skip.NOT_FINITE),
        (b"Infinity", Skip.NOT_FINITE),
        (b"1e999", Skip.NOT_FINITE),
        (b"unavailable", Skip.NO_VALUE),
        (b"9" * 5000, Skip.TOO_LONG),
        (b"x" * 129, Skip.TOO_LONG),
        (b"idle", Skip.UNMAPPED),
        (b"0004711234", Skip.NOT_A_VALUE),
        (b'{"":1}', Skip.BAD_NAME),
        (b'{" ":1}', Skip.BAD_NAME),
        (b'{"a\\u0000":1}', Skip.BAD_NAME),
        (b'{"a\\u202eb":1}', Skip.BAD_NAME),
        (('{"' + "a" * 100 + '":{"' + "b" * 100 + '":1}}').encode(), Skip.TOO_LONG),
        (b'{"a":' * 8 + b'{"b":1}' + b"}" * 8, Skip.TOO_DEEP),
        (b'[{"name":"t2","error":2014}]', Skip.NO_VALUE),
        (b'[{"name":"t2","value":1,"quality":"bad"}]', Skip.BAD_QUALITY),
    ],
)
def test_heard_without_a_value(payload: bytes, why: Skip | None) -> None:
    """A message without a reading is not a fault: its device has sent, and the reason is given."""
    decoded = decode(payload)
    assert (decoded.readings, decoded.text_only, decoded.heard) == ((), True, ("th1",))
    assert ([why] if why else []) == [one.why for one in decoded.skipped]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x00\x01\x02", DecodeReason.BAD_JSON),
        (b"BH\x00\x00", DecodeReason.BAD_JSON),
        (b"\xff\xfe", DecodeReason.BAD_UTF8),
        (b"A\xac\x00\x00", DecodeReason.BAD_UTF8),
        (b'"unfinished', DecodeReason.BAD_JSON),
        (b'{"a":1', DecodeReason.BAD_JSON),
        (b'{"a":1}x', DecodeReason.BAD_JSON),
        (b"[" * 100_000, DecodeReason.TOO_DEEP),
        (b"x" * (256 * 1024 + 1), DecodeReason.TOO_LARGE),
        (b"\x1f\x8b\x08\x00", DecodeReason.BAD_JSON),
        (gzip.compress(b"1" * (256 * 1024 + 1), mtime=0), DecodeReason.TOO_LARGE),
        (gzip.compress(b'{"t":21.5}', mtime=0)[:-9], DecodeReason.BAD_JSON),
    ],
)
def test_quarantined(payload: bytes, reason: DecodeReason) -> None:
    """A payload that is not a message at all goes to quarantine with the reason and the place."""
    with pytest.raises(DecodeError) as caught:
        decode(payload)
    assert reason is caught.value.reason


@pytest.mark.parametrize(
    ("payload", "why", "rest"),
    [
        (b'{"a":NaN,"b":1}', Skip.NOT_FINITE, {"b": 1.0}),
        (b'{"a":1e999,"b":1}', Skip.NOT_FINITE, {"b": 1.0}),
        (b'{"a":nan,"b":1}', Skip.NOT_FINITE, {"b": 1.0}),
        (b'{"a":-inf,"b":[1,-Infinity]}', Skip.NOT_FINITE, {"b.0": 1.0}),
        (b'{"a":"' + b"x" * 129 + b'","b":1}', Skip.TOO_LONG, {"b": 1.0}),
        (b'{"' + b"x" * 129 + b'":2,"b":1}', Skip.TOO_LONG, {"b": 1.0}),
        (b'{"a":' * 8 + b'{"a":1}' + b"}" * 7 + b',"b":1}', Skip.TOO_DEEP, {"b": 1.0}),
        (b'{"":2,"b":1}', Skip.BAD_NAME, {"b": 1.0}),
        (b'{"a.b":1,"a":{"b":2}}', Skip.REPEATED, {"a.b": 1.0}),
        (b'[{"name":"t","value":1},{"name":"t","value":2}]', Skip.REPEATED, {"t": 1.0}),
    ],
)
def test_one_bad_value_is_skipped(payload: bytes, why: Skip, rest: dict[str, float]) -> None:
    """The others are read, and the reason is given."""
    decoded = decode(payload)
    assert rest == values(decoded)
    assert why in {one.why for one in decoded.skipped}


def test_more_keys_than_the_limit_are_cut() -> None:
    """The first 256 are read; so is the rest of an array."""
    decoded = decode("{" + ",".join(f'"cell_{n}":3.3' for n in range(300)) + "}")
    assert len(values(decoded)) == 256
    assert {Skip.TOO_MANY} == {one.why for one in decoded.skipped}
    decoded = decode(b"[" + b",".join(b'{"ts":%d,"t":1}' % (NOW - n) for n in range(5000)) + b"]")
    assert len(decoded.readings) == 2047
    assert {Skip.TOO_MANY} == {one.why for one in decoded.skipped}


def test_skipped_values_are_said() -> None:
    """``explain`` can name each value that did not become a reading, and why."""
    decoded = decode('{"t":1,"a":"x","b":null,"c":"nan","w":[' + ",".join(["1"] * 17) + '],"action":"on"}')
    assert {
        ("a", Skip.UNMAPPED),
        ("b", Skip.NULL),
        ("c", Skip.NOT_FINITE),
        ("w", Skip.VECTOR),
        ("action", Skip.TEXT),
    } == {(one.name, one.why) for one in decoded.skipped}


def test_skipped_values_are_bounded() -> None:
    """At most 16 of them are kept."""
    texts = ",".join(f'"k{n}":"x"' for n in range(50))
    assert len(decode("{" + texts + ',"t":1}').skipped) == 16


@pytest.mark.parametrize(
    ("payload", "properties", "at", "time_from", "notes"),
    [
        ('{"t":1}', (), NOW, TimeFrom.RECEIPT, ()),
        ('{"t":1}', (("time", str(NOW - 9)),), NOW - 9, TimeFrom.PROPERTY, ()),
        ("1", (("ts", str((NOW - 9) * 1000)),), NOW - 9, TimeFrom.PROPERTY, ()),
        (f'{{"t":1,"ts":{NOW - 5}}}', (("time", str(NOW - 9)),), NOW - 5, TimeFrom.PAYLOAD, ()),
        (
            '{"t":1,"ts":"soon"}',
            (("time", str(NOW - 9)),),
            NOW - 9,
            TimeFrom.PROPERTY,
            (Note.TIME_UNREADABLE,),
        ),
        ('{"t":1,"time":"soon"}', (), NOW, TimeFrom.RECEIPT, (Note.TIME_UNREADABLE,)),
        ('{"t":1,"time":12.5}', (), NOW, TimeFrom.RECEIPT, (Note.TIME_NOT_EPOCH,)),
        ('{"t":1,"time":"2026-06-26T14:00:00"}', (), NOW, TimeFrom.RECEIPT, (Note.TIME_WITHOUT_ZONE,)),
        (f'{{"t":1,"time":{NOW + 1e6}}}', (), NOW, TimeFrom.RECEIPT, (Note.TIME_IN_FUTURE,)),
        (f'{{"t":1,"time":"soon","ts":{NOW - 5}}}', (), NOW - 5, TimeFrom.PAYLOAD, ()),
        (f'{{"t":1,"ts":"soon","time":{NOW - 5}}}', (), NOW - 5, TimeFrom.PAYLOAD, (Note.TIME_UNREADABLE,)),
    ],
)
def test_event_time(
    payload: str, properties: Any, at: float, time_from: TimeFrom, notes: tuple[Note, ...]
) -> None:
    """The payload's time wins over the user property's, that over the receipt; the disbelieved is noted."""
    decoded = decode(payload, properties=properties)
    assert (at, time_from, notes) == (decoded.readings[0].at, decoded.time_from, decoded.notes)


def test_limits_are_configurable() -> None:
    """A registry applies the limits that it was given."""
    small = Registry(
        sources=[SourceSpec("a/{device}")], base_topic="x", limits=DecodeLimits(max_keys=2, max_bytes=40)
    )
    assert len(small.decode("a/b", b'{"x":1,"y":2}', NOW).readings) == 2
    cut = small.decode("a/b", b'{"x":1,"y":2,"z":3}', NOW)
    assert (len(cut.readings), list(cut.skipped)) == (2, [Skipped("z", Skip.TOO_MANY)])
    with pytest.raises(DecodeError, match="too_large"):
        small.decode("a/b", b" " * 41, NOW)


@pytest.mark.parametrize(
    "payload", ['{"x":1}', '{"name":"x","value":1}', '{"value":{"x":1}}', '[{"x":1}]', "[1,2]"]
)
def test_joined_names_are_bounded(payload: str) -> None:
    """A long metric of the topic leaves no room for keys below it; alone it is what the topic allows."""
    topic = "sensors/th1/" + "m" * 128
    assert decode("1", topic).readings
    assert Skip.TOO_LONG in {one.why for one in decode(payload, topic).skipped}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('[{"id":1,"name":"Sensor","value":1}]', '[{"id":2,"name":"Sensor","value":2}]'),
        ('[{"id":1,"name":"Sensor","t":1}]', '[{"id":2,"name":"Sensor","t":2}]'),
        ('[{"name":"a","value":1},{"value":3}]', '[{"value":2},{"name":"a","value":4}]'),
        ('[{"name":"a","value":1},{"id":"c","value":3}]', '[{"id":"b","value":2}]'),
        ('[{"NodeId":"i=1","DisplayName":"T","Value":1}]', '[{"NodeId":"i=2","DisplayName":"T","Value":2}]'),
        ('{"NodeId":"i=1","DisplayName":"T","Value":1}', '{"NodeId":"i=2","DisplayName":"T","Value":2}'),
        ('[{"sensor":{"id":"a"},"t":1}]', '[{"sensor":{"id":"b"},"t":2},{"sensor":{"id":"a"},"t":3}]'),
        (
            '{"name":"cpu","fields":{"idle":1},"tags":{"cpu":"cpu0"}}',
            '{"name":"cpu","fields":{"idle":2},"tags":{"cpu":"cpu1"}}',
        ),
    ],
)
def test_two_ids_of_two_messages_never_share_a_series(one: str, other: str) -> None:
    """Whatever else they have in common, the series of value 1 and of value 2 differ."""
    first = next(reading for reading in decode(one).readings if reading.value == 1.0)
    second = next(reading for reading in decode(other).readings if reading.value == 2.0)
    assert first.series != second.series


@pytest.mark.parametrize("key", ["id", "mac", "ieee_address", "name"])
def test_two_unreadable_ids_never_share_a_series_in_a_family(key: str) -> None:
    """A family that leaves ids out of its values still distinguishes the elements of a list by them."""
    registry = Registry(sources=[SourceSpec("#")], base_topic="x")
    for text in ("a\u0007", "b\u0007"):
        payload = json.dumps([{key: text, "temperature": 21.5}]).encode()
        assert registry.decode("zigbee2mqtt/hub", payload, NOW).readings == ()
    for text in ("a", "b"):
        payload = json.dumps([{key: text, "temperature": 21.5}]).encode()
        [reading] = registry.decode("zigbee2mqtt/hub", payload, NOW).readings
        assert text in f"{reading.device}.{reading.metric}".split(".")


@pytest.mark.parametrize(
    "word", ["online", "offline", "Online", '{"state":"offline"}', '{ "status": "online" }']
)
@pytest.mark.parametrize(
    ("topic", "source", "device"),
    [
        ("frigate/available", "#", "frigate"),
        ("wled/kitchen/status", "#", "wled/kitchen"),
        ("wled/kitchen/status", "wled/{device}/{metric}", "kitchen"),
        ("wled/kitchen/status", "wled/{device+}", "kitchen"),
        ("home/z/th1/availability", "home/{area}/{device}/#", "z/th1"),
    ],
)
def test_availability_in_words(topic: str, source: str, device: str, word: str) -> None:
    """``online`` and ``offline`` at a topic of states are the state of the device above it."""
    decoded = Registry(sources=[SourceSpec(source)], base_topic="x").decode(topic, word.encode(), NOW)
    online = "online" in word.casefold()
    assert decoded.readings == ()
    own = {} if decoded.online is None else {decoded.device: decoded.online}
    assert dict(decoded.states) | own == {device: online}


def test_words_at_other_topics_are_words() -> None:
    """``online`` elsewhere is a word, and `values:` of the source comes first."""
    registry = Registry(sources=[SourceSpec("#")], base_topic="x")
    assert registry.decode("shop/mode", b"online", NOW).states == ()
    mapped = MetricSettings(values={"online": 7.0})
    registry = Registry(sources=[SourceSpec("{device}/{metric}", metrics=mapped)], base_topic="x")
    [reading] = registry.decode("shop/status", b"online", NOW).readings
    assert (reading.device, reading.metric, reading.value) == ("shop", "status", 7.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("21.5;44.1", {"0": 21.5, "1": 44.1}),
        ("21,5;44,1", {"0": 21.5, "1": 44.1}),
        ("21.5,44,1013.2", {"0": 21.5, "1": 44.0, "2": 1013.2}),
        ("21.5 °C | 44 %", {"0": 21.5, "1": 44.0}),
        ("45.0;38.0;-;off", {"0": 45.0, "1": 38.0, "3": 0.0}),
        ("2026-11-27T11:59:50Z\t21.5\t44.1", {"1": 21.5, "2": 44.1}),
        ("m3: 123.4", {"m3": 123.4}),
        ("T: 21.5; H: 44 %", {"T": 21.5, "H": 44.0}),
        ("Water level: 1.5 m\nPump current: 3 A", {"Water level": 1.5, "Pump current": 3.0}),
        ("PASSKEY=A1&tempf=67.5&dateutc=2026-06-26+11:59:50", {"tempf": 67.5}),
    ],
)
def test_text_of_columns_and_pairs(text: str, expected: dict[str, float]) -> None:
    """Read where it can be nothing else."""
    assert values(decode(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "1,234",
        "1,234.5,300",
        "Boot: ready",
        "12:30",
        "ERROR: 5 retries",
        "a;b",
        "21.5;see manual",
        "192.168.1.20",
    ],
)
def test_text_that_could_be_something_else(text: str) -> None:
    """A sentence, a time of day, thousands or an address are not columns and not pairs."""
    assert decode(text).readings == ()


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"LOW", (0.0, "LOW")),
        (b" Open\n", (1.0, "Open")),
        (b"1", (1.0, None)),
        (b"true", (1.0, "true")),
        (b"21.5 C", (21.5, None)),
        (b'{"value":"wet"}', (1.0, "wet")),
        (b'{"value":true}', (1.0, None)),
        (b"Kipp\xc3\xbcfenster auf", (2.0, "Kipp\u00fcfenster auf")),
        (b'{"value":"99"}', (3.0, None)),
    ],
)
def test_the_word_behind_a_number(payload: bytes, expected: tuple[float, str | None]) -> None:
    """It is kept as it was sent; a number that `values:` maps is not a word."""
    words = {"kipp\u00fcfenster auf": 2.0, "99": 3.0}
    family = Generic(limits=DecodeLimits(), max_future_skew_s=300.0)
    content = family.decode(Route("t", "d", "value", reader=Reader(words=words)), payload, NOW, ())
    assert [(one.value, one.word) for one in content.readings] == [expected]
