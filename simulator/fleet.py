"""The MQTT connections of a scenario's devices, at full speed or in real time."""

import heapq
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Self

from simulator.connection import V5, V311
from simulator.events import Message
from simulator.faults import Fault, FaultKind
from simulator.flapping import Flapping
from simulator.link import Link, LinkError
from simulator.loop import Loop
from simulator.outgoing import LinkStats, Outgoing
from simulator.pace import Pace
from simulator.scenario import Device, Scenario

FLUSH_LIMIT_S = 30.0
MAX_UNACKED = 4000  # over all connections: more would only fill memory
_AWAY = frozenset({FaultKind.DEVICE_SILENT, FaultKind.REBOOT})
_LOOK_EACH = 256  # messages; adding up a thousand connections costs as much as sending one
_CLOSE_LIMIT_S = 3.0


class Fleet:
    """All devices of a scenario, on one connection, on a few, or on one each. Usable as a context manager.

    A device with an ``availability`` topic publishes ``online`` and ``offline`` there, retained. With a
    connection of its own that topic is its last will, and the connection breaks while the device is silent or
    reboots; other connections have ``<prefix>/<connection>/state``.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        scenario: Scenario,
        prefix: str = "edge-sim",
        connections: str | None = None,
        qos: int | None = None,
        flapping: Flapping | None = None,
    ) -> None:
        """Divide the devices among links; ``connections`` and ``qos`` override those of the scenario."""
        self._scenario, self._flapping, self._qos = scenario, flapping, qos
        self._devices = {device.id: device for device in scenario.devices}
        self._loop = Loop()
        self._unlooked = 0
        self._links: dict[str, Link] = {}
        self._by_device: dict[str, Link] = {}
        for name, devices in share_out(scenario.devices, connections or scenario.connections).items():
            topics = [one.availability.format(device=one.id) for one in devices if one.availability]
            own = topics if len(devices) == 1 else []
            link = Link(
                host=host,
                port=port,
                client_id=f"{prefix}-{name}",
                will_topic=own[0] if own else f"{prefix}/{name}/state",
                announce=[] if own else topics,
                loop=self._loop,
            )
            self._links[name] = link
            self._by_device |= dict.fromkeys((one.id for one in devices), link)
        self.links = tuple(self._links.values())

    def open(self, timeout_s: float = 10.0) -> Self:
        """Connect everything: first one connection, which finds the MQTT version, then the rest at once.

        Raises:
            LinkError: of the first connection that did not come about.
        """
        deadline = time.monotonic() + timeout_s
        try:
            self.links[0].open(timeout_s)
            for link in self.links[1:]:
                link.begin(V5 if self.protocol == "5" else V311)
            for link in self.links[1:]:
                link.await_ready(max(1.0, deadline - time.monotonic()))
        except BaseException:
            self.close()
            raise
        return self

    @property
    def protocol(self) -> str:
        """The MQTT version that the broker speaks."""
        return self.links[0].protocol

    @property
    def up(self) -> int:
        """How many connections there are now."""
        return sum(link.up for link in self.links)

    @property
    def stats(self) -> LinkStats:
        """The sums over all connections."""
        out = LinkStats()
        for link in self.links:
            out.add(link.stats)
        return out

    def replay(self, messages: Iterable[Message], *, stop: threading.Event) -> int:
        """Publish as fast as the broker takes it, wait for its acknowledgements, return how many messages."""
        count = 0
        for message in messages:
            if stop.is_set() or not self._send(message, stop):
                break
            count += 1
        self.flush(FLUSH_LIMIT_S, stop)
        return count

    def run(
        self, messages: Iterable[Message], *, stop: threading.Event, start: float, speed: float = 1.0
    ) -> int:
        """Publish each message when it is due, until they end or ``stop`` is set; returns how many.

        Args:
            messages: ordered by their event time.
            stop: ends it at once.
            start: event time (Unix seconds) that is now.
            speed: event seconds per second.
        """
        count, pace = 0, Pace(start=start, speed=speed)
        for at, act in self._schedule(messages, start, speed):
            if not pace.wait(at, stop):
                break
            if isinstance(act, Message):
                if not self._send(act, stop):
                    break
                count += 1
            else:
                act()
        return count

    def flush(self, timeout_s: float, stop: threading.Event | None = None) -> bool:
        """Wait until everything is acknowledged; False if it was not in time or ``stop`` came."""
        deadline = time.monotonic() + timeout_s
        while self.stats.unacked > 0:
            if time.monotonic() >= deadline or (stop is not None and stop.is_set()):
                return False
            if not self._loop.alive:
                raise LinkError("the connections ended by themselves") from self._loop.fault
            time.sleep(0.01)
        return True

    def close(self) -> None:
        """Publish ``offline`` everywhere and disconnect cleanly."""
        deadline = time.monotonic() + _CLOSE_LIMIT_S
        if any(link.up for link in self.links):
            self.flush(1.0)
        for gone in [gone for link in self.links if (gone := link.begin_close()) is not None]:
            gone.wait(max(0.0, deadline - time.monotonic()))
        self._loop.stop()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _schedule(
        self, messages: Iterable[Message], start: float, speed: float
    ) -> Iterator[tuple[float, Message | Callable[[], None]]]:
        """Yield messages and cuts in the order of their event times."""
        due: Iterator[tuple[float, Message | Callable[[], None]]] = ((one.at, one) for one in messages)
        times = [
            (link, outages) for name, link in self._links.items() for outages in self._outages(name, start)
        ]
        if not times:
            yield from due
            return
        cuts = heapq.merge(*(_cuts(link, outages, speed) for link, outages in times), key=lambda one: one[0])
        cut = next(cuts, None)
        for at, message in due:
            while cut is not None and cut[0] <= at:
                yield cut
                cut = next(cuts, None)
            yield at, message

    def _outages(self, name: str, start: float) -> Iterator[Iterator[tuple[float, float]]]:
        """Yield when a connection breaks and for how long, in event seconds: flapping, or with its device."""
        if self._flapping is not None:
            down_s = self._flapping.down_s
            yield ((at, down_s) for at in self._flapping.cuts(name, start))
        device = self._devices.get(name) if self._links[name] is self._by_device.get(name) else None
        if device is None or device.availability is None:
            return
        for fault in self._scenario.faults:
            if fault.device == name and fault.kind in _AWAY:
                yield _absences(fault, start)

    def _send(self, message: Message, stop: threading.Event) -> bool:
        """Send in its turn; False if ``stop`` came while too much was unacknowledged."""
        self._unlooked += 1
        if self._unlooked >= _LOOK_EACH:
            self._unlooked = 0
            while self.stats.unacked >= MAX_UNACKED and self._loop.alive:
                if stop.wait(0.005):
                    return False
        device = self._devices[message.device]
        sent = datetime.fromtimestamp(message.at, UTC).isoformat(timespec="milliseconds")
        return self._by_device[message.device].send(
            Outgoing(
                topic=message.topic,
                payload=message.payload,
                qos=message.qos if self._qos is None else self._qos,
                retain=device.retain,
                user=(("traceparent", message.traceparent), ("sent", sent.replace("+00:00", "Z"))),
            ),
            stop=stop,
        )


def _cuts(
    link: Link, outages: Iterator[tuple[float, float]], speed: float
) -> Iterator[tuple[float, Callable[[], None]]]:
    """Yield when ``link`` is cut, and what cuts it."""
    for at, down_s in outages:
        yield at, partial(link.drop, down_s / speed)


def _absences(fault: Fault, start: float) -> Iterator[tuple[float, float]]:
    return ((start + onset, fault.for_s) for onset in fault.onsets(0.0, math.inf))


def share_out(devices: Iterable[Device], connections: str) -> dict[str, list[Device]]:
    """Return which devices speak on which connection.

    Args:
        devices: in the scenario's order.
        connections: ``each``, ``shared`` or ``shared:N`` (N connections, devices in turn).
    """
    if connections == "each":
        return {device.id: [device] for device in devices}
    number = int(connections.partition(":")[2] or 1)
    if number == 1:
        return {"fleet": list(devices)}
    shared: dict[str, list[Device]] = {}
    for place, device in enumerate(devices):
        shared.setdefault(f"fleet-{place % number}", []).append(device)
    return shared
