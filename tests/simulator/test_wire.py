"""The wire is a pure function of scenario, seed and start, and the labels tell the truth of it."""

import json
from collections import defaultdict
from typing import Any

import pytest

from simulator.faults import label
from simulator.scenario import Scenario, load, parse
from simulator.wire import Message, history, live

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
    """History has event times before the start only, live from the start on, and no instant stands twice."""
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
