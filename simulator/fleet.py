"""The MQTT side of a scenario: all its devices, at full speed or as time passes."""

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from simulator.link import Link, LinkStats
from simulator.pace import Pace
from simulator.scenario import Scenario
from simulator.wire import Message


class Fleet:
    """All devices of a scenario, on one connection or on one each. Usable as a context manager."""

    def __init__(self, *, host: str, port: int, scenario: Scenario, prefix: str = "edge-sim") -> None:
        each = scenario.connections == "each"
        names = [device.id for device in scenario.devices] if each else ["fleet"]
        links = {
            name: Link(
                host=host, port=port, client_id=f"{prefix}-{name}", will_topic=f"{prefix}/{name}/state"
            )
            for name in names
        }
        self._by_device = {device.id: links[device.id if each else "fleet"] for device in scenario.devices}
        self.links = tuple(links.values())

    def open(self, timeout_s: float = 10.0) -> Self:
        """Connect everything.

        Raises:
            LinkError: of the first connection that did not come about.
        """
        for link in self.links:
            link.open(timeout_s)
        return self

    @property
    def protocol(self) -> str:
        """The MQTT version that the broker speaks."""
        return self.links[0].protocol

    @property
    def stats(self) -> LinkStats:
        """The sums over all connections."""
        return LinkStats(
            published=sum(link.stats.published for link in self.links),
            acked=sum(link.stats.acked for link in self.links),
            refused=sum(link.stats.refused for link in self.links),
            disconnects=sum(link.stats.disconnects for link in self.links),
        )

    def replay(self, messages: Iterable[Message], *, stop: threading.Event) -> int:
        """Publish as fast as the broker takes it, wait for its acknowledgements, return how many messages."""
        count = 0
        for message in messages:
            if stop.is_set():
                break
            self._send(message)
            count += 1
        for link in self.links:
            link.flush(30.0)
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
        for message in messages:
            if not pace.wait(message.at, stop):
                break
            self._send(message)
            count += 1
        return count

    def close(self) -> None:
        """Disconnect everything cleanly."""
        for link in self.links:
            link.close()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, message: Message) -> None:
        self._by_device[message.device].publish(
            message.topic, message.payload, qos=message.qos, traceparent=message.traceparent
        )
