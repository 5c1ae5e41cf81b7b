"""The registry: sources, routes, trace context, and faults of a decoder."""

from typing import Any

import pytest

from agent.decode.families import formats
from agent.decode.family import Content, Note, Properties, Route
from agent.decode.registry import FAMILIES, Decoded, Registry, SourceSpec
from agent.domain.records import DecodeError, DecodeReason, Handling, Reading

NOW = 1_782_475_200.0
GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b8-00"


def make(*sources: SourceSpec, base: str = "edge-agent/gw1") -> Registry:
    return Registry(sources=sources or [SourceSpec("sensors/{device}/{metric}")], base_topic=base)


def test_filters_are_those_of_the_sources() -> None:
    """The agent subscribes to the filters of the sources, in their order."""
    registry = make(SourceSpec("b/{device}"), SourceSpec("a/{device+}"))
    assert registry.filters == ("b/+", "a/+/#")


def test_each_source_has_its_name_and_retained() -> None:
    """The result of a message names its source, family and device."""
    registry = make(
        SourceSpec("a/{device}", retained="live", name="first"), SourceSpec("b/{device}", "generic")
    )
    first, second = registry.decode("a/x", b"1", NOW), registry.decode("b/y", b"1", NOW)
    assert (first.source, first.retained, first.family, first.device) == ("first", "live", "generic", "x")
    assert (second.source, second.retained, second.device) == ("b/{device}", "seed", "y")


@pytest.mark.parametrize(
    "topic", ["edge-agent/gw1", "edge-agent/gw1/verdicts/th1", "edge-agent/gw1/feedback"]
)
def test_own_topics_are_never_readings(topic: str) -> None:
    """A message under the base topic has no source and no readings, under ``#`` too."""
    expected = Decoded(None, (), None, text_only=False, retained="ignore", handling=Handling.OWN)
    assert expected == make(SourceSpec("#")).decode(topic, b"21.5", NOW)


@pytest.mark.parametrize("topic", ["other/th1/t", "sensors/th1", "sensors/th1/t/x"])
def test_what_no_source_wants_is_unmatched(topic: str) -> None:
    """It is acknowledged and counted, whatever its payload is."""
    for _ in range(2):
        decoded = make().decode(topic, b"\xff", NOW)
        assert (decoded.handling, decoded.source, decoded.readings) == (Handling.UNMATCHED, None, ())


def test_neighbour_of_the_base_topic_is_no_own_topic() -> None:
    """Another agent whose id begins alike is a device like any other."""
    assert make(SourceSpec("#")).decode("edge-agent/gw10/x", b"1", NOW).device == "edge-agent/gw10/x"


@pytest.mark.parametrize(
    "topic",
    [
        "sensors//t",
        "sensors/th1/",
        "sensors/ /t",
        "sensors/th1/ ",
        "sensors/a\x00b/t",
        "sensors/a\u202eb/t",
        "sensors/a\ud800b/t",
        "sensors/" + "x" * 250 + "/t",
        "sensors/" + "é" * 124 + "/t",
        "/".join("abcdefghijklm"),
        "$SYS/broker/uptime",
        "",
    ],
)
def test_bad_topic_is_quarantined(topic: str) -> None:
    """Topics with an empty name or unprintable levels, too long or too deep have a reason."""
    with pytest.raises(DecodeError) as caught:
        make().decode(topic, b"21.5", NOW)
    assert caught.value.reason is DecodeReason.BAD_TOPIC


@pytest.mark.parametrize(
    "device", ["Küche", "冷蔵庫", "a b", "a%2Fb", "🌡", "\u0645\u06cc\u200c\u062e", "{device}", "..", "'; --"]
)
def test_device_is_any_printable_text(device: str) -> None:
    """A device id may hold whatever prints, joiners of a script included."""
    assert (Reading(device, "t", NOW, 1.0),) == make().decode(f"sensors/{device}/t", b"1", NOW).readings


@pytest.mark.parametrize(
    ("sources", "says"),
    [
        ([SourceSpec("a/{device}", "zwave")], f"use one of: {', '.join(formats())}"),
        ([SourceSpec("a/{device}", retained="maybe")], "use one of: ignore, live, seed"),
        ([SourceSpec("$SYS/#")], "begins with"),
    ],
)
def test_bad_sources_are_refused(sources: list[SourceSpec], says: str) -> None:
    """A registry is not made of sources that contradict each other."""
    with pytest.raises(ValueError, match=says):
        make(*sources)


