"""Sources: which one reads a message, its device, and the rules for its metrics."""

import json
from typing import Any

import pytest

from agent.decode.device_template import MAX_DEVICE, DeviceTemplate
from agent.decode.family import Note, Skip
from agent.decode.metric_rules import MetricSettings
from agent.decode.registry import Decoded, Registry, SourceSpec
from agent.decode.topics import TopicPattern
from agent.domain.records import DecodeError, DecodeReason, Handling
from tests.decode.judge import spec_of
from tests.support.growth import MOST, growth

NOW = 1_795_783_196.0


def make(*sources: dict[str, Any]) -> Registry:
    return Registry(sources=[spec_of(one) for one in sources], base_topic="edge-agent/gw1")


def read(source: dict[str, Any], topic: str, payload: Any) -> Decoded:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return make(source).decode(topic, text.encode(), NOW)


def values(decoded: Decoded) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for reading in decoded.readings:
        found.setdefault(reading.device, {})[reading.metric] = reading.value
    return found


# --------------------------------------------------------------------------- which source reads it


def test_the_first_source_that_matches_reads_a_message() -> None:
    """Sources may overlap; the order of the list decides."""
    registry = make({"topic": "a/special/{metric}", "device": "x"}, {"topic": "a/{device}/{metric}"})
    assert registry.decode("a/special/t", b"1", NOW).device == "x"
    assert registry.decode("a/other/t", b"1", NOW).device == "other"
    assert [one.filter for one in registry.subscriptions] == ["a/+/+"]


def test_an_empty_name_leaves_the_message_to_the_next_source() -> None:
    """A source whose device would have no name does not match."""
    registry = make({"topic": "{site}/{device}/{metric}"}, {"topic": "/{device}/{metric}"})
    assert registry.decode("/th1/t", b"1", NOW).device == "th1"
    with pytest.raises(DecodeError, match="an empty level"):
        registry.decode("hall//t", b"1", NOW)


def test_the_bridge_below_another_base_topic_is_not_a_device() -> None:
    """Its channel and versions are numbers, but not of a sensor."""
    registry = Registry(sources=[SourceSpec("z/{name+}", format="zigbee2mqtt")], base_topic="x")
    payload = b'{"network": {"channel": 11}, "temperature": 20.5}'
    assert registry.decode("z/bridge/info", payload, 1.8e9).readings == ()
    assert len(registry.decode("z/attic/bridge/info", payload, 1.8e9).readings) == 2


@pytest.mark.parametrize("topic", ["z/bridge/info", "z/kitchen/th1/set", "z/a/get"])
def test_an_excluded_topic_is_no_reading_of_any_source(topic: str) -> None:
    """It is counted as excluded under its source, and no later source reads it."""
    registry = make(
        {"topic": "z/{name+}", "exclude": ["z/bridge/#", "z/{name+}/set", "+/+/get"]}, {"topic": "#"}
    )
    for _ in range(2):
        decoded = registry.decode(topic, b'{"t": 1}', NOW)
        assert (decoded.handling, decoded.source, decoded.readings) == (Handling.EXCLUDED, "z/{name+}", ())
        assert decoded.excluded_by
    assert registry.decode("z/kitchen/th1", b'{"t": 1}', NOW).device == "kitchen/th1"


def test_levels_behind_a_name_of_many_are_compared() -> None:
    """MQTT brings more than the pattern has; the rest is unmatched."""
    registry = make({"topic": "z/{name+}/state"})
    assert registry.decode("z/kitchen/th1/state", b"1", NOW).device == "kitchen/th1"
    assert registry.decode("z/kitchen/th1/config", b"1", NOW).handling is Handling.UNMATCHED
    assert registry.subscribes("z/kitchen/th1/config")


def test_a_flood_of_topics_that_nobody_reads_keeps_memory_bounded() -> None:
    """Twenty thousand unmatched topics are kept as few as twenty thousand others."""
    registry = make({"topic": "z/{name+}/state"})
    for number in range(20_000):
        assert registry.decode(f"z/{number}/x", b"1", NOW).handling is Handling.UNMATCHED
    assert len(registry._unread) == 16_384


# ------------------------------------------------------------------------------- which device it is


@pytest.mark.parametrize(
    ("template", "payload", "device"),
    [
        ("p1", {"t": 1}, "p1"),
        ("{site}", {"t": 1}, "hall"),
        ("{site}/{$.from}", {"from": 3121468972, "t": 1}, "hall/3121468972"),
        ("{$.model}/{$.id}", {"model": "TFA-Drop", "id": 721248, "t": 1}, "TFA-Drop/721248"),
        ("{$.id}", {"id": 12345678901234567891, "t": 1}, "12345678901234567891"),
        ("{$.meta.name}", {"meta": {"name": " a/b "}, "t": 1}, "a/b"),
        ("gw {$.id} x", {"id": "é", "t": 1}, "gw é x"),
    ],
)
def test_the_device_is_what_the_template_makes_of_topic_and_payload(
    template: str, payload: dict[str, Any], device: str
) -> None:
    """Texts and numbers as they are written; the device's name is not a metric."""
    decoded = read({"topic": "s/{site}/{rest}", "device": template}, "s/hall/x", payload)
    assert values(decoded) == {device: {"t": 1.0}}
    assert (decoded.device, decoded.skipped) == (
        device,
        tuple(one for one in decoded.skipped if one.why is Skip.NOT_A_VALUE),
    )


