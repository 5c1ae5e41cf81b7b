"""Cost per reading by number of series and devices, payload and journal."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from tests.benchmarks.detect.table import Table
from tests.benchmarks.peers.contestants import Agent
from tests.benchmarks.peers.load import Load
from tests.benchmarks.peers.measure import BROKER_LOG, running
from tests.support.broker import Broker

LONG_S = 3600.0
PLENTY_MIB = 65_536


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Sizes of a run; the first of each kind is the one that ratios are taken to."""

    messages: int = 60_000  # measured, after as many that make the series known
    series: tuple[int, ...] = (300, 100, 1_000, 10_000)
    metrics: tuple[int, ...] = (3, 1, 30)  # of a device, with 3,000 series
    sizes: tuple[int, ...] = (0, 256, 1_024, 4_096)  # bytes of a payload
    rows: tuple[int, ...] = (0, 1_000_000)  # messages in the journal


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: what is varied, how the row is called, and its load."""

    kind: str
    name: str
    load: Mapping[str, int] = field(default_factory=dict)
    journaled: int = 0  # messages before the measured ones


class CountedWindows(Agent):
    """An agent whose windows are sealed by count alone, so that each row has as many verdicts a reading.

    No row of its journal is pruned.
    """

    settings: ClassVar[Mapping[str, Any]] = {
        "review": {"mode": "none", "window": {"max_age_s": LONG_S, "max_readings": 60, "settle_s": 5}},
        "journal": {"prune": False, "max_mib": PLENTY_MIB},
    }


def rows_of(growth: Growth) -> Iterator[Row]:
    """Yield the rows in order."""
    for series in growth.series:
        yield Row("series", f"{series:,} series of {-(-series // 3):,} devices", {"series": series})
    many = max(growth.metrics) * 100
    for metrics in growth.metrics:
        load = {"series": many, "metrics": metrics}
        yield Row("devices", f"{many:,} series of {many // metrics:,} devices", load)
    for size in growth.sizes:
        yield Row("payload", f"payload of {size:,} bytes" if size else "payload of 30 bytes", {"size": size})
    for journaled in growth.rows:
        yield Row("journal", f"{journaled:,} older messages in the journal", journaled=journaled)


def grow(growth: Growth, folder: Path) -> Table:
    """Return CPU per reading and peak RSS of each row, and the CPU against the first row of its kind."""
    title = f"{growth.messages:,} messages in a burst to the agent, its series known"
    table = Table(title, ("us/reading", "x first", "peak MiB"))
    first: dict[str, float] = {}
    broker = Broker(folder / "broker", extra=BROKER_LOG).start()
    try:
        for place, row in enumerate(rows_of(growth)):
            us, peak_mib = _measure(row, growth.messages, broker, folder / f"row{place}")
            print(f"{row.name}: {us:.1f} us", flush=True)
            ratio = us / first.setdefault(row.kind, us)
            table.add(row.name, f"{us:.1f}", f"{ratio:.2f}", f"{peak_mib:.1f}")
    finally:
        broker.stop()
    return table


def _measure(row: Row, messages: int, broker: Broker, folder: Path) -> tuple[float, float]:
    """Return CPU per reading, us, and the peak RSS, MiB."""
    load = Load(prefix=f"peers/{folder.name}", **row.load)
    one = CountedWindows(broker=broker, port=broker.port, folder=folder, load=load)
    with running(one):
        load.burst(broker.port, row.journaled or messages)
        one.rest()
        taken, before = one.count(), one.cpu_s()
        load.burst(broker.port, messages)
        one.rest()
        us = (one.cpu_s() - before) / messages * 1e6
        if one.count() - taken != messages:
            raise AssertionError(f"{row.name}: {one.count() - taken} of {messages} readings")
        return us, one.child.peak_rss_mib()
