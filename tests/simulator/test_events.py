"""Messages are a pure function of scenario, seed and start, and match the labels."""

import itertools
import json
import math
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from simulator.events import Message, history, live
from simulator.faults import label
from simulator.scenario import Scenario, load, parse

ROOT = Path(__file__).parents[2]
START = 1_790_000_000.0
UNTIL = START + 60.0
EVERY_FAULT = """
title: one of each
history: {span_s: 100, per_message: 30}
devices:
  - {id: p1, signal: pump, topic: "sensors/{device}"}
  - {id: r1, signal: room, topic: "rooms/{device}/{metric}", payload: value}
  - {id: r2, signal: room, topic: "plain/{device}/{metric}", payload: plain, interval_s: 2}
faults:
  - {device: p1, metric: vibration, kind: spike, from_s: 5, for_s: 2, size: 4}
  - {device: p1, metric: current, kind: level_shift, from_s: 10, for_s: 10, size: 4}
  - {device: p1, metric: flow, kind: drift, from_s: 20, for_s: 10, size: 4}
  - {device: r1, metric: temperature, kind: noise_burst, from_s: 10, for_s: 10, size: 4}
  - {device: r1, metric: humidity, kind: flatline, from_s: 10, for_s: 10}
  - {device: r2, metric: temperature, kind: out_of_range, from_s: 10, for_s: 10, size: 300}
  - {device: r2, kind: device_silent, from_s: 30, for_s: 10}
"""


@pytest.fixture
def scenario() -> Scenario:
    return parse(EVERY_FAULT, name="every", source="every.yaml")


def values(messages: list[Message]) -> dict[tuple[str, str], dict[float, Any]]:
    """Return the values by series and instant."""
    out: dict[tuple[str, str], dict[float, Any]] = defaultdict(dict)
    for message in messages:
        body = json.loads(message.payload)
        metric = message.topic.split("/")[-1]
        for one in body if isinstance(body, list) else [body]:
            if isinstance(one, dict) and "value" not in one:
                for name in one.keys() - {"ts"}:
                    out[message.device, name][one["ts"]] = one[name]
            else:
                at = one["ts"] if isinstance(one, dict) else message.at
                out[message.device, metric][at] = one["value"] if isinstance(one, dict) else one
    return out


