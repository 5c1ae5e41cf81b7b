"""Availability messages: topics, words, and errors in the configuration."""

from pathlib import Path

import pytest

from agent.config import ConfigError
from agent.config.load import load
from agent.decode.availability import AvailabilitySpec
from agent.decode.registry import Registry, SourceSpec
from agent.decode.topics import covers
from agent.domain.records import DecodeError, DecodeReason

NOW = 1_782_475_200.0
ZIGBEE = SourceSpec(
    "zigbee2mqtt/{device}",
    availability=AvailabilitySpec(
        "zigbee2mqtt/{device}/availability", ("online", "Ready"), ("offline", "lost")
    ),
)
TASMOTA = SourceSpec(
    "tele/{site}/{device}/{metric}",
    retained="ignore",
    availability=AvailabilitySpec("tele/{site}/{device}/LWT"),
)


def make(*sources: SourceSpec) -> Registry:
    return Registry(sources=sources, base_topic="edge-agent/gw1")


@pytest.mark.parametrize(
    ("payload", "online"),
    [
        (b"online", True),
        (b"OFFLINE\n", False),
        (b"ready", True),
        (b"lost", False),
        (b'"offline"', False),
        (b'{"state": "online"}', True),
        (b' {"state": "lost", "since": 5}', False),
    ],
)
def test_a_state_is_a_word_plain_or_in_json(payload: bytes, online: bool) -> None:
    """Case and spaces do not matter; there is a device and a state, and no reading."""
    decoded = make(ZIGBEE).decode("zigbee2mqtt/th1/availability", payload, NOW)
    assert (decoded.online, decoded.device, decoded.readings, decoded.text_only) == (online, "th1", (), False)


@pytest.mark.parametrize("payload", [b"maybe", b'{"status": "online"}', b"[1]", b"1", b'{"state": {}}', b"{"])
def test_another_word_is_refused(payload: bytes) -> None:
    """A word that is neither online nor offline goes to quarantine, where a person sees it."""
    with pytest.raises(DecodeError) as caught:
        make(ZIGBEE).decode("zigbee2mqtt/th1/availability", payload, NOW)
    assert caught.value.reason in {DecodeReason.NO_READINGS, DecodeReason.BAD_JSON}


def test_a_deleted_state_says_nothing() -> None:
    """An empty payload, which deletes a retained message, is not a state."""
    decoded = make(ZIGBEE).decode("zigbee2mqtt/th1/availability", b"", NOW)
    assert (decoded.online, decoded.text_only) == (None, True)


def test_the_device_is_the_one_of_the_readings() -> None:
    """Readings and state of a device name it alike, with several levels and without any."""
    tasmota = make(TASMOTA)
    reading = tasmota.decode("tele/hall/plug1/power", b"5", NOW)
    state = tasmota.decode("tele/hall/plug1/LWT", b"Online", NOW)
    assert reading.device == state.device == "hall/plug1"
    alone = make(SourceSpec("pump/flow", availability=AvailabilitySpec("pump/state")))
    assert alone.decode("pump/flow", b"5", NOW).device == alone.decode("pump/state", b"offline", NOW).device


def test_what_is_retained_counts_whatever_the_source_says_of_readings() -> None:
    """A retained state is the state as of now, unlike a retained reading."""
    assert make(TASMOTA).decode("tele/hall/plug1/LWT", b"Offline", NOW).retained == "live"
    assert make(TASMOTA).decode("tele/hall/plug1/power", b"5", NOW).retained == "ignore"


def test_a_filter_of_its_own_is_asked_for_only_where_no_source_covers_it() -> None:
    """Two filters that overlap would bring each state twice."""
    registry = make(ZIGBEE, TASMOTA)
    assert registry.filters == ("zigbee2mqtt/+", "tele/+/+/+")
    assert [one.filter for one in registry.subscriptions] == [*registry.filters, "zigbee2mqtt/+/availability"]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("a/+/+", "a/+/LWT", True),
        ("a/+/LWT", "a/+/+", False),
        ("a/#", "a", True),
        ("a/#", "a/+/#", True),
        ("a/+", "a/#", False),
        ("#", "$SYS/a", False),
        ("a/+", "a/b/c", False),
        ("a/b", "a/b", True),
        ("a/b/#", "a/+/c", False),
    ],
)
def test_covers_means_every_topic(a: str, b: str, expected: bool) -> None:
    """A filter covers another where no topic of that one escapes it."""
    assert covers(a, b) == expected


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            "topic: 'z/{device}', availability: {topic: 'z/{dev}/a'}",
            "availability.topic 'z/{dev}/a' names {dev} where the source's topic names {device}; write",
        ),
        ("topic: 'z/{device}', availability: {topic: 'z/+/a'}", "a wildcard without a name, so that any"),
        ("topic: 'z/+', availability: {topic: 'a/+'}", "write {device} in both topics"),
        ("topic: 'z/{device}', availability: {topic: a, field: x}", "availability.field: 'x': is not a path"),
        ("topic: 'z/{device}', availability: {topic: '#/a'}", "sources[0].availability.topic: '#/a'"),
        (
            "topic: 'z/{device}', availability: {topic: 'q/{device}', offline: [no]}",
            "sources[0].availability.offline: [False]: False is what YAML reads here; put the word in quotes",
        ),
        (
            "topic: 'z/{device}', availability: {topic: 'q/{device}', online: A, offline: [b, a]}",
            "'a' means online and offline; keep it in one of them",
        ),
        ("topic: 'z/{device}', availability: {topic: 'q/{device}', online: ['']}", "holds an empty word"),
        (
            "topic: 'z/{device}', availability: {topic: 'q/{device}', onlin: x}",
            "unknown key; did you mean 'online'?",
        ),
        ("topic: 'z/{device}', dedupe: id", "sources[0].dedupe: 'id': is not a path of keys; write $.id"),
        ("topic: 'z/{device}', dedupe: '$.a[0]'", "write $.id, or $.meta.id for a key inside an object"),
    ],
)
def test_a_bad_source_is_refused_in_one_line(tmp_path: Path, source: str, line: str) -> None:
    """Key, value and remedy are named."""
    path = tmp_path / "agent.yaml"
    path.write_text(f"sources: [{{{source}}}]")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert any(line in problem for problem in caught.value.problems), caught.value.problems
    assert "\n" not in caught.value.problems[0]
