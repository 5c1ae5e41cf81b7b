"""Devices of families as the simulator plays them, read by one source."""

import pytest

from agent.decode.families import FAMILIES
from agent.decode.family import Skip
from agent.decode.registry import Decoded, Registry, SourceSpec
from simulator.families import words
from simulator.family_run import make, reports

START = 1_782_475_200.0
DEVICES = {
    "ble_gateway": {"AC233F000101", "AC233F000102", "AC233F000103", "CB:B8:33:00:00:01"},
    "esphome": {"esp-room-1"},
    "homie": {"climate-1", "meter-1"},
    "meshtastic": {"3000000010", "3000000011"},
    "openmqttgateway": {"A4:C1:38:00:01:01", "A4:C1:38:00:01:02", "OMG_1"},
    "rtl_433": {"Fineoffset-WHx080/101", "Acurite-986/102"},
    "shelly": {"shellyplusplugs-000000000001", "shellyht-000001"},
    "tasmota": {"tasmota_000001"},
    "zigbee2mqtt": {"room 1/climate"},
}
LATER = START + 3600.0


def play(word: str) -> tuple[list[Decoded], list[Decoded]]:
    """Return what one device sends in an hour, and what it sends when it leaves."""
    registry = Registry(sources=[SourceSpec("#")], base_topic="edge-agent/gw1")
    [device] = make([word], count=1, seed=1)
    told = [(START, one) for one in device.begin(START)]
    told += reports([device], start=START, until=LATER)
    heard = [registry.decode(one.topic, one.payload, at + 0.2) for at, one in told]
    return heard, [registry.decode(one.topic, one.payload, LATER) for one in device.end(LATER)]


@pytest.mark.parametrize("word", sorted(set(words()) & set(DEVICES)))
def test_every_message_of_a_simulated_device_is_read(word: str) -> None:
    """All its devices are found, no message goes to another family, no word is left over."""
    heard, end = play(word)
    assert {one.family for one in (*heard, *end) if not one.states} == {word}
    assert {reading.device for one in heard for reading in one.readings} == DEVICES[word]
    skipped = {skip.why for one in (*heard, *end) for skip in one.skipped}
    assert not skipped & {Skip.UNMAPPED, Skip.TOO_DEEP, Skip.TOO_MANY, Skip.BAD_NAME}
    times = {reading.at for one in heard for reading in one.readings}
    assert START - 1.0 <= min(times) <= max(times) <= LATER


@pytest.mark.parametrize("word", sorted(set(words()) & set(DEVICES)))
def test_a_device_that_leaves_is_offline(word: str) -> None:
    """Families with availability report it of the device that sent readings, or of its gateway."""
    if word == "rtl_433":
        pytest.skip("only `availability:` of the source says which devices belong to a receiver")
    heard, end = play(word)
    online = {device for one in heard for device, state in one.states if state}
    offline = {device for one in end for device, state in one.states if not state}
    assert online
    assert online <= offline
    if word not in {"ble_gateway", "meshtastic"}:
        assert offline & DEVICES[word]


def test_every_family_is_simulated() -> None:
    """So that each can be tried on a broker."""
    assert set(DEVICES) <= set(words()) & set(FAMILIES)
