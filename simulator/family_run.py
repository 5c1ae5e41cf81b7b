"""Devices of families on a broker, in event time."""

import heapq
import threading
from collections.abc import Iterator, Sequence

from simulator.families import device_class
from simulator.family_device import FamilyDevice
from simulator.link import Link
from simulator.outgoing import Outgoing
from simulator.pace import Pace

_CONNECT_LIMIT_S = 5.0
_FLUSH_LIMIT_S = 5.0


def make(words: Sequence[str], *, count: int, seed: int) -> list[FamilyDevice]:
    """Return ``count`` devices of each of the families ``words``."""
    classes = [device_class(word) for word in words]
    return [made(place=place, seed=seed) for made in classes for place in range(1, count + 1)]


def reports(
    devices: Sequence[FamilyDevice], *, start: float, until: float
) -> Iterator[tuple[float, Outgoing]]:
    """Yield the messages of all reports with their event times, in order."""
    due = [(start, place) for place in range(len(devices))]
    heapq.heapify(due)
    while due and due[0][0] < until:
        at, place = due[0]
        device = devices[place]
        yield from ((at, one) for one in device.report(at))
        heapq.heapreplace(due, (at + device.interval_s, place))


def play(
    devices: Sequence[FamilyDevice],
    *,
    address: tuple[str, int],
    start: float,
    until: float,
    speed: float,
    stop: threading.Event,
) -> int:
    """Publish everything that the devices send from ``start`` to ``until``; return the number of messages.

    Args:
        devices: they share one connection.
        address: host and port of the broker.
        start: event time (Unix seconds) of the first report.
        until: event time of the end.
        speed: event seconds per second.
        stop: ends it at once.

    Raises:
        LinkError: the broker does not answer or refuses.
    """
    link = Link(host=address[0], port=address[1], client_id=f"edge-sim-families-{int(start)}")
    link.open(_CONNECT_LIMIT_S)
    count, now, pace = 0, start, Pace(start=start, speed=speed)
    try:
        count += _send(link, [one for device in devices for one in device.begin(start)], stop)
        for now, one in reports(devices, start=start, until=until):
            if not pace.wait(now, stop) or not link.send(one, stop=stop):
                break
            count += 1
        else:
            pace.wait(until, stop)
        return count + _send(link, [one for device in devices for one in device.end(now)], None)
    finally:
        link.flush(_FLUSH_LIMIT_S)
        link.close()


def _send(link: Link, messages: Sequence[Outgoing], stop: threading.Event | None) -> int:
    return sum(link.send(one, stop=stop) for one in messages)