@pytest.mark.parametrize(
    "payload",
    [
        '{"t": 1}',
        '{"id": null}',
        '{"id": true}',
        '{"id": {"a": 1}}',
        '{"id": [1]}',
        '{"id": ""}',
        '{"id": " "}',
        '{"id": "a\\u0000b"}',
        '{"id": "a\\u202eb"}',
        '{"id": "a\\ud800b"}',
        json.dumps({"id": "x" * (MAX_DEVICE + 1)}),
        "21.5",
        "offline",
        "{",
        "[]",
        "[1, 2]",
        '"x"',
        '[{"t": 1}, {"id": {}}]',
        "[" * 100_000,
    ],
)
def test_a_payload_that_names_no_device_is_refused(payload: str) -> None:
    """Missing, hostile or long values never become a name; the reason names the path."""
    with pytest.raises(DecodeError) as caught:
        read({"topic": "s/{x}", "device": "{$.id}"}, "s/a", payload)
    assert caught.value.reason is DecodeReason.NO_DEVICE
    assert caught.value.detail.isprintable()


@pytest.mark.parametrize(
    ("template", "topic", "one", "other"),
    [
        ("{$.a}/{$.b}", "s/x", ("p/q", "r"), ("p", "q/r")),
        ("{$.a}-{$.b}", "s/x", ("p-q", "r"), ("p", "q-r")),
        ("{$.a}/{$.b}", "s/x", ("p", "q/r"), ("p", "q%2Fr")),
        ("{x}-{$.a}/{$.b}", "s/x", ("p/q", "r"), ("p", "q/r")),
        ("{$.a} / {$.b}", "s/x", ("p /", "q"), ("p", "/ q")),
    ],
)
def test_two_devices_never_get_one_id(
    template: str, topic: str, one: tuple[str, str], other: tuple[str, str]
) -> None:
    """A value that holds the text between the parts is encoded."""
    source = {"topic": "s/{x}", "device": template}
    devices = {read(source, topic, {"a": a, "b": b, "t": 1}).device for a, b in (one, other)}
    assert len(devices) == 2


def test_levels_of_a_template_never_get_one_id_either() -> None:
    """Levels with a sign of the template in them, and one name of many levels."""
    pattern = TopicPattern("s/{a}/{b}")
    dashed = DeviceTemplate("{a}-{b}", pattern)
    assert dashed.render({"a": "p-q", "b": "r"}) != dashed.render({"a": "p", "b": "q-r"})
    many = DeviceTemplate("{$.x}/{name+}".replace("+", ""), TopicPattern("s/{name+}"))
    first, second = (many.render({"name": name}, {"x": x}) for x, name in (("a/b", "c"), ("a", "b/c")))
    assert (first, second) == ("a%2Fb/c", "a/b/c")


def test_a_list_of_devices_is_read_element_by_element() -> None:
    """Each element has its own device; one that names none is skipped, not the others."""
    payload = [{"id": "a", "t": 1}, {"id": "b", "t": 2, "h": 3}, {"t": 4}, 5, {"id": "a", "t": 6}]
    decoded = read({"topic": "s/{x}", "device": "{x}/{$.id}"}, "s/gw", payload)
    assert values(decoded) == {"gw/a": {"t": 1.0}, "gw/b": {"t": 2.0, "h": 3.0}}
    assert {(one.name, one.why) for one in decoded.skipped if one.why is not Skip.NOT_A_VALUE} == {
        ("[2]", Skip.BAD_NAME),
        ("[3]", Skip.BAD_NAME),
        ("t", Skip.REPEATED),
    }


def test_a_long_list_of_devices_is_read_in_linear_time() -> None:
    """At most 1,024 elements, however the list is written."""
    registry = make({"topic": "s/{x}", "device": "{$.id}"})

    def payload(count: int) -> bytes:
        return b"[" + b" , ".join(b'{"id": "d%d", "t": 1}' % number for number in range(count)) + b"]"

    assert len(registry.decode("s/x", payload(2000), NOW).readings) == 1024
    assert growth(lambda data: registry.decode("s/x", data, NOW), payload, 4000) <= MOST


# ------------------------------------------------------------------------------------- its metrics


