"""Scenarios are checked in full; each mistake is one line that names file, key, value and remedy."""

import pytest

from simulator.faults import FaultKind
from simulator.scenario import ScenarioError, load, names, parse

GOOD = """
title: good
devices:
  - {id: p1, signal: pump}
"""


def fault(text: str) -> str:
    return GOOD + f"faults:\n  - {{{text}}}\n"


@pytest.mark.parametrize("name", names())
def test_shipped_scenarios_are_valid(name: str) -> None:
    """Every scenario that is shipped loads."""
    assert load(name).devices


def test_demo_has_a_pump_a_freezer_and_a_room_with_a_fault_each() -> None:
    """The demo shows three kinds of devices, and something goes wrong with each early enough to be seen."""
    demo = load("demo")
    assert {device.signal for device in demo.devices} == {"pump", "freezer", "room"}
    early = {fault.device for fault in demo.faults if fault.from_s <= 12}
    assert early == {device.id for device in demo.devices}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- 1", "x.yaml: is not a mapping; begin with title: and devices:"),
        ("title: [", "x.yaml: is not YAML"),
        ("title: a\ntitle: b\ndevices: []", "x.yaml: key 'title' stands twice on line 1"),
        ("title: &a b\nx: *a", "x.yaml: an alias (*name) is not allowed; write it out"),
        ("title: good", "x.yaml: devices: is missing; add it"),
        (GOOD + "colour: red", "x.yaml: colour: unknown key; remove or correct it"),
        (
            GOOD.replace("pump", "pomp"),
            "x.yaml: devices[0].signal: 'pomp' is not a signal; use one of battery_sensor, compressor, ",
        ),
        (
            GOOD.replace("signal: pump", "signal: pump, params: {speed: 1}"),
            "x.yaml: devices[0].params: 'speed' is not a parameter of pump; use period_s, duty, rest, ramp_s",
        ),
        (
            GOOD.replace("signal: pump", "signal: pump, payload: value"),
            "x.yaml: devices[0]: payload value holds one metric; add {metric} to topic",
        ),
        (
            GOOD.replace("signal: pump", 'signal: pump, topic: "a/+/{device}"'),
            "x.yaml: devices[0]: topic 'a/+/{device}' must hold {device} and no wildcard",
        ),
        (
            GOOD + "  - {id: p1, signal: room}",
            "x.yaml: devices: device 'p1' stands there twice; give each its own id",
        ),
        (GOOD + "interval_s: 0", "x.yaml: interval_s: 0: input should be greater than 0"),
        (
            fault("device: p2, metric: flow, kind: flatline, from_s: 1, for_s: 1"),
            "x.yaml: faults[0].device 'p2' is not a device; use one of p1",
        ),
        (
            fault("device: p1, metric: heat, kind: flatline, from_s: 1, for_s: 1"),
            "x.yaml: faults[0].metric 'heat' is not measured by p1; use one of vibration, current, flow",
        ),
        (
            fault("device: p1, metric: flow, kind: spikee, from_s: 1, for_s: 1"),
            "x.yaml: faults[0].kind: 'spikee' is not allowed; use spike, level_shift, drift",
        ),
        (
            fault("device: p1, metric: flow, kind: spike, from_s: 1, for_s: 1"),
            "x.yaml: faults[0]: spike needs size",
        ),
        (
            fault("device: p1, kind: flatline, from_s: 1, for_s: 1"),
            "x.yaml: faults[0]: flatline needs metric",
        ),
        (
            fault("device: p1, kind: device_silent, from_s: 1, for_s: 9, every_s: 5"),
            "x.yaml: faults[0]: every_s 5 must be above for_s 9",
        ),
    ],
)
def test_mistake_is_one_line(text: str, line: str) -> None:
    """A mistake is said in one line that begins with the file and the key."""
    with pytest.raises(ScenarioError) as caught:
        parse(text, name="x", source="x.yaml")
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_unknown_name_lists_the_known_ones() -> None:
    """Who asks for a scenario that is not there is told which are."""
    with pytest.raises(ScenarioError, match=r"no scenario 'nix'; use one of .*demo"):
        load("nix")


def test_missing_file_is_named() -> None:
    """A path that cannot be read is one line."""
    with pytest.raises(ScenarioError, match=r"nix\.yaml: cannot be read: No such file"):
        load("nix.yaml")


def test_fault_is_built_as_written() -> None:
    """What stands in the file is what happens."""
    text = fault("device: p1, metric: flow, kind: drift, from_s: 1, for_s: 2, size: -3, every_s: 4")
    (built,) = parse(text, name="x", source="x.yaml").faults
    assert (built.kind, built.from_s, built.for_s, built.size, built.every_s) == (
        FaultKind.DRIFT,
        1,
        2,
        -3,
        4,
    )
