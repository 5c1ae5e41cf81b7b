"""Score the local detector on files of the Numenta Anomaly Benchmark.

    python -m tests.benchmarks.nab --data DIR

``DIR`` holds ``<category>/<file>.csv`` (columns timestamp, value) and ``windows.json``; none of it belongs to
this repository. The scoring is NAB's own, profile "standard", re-implemented from its description: the first
detection in a labelled window counts up to 1, the earlier the more; a false one costs up to 0.11, a missed
window 1; the sum is scaled so that a detector that never alarms has 0 and a perfect one 100. The first 15 %
of a file (at most 750 rows) do not count.

Three figures: at the product's alarm line; at the suspicion line, where the model is asked; and with the
threshold that is best on all other categories (leave one category out), as mean and spread. An alarm counts
when none came in the 50 rows before, because the product reports an incident once.
"""

import argparse
import csv
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path

from agent.detect import Detector, DetectSettings
from agent.domain.records import Reading

FALSE_ALARM_COST = 0.11
COOL_DOWN = 50
ALARM, SUSPECT = 1.0, 0.25
GRID = (
    0.05,
    0.1,
    0.15,
    0.2,
    0.25,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    1.0,
    1.1,
    1.2,
    1.35,
    1.5,
    1.75,
    2.0,
    2.5,
    3.0,
    4.0,
)


@dataclass(frozen=True, slots=True)
class File:
    """One series with its labelled windows, as first and last row."""

    category: str
    name: str
    times: tuple[float, ...]
    values: tuple[float, ...]
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """Rows at the beginning that do not count."""
        return min(math.floor(0.15 * len(self.values)), 750)


def read_files(data: Path) -> list[File]:
    """Return every file that ``windows.json`` names."""
    labels = json.loads((data / "windows.json").read_text())
    return [_read_file(data, name, windows) for name, windows in sorted(labels.items())]