@pytest.mark.parametrize(
    ("payload", "properties", "expected", "noted"),
    [
        ('{"t":1}', (), None, False),
        ('{"t":1}', (("traceparent", GOOD),), GOOD, False),
        (f'{{"t":1,"traceparent":"{GOOD}"}}', (), GOOD, False),
        (f'{{"t":1,"traceparent":"{OTHER}"}}', (("traceparent", GOOD),), GOOD, False),
        ('{"t":1}', (("traceparent", GOOD), ("traceparent", OTHER)), GOOD, False),
        ('{"t":1}', (("traceparent", "bad"), ("traceparent", GOOD)), None, True),
        (f'{{"t":1,"traceparent":"{OTHER}"}}', (("traceparent", "bad"),), OTHER, True),
        ('{"t":1,"traceparent":12}', (), None, True),
        ('{"t":1,"x":{"traceparent":"bad"}}', (), None, False),
        ("1", (("traceparent", GOOD),), GOOD, False),
        ('{"action":"single"}', (("traceparent", GOOD),), GOOD, False),
    ],
)
def test_trace_context(payload: str, properties: Any, expected: str | None, *, noted: bool) -> None:
    """The first user property, else the top-level key; a bad one is passed over and noted."""
    decoded = make(SourceSpec("a/{device}")).decode("a/b", payload.encode(), NOW, properties)
    assert (expected, noted) == (decoded.traceparent, Note.BAD_TRACEPARENT in decoded.notes)


@pytest.mark.parametrize(
    "given",
    [
        GOOD.upper(),
        GOOD[:-1],
        GOOD + "-00",
        GOOD + "0",
        " " + GOOD,
        "ff" + GOOD[2:],
        GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        GOOD.replace("00f067aa0ba902b7", "0" * 16),
        GOOD.replace("-", "_"),
        "01" + GOOD[2:] + "x",
        "",
    ],
)
def test_bad_traceparent_is_noted(given: str) -> None:
    """Wrong length, case, version or an id of zeros makes a trace context invalid (W3C)."""
    decoded = make().decode("sensors/a/b", b"1", NOW, (("traceparent", given),))
    assert (decoded.traceparent, decoded.notes) == (None, (Note.BAD_TRACEPARENT,))


@pytest.mark.parametrize("given", ["01" + GOOD[2:], "cc" + GOOD[2:] + "-future-fields"])
def test_later_traceparent_is_read_as_version_00(given: str) -> None:
    """A later version is cut to the fields that we know."""
    assert make().decode("sensors/a/b", b"1", NOW, (("traceparent", given),)).traceparent == GOOD


def test_flood_of_topics_keeps_memory_bounded() -> None:
    """Twenty thousand topics keep 16,384 routes that share one source, and all of them decode."""
    registry = make()
    for number in range(20_000):
        assert registry.decode(f"sensors/d{number}/t", b"1", NOW).device == f"d{number}"
    assert len(registry._routes) == 16_384
    assert len({id(source) for source, _ in registry._routes.values()}) == 1


class Overlaying:
    """A family whose devices send changes only, for payloads that begin with ``~``."""

    topics = ("a/#",)

    def __init__(self, **_: object) -> None:
        self._last: dict[str, float] = {}

    def recognise(self, route: Route, payload: bytes) -> bool:
        return payload.startswith(b"~") and route.metric is None

    def decode(self, route: Route, payload: bytes, received: float, properties: Properties) -> Content:
        assert not properties
        key, text = payload.removeprefix(b"~").decode().split("=")
        self._last[key] = float(text)
        return Content(tuple(Reading(route.device, k, received, v) for k, v in self._last.items()))


def test_family_may_hold_state_and_recognises_its_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source of format auto asks each family of the topic in order; two registries share no state."""
    # In front, because the last one is not asked.
    monkeypatch.setattr("agent.decode.registry.FAMILIES", {"overlaying": Overlaying, **FAMILIES})
    one, two = make(SourceSpec("a/{device}")), make(SourceSpec("a/{device}", "overlaying"))
    one.decode("a/x", b"~p=1", NOW)
    decoded = one.decode("a/x", b"~q=2", NOW)
    assert (decoded.family, {r.metric: r.value for r in decoded.readings}) == (
        "overlaying",
        {"p": 1.0, "q": 2.0},
    )
    assert one.decode("a/x", b"21.5", NOW).family == "generic"
    elsewhere = make(SourceSpec("b/{device}"))
    assert elsewhere.decode("b/x", b"~q=2", NOW).family == "generic"
    assert len(two.decode("a/x", b"~q=2", NOW).readings) == 1


def test_fault_of_a_decoder_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that a family did not mean is quarantine, not the end of the process."""
    monkeypatch.setitem(FAMILIES, "overlaying", Overlaying)
    registry = make(SourceSpec("a/{device}", "overlaying"))
    with pytest.raises(DecodeError) as caught:
        registry.decode("a/x", b"~nonsense", NOW)
    assert (caught.value.reason, caught.value.detail) == (
        DecodeReason.DECODER_FAULT,
        "ValueError in the decoder",
    )
