"""Row `cost`: CPU time of an update, and memory of a series.

Every contestant and river's GaussianScorer judge the same readings. river is measured where it can be
imported (``pip install river`` into a virtual environment of its own); the project does not depend on it.
"""

import importlib
import multiprocessing
import resource
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random

from agent.detect import Detector
from agent.domain.records import Reading
from tests.benchmarks.detect.bases import BASES, MONDAY, traffic
from tests.benchmarks.detect.contestants import CONTESTANTS, PRODUCT, Contestant
from tests.benchmarks.detect.table import Cell, Figure, Promise, Report, Table

UPDATES = 20_000
METRICS = ("temperature", "humidity", "co2", "pressure", "power")
BEATS = 100  # hours
MAX_RATIO, MAX_BYTES = 2.0, 2048.0
RIVER, MADE = "river GaussianScorer", "the reading itself"


def readings(count: int) -> list[Reading]:
    """Return a day curve and network traffic in turn."""
    begin, smooth = BASES["day"].take(1, count)
    rough = islice(traffic(Random(1), begin, 60.0), count)
    pairs = zip(smooth, rough, strict=True)
    return [
        Reading("d", metric, begin + 60.0 * place, value)
        for place, pair in enumerate(pairs)
        for metric, value in zip(("smooth", "rough"), pair, strict=True)
    ][:count]


def judge(make: Callable[[], Contestant], stream: list[Reading]) -> float:
    """Return the microseconds of CPU that a contestant takes for an update."""
    contestant = make()
    began = time.process_time()
    for reading in stream:
        contestant.judge(reading, reading.at)
    return 1e6 * (time.process_time() - began) / len(stream)


def make_again(stream: list[Reading]) -> float:
    """Return the microseconds that it takes to make a reading, which no detector is without."""
    began = time.process_time()
    for reading in stream:
        Reading(reading.device, reading.metric, reading.at, reading.value)
    return 1e6 * (time.process_time() - began) / len(stream)


def judge_by_river(stream: list[Reading]) -> float | None:
    """Return the microseconds of river's GaussianScorer for score and learning, None without river."""
    try:
        anomaly = importlib.import_module("river.anomaly")
    except ImportError:
        return None
    scorers = {metric: anomaly.GaussianScorer() for metric in ("smooth", "rough")}
    began = time.process_time()
    for reading in stream:
        scorer = scorers[reading.metric]
        scorer.score_one(None, reading.value)
        scorer.learn_one(None, reading.value)
    return 1e6 * (time.process_time() - began) / len(stream)


def series_bytes(devices: int) -> float:
    """Return the RSS that a series takes after four days of hourly readings, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_grow, (devices,))


def _grow(devices: int) -> float:
    detector, dice = Detector(), Random(1)
    names = [f"building/{device}" for device in range(devices)]
    before = _rss()
    for beat in range(BEATS):
        at = MONDAY + 3600.0 * beat
        for device in names:
            for metric in METRICS:
                detector.update(Reading(device, metric, at, dice.gauss(20.0, 1.0)), at)
    return (_rss() - before) / (devices * len(METRICS))


def _rss() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(seeds: int, *, updates: int = UPDATES, devices: int = 1000) -> Report:
    """Return the cost, the contestants in turn in each of three rounds or more."""
    stream = readings(updates)
    rounds: dict[str, list[float]] = {}
    for _ in range(max(seeds, 3)):
        for name, make in CONTESTANTS.items():
            rounds.setdefault(name, []).append(judge(make, stream))
        rounds.setdefault(MADE, []).append(make_again(stream))
        if (by_river := judge_by_river(stream)) is not None:
            rounds.setdefault(RIVER, []).append(by_river)
    table = Table(
        "cost: CPU time of an update, and memory of a series",
        ("us, best round", "mean", "times river", "bytes"),
    )
    size = Figure.of(series_bytes(devices) for _ in range(seeds)) or Figure(0.0)
    for name, spent in rounds.items():
        times: Cell = Figure(min(spent) / min(rounds[RIVER]), digits=2) if RIVER in rounds else None
        cell: Cell = size if name == PRODUCT else None
        table.add(name, Figure(min(spent), digits=2), Figure.of(spent, 2), times, cell)
    promises = [Promise("bytes RSS a series", f"<= {MAX_BYTES:g}", size, size.mean <= MAX_BYTES)]
    if RIVER in rounds:
        made = min(rounds[MADE])
        ratio = Figure((min(rounds[PRODUCT]) + made) / (min(rounds[RIVER]) + made), digits=2)
        what = "a reading made and judged, times river's GaussianScorer"
        promises.append(Promise(what, f"<= {MAX_RATIO:g}", ratio, ratio.mean <= MAX_RATIO))
    return Report([table], promises)
