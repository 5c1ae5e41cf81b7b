"""The devices' messages: a pure function of scenario, seed and start."""

import heapq
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from simulator.faults import ONE_METRIC, SIGNAL_KINDS, FaultKind
from simulator.scenario import Device, Scenario
from simulator.signals import Event, Noise, Signal

_LATE = 2.5  # intervals that a message out of order comes later


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

    def __init__(self, *, device: Device, seed: int, start: float, scenario: Scenario) -> None:
        self.device = device
        self.interval_s = device.interval_s or scenario.interval_s
        self._start = start
        self._world = scenario.world_start(start)
        self._noise = Noise(seed=seed, device=device.id)
        self._signal: Signal = device.build()
        self._sensors = device.sensors
        own = [fault for fault in scenario.faults if fault.device == device.id]
        self._lossy = [fault for fault in own if fault.kind in _LOSSY]
        self._reboots = [fault for fault in own if fault.kind is FaultKind.REBOOT]
        self._events = [fault for fault in own if fault.kind in SIGNAL_KINDS]
        self._faults = [fault for fault in own if fault.kind in ONE_METRIC]
        self._skews = [fault for fault in own if fault.kind is FaultKind.CLOCK_SKEW]
        self._twice = [fault for fault in own if fault.kind is FaultKind.DUPLICATE]
        self._shuffled = [fault for fault in own if fault.kind is FaultKind.OUT_OF_ORDER]
        self._last: tuple[float, dict[str, float]] | None = None

    def measure(self, at: float) -> dict[str, float]:
        """Return the device's values at ``at`` by metric name; nothing while it is silent."""
        offset = round(at - self._start, 6)
        lost = {fault.metric for fault in self._lossy if fault.loses(offset, self._noise)}
        if None in lost:
            return {}
        healthy = self._healthy(offset)
        return {
            metric.name: metric.sense(self._disturbed(place, offset, value))
            for place, (metric, value) in enumerate(zip(self._sensors, healthy, strict=True))
            if metric.name not in lost
        }

    def messages(self, instants: Sequence[float]) -> Iterator[Message]:
        """Return the messages that carry the measurements of ``instants``, due at the last of them.

        Those out of order are due later than the ones of the next instants.
        """
        sent = [(at, values) for at in instants if (values := self._values_at(at))]
        if not sent:
            return
        due = sent[-1][0]
        trace = f"00-{self._noise.hex(due, 'trace', 32)}-{self._noise.hex(due, 'span', 16)}-01"
        late = self._late(due)
        for topic, payload, readings in self._payloads(sent):
            message = Message(late, self.device.id, topic, payload, self.device.qos, trace, readings)
            yield message
            if any(fault.onset(round(due - self._start, 6)) is not None for fault in self._twice):
                yield message

    def _values_at(self, at: float) -> dict[str, float]:
        """Return the messages at ``at``: all values, or those that changed since the instant before."""
        values, report = self.measure(at), self.device.report
        if report is None:
            return values
        kept, before = self._last, at - self.interval_s
        earlier = kept[1] if kept is not None and abs(kept[0] - before) < 1e-6 else self.measure(before)  # noqa: PLR2004
        self._last = at, values
        beats = math.floor(round((at - self._start) / report.heartbeat_s, 9))
        if beats != math.floor(round((before - self._start) / report.heartbeat_s, 9)):
            return values
        return {
            name: value
            for name, value in values.items()
            if _cell(value, report.band.get(name))
            != _cell(earlier.get(name, math.inf), report.band.get(name))
        }

    def _healthy(self, offset: float) -> tuple[float, ...]:
        values = self._lived(offset)
        return self._since_reboot(values, offset) if self._reboots else values

    def _lived(self, offset: float) -> tuple[float, ...]:
        """Return what the signal measures with all that it goes through."""
        events: dict[str, Event] = {}
        for fault in self._events:
            event = fault.event(offset)
            if event is not None and not (fault.kind in events and event.elapsed_s >= event.for_s):
                events[fault.kind] = event
        return self._signal.values(self._noise, self._world + offset, events)

    def _since_reboot(self, values: tuple[float, ...], offset: float) -> tuple[float, ...]:
        """Return the values with the counters at 0 from the end of the last reboot on."""
        ends = [
            began + fault.for_s
            for fault in self._reboots
            if (began := fault.latest(offset - fault.for_s)) is not None
        ]
        if not ends:
            return values
        then = self._lived(max(ends))
        return tuple(
            value - zero if metric.counter else value
            for metric, value, zero in zip(self._sensors, values, then, strict=True)
        )

    def _disturbed(self, place: int, offset: float, value: float) -> float:
        metric = self._sensors[place]
        for fault in self._faults:
            if fault.metric == metric.name and fault.onset(offset) is not None:
                value = fault.disturb(
                    offset_s=offset,
                    healthy=lambda when: self._healthy(when)[place],
                    noise=self._noise,
                    unit=metric.unit,
                )
        return value

    def _late(self, due: float) -> float:
        """Return when the message of ``due`` is sent: later, for every second one that is out of order."""
        offset = round(due - self._start, 6)
        for fault in self._shuffled:
            onset = fault.onset(offset)
            if onset is not None and math.floor((offset - onset) / self.interval_s) % 3 == 0:
                end = self._start + onset + fault.for_s - 0.001
                return max(due, min(due + _LATE * self.interval_s, end))
        return due

    def _stamp(self, at: float) -> float:
        """Return what the device's clock shows at ``at``."""
        offset = round(at - self._start, 6)
        return round(at + sum(fault.size for fault in self._skews if fault.onset(offset) is not None), 3)

    def _payloads(
        self, sent: Sequence[tuple[float, Mapping[str, float]]]
    ) -> Iterator[tuple[str, bytes, int]]:
        """Yield topic, payload and number of values of each message."""
        name = self.device.id
        if self.device.payload == "object":
            body = [{"ts": self._stamp(at), **values} for at, values in sent]
            yield self.device.topic.format(device=name), _dump(body), sum(len(values) for _, values in sent)
            return
        for metric in self._sensors:
            topic = self.device.topic.format(device=name, metric=metric.name)
            own = [(at, values[metric.name]) for at, values in sent if metric.name in values]
            if self.device.payload == "plain":
                for _, value in own:
                    yield topic, str(value).encode(), 1
            elif own:
                measured = [{"ts": self._stamp(at), "value": value, "unit": metric.unit} for at, value in own]
                yield topic, _dump(measured), len(measured)