@pytest.mark.parametrize("part", [history, live])
def test_same_seed_same_bytes(scenario: Scenario, part: Any) -> None:
    """Payload, order and topic are byte-identical for the same seed, and differ for another."""
    more = {} if part is history else {"until": UNTIL}
    first, again, other = (list(part(scenario, seed=seed, start=START, **more)) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    assert [message.at for message in first] == sorted(message.at for message in first)


def test_history_ends_where_live_begins(scenario: Scenario) -> None:
    """History has event times before the start only, live from the start on, and no instant is repeated."""
    past = values(list(history(scenario, seed=1, start=START)))
    now = values(list(live(scenario, seed=1, start=START, until=UNTIL)))
    assert min(past["p1", "flow"]) == START - 100
    assert max(past["p1", "flow"]) == START - 1
    assert min(now["p1", "flow"]) == START
    assert len(past["p1", "flow"]) == 100


def test_message_says_how_many_readings_it_holds(scenario: Scenario) -> None:
    """The count that the demo compares with the agent's is the number of values on the wire."""
    messages = list(history(scenario, seed=1, start=START))
    assert sum(message.readings for message in messages if message.device != "r2") == sum(
        len(series) for (device, _), series in values(messages).items() if device != "r2"
    )
    assert all(message.readings == 1 for message in messages if message.device == "r2")


def test_labels_and_wire_agree(scenario: Scenario) -> None:
    """Every labelled interval differs from the healthy wire, and nothing outside a label does."""
    healthy = values(list(live(scenario.without_faults(), seed=1, start=START, until=UNTIL)))
    faulty = values(list(live(scenario, seed=1, start=START, until=UNTIL)))
    labels = label(scenario.faults, start=START, until=UNTIL)
    touched = set()
    for series, points in healthy.items():
        for at, value in points.items():
            if faulty[series].get(at) == value:
                continue
            inside = [
                one
                for one in labels
                if one.device == series[0] and one.metric in {series[1], None} and one.start <= at < one.end
            ]
            assert inside, (series, at)
            touched.update(inside)
    assert touched == set(labels)


def test_without_the_fault_there_is_no_label(scenario: Scenario) -> None:
    """Removing the faults removes the labels."""
    assert label(scenario.without_faults().faults, start=START, until=UNTIL) == []


def test_silent_device_says_nothing_and_others_go_on(scenario: Scenario) -> None:
    """While a device is silent only its own messages are missing."""
    messages = list(live(scenario, seed=1, start=START, until=UNTIL))
    quiet = [message.device for message in messages if START + 30 <= message.at < START + 40]
    assert set(quiet) == {"p1", "r1"}


def test_traceparent_is_well_formed_and_each_its_own() -> None:
    """Each instant of a device has a traceparent of its own."""
    messages = list(live(load("demo"), seed=1, start=START, until=UNTIL))
    version, trace, span, flags = messages[0].traceparent.split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    pump = [message.traceparent for message in messages if message.device == "pump-1"]
    assert len(set(pump)) == len(pump)


@pytest.mark.process
def test_another_process_makes_the_same_bytes() -> None:
    """Nothing depends on the process: hash seeds, memory or what was asked before."""
    code = (
        "import hashlib\n"
        "from simulator.scenario import load\n"
        "from simulator.events import live\n"
        "one = hashlib.sha256()\n"
        f"for message in live(load('office'), seed=3, start={START}, until={START + 3600}):\n"
        "    one.update(repr(message).encode())\n"
        "print(one.hexdigest())\n"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_world_begins_at_the_start_hour_whenever_it_is_run() -> None:
    """With a start hour the same seed gives the same values on any day; only the times differ."""
    office = load("office")
    first, later = (
        [
            {name: value for name, value in json.loads(message.payload).items() if name != "ts"}
            for message in live(office, seed=1, start=start, until=start + 600)
        ]
        for start in (START, START + 123_456)
    )
    assert first == later


CHANGING = """
title: on change
interval_s: 10
devices:
  - id: s1
    signal: battery_sensor
    topic: "sensors/{device}/{metric}"
    payload: value
    report: {when: change, band: {temperature: 0.5}, heartbeat_s: 600}
  - {id: s2, signal: battery_sensor, step: {temperature: 0.5, humidity: 5}}
"""


def test_device_that_reports_on_change_is_quiet_but_for_changes_and_heartbeats() -> None:
    """It sends a value when it left its dead band, and everything at each heartbeat."""
    scenario = parse(CHANGING, name="x", source="x.yaml")
    told = values(list(live(scenario, seed=1, start=START, until=START + 7200)))
    for metric in ("temperature", "humidity", "battery"):
        times = set(told["s1", metric])
        assert len(times) < 720 / 3
        assert {START + beat * 600.0 for beat in range(12)} <= times
    series = sorted(told["s1", "temperature"].items())
    for (_, before), (at, after) in itertools.pairwise(series):
        if (at - START) % 600:
            assert math.floor(before / 0.5 + 0.5) != math.floor(after / 0.5 + 0.5)


def test_coarse_sensor_says_multiples_of_its_step() -> None:
    """A scenario can make a sensor coarser than its kind."""
    scenario = parse(CHANGING, name="x", source="x.yaml")
    told = values(list(live(scenario, seed=1, start=START, until=START + 3600)))
    assert {value % 0.5 for value in told["s2", "temperature"].values()} == {0.0}
    assert {value % 5 for value in told["s2", "humidity"].values()} == {0.0}


def played(entry: str, device: str = "{id: d, signal: server}") -> list[Message]:
    text = f"title: one\ninterval_s: 10\ndevices:\n  - {device}\nfaults:\n  - {{device: d, {entry}}}\n"
    return list(live(parse(text, name="x", source="x.yaml"), seed=1, start=START, until=START + 600))


def test_reboot_is_silent_and_sets_counters_to_0() -> None:
    """The uptime counts from the end of the reboot; the other metrics go on."""
    told = values(played("kind: reboot, from_s: 100, for_s: 60"))
    assert START + 120 not in told["d", "power"]
    uptime = told["d", "uptime"]
    assert uptime[START + 90] > 1e6
    assert [uptime[START + at] for at in (160, 200, 590)] == [0.0, 40.0, 430.0]
    assert min(told["d", "power"].values()) > 100


def test_duplicate_says_everything_twice() -> None:
    """Each message is followed by its copy, byte for byte."""
    messages = played("kind: duplicate, from_s: 100, for_s: 60")
    inside = [message for message in messages if START + 100 <= message.at < START + 160]
    assert len(messages) == 66
    assert inside[::2] == inside[1::2]


def test_out_of_order_loses_nothing() -> None:
    """A late message is the same measurement; event times step back, the order of sending does not."""
    messages = played("kind: out_of_order, from_s: 100, for_s: 200")
    told = [json.loads(message.payload)["ts"] for message in messages]
    assert sorted(told) == [START + step * 10 for step in range(60)]
    assert told != sorted(told)
    assert [message.at for message in messages] == sorted(message.at for message in messages)


def test_clock_skew_shifts_the_time_that_is_told() -> None:
    """The device's clock is wrong, what it measures and when it sends are not."""
    for message in played("kind: clock_skew, from_s: 100, for_s: 60, size: -75"):
        wrong = START + 100 <= message.at < START + 160
        assert json.loads(message.payload)["ts"] == message.at - (75 if wrong else 0)


def test_dropout_loses_its_share() -> None:
    """About half of the messages of one metric are lost, the others come."""
    told = values(
        played(
            "metric: humidity, kind: dropout, from_s: 0, for_s: 600, size: 0.5",
            '{id: d, signal: room, topic: "a/{device}/{metric}", payload: value}',
        )
    )
    assert 15 <= len(told["d", "humidity"]) <= 45
    assert len(told["d", "temperature"]) == 60


def test_unit_swap_says_the_same_heat_in_fahrenheit() -> None:
    """Values are converted, the sent unit is not."""
    entry = "metric: temperature, kind: unit_swap, from_s: 300, for_s: 200"
    messages = played(entry, '{id: d, signal: room, topic: "a/{device}/{metric}", payload: value}')
    heat = [json.loads(message.payload) for message in messages if message.topic == "a/d/temperature"]
    assert {one["unit"] for one in heat} == {"degC"}
    assert all((one["value"] > 60) == (START + 300 <= one["ts"] < START + 500) for one in heat)
