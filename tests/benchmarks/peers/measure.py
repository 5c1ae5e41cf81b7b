"""One contestant after the other: CPU, memory, delay of its PUBACKs."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.peers.contestants import Contestant
from tests.benchmarks.peers.load import Load
from tests.faults.rig import QUIET_BROKER
from tests.support.broker import Broker
from tests.support.packets import PacketCounter
from tests.support.proxy import DOWN, UP, Proxy

BROKER_LOG = f"{QUIET_BROKER}\nlog_type error\nlog_type subscribe"
ON_TIME = 0.98  # of a rate, else a note has the one that was reached


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes of a run."""

    series: int = 300
    burst: int = 60_000  # messages
    rates: tuple[float, ...] = (100.0, 1_000.0, 5_000.0)  # messages/s
    seconds: float = 10.0  # at each rate
    ack_rate: float = 1_000.0  # messages/s, for the delay of PUBACKs


@dataclass(slots=True)
class Result:
    """The figures of one contestant."""

    name: str
    burst_us: float = 0.0  # CPU per message of the burst
    shares: dict[float, float] = field(default_factory=dict)  # of a core, by rate
    peak_mib: float = 0.0
    ack_p99_ms: float | None = None  # None: it subscribes at QoS 0
    sent: int = 0
    lost: int = 0
    notes: list[str] = field(default_factory=list)

    def us_at(self, rate: float) -> float:
        """Return the CPU time per message at a steady rate, us."""
        return self.shares[rate] / rate * 1e6


class PacketTimes(PacketCounter):
    """Times at which publishes and acknowledgements pass, both in the order of the connection."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[float] = []
        self.acknowledged: list[float] = []

    def _count(self, first: int) -> None:
        publishes, pubacks = self.publishes, self.pubacks
        super()._count(first)
        now = time.monotonic()
        if self.publishes > publishes:
            self.published.append(now)
        elif self.pubacks > pubacks:
            self.acknowledged.append(now)


def compare(kinds: Sequence[type[Contestant]], plan: Plan, folder: Path) -> Iterator[Result]:
    """Yield the figures of each kind of contestant, in turn on one broker."""
    broker = Broker(folder / "broker", extra=BROKER_LOG).start()
    try:
        for place, kind in enumerate(kinds):
            yield measure(kind, plan, broker, folder / f"contestant{place}")
    finally:
        broker.stop()


def measure(kind: type[Contestant], plan: Plan, broker: Broker, folder: Path) -> Result:
    """Measure one contestant, under a topic that no other one has."""
    load = Load(prefix=f"peers/{folder.name}", series=plan.series)
    one = kind(broker=broker, port=broker.port, folder=folder, load=load)
    result = Result(one.name)
    with running(one):
        one.rest()
        _burst(one, broker.port, plan, result)
        for rate in plan.rates:
            _steady(one, broker.port, rate, plan.seconds, result)
        result.peak_mib = one.child.peak_rss_mib()
        result.lost = result.sent - one.count()
    if one.acknowledges:
        result.ack_p99_ms = _ack_delay(kind, plan, broker, folder.with_name(f"{folder.name}-acks"))
    return result


class running:  # noqa: N801 - a context manager reads as a verb
    """Start a contestant, and end it."""

    def __init__(self, one: Contestant) -> None:
        self._one = one

    def __enter__(self) -> None:
        try:
            self._one.start()
        except BaseException:
            self._one.child.kill()
            raise

    def __exit__(self, *_: object) -> None:
        self._one.child.kill()


def _burst(one: Contestant, port: int, plan: Plan, result: Result) -> None:
    before = one.cpu_s()
    one.load.burst(port, plan.burst)
    result.burst_us = (one.rest() - before) / plan.burst * 1e6
    result.sent += plan.burst


def _steady(one: Contestant, port: int, rate: float, seconds: float, result: Result) -> None:
    """Count the work after the last message too; above 100 % a contestant does not keep up."""
    before, sent = one.cpu_s(), max(1, round(rate * seconds))
    reached = one.load.steady(port, rate, sent)
    result.shares[rate] = (one.rest() - before) / sent * rate
    if reached < ON_TIME * rate:
        result.notes.append(f"{reached:,.0f} messages/s where {rate:,.0f} were wanted")
    result.sent += sent


def _ack_delay(kind: type[Contestant], plan: Plan, broker: Broker, folder: Path) -> float:
    """Return the time within which 99 of 100 messages are acknowledged, through a proxy, ms."""
    with Proxy(broker.port, counter=PacketTimes) as proxy:
        load = Load(prefix=f"peers/{folder.name}", series=plan.series)
        one = kind(broker=broker, port=proxy.port, folder=folder, load=load)
        with running(one):
            one.rest()
            load.steady(broker.port, plan.ack_rate, max(1, round(plan.ack_rate * plan.seconds)))
            one.rest()
            down, up = proxy.packets[DOWN], proxy.packets[UP]
    assert isinstance(down, PacketTimes)
    assert isinstance(up, PacketTimes)
    delays = sorted(ack - sent for sent, ack in zip(down.published, up.acknowledged, strict=False))
    return delays[len(delays) * 99 // 100] * 1e3
