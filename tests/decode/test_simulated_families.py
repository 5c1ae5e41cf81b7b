"""The simulator's devices against the decoder: all recognised, all read."""

import pytest

from agent.decode.family import Note, Skip
from agent.decode.registry import Decoded, Registry, SourceSpec
from simulator.families import device_class

START = 1_782_475_200.0
DEVICES = {
    "aws_shadow": {"freezer1"},
    "chirpstack": {"1/a84041ffff000001"},
    "ems_esp": {"house1/boiler_data", "house1/thermostat_data"},
    "opcua_pubsub": {"press1"},
    "opendtu": {"114190600001", "dtu"},
    "senml": {"urn:dev:mac:0024befffe000001"},
    "sparkplug": {"plant/edge1", "plant/edge1/pump"},
    "thingsboard": {"Pump 1A", "Pump 1B"},
    "ttn": {"farm@ttn/climate-1"},
    "victron": {"c0619ab00001/battery/512", "c0619ab00001/pvinverter/20"},
}


def play(word: str) -> list[Decoded]:
    """Return the results for one device, from its begin to its end, with a source of format auto."""
    registry = Registry(sources=[SourceSpec("#")], base_topic="edge-agent/gw1")
    device = device_class(word)(place=1, seed=1)
    messages = [(START, one) for one in device.begin(START)]
    for step in range(1, 4):
        at = START + step * device.interval_s
        messages += [(at, one) for one in device.report(at)]
    messages += [(START + 9000.0, one) for one in device.end(START + 9000.0)]
    return [registry.decode(one.topic, one.payload, at + 1.0) for at, one in messages]


@pytest.mark.parametrize("word", DEVICES)
def test_a_simulated_device_is_read(word: str) -> None:
    """Under ``auto`` and ``#``; values have their own time, and only texts, ids and nulls are left out."""
    results = play(word)
    assert {one.family for one in results} == {word}
    assert {reading.device for one in results for reading in one.readings} == DEVICES[word]
    allowed = {Skip.NOT_A_VALUE, Skip.NULL, Skip.EMPTY, Skip.TEXT, Skip.UNMAPPED}
    assert {skipped.why for one in results for skipped in one.skipped} <= allowed
    assert not {Note.SEQUENCE_GAP, Note.TIME_IN_FUTURE} & {note for one in results for note in one.notes}
