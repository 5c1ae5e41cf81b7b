"""One arrival is decoded by registry or own decoder; a fault of ours is reported."""

from typing import Any

import pytest

from agent.decode.receive import Receiver
from agent.decode.registry import Registry, SourceSpec
from agent.domain.records import Arrival, DecodeError, DecodeReason
from tests.support.make import T0

OWN = "edge-agent/gw1/feedback"


def receiver(noted: list[tuple[str, str]], own: Any = str) -> Receiver[Any]:
    registry = Registry(sources=[SourceSpec(topic="s/{device}/{metric}")], base_topic="edge-agent/gw1")
    return Receiver(
        registry=registry,
        own={OWN: own},
        wall_at=lambda mono, real: real + mono,
        note=lambda error, topic: noted.append((type(error).__name__, topic)),
    )


def arrival(topic: str, payload: bytes = b"21.5") -> Arrival:
    return Arrival(1, 1, 1, dup=False, retain=False, topic=topic, payload=payload, received=T0, mono=0.5)


def test_a_reading_has_the_time_of_its_receipt() -> None:
    """As the time scale gives it."""
    noted: list[tuple[str, str]] = []
    (reading,) = receiver(noted).decode(arrival("s/d/t")).readings
    assert (reading.device, reading.metric, reading.value, reading.at) == ("d", "t", 21.5, T0 + 0.5)
    assert noted == []


def test_a_topic_of_the_agent_has_its_own_decoder() -> None:
    """It gets the payload, and the registry never sees it."""
    assert receiver([]).decode(arrival(OWN, b"x")) == "b'x'"


def test_foreign_errors_are_raised_and_only_faults_of_ours_are_noted() -> None:
    """Both put the message into quarantine; a broken payload is nobody's fault here."""
    noted: list[tuple[str, str]] = []

    def refuses(_payload: bytes) -> None:
        raise DecodeError(DecodeReason.BAD_JSON, "no object")

    def breaks(_payload: bytes) -> None:
        raise KeyError

    with pytest.raises(DecodeError):
        receiver(noted, refuses).decode(arrival(OWN))
    assert noted == []
    with pytest.raises(KeyError):
        receiver(noted, breaks).decode(arrival(OWN))
    assert noted == [("KeyError", OWN)]
