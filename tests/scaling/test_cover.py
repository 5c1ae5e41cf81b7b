"""How far the verdicts of another agent reach."""

import json
from dataclasses import replace
from typing import Any

import pytest

from agent.domain.records import Trigger
from agent.verdict.cover import MAX_AHEAD_S, MAX_DEVICES, Cover, stamped
from agent.verdict.encode import iso
from tests.support.make import T0, score, window


def verdict(
    start: float,
    end: float,
    device: str = "d1",
    trigger: str = "age",
    agent: str = "gw-0",
    created: float = T0 + 999,
) -> bytes:
    times = {"from": iso(start), "to": iso(end), "trigger": trigger}
    found = {"agent": agent, "device": device, "window": times, "created_at": iso(created)}
    return json.dumps(found).encode()


def retained(start: float, end: float) -> bytes:
    """Return a verdict that was published some time ago."""
    return verdict(start, end, created=T0 + 900)


def ahead(seconds: float) -> bytes:
    """Return a verdict of now on another device, by a clock that is ahead."""
    return verdict(T0, T0 + 1, device="d2", created=T0 + 1000 + seconds)


def cover(*verdicts: bytes) -> Cover:
    made = Cover("gw-0-standby")
    for one in verdicts:
        made.note(one, T0 + 1000)
    return made


WINDOW = window(score(0), score(0))  # from T0 to T0 + 2
SILENCE = replace(WINDOW, trigger=Trigger.SILENCE, end=T0 + 300, count=0)


@pytest.mark.parametrize(
    ("found", "covered"),
    [
        (cover(), False),
        (cover(verdict(T0 - 9, T0 + 1)), False),
        (cover(verdict(T0 - 9, T0 + 2)), True),
        (cover(verdict(T0 - 9, T0 + 2, device="d2")), False),
        (cover(verdict(T0 - 9, T0 + 2, agent="gw-0-standby")), False),  # our own
        (cover(verdict(T0, T0 + 9), verdict(T0 - 90, T0 - 80)), False),  # the newest counts: a late backlog
        (cover(verdict(T0 + 50, T0 + 59, created=T0 + 1060)), False),  # the other clock is a minute ahead
        (cover(verdict(T0 + 50, T0 + 62, created=T0 + 1060)), True),
        (cover(retained(T0 + 50, T0 + 59), ahead(60)), False),  # by a later verdict on another device
        (cover(ahead(60), retained(T0 + 50, T0 + 59)), False),
        (cover(retained(T0 + 50, T0 + 62), ahead(60)), True),
        (cover(retained(T0 + 50, T0 + 59), ahead(60), ahead(0)), True),  # the clock has been set
        (cover(verdict(T0 + 2, T0 + 500, trigger="silence")), True),  # its readings ended with the window
        (cover(verdict(T0 + 1, T0 + 500, trigger="silence")), False),
    ],
)
def test_a_window_is_covered_to_its_last_reading(found: Cover, covered: bool) -> None:
    """By the end of the newest verdict of the other agent on its device."""
    assert found.has(WINDOW) is covered


@pytest.mark.parametrize(
    ("found", "covered"),
    [
        (cover(verdict(T0 - 9, T0)), False),  # the silence itself was not published
        (cover(verdict(T0, T0 + 299, trigger="silence")), True),
        (cover(verdict(T0 - 50, T0 - 9, trigger="silence")), False),  # an earlier one
        (cover(verdict(T0 + 30, T0 + 40)), True),  # the device has spoken since
    ],
)
def test_a_silence_is_covered_by_the_same_silence(found: Cover, covered: bool) -> None:
    """Two agents notice it at different times, but it begins with the same reading."""
    assert found.has(SILENCE) is covered


def test_a_verdict_as_bytes_is_compared_like_a_window() -> None:
    """Those that wait in the outbox for the connection."""
    found = cover(verdict(T0 - 9, T0 + 2))
    assert found.has_message(verdict(T0, T0 + 2))
    assert not found.has_message(verdict(T0, T0 + 3))
    event = b'{"event_type":"opened","verdict":%s}'
    assert found.has_message(event % verdict(T0, T0 + 2))
    assert not found.has_message(event % b"null")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"agent":"x","device":"d1","window":{"from":1,"to":2}}',
        b'{"agent":"x","device":"d1","window":7}',
        b'{"agent":"x","device":["d1"],"window":{"from":"2023-11-14","to":"2023-11-14"}}',
        verdict(T0, T0 + 1001 + MAX_AHEAD_S),  # would hide all verdicts to come
        verdict(T0, T0 + 9, device="d" * 513),  # of no source
    ],
)
def test_foreign_text_covers_nothing(payload: bytes) -> None:
    """And raises nothing."""
    found = cover()
    assert found.note(payload, T0 + 1000) is None
    assert not found.has(WINDOW)


def test_the_devices_are_bounded() -> None:
    """The oldest ones give way."""
    found = cover(verdict(T0, T0 + 2))
    for number in range(MAX_DEVICES):
        found.note(verdict(T0, T0, device=f"x{number}"), T0)
    assert not found.has(WINDOW)


@pytest.mark.parametrize("message", [{"a": 1}, {"verdict": {"device": "}"}}])
def test_a_stamp_is_the_last_key(message: dict[str, Any]) -> None:
    """The bytes before it are those of the journal."""
    payload = json.dumps(message, separators=(",", ":")).encode()
    out = stamped(payload, 7)
    assert json.loads(out) == message | {"epoch": 7}
    assert out.startswith(payload[:-1])


def test_a_deletion_has_no_stamp() -> None:
    """An empty message deletes a retained one."""
    assert stamped(b"", 7) == b""
