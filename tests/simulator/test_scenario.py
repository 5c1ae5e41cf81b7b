"""Scenarios are checked in full; a mistake is one line with file, key and remedy."""

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings, strategies as st

from simulator.events import live
from simulator.faults import ONE_METRIC, SIZED, FaultKind, label
from simulator.scenario import ScenarioError, load, names, parse, schema
from simulator.signals import SIGNALS, parameters

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
        ("title: a\ntitle: b\ndevices: []", "x.yaml: key 'title' is repeated on line 1"),
        ("title: &a b\nx: *a", "x.yaml: an alias (*name) is not allowed; write it out"),
        ('title: !!int ""', "x.yaml: is not YAML: "),
        ("title: !!timestamp x", "x.yaml: is not YAML: "),
        ("title: !!bool x", "x.yaml: is not YAML: "),
        (f"title: {'9' * 5000}", "x.yaml: is not YAML: "),
        (r'title: "\U99999999"', "x.yaml: is not YAML: "),
        ("title: " + "[" * 3000, "x.yaml: is nested too deeply; write it flatter"),
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
            "x.yaml: devices: device 'p1' is repeated; give each its own id",
        ),
        (GOOD + "interval_s: 0", "x.yaml: interval_s: 0: input should be greater than or equal to 0.01"),
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
        (
            fault("device: p1, kind: duplicate, from_s: 1, for_s: 9, every_s: 12, jitter_s: 4"),
            "x.yaml: faults[0]: every_s 12 must be above for_s + jitter_s 13",
        ),
        (
            fault("device: p1, metric: flow, kind: duplicate, from_s: 1, for_s: 9"),
            "x.yaml: faults[0]: duplicate concerns the whole device, remove metric",
        ),
        (
            fault("device: p1, kind: defrost, from_s: 1, for_s: 9, size: 3"),
            "x.yaml: faults[0].kind defrost does not happen to a pump; use one of leak, set_point_change",
        ),
        (
            fault("device: p1, metric: vibration, kind: unit_swap, from_s: 1, for_s: 9"),
            "x.yaml: faults[0].metric 'vibration' has no other unit; use one measured in degC, bar, W, A",
        ),
        (
            fault("device: p1, metric: flow, kind: drift, from_s: -1, for_s: 9, size: 3"),
            "x.yaml: faults[0]: drift cannot begin before the live part; give from_s 0 or more",
        ),
        (
            fault("device: p1, kind: dropout, from_s: 1, for_s: 9, size: 2"),
            "x.yaml: faults[0]: dropout loses a share, not 2; give a size above 0, up to 1",
        ),
        (
            fault("device: p1, kind: leak, from_s: 1, for_s: 9, size: 1, every_s: 20"),
            "x.yaml: faults[0]: leak comes once; remove every_s, or write it down again",
        ),
        (
            fault("device: p1, metric: flow, kind: flatline, from_s: 1, for_s: 9")
            + "  - {device: p1, metric: flow, kind: spike, from_s: 5, for_s: 1, size: 1}",
            "x.yaml: faults[1] overlaps with [0] on p1; move or remove one of them",
        ),
        (
            GOOD + "agent: {limits: {'*/flow': {low: 5, high: 4}}}",
            "x.yaml: agent.limits.*/flow: low 5 is not below high 4; exchange or correct them",
        ),
        (
            GOOD.replace("signal: pump", "signal: pump, report: {when: change, band: {heat: 1}}"),
            "x.yaml: devices[0]: report.band: 'heat' is not measured by pump; use vibration, current, flow",
        ),
        (
            GOOD.replace("signal: pump", "signal: pump, report: {on: change}"),
            "x.yaml: devices[0].report.when: is missing; add it",
        ),
        (
            GOOD.replace("signal: pump", "signal: pump, params: {duty: 1}"),
            "x.yaml: devices[0].params: duty 1 is not a share of a cycle; give 0.01 to 0.99",
        ),
        (
            GOOD.replace("signal: pump", "signal: pump, report: change"),
            "x.yaml: devices[0].report: 'change' is not a mapping; write {key: value}",
        ),
        ("title: x\ndevices: {a: 1}", "x.yaml: devices: {'a': 1} is not a list; write [one, two]"),
        (
            GOOD.replace("signal: pump", "signal: office, params: {arrive: 25}"),
            "x.yaml: devices[0].params: arrive 25 is not an hour of a day; give 0 to 24",
        ),
        (GOOD + "start_hour: 24", "x.yaml: start_hour: 24: input should be less than 24"),
        (
            GOOD + "start_hour: 3\nstart_day: someday",
            "x.yaml: start_day: 'someday' is not allowed; use monday, tuesday, wednesday",
        ),
    ],
)
def test_mistake_is_one_line(text: str, line: str) -> None:
    """A mistake is reported in one line that begins with the file and the key."""
    with pytest.raises(ScenarioError) as caught:
        parse(text, name="x", source="x.yaml")
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_unknown_name_lists_the_known_ones() -> None:
    """An unknown scenario is refused with the list of names."""
    with pytest.raises(ScenarioError, match=r"no scenario 'nix'; use one of .*demo"):
        load("nix")