def test_metrics_are_included_excluded_and_renamed() -> None:
    """Globs match the name of the device or the one of `rename`; what is left out is named."""
    metrics = {
        "include": ["temp*", "C1", "hum"],
        "exclude": ["*_raw"],
        "rename": {"3": "C1", "tempC": "temperature"},
        "units": {"temperature": "°C", "hum": "%"},
    }
    payload = {"tempC": 21.5, "temp_raw": 1, "3": 7, "hum": {"value": 40, "unit": "pct"}, "x": 9}
    decoded = read({"topic": "s/{d}", "metrics": metrics}, "s/a", payload)
    assert values(decoded) == {"a": {"temperature": 21.5, "C1": 7.0, "hum": 40.0}}
    assert {reading.metric: reading.unit for reading in decoded.readings} == {
        "temperature": "°C",
        "C1": None,
        "hum": "pct",
    }
    assert decoded.renamed == (("tempC", "temperature"), ("3", "C1"))
    assert {one.name for one in decoded.skipped if one.why is Skip.EXCLUDED} == {"temp_raw", "x"}


@pytest.mark.parametrize("value", [85, 85.0, 85.00000001, -127])
def test_a_number_that_means_none_is_skipped(value: float) -> None:
    """It is named as a sentinel, and the device has sent."""
    metrics = {"ignore_values": {"t*": [85, -127], "*": [9999]}}
    decoded = read({"topic": "s/{d}", "metrics": metrics}, "s/a", {"t": value, "h": 85, "x": 9999})
    assert values(decoded) == {"a": {"h": 85.0}}
    assert {one.name for one in decoded.skipped if one.why is Skip.SENTINEL} == {"t", "x"}
    alone = read({"topic": "s/{d}", "metrics": metrics}, "s/a", {"t": value})
    assert (alone.heard, alone.handling) == (("a",), Handling.NO_VALUE)


def test_two_metrics_under_one_name_are_never_merged() -> None:
    """The first is kept, the other is skipped."""
    decoded = read({"topic": "s/{d}", "metrics": {"rename": {"a": "b"}}}, "s/x", {"a": 1, "b": 2})
    assert values(decoded) == {"x": {"b": 1.0}}
    assert [one.why for one in decoded.skipped] == [Skip.REPEATED]


def test_a_flood_of_names_keeps_memory_bounded() -> None:
    """Rules are kept for some thousand names only."""
    registry = make({"topic": "s/{d}", "metrics": {"exclude": ["x*"]}})
    for number in range(100):
        payload = json.dumps({f"m{number}_{one}": 1 for one in range(100)}).encode()
        registry.decode("s/a", payload, NOW)
    rules = registry._sources[0].rules
    assert rules is not None
    assert len(rules._kept) <= 4096


def test_the_time_of_a_source_is_no_metric() -> None:
    """Nor are the parts of its device, below a metric of the topic either."""
    source = {"topic": "s/{d}/{metric}", "device": "{d}/{$.n}", "time": {"field": "$.when"}}
    decoded = read(source, "s/a/env", {"when": NOW, "n": 7, "t": 1})
    assert values(decoded) == {"a/7": {"env.t": 1.0}}


def test_a_source_without_rules_has_none() -> None:
    """So that it pays nothing for them."""
    registry = make({"topic": "a/{d}", "metrics": {"values": {"open": 1}}}, {"topic": "b/{d}"})
    assert [source.plain for source in registry._sources] == [True, True]
    assert SourceSpec("a/{d}", metrics=MetricSettings(values={"Open": 1})).reader.words == {"open": 1}


# ------------------------------------------------------------------------------------ availability


def online(decoded: Decoded) -> dict[str, bool]:
    own = {decoded.device: decoded.online} if decoded.device and decoded.online is not None else {}
    return own | dict(decoded.states)


@pytest.mark.parametrize(
    ("field", "words", "payload", "expected"),
    [
        ("$.online", (["true"], ["false"]), '{"online": true}', True),
        ("$.online", (["true"], ["false"]), '{"online": "False"}', False),
        ("$.connected", (["1"], ["0"]), '{"connected": 0}', False),
        ("$.a.b", (["1.5"], ["2"]), '{"a": {"b": 1.50}}', None),
        ("$.status", (["Alive", "Awake"], ["Dead"]), '{"time": 16, "value": true, "status": "alive"}', True),
        ("$.status", (["null"], ["x"]), '{"status": null}', True),
        ("$.status", (["up"], ["down"]), "DOWN", False),
        (None, (["1"], ["0"]), "1", True),
        (None, (["1"], ["0"]), '{"state": 0}', False),
        (None, (["true"], ["false"]), "true", True),
        (None, (["online"], ["offline"]), '{"state": {"x": 1}}', None),
    ],
)
def test_a_state_is_any_scalar_compared_as_text(
    field: str | None, words: tuple[list[str], list[str]], payload: str, expected: bool | None
) -> None:
    """At the configured path, or plain, as a last will often is; another word is refused."""
    availability = {"topic": "s/{d}/LWT", "online": words[0], "offline": words[1], "field": field}
    registry = make({"topic": "s/{d}/{metric}", "availability": availability})
    if expected is None:
        with pytest.raises(DecodeError):
            registry.decode("s/x/LWT", payload.encode(), NOW)
    else:
        decoded = registry.decode("s/x/LWT", payload.encode(), NOW)
        assert (decoded.handling, online(decoded)) == (Handling.AVAILABILITY, {"x": expected})


