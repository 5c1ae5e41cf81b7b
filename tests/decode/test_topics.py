"""Topic patterns: what they accept, what they match, whom they name."""

import pytest
from hypothesis import given, strategies as st

from agent.decode.topics import Identity, TopicPattern, overlap


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sensors/{device}/{metric}", "sensors/+/+"),
        ("site/{area}/{device}", "site/+/+"),
        ("zigbee2mqtt/{device+}", "zigbee2mqtt/+/#"),
        ("{device+}", "+/#"),
        ("#", "#"),
        ("a/+/b/#", "a/+/b/#"),
        ("plain/topic", "plain/topic"),
        ("küche/{device}", "küche/+"),
        ("/a//{device}/", "/a//+/"),
        ("z/{device+}/state", "z/+/#"),
        ("{device+}/state", "+/#"),
    ],
)
def test_filter_is_what_the_broker_is_asked_for(text: str, expected: str) -> None:
    """Names become wildcards; behind one or more levels MQTT has no filter, so it covers them."""
    assert expected == TopicPattern(text).filter


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("$SYS/#", "begins with $"),
        ("$share/g/a/#", "begins with $"),
        ("#/a", "before its end"),
        ("{a+}/x/{b+}", "at two places"),
        ("{a+}/#", "at two places"),
        ("a/b#", "takes a whole level"),
        ("a/b+", "takes a whole level"),
        ("a/x{device}", "takes a whole level"),
        ("a/{}", "takes a whole level"),
        ("a/{1st}", "takes a whole level"),
        ("a/{_x}", "takes a whole level"),
        ("a/{device", "takes a whole level"),
        ("{device}/{device}", "twice"),
        ("{device}/{device+}", "twice"),
        ("a\x00b", "control character"),
        ("a/\ud800", "control character"),
        ("/".join("abcdefghijklm"), "13 levels"),
        ("a" * 257, "256 bytes"),
        ("é" * 129, "256 bytes"),
    ],
)
def test_bad_pattern_is_refused_in_words(text: str, says: str) -> None:
    """Every bad pattern raises ValueError with a sentence that names the fault."""
    with pytest.raises(ValueError, match=says.replace("$", r"\$")):
        TopicPattern(text)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("sensors/{device}/{metric}", "sensors/th1/temperature", {"device": "th1", "metric": "temperature"}),
        ("sensors/{device}/{metric}", "sensors/th1", None),
        ("sensors/{device}/{metric}", "sensors/th1/a/b", None),
        ("zigbee2mqtt/{device+}", "zigbee2mqtt/kitchen/th1", {"device": "kitchen/th1"}),
        ("zigbee2mqtt/{device+}", "zigbee2mqtt", None),
        ("a/#", "a", {}),
        ("a/#", "a/b/c", {}),
        ("a/#", "ab", None),
        ("{device}/x", "$SYS/x", None),
        ("#", "$SYS/x", None),
        ("a.c/{device}", "abc/x", None),
        ("/ems/{device}/{metric}", "/ems/ww/temp", {"device": "ww", "metric": "temp"}),
        ("/ems/{device}", "ems/ww", None),
        ("home/{device}/t/", "home/k/t/", {"device": "k"}),
        ("home/{device}/t/", "home/k/t", None),
        ("te/{device}///m/{type}", "te/main///m/env", {"device": "main", "type": "env"}),
        ("z/{name+}/state", "z/kitchen/th1/state", {"name": "kitchen/th1"}),
        ("z/{name+}/state", "z/a/state/state", {"name": "a/state"}),
        ("z/{name+}/state", "z/state", None),
        ("z/{name+}/state", "z/th1/other", None),
        ("{name+}/x/{metric}", "a/b/x/t", {"name": "a/b", "metric": "t"}),
    ],
)
def test_match_names_the_parts(pattern: str, topic: str, expected: dict[str, str] | None) -> None:
    """The named parts come back in topic order; wildcards in the first place leave $ topics alone."""
    assert expected == TopicPattern(pattern).match(topic)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("sensors/{device}/{metric}", "sensors/th1/temperature", Identity("th1", "temperature")),
        ("site/{area}/{device}", "site/kitchen/th1", Identity("kitchen/th1", None)),
        ("{area}/{metric}/{device}", "kitchen/temperature/th1", Identity("kitchen/th1", "temperature")),
        ("site/+/x/+", "site/a/x/b", Identity("a/b", None)),
        ("site/#", "site/a/b", Identity("a/b", None)),
        ("site/#", "site", Identity("site", None)),
        ("site/+/{metric}", "site/a/t", Identity("a", "t")),
        ("plain/topic", "plain/topic", Identity("plain/topic", None)),
        ("m/{device}/{metric+}", "m/th1/bme/temperature", Identity("th1", "bme.temperature")),
        ("m/{metric}", "m/temperature", Identity("m/temperature", "temperature")),
        ("s/{device}/+", "s/th1/state", Identity("th1", None)),
    ],
)
def test_identify_names_the_device(pattern: str, topic: str, expected: Identity) -> None:
    """Device is the named parts but the metric, else the wildcard levels, else the topic."""
    found = TopicPattern(pattern).identify(topic)
    assert found is not None
    assert expected[:2] == found[:2]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/+", "a/b", True),
        ("a/+", "+/b", True),
        ("a/+/c", "a/b/d", False),
        ("#", "a/b", True),
        ("#", "$SYS/a", False),
        ("+/a", "$SYS/a", False),
        ("$SYS/#", "$SYS/a", True),
        ("a/#", "a", True),
        ("a/+/#", "a", False),
        ("a/+/#", "a/b", True),
        ("a/b/#", "a/+", True),
        ("a/b", "a/b/c", False),
        ("a/#", "b/#", False),
        ("+/b/#", "a/+/c/d", True),
    ],
)
def test_overlap_finds_topics_of_both(a: str, b: str, *, expected: bool) -> None:
    """Two filters overlap where one topic matches both, in either order."""
    assert (expected, expected) == (overlap(a, b), overlap(b, a))


_LEVEL = st.sampled_from(["a", "b", "{x}", "+"])
_PATTERN = st.builds(
    lambda levels, tail: "/".join([*levels, *tail]).replace("{x}", "+"),
    st.lists(_LEVEL, min_size=1, max_size=4),
    st.sampled_from([[], ["#"], ["{rest+}"]]),
)
_TOPIC = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6).map("/".join)


@given(_PATTERN, _PATTERN, _TOPIC)
def test_what_matches_both_overlaps(first: str, second: str, topic: str) -> None:
    """No topic matches two patterns whose filters do not overlap."""
    a, b = TopicPattern(first), TopicPattern(second)
    if a.match(topic) is not None and b.match(topic) is not None:
        assert overlap(a.filter, b.filter)


def test_patterns_are_values() -> None:
    """Two patterns of the same text are equal and hash alike."""
    assert TopicPattern("a/{device}") == TopicPattern("a/{device}")
    assert {TopicPattern("a/{device}")} == {TopicPattern("a/{device}")}