def test_missing_file_is_named() -> None:
    """A path that cannot be read is one line."""
    with pytest.raises(ScenarioError, match=r"nix\.yaml: cannot be read: No such file"):
        load("nix.yaml")


def test_fault_is_built_as_written() -> None:
    """The run follows the file."""
    text = fault("device: p1, metric: flow, kind: drift, from_s: 1, for_s: 2, size: -3, every_s: 4")
    (built,) = parse(text, name="x", source="x.yaml").faults
    assert (built.kind, built.from_s, built.for_s, built.size, built.every_s) == (
        FaultKind.DRIFT,
        1,
        2,
        -3,
        4,
    )


def test_trial_and_limits_are_read() -> None:
    """The keys of trial and agent are read, with defaults where they are missing."""
    text = GOOD + "agent: {limits: {'p*/flow': {high: 20, unit: m3/h}}}\ntrial: {speed: 60}\n"
    scenario = parse(text, name="x", source="x.yaml")
    assert scenario.agent.limits["p*/flow"].high == 20
    assert (scenario.trial.history_s, scenario.trial.live_s, scenario.trial.speed) == (604_800, 21_600, 60)


def test_schema_accepts_what_is_shipped_and_refuses_what_is_wrong() -> None:
    """The published schema is valid, takes every shipped file, and refuses wrong keys, kinds and signals."""
    jsonschema.Draft202012Validator.check_schema(schema())
    check = jsonschema.Draft202012Validator(schema())
    assert "normal" in schema()["$defs"]["FaultEntry"]["properties"]["from_s"]["description"]
    for path in sorted((Path(__file__).parents[2] / "simulator" / "scenarios").glob("*.yaml")):
        check.validate(yaml.safe_load(path.read_text()))
    for wrong in (
        {"title": "x"},
        {"title": "x", "devices": [{"id": "a", "signal": "pomp"}]},
        {"title": "x", "devices": [{"id": "a", "signal": "pump"}], "colour": 1},
        {"title": "x", "devices": [{"id": "a", "signal": "pump"}], "faults": [{"device": "a", "kind": "x"}]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            check.validate(wrong)


WILD = st.floats(-1e7, 1e7) | st.sampled_from([0.0, 1.0, 0.5, 1e-9, 1e300, float("nan"), float("inf")])


@settings(max_examples=200, deadline=None)
@given(data=st.data(), signal=st.sampled_from(sorted(SIGNALS)), kind=st.sampled_from(list(FaultKind)))
def test_what_is_accepted_can_be_run(data: st.DataObject, signal: str, kind: FaultKind) -> None:
    """A file with any numbers is refused in one line, or its devices send."""
    wild = data.draw(st.sampled_from(["", "params", "from_s", "for_s", "size", "every_s", "jitter_s"]))

    def number(key: str, low: float, high: float) -> float:
        return data.draw(WILD if key == wild else st.floats(low, high))

    params = {name: number("params", 0.1, 0.9) for name in parameters(signal) if wild == "params"}
    fault: dict[str, Any] = {"device": "d", "kind": str(kind), "from_s": number("from_s", 0, 9)}
    fault["for_s"] = number("for_s", 0.1, 9)
    if wild == "size" or kind in SIZED:
        fault["size"] = number("size", 0.1, 0.9)
    if wild in {"every_s", "jitter_s"}:
        fault |= {"every_s": number("every_s", 12, 99), "jitter_s": number("jitter_s", 0, 1)}
    if kind in ONE_METRIC:
        fault["metric"] = SIGNALS[signal].METRICS[0].name
    device = {"id": "d", "signal": signal, "params": params}
    text = yaml.safe_dump({"title": "x", "devices": [device], "faults": [fault]})
    line = ""
    try:
        scenario = parse(text, name="x", source="x.yaml")
    except ScenarioError as error:
        line = str(error)
    assert "\n" not in line
    if not line:
        for message in live(scenario, seed=1, start=1.79e9, until=1.79e9 + 20):
            assert all(math.isfinite(value) for value in json.loads(message.payload).values())
        assert len(label(scenario.faults, start=1.79e9, until=1.79e9 + 20)) <= 21


def test_the_page_about_scenarios_is_true() -> None:
    """Its example is valid, and its tables hold every signal with its metrics and every kind."""
    page = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text()
    parse(page.partition("```yaml\n")[2].partition("```")[0], name="x", source="x.yaml")
    for name, signal in SIGNALS.items():
        metrics = ", ".join(one.name + " (counter)" * one.counter for one in signal.METRICS)
        assert f"| `{name}` | {metrics} | {', '.join(sorted(signal.EVENTS))} |" in page
    for kind in FaultKind:
        assert f"`{kind}`" in page