def test_a_state_of_a_gateway_is_that_of_all_its_devices() -> None:
    """Of those that have sent under it, and of no others; also where the payload names them."""
    registry = make(
        {
            "topic": "r/{host}/events",
            "device": "{$.id}",
            "availability": {"topic": "r/{host}/status", "online": ["up"], "offline": ["down"]},
        },
        {"topic": "plain/{site}/{d}", "availability": {"topic": "plain/status"}},
    )
    assert online(registry.decode("r/h1/status", b"down", NOW)) == {}
    for host, device in (("h1", "a"), ("h1", "b"), ("h2", "c")):
        registry.decode(f"r/{host}/events", json.dumps({"id": device, "t": 1}).encode(), NOW)
    decoded = registry.decode("r/h1/status", b"down", NOW)
    assert (online(decoded), decoded.handling, decoded.retained) == (
        {"a": False, "b": False},
        Handling.AVAILABILITY,
        "live",
    )
    registry.decode("plain/x/y", b"1", NOW)
    assert online(registry.decode("plain/status", b"online", NOW)) == {"x/y": True}


def test_a_gateway_that_is_a_device_itself_stands_for_its_list_too() -> None:
    """The topic names it, its payloads name others."""
    registry = make(
        {"topic": "b/{gw}", "device": "{$.mac}", "availability": {"topic": "b/{gw}/lwt"}},
        {"topic": "c/{gw}", "availability": {"topic": "c/{gw}/lwt"}},
    )
    registry.decode("b/g1", b'[{"mac": "a", "t": 1}, {"mac": "b", "t": 1}]', NOW)
    assert online(registry.decode("b/g1/lwt", b"offline", NOW)) == {"a": False, "b": False}
    assert online(registry.decode("c/g1/lwt", b"offline", NOW)) == {"g1": False}


def test_sources_may_share_an_availability_topic() -> None:
    """A state counts for the devices of all of them, each by its own words."""
    registry = make(
        {"topic": "t/{d}/SENSOR", "availability": {"topic": "t/{d}/LWT"}},
        {"topic": "t/{d}/STATE", "device": "{d} state", "availability": {"topic": "t/{d}/LWT"}},
        {"topic": "u/{d}/x", "availability": {"topic": "t/{d}/LWT", "online": ["on"], "offline": ["off"]}},
    )
    decoded = registry.decode("t/p/LWT", b"offline", NOW)
    assert online(decoded) == {"p": False, "p state": False}
    with pytest.raises(DecodeError, match="not a word"):
        registry.decode("t/p/LWT", b"perhaps", NOW)


def test_members_outlive_the_process() -> None:
    """The registry gives the rows that changed once, and takes them back."""
    source = {"topic": "r/{h}/x", "device": "{$.id}", "availability": {"topic": "r/{h}"}}
    registry, later = make(source), make(source)
    assert registry.take_changes() == {}
    registry.decode("r/h1/x", b'[{"id": "a", "t": 1}, {"id": "b", "t": 1}]', NOW)
    rows = registry.take_changes()
    assert registry.take_changes() == {}
    later.restore({key: body for key, body in rows.items() if body is not None})
    assert online(later.decode("r/h1", b"offline", NOW)) == {"a": False, "b": False}
    plain = make({"topic": "s/{d}", "availability": {"topic": "s/{d}/lwt"}})
    plain.decode("s/a", b"1", NOW)
    assert plain.take_changes() == {}


@pytest.mark.slow
def test_members_are_bounded() -> None:
    """The devices that were seen first are forgotten."""
    registry = make({"topic": "r/{h}/{d}", "availability": {"topic": "r/{h}"}})
    for number in range(12_000):
        registry.decode(f"r/h{number % 100}/{number}", b"1", NOW)
    known = sum(len(online(registry.decode(f"r/h{number}", b"offline", NOW))) for number in range(100))
    assert 0 < known <= 10_000


def test_a_note_of_the_family_stays() -> None:
    """Rules change readings, not notes."""
    source = {"topic": "s/{d}", "metrics": {"exclude": ["x"]}}
    assert read(source, "s/a", {"t": 1, "ts": 5}).notes == (Note.TIME_NOT_EPOCH,)
