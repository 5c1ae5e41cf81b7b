"""JSON messages at QoS 1: a burst, or a steady rate, one message at a time."""

import random
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.benchmarks.backlog import BREACH, BREACH_EVERY, connected, packet, queue

UNITS = {"temperature": "°C", "humidity": "%", "vibration": "mm/s", "pressure": "hPa"}
METRICS = tuple(UNITS)
ROUND = 60_000  # packet ids in turn
ACK_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The series of a site below one topic; ``size`` is the least length of a payload, in bytes."""

    prefix: str
    series: int = 300
    metrics: int = 3  # of each device
    size: int = 0

    @property
    def filter(self) -> str:
        """The topic filter that matches all of them."""
        return f"{self.prefix}/+/+"

    def messages(self, count: int, seed: int = 1) -> Iterator[tuple[str, bytes]]:
        """Yield topic and payload of ``count`` readings, the series in turn: quiet, with few breaches."""
        rng = random.Random(seed)
        places = [divmod(number, self.metrics) for number in range(self.series)]
        names = [METRICS[which] if which < len(METRICS) else f"channel_{which}" for _, which in places]
        topics = [
            f"{self.prefix}/d{device:04d}/{name}" for (device, _), name in zip(places, names, strict=True)
        ]
        middles = [random.Random(number).uniform(15, 60) for number in range(self.series)]
        for number in range(count):
            place = number % self.series
            metric = names[place]
            breach = number % BREACH_EVERY == BREACH_EVERY - 1 and metric == "temperature"
            value = BREACH if breach else rng.gauss(middles[place], 0.4)
            text = f'{{"value":{value:.2f},"unit":"{UNITS.get(metric, "V")}"'.encode()
            if len(text) < self.size:
                text += b',"note":"%s"' % (b"x" * (self.size - len(text) - 11))
            yield topics[place], text + b"}"

    def burst(self, port: int, count: int) -> None:
        """Publish ``count`` messages as fast as the broker acknowledges them."""
        queue(port, self.messages(count))

    def steady(self, port: int, rate: float, count: int) -> float:
        """Publish at a rate, each message when it is due; return the rate that was reached, messages/s."""
        with connected(port, b"steady") as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            acks, begun = 0, time.monotonic()
            for number, item in enumerate(self.messages(count, seed=2)):
                due = begun + number / rate
                while (left := due - time.monotonic()) > 0:
                    time.sleep(left)
                sock.sendall(packet(number % ROUND + 1, *item))
                while select.select([sock], [], [], 0)[0]:  # so that the broker can go on
                    acks += _receive(sock)
            took = time.monotonic() - begun
            while acks < ACK_BYTES * count:  # a socket that is closed earlier takes messages with it
                acks += _receive(sock)
            sock.sendall(b"\xe0\x00")
        return count / took


def _receive(sock: socket.socket) -> int:
    """Return how many bytes of acknowledgements have come."""
    if not (acks := sock.recv(65536)):
        raise AssertionError("the broker closed the connection")
    return len(acks)
