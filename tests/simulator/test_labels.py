"""Labels and messages agree: each label has an effect, each effect a label."""

from collections import Counter
from dataclasses import replace

import pytest

from simulator.events import Message, live
from simulator.faults import LASTING, Fault, FaultKind, Label, label
from simulator.scenario import Scenario, load, names, parse, scored

START = 1_790_000_000.0
DEVICES = """
title: one of each
start_hour: 5.9
interval_s: 30
devices:
  - {id: pump, signal: pump}
  - {id: freezer, signal: freezer, params: {period_s: 1200}}
  - {id: room, signal: room, topic: "rooms/{device}/{metric}", payload: value}
  - {id: plain, signal: room, topic: "plain/{device}/{metric}", payload: plain}
  - {id: office, signal: office}
  - {id: roof, signal: solar}
  - {id: meter, signal: water_meter}
  - {id: shelf, signal: battery_sensor, report: {when: change, heartbeat_s: 600}}
faults:
"""
KINDS = {
    "spike": "device: room, metric: temperature, size: 5",
    "level_shift": "device: pump, metric: flow, size: 3",
    "drift": "device: freezer, metric: temperature, size: 6",
    "noise_burst": "device: plain, metric: humidity, size: 9",
    "flatline": "device: shelf, metric: temperature",
    "dropout": "device: room, metric: humidity, size: 0.5",
    "device_silent": "device: pump",
    "out_of_range": "device: office, metric: temperature, size: 300",
    "unit_swap": "device: freezer, metric: temperature",
    "reboot": "device: meter",
    "leak": "device: meter, size: 3",
    "clock_skew": "device: room, size: -75",
    "duplicate": "device: plain",
    "out_of_order": "device: office",
    "door_open": "device: freezer, size: 3",
    "defrost": "device: freezer, size: 6",
    "sunrise": "device: roof",
    "battery_swap": "device: shelf",
    "dst_change": "device: office",
    "set_point_change": "device: pump, size: 0.5",
    "weekend": "device: office",
}
BEGIN_S, LAST_S, END_S = 600.0, 3600.0, 5400.0


def one(kind: str) -> Scenario:
    entry = f"  - {{kind: {kind}, {KINDS[kind]}, from_s: {BEGIN_S}, for_s: {LAST_S}}}\n"
    scenario = parse(DEVICES + entry, name=kind, source=f"{kind}.yaml")
    kept = {scenario.faults[0].device, "room", "roof"}  # with others, which must stay as they are
    return replace(scenario, devices=tuple(device for device in scenario.devices if device.id in kept))


def wire(scenario: Scenario, until_s: float = END_S) -> list[Message]:
    return list(live(scenario, seed=1, start=START, until=START + until_s))


def difference(healthy: list[Message], faulty: list[Message]) -> list[Message]:
    """Return the messages that only one of the two wires has, or that come at another place."""
    gone, new = Counter(healthy), Counter(faulty)
    return [*(gone - new).elements(), *(new - gone).elements()]


def test_every_kind_is_tried() -> None:
    """The table above is complete."""
    assert set(KINDS) == set(FaultKind)


@pytest.mark.parametrize("kind", KINDS)
def test_fault_label_and_difference_go_together(kind: str) -> None:
    """With the fault there is a label, and the wire differs in its time on its device; without, neither."""
    scenario = one(kind)
    until = START + END_S
    (truth,) = label(scenario.faults, start=START, until=until)
    changed = difference(wire(scenario.without_faults()), wire(scenario))
    assert changed, "a label that nobody could see"
    end = until if truth.kind in LASTING else truth.end + 30.0 * (truth.device == "shelf")
    for message in changed:
        assert message.device == truth.device
        assert truth.start <= message.at < end or message.at == truth.end  # what changed back
        assert truth.metric is None or message.topic.count("/") == 1 or message.topic.endswith(truth.metric)
    healthy = scenario.without_faults()
    assert label(healthy.faults, start=START, until=until) == []
    assert difference(wire(healthy), wire(one(kind).without_faults())) == []


@pytest.mark.parametrize("name", names())
def test_every_label_of_a_shipped_scenario_shows(name: str) -> None:
    """Each fault and hard negative of the live hours changes its device's values in that time."""
    scenario = load(name)
    live_s = min(scenario.trial.live_s, 21_600.0) if name != "demo" else 300.0
    for device in scenario.devices:
        own = tuple(fault for fault in scenario.faults if fault.device == device.id)
        alone = replace(scenario, devices=(device,), faults=own)
        whole = wire(alone, live_s) if own else []
        for fault in own:
            rest = tuple(other for other in own if other is not fault)
            changed = difference(wire(replace(alone, faults=rest), live_s), whole)
            for truth in label((fault,), start=START, until=START + live_s - 120.0):
                assert any(truth.start <= message.at < truth.end for message in changed), truth


def test_shipped_scenarios_hold_every_kind() -> None:
    """Between them they go through every fault and every hard negative."""
    kinds = {fault.kind for name in names() for fault in load(name).faults}
    assert kinds == set(FaultKind)


@pytest.mark.parametrize("name", [name for name in names() if scored(name) and name != "quiet"])
def test_trial_scenarios_have_what_a_trial_needs(name: str) -> None:
    """At most 20 devices, all faults in the live hours, hard negatives in the history and live."""
    scenario = load(name)
    assert len(scenario.devices) <= 20
    live_s, history_s = scenario.trial.live_s, scenario.trial.history_s
    assert scenario.history.span_s == history_s
    faults = [fault for fault in scenario.faults if not fault.normal]
    assert len(faults) >= 5
    assert all(fault.from_s + fault.for_s <= live_s for fault in faults)
    normal = scenario.hard_negatives
    assert any(_first(fault) < START for fault in normal)
    assert any(truth.start >= START for truth in label(normal, start=START, until=START + live_s))


def _first(fault: Fault) -> float:
    return START + fault.from_s


def test_labels_of_normal_say_so() -> None:
    """A label shows whether it is a fault."""
    tell = {
        kind: Label(device="d", metric=None, kind=kind, start=0.0, end=1.0).as_dict()["normal"]
        for kind in FaultKind
    }
    assert tell[FaultKind.DEFROST] is True
    assert tell[FaultKind.CLOCK_SKEW] is True
    assert tell[FaultKind.LEAK] is False
    assert sum(map(bool, tell.values())) == 10


def test_a_label_names_the_cause_that_events_share() -> None:
    """And has no such key without one."""
    fault = Fault(device="d", metric=None, kind=FaultKind.DEVICE_SILENT, from_s=0.0, for_s=1.0)
    (plain,), (named,) = (
        label((one,), start=START, until=START + 1) for one in (fault, replace(fault, cause="bridge"))
    )
    assert "cause" not in plain.as_dict()
    assert named.as_dict()["cause"] == "bridge"