_LOSSY = frozenset({FaultKind.DROPOUT, FaultKind.DEVICE_SILENT, FaultKind.REBOOT})


def _cell(value: float, band: float | None) -> float:
    """Return the cell of a dead band for a value."""
    return value if band is None or not math.isfinite(value) else math.floor(value / band + 0.5)


def _dump(body: Sequence[Mapping[str, object]]) -> bytes:
    return json.dumps(body[0] if len(body) == 1 else body, separators=(",", ":")).encode()


def history(scenario: Scenario, *, seed: int, start: float) -> Iterator[Message]:
    """Return the messages before the live ``start``, oldest first, several measurements to a message."""
    span, size = scenario.history.span_s, scenario.history.per_message
    return heapq.merge(
        *(
            _device_messages(sender, first=start - span, until=start, size=size)
            for sender in _senders(scenario, seed, start)
            if span > 0
        ),
        key=lambda message: message.at,
    )


def live(scenario: Scenario, *, seed: int, start: float, until: float = math.inf) -> Iterator[Message]:
    """Return the messages from ``start`` on, in the order in which they are sent."""
    return heapq.merge(
        *(
            _device_messages(sender, first=start, until=until, size=1)
            for sender in _senders(scenario, seed, start)
        ),
        key=lambda message: message.at,
    )


def _senders(scenario: Scenario, seed: int, start: float) -> list[Sender]:
    return [Sender(device=device, seed=seed, start=start, scenario=scenario) for device in scenario.devices]


def _device_messages(sender: Sender, *, first: float, until: float, size: int) -> Iterator[Message]:
    instants: list[float] = []
    held: list[tuple[float, int, Message]] = []  # those out of order
    number = count()
    for step in count():
        at = first + step * sender.interval_s
        if at >= until:
            break
        while held and held[0][0] < at:
            yield heapq.heappop(held)[2]
        instants.append(at)
        if len(instants) < size:
            continue
        for message in sender.messages(instants):
            if message.at > at:
                heapq.heappush(held, (message.at, next(number), message))
            else:
                yield message
        instants = []
    if instants:
        yield from sender.messages(instants)
    while held:
        message = heapq.heappop(held)[2]
        yield message if message.at < until else replace(message, at=until)
