"""What the devices of a scenario put on the wire: a pure function of scenario, seed and start."""

import heapq
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from simulator.faults import Fault, FaultKind
from simulator.scenario import Device, Scenario
from simulator.signals import Metric, Noise, Signal


@dataclass(frozen=True, slots=True)
class Message:
    """One PUBLISH of a device, due at event time ``at`` (Unix seconds)."""

    at: float
    device: str
    topic: str
    payload: bytes
    qos: int
    traceparent: str
    readings: int  # values in it


class Sender:
    """One device: turns instants into messages."""

    def __init__(self, *, device: Device, seed: int, start: float, faults: tuple[Fault, ...]) -> None:
        self.device = device
        self._start = start
        self._noise = Noise(seed=seed, device=device.id)
        self._signal: Signal = device.build()
        self._silent = [
            fault for fault in faults if fault.device == device.id and fault.kind is FaultKind.DEVICE_SILENT
        ]
        self._faults = [fault for fault in faults if fault.device == device.id and fault.metric is not None]

    def measure(self, at: float) -> dict[str, float] | None:
        """Return what the device says at ``at`` by metric name; None while it is silent."""
        offset = round(at - self._start, 6)
        if any(fault.onset(offset) is not None for fault in self._silent):
            return None
        healthy = self._healthy(offset)
        out = {}
        for metric, value in zip(self._signal.METRICS, healthy, strict=True):
            out[metric.name] = metric.sense(self._disturbed(metric, offset, value))
        return out

    def messages(self, instants: list[float]) -> Iterator[Message]:
        """Return the messages that carry the measurements of ``instants``, due at the last of them."""
        said = [(at, values) for at in instants if (values := self.measure(at)) is not None]
        if not said:
            return
        due = said[-1][0]
        trace = f"00-{self._noise.hex(due, 'trace', 32)}-{self._noise.hex(due, 'span', 16)}-01"
        for topic, payload, readings in self._payloads(said):
            yield Message(due, self.device.id, topic, payload, self.device.qos, trace, readings)

    def _healthy(self, offset: float) -> tuple[float, ...]:
        return self._signal.values(self._noise, self._start + offset)

    def _disturbed(self, metric: Metric, offset: float, value: float) -> float:
        place = self._signal.METRICS.index(metric)
        for fault in self._faults:
            if fault.metric == metric.name and fault.onset(offset) is not None:
                value = fault.disturb(
                    offset_s=offset, healthy=lambda when: self._healthy(when)[place], noise=self._noise
                )
        return value

    def _payloads(self, said: list[tuple[float, dict[str, float]]]) -> Iterator[tuple[str, bytes, int]]:
        """Yield topic, payload and number of values of each message."""
        name = self.device.id
        if self.device.payload == "object":
            body = [{"ts": round(at, 3), **values} for at, values in said]
            yield self.device.topic.format(device=name), _dump(body), len(said) * len(self._signal.METRICS)
            return
        for metric in self._signal.METRICS:
            topic = self.device.topic.format(device=name, metric=metric.name)
            if self.device.payload == "plain":
                for _, values in said:
                    yield topic, str(values[metric.name]).encode(), 1
                continue
            measured = [
                {"ts": round(at, 3), "value": values[metric.name], "unit": metric.unit} for at, values in said
            ]
            yield topic, _dump(measured), len(measured)


def _dump(body: Sequence[Mapping[str, object]]) -> bytes:
    return json.dumps(body[0] if len(body) == 1 else body, separators=(",", ":")).encode()


def history(scenario: Scenario, *, seed: int, start: float) -> Iterator[Message]:
    """Return the messages before the live ``start``, oldest first, several measurements to a message."""
    span, size = scenario.history.span_s, scenario.history.per_message
    return heapq.merge(
        *(
            _device_messages(sender, first=start - span, until=start, size=size, scenario=scenario)
            for sender in _senders(scenario, seed, start)
            if span > 0
        ),
        key=lambda message: message.at,
    )


def live(scenario: Scenario, *, seed: int, start: float, until: float = math.inf) -> Iterator[Message]:
    """Return the messages from ``start`` on, in the order of their event times."""
    return heapq.merge(
        *(
            _device_messages(sender, first=start, until=until, size=1, scenario=scenario)
            for sender in _senders(scenario, seed, start)
        ),
        key=lambda message: message.at,
    )


def _senders(scenario: Scenario, seed: int, start: float) -> list[Sender]:
    return [
        Sender(device=device, seed=seed, start=start, faults=scenario.faults) for device in scenario.devices
    ]


def _device_messages(
    sender: Sender, *, first: float, until: float, size: int, scenario: Scenario
) -> Iterator[Message]:
    interval = sender.device.interval_s or scenario.interval_s
    instants: list[float] = []
    for step in count():
        at = first + step * interval
        if at >= until:
            break
        instants.append(at)
        if len(instants) == size:
            yield from sender.messages(instants)
            instants = []
    if instants:
        yield from sender.messages(instants)
