"""Devices of a partition: a fixed hash, and messages without the other devices."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from agent.decode.family import Skip, Skipped
from agent.decode.partition import Partition, PartitionSettings, partition_of
from agent.decode.posted import DATA_TOPIC, with_posted
from agent.decode.receive import Receiver
from agent.decode.registry import Decoded, Registry, SourceSpec
from agent.domain.records import Arrival, DecodeError, Handling, Posted
from tests.support.make import T0, reading

MINE, OTHERS = "d2", "d1"  # of partition 0 of 4; d1 is of 2


def partition(index: int = 0, of: int = 4) -> Partition:
    return Partition(PartitionSettings(index=index, of=of))


def receiver(index: int = 0) -> Receiver[str]:
    return Receiver(
        registry=Registry(sources=with_posted([SourceSpec("s/{device}")]), base_topic="edge-agent/gw"),
        own={},
        wall_at=lambda _mono, real: real,
        note=lambda *_fault: None,
        partition=partition(index),
    )


def decoded(**more: Any) -> Decoded:
    return Decoded("s", (), None, text_only=False, retained="seed")._replace(**more)


def test_the_hash_never_changes() -> None:
    """Every version and every machine finds these: `printf %s d1 | sha256sum`, 16 digits, modulo 4."""
    found = {name: partition_of(name, 4) for name in ("d1", "d2", "kitchen/th1", "Gerät 7", "", "温度計")}
    assert found == {"d1": 2, "d2": 0, "kitchen/th1": 3, "Gerät 7": 0, "": 0, "温度計": 0}


@given(st.text(), st.integers(1, 8), st.integers(1, 8))
def test_a_multiple_splits_partitions(device: str, of: int, times: int) -> None:
    """So that a copy of a partition's state has all devices of each part of it."""
    assert partition_of(device, of * times) % of == partition_of(device, of)


@given(st.text(st.characters(categories=["Cs", "L"])), st.integers(1, 64))
def test_each_device_has_one_partition(device: str, of: int) -> None:
    """Whatever its id is made of."""
    assert [partition(index, of).has(device) for index in range(of)].count(True) == 1


def test_devices_are_shared_evenly() -> None:
    """No partition of four has less than a fifth of 2,000 devices."""
    counts = [0] * 4
    for number in range(2000):
        counts[partition_of(f"line/{number}", 4)] += 1
    assert min(counts) > 400


def test_a_message_of_another_partition_is_excluded_and_counted() -> None:
    """It is acknowledged like one that the configuration excludes."""
    part = partition()
    kept = part.keep(decoded(readings=(reading(device=OTHERS),)), "t")
    assert (kept.handling, kept.readings, kept.source) == (Handling.EXCLUDED, (), "s")
    assert kept.excluded_by == "partition: it is of 2, this is 0 of 4"
    assert part.others == 1


def test_a_message_of_its_own_is_left_as_it_is() -> None:
    """The very object, at the cost of a look-up."""
    own = decoded(readings=(reading(device=MINE),))
    part = partition()
    assert part.keep(own, "t") is own
    assert part.others == 0


def test_a_message_of_several_devices_is_parted() -> None:
    """Readings, old readings, states, intervals and skipped values go with their device."""
    both = decoded(
        device=MINE,
        readings=(reading(device=MINE), reading(device=OTHERS)),
        history=(reading(device=OTHERS),),
        states=((MINE, True), (OTHERS, False)),
        heard=(OTHERS,),
        expected_s=((OTHERS, 60.0), (MINE, 60.0)),
        skipped=(Skipped("a", Skip.TEXT), Skipped("b", Skip.TEXT, OTHERS)),
    )
    kept = partition().keep(both, "t")
    assert kept.readings == (reading(device=MINE),)
    assert (kept.history, kept.heard, kept.handling) == ((), (), Handling.READ)
    assert (kept.states, kept.expected_s) == (((MINE, True),), ((MINE, 60.0),))
    assert kept.skipped == (Skipped("a", Skip.TEXT),)


@pytest.mark.parametrize(
    ("more", "handling"),
    [
        ({"states": ((MINE, True),)}, Handling.AVAILABILITY),
        ({"heard": (MINE,)}, Handling.NO_VALUE),
        ({"device": OTHERS, "online": True, "states": ((MINE, True),)}, Handling.AVAILABILITY),
    ],
)
def test_what_is_left_names_the_outcome(more: dict[str, Any], handling: Handling) -> None:
    """The readings were those of another partition's device."""
    kept = partition().keep(decoded(readings=(reading(device=OTHERS),), **more), "t")
    assert (kept.handling, kept.readings, kept.online) == (handling, (), None)


def test_a_message_without_a_device_is_one_partitions() -> None:
    """Its topic takes the place of the device, so that exactly one agent counts it."""
    text = decoded(text_only=True, handling=Handling.TEXT)
    kept = [partition(index).keep(text, "some/topic").handling for index in range(4)]
    assert sorted(kept) == sorted([Handling.TEXT] + 3 * [Handling.EXCLUDED])


@pytest.mark.parametrize("payload", [b"{", b"\x00\x01"])
def test_an_unreadable_message_is_in_one_quarantine(payload: bytes) -> None:
    """That of the agent that has its device; the others acknowledge it."""
    raised = []
    for index in range(4):
        arrival = Arrival(1, 1, 1, False, False, "s/d1", payload, T0, 0.0)
        try:
            found = receiver(index).decode(arrival)
            assert isinstance(found, Decoded)
            assert found.handling is Handling.EXCLUDED
        except DecodeError:
            raised.append(index)
    assert raised == [partition_of("d1", 4)]


@pytest.mark.parametrize(
    ("devices", "handling"),
    [((MINE,), Handling.READ), ((MINE, OTHERS), Handling.EXCLUDED), ((OTHERS, OTHERS), Handling.EXCLUDED)],
)
def test_a_posted_message_is_taken_whole_or_not_at_all(devices: tuple[str, ...], handling: Handling) -> None:
    """No other agent receives it, so the rest of it would be lost behind a 202."""
    payload = json.dumps([{"device_id": one, "level": 7} for one in devices]).encode()
    found = receiver().decode(Posted(0, 0, 0, False, False, DATA_TOPIC, payload, T0, 0.0))
    assert isinstance(found, Decoded)
    assert (found.handling, len(found.readings)) == (handling, len(devices) * (handling is Handling.READ))
    assert bool(found.excluded_by) is (handling is Handling.EXCLUDED)


def test_an_unreadable_message_of_another_partition_names_it() -> None:
    """Its sender learns where to post it."""
    found = receiver().decode(Posted(0, 0, 0, False, False, f"s/{OTHERS}", b"{", T0, 0.0))
    assert isinstance(found, Decoded)
    assert found.excluded_by == "partition: it is of 2, this is 0 of 4"