def _read_file(data: Path, name: str, windows: Sequence[Sequence[str]]) -> File:
    with (data / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    times = [_instant(row["timestamp"]) for row in rows]
    spans = tuple((times.index(_instant(first)), times.index(_instant(last))) for first, last in windows)
    return File(
        name.split("/", maxsplit=1)[0], name, tuple(times), tuple(float(row["value"]) for row in rows), spans
    )


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def score_readings(file: File, settings: DetectSettings) -> list[float]:
    """Return the detector's score of every row."""
    detector = Detector(settings)
    return [
        detector.update(Reading("device", "value", at, value), at).value
        for at, value in zip(file.times, file.values, strict=True)
    ]


def detections(scores: Sequence[float], line: float, apart: int = COOL_DOWN) -> Iterator[int]:
    """Return the rows at which an incident begins: at or above ``line``, with none in the rows before."""
    last = -apart - 1
    for row, score in enumerate(scores):
        if score >= line:
            if row - last > apart:
                yield row
            last = row


def weigh(file: File, rows: Iterator[int]) -> float:
    """Return NAB's raw score of detections, profile "standard"."""
    found: dict[tuple[int, int], float] = {}
    score = 0.0
    for row in rows:
        if row < file.probation:
            continue
        window = next((span for span in file.windows if span[0] <= row <= span[1]), None)
        if window is None:
            score += FALSE_ALARM_COST * _after(file, row)
        else:
            place = -(window[1] - row + 1) / (window[1] - window[0] + 1)
            found.setdefault(window, _sigmoid(place) / _sigmoid(-1.0))
    return score + sum(found.values()) - (len(file.windows) - len(found))


def _after(file: File, row: int) -> float:
    """Return how wrong a detection outside of every window is: less so just after one."""
    before = [span for span in file.windows if span[1] < row]
    if not before:
        return -1.0
    first, last = before[-1]
    return _sigmoid((row - last) / max(1, last - first))


def _sigmoid(place: float) -> float:
    return -1.0 if place > 3.0 else 2.0 / (1.0 + math.exp(5.0 * place)) - 1.0


def nab(files: Sequence[File], raw: Callable[[File], float]) -> float:
    """Return the scaled score, 0 for silence and 100 for perfection."""
    windows = sum(len(file.windows) for file in files)
    return 100.0 * (sum(raw(file) for file in files) + windows) / (2 * windows) if windows else math.nan


def best_blind(files: Sequence[File]) -> tuple[int, float]:
    """Return the best detector that never looks at the data: its period in rows, and its score."""

    def run(every: int) -> float:
        return nab(files, lambda file: weigh(file, iter(range(file.probation, len(file.values), every))))

    scores = {every: run(every) for every in (100, 200, 300, 400, 600, 1000)}
    return max(scores.items(), key=itemgetter(1))


class Bench:
    """The scores of every row of every file under one set of settings."""

    def __init__(self, files: Sequence[File], settings: DetectSettings, apart: int = COOL_DOWN) -> None:
        self.files = files
        self._apart = apart
        self._scores = {file.name: score_readings(file, settings) for file in files}

    def raw(self, file: File, line: float) -> float:
        """Return the raw score of one file at a threshold."""
        return weigh(file, detections(self._scores[file.name], line, self._apart))

    def at(self, line: float, files: Sequence[File] | None = None) -> float:
        """Return NAB at a threshold."""
        return nab(files or self.files, lambda file: self.raw(file, line))

    def best_line(self, files: Sequence[File]) -> float:
        """Return the threshold that is best for ``files``."""
        return max(GRID, key=lambda line: sum(self.raw(file, line) for file in files))

    def alarms(self, line: float) -> tuple[int, int, float]:
        """Return windows found, windows, and false alarms per 10,000 rows that count."""
        found = wrong = rows = 0
        for file in self.files:
            at = [
                row for row in detections(self._scores[file.name], line, self._apart) if row >= file.probation
            ]
            hit = {span for span in file.windows for row in at if span[0] <= row <= span[1]}
            found += len(hit)
            wrong += sum(not any(first <= row <= last for first, last in file.windows) for row in at)
            rows += len(file.values) - file.probation
        return found, sum(len(file.windows) for file in self.files), 1e4 * wrong / rows

    def held_out(self) -> dict[str, float]:
        """Return NAB of each category at the threshold that is best on the others."""
        result = {}
        for category in sorted({file.category for file in self.files}):
            others = [file for file in self.files if file.category != category]
            own = [file for file in self.files if file.category == category]
            if any(file.windows for file in own):
                result[category] = self.at(self.best_line(others), own)
        return result


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="directory with windows.json and the CSV files"
    )
    parser.add_argument("--apart", type=int, default=COOL_DOWN, help="calm rows between two incidents")
    given = parser.parse_args()
    files = read_files(given.data)
    began = time.process_time()
    bench = Bench(files, DetectSettings(), given.apart)
    spent = time.process_time() - began
    rows = sum(len(file.values) for file in files)
    print(f"{len(files)} files, {rows} rows, {1e6 * spent / rows:.1f} us CPU a row")
    for name, line in (
        ("alarm line", ALARM),
        ("suspicion line", SUSPECT),
        ("best line", bench.best_line(files)),
    ):
        found, windows, wrong = bench.alarms(line)
        told = f"found {found} of {windows}, {wrong:.1f} false per 10,000"
        print(f"{name} {line:g}: NAB {bench.at(line):.1f}, {told}")
    for file in files:
        if file.windows:
            print(f"  {file.name}: {bench.raw(file, ALARM):+.2f} of {len(file.windows)} at the alarm line")
    every, blind = best_blind(files)
    print(f"blind, an alarm every {every} rows: {blind:.1f}")
    held = bench.held_out()
    for category, score in held.items():
        print(f"held out {category}: {score:.1f}")
    print(
        f"held out, mean {statistics.mean(held.values()):.1f}, spread {statistics.pstdev(held.values()):.1f}"
    )


if __name__ == "__main__":
    main()
