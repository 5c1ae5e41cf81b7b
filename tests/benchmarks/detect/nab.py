"""Row `nab`: files of the Numenta Anomaly Benchmark, scored as it scores.

The data holds ``<category>/<file>.csv`` (columns timestamp, value) and ``windows.json``; none of it belongs
to this repository, and the row is left out without ``--data``. The scoring is NAB's own, profile "standard",
re-implemented from its description: the first detection in a labelled window counts up to 1, the earlier the
more; a false one costs up to 0.11, a missed window 1; the sum is scaled so that a detector that never alarms
has 0 and a perfect one 100. The first 15 % of a file (at most 750 rows) do not count.

Three lines: the product's alarm line; the suspicion line, where the model is asked; and the best one of all
other categories (leave one category out). An alarm counts when none came in the 50 rows before, because the
product reports an incident once. The detector was tuned with these files in sight.
"""

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.domain.records import Reading
from tests.benchmarks.detect.contestants import CONTESTANTS, PRODUCT
from tests.benchmarks.detect.table import Figure, Promise, Report, Table, spread_out

FALSE_ALARM_COST = 0.11
COOL_DOWN = 50
ALARM, SUSPECT = 1.0, 0.25
WANTED = 64.0
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


def score_readings(job: tuple[File, str]) -> list[float]:
    """Return a contestant's score of every row."""
    file, name = job
    contestant = CONTESTANTS[name]()
    return [
        contestant.judge(Reading("device", "value", at, value), at)[1].value
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


class Bench:
    """The scores of every row of every file by one contestant."""

    def __init__(self, files: Sequence[File], scores: Sequence[Sequence[float]]) -> None:
        self.files = files
        self._scores = {file.name: row for file, row in zip(files, scores, strict=True)}

    def raw(self, file: File, line: float) -> float:
        """Return the raw score of one file at a threshold."""
        return weigh(file, detections(self._scores[file.name], line))

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
            at = [row for row in detections(self._scores[file.name], line) if row >= file.probation]
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


def measure(jobs: int, data: Path) -> Report:
    """Return the score of every contestant, and the detector's by file."""
    files = read_files(data)
    work = [(file, name) for name in CONTESTANTS for file in files]
    scores = spread_out(score_readings, work, jobs)
    size = len(files)
    benches = {
        name: Bench(files, scores[place * size : (place + 1) * size])
        for place, name in enumerate(CONTESTANTS)
    }
    table = Table(
        f"NAB, {size} files: score, windows found and false per 10,000 rows",
        (
            "alarm line",
            "found",
            "false",
            f"at {SUSPECT:g}",
            "found",
            "false",
            "best line of other categories",
        ),
    )
    for name, bench in benches.items():
        held = Figure.of(bench.held_out().values(), 1)
        table.add(name, *_line(bench, ALARM), *_line(bench, SUSPECT), held)
    by_file = Table(f"NAB, {PRODUCT} at the alarm line: raw score of each file", ("raw", "windows"))
    for file in files:
        if file.windows:
            raw = Figure(benches[PRODUCT].raw(file, ALARM), digits=2)
            by_file.add(file.name, raw, len(file.windows))
    score = benches[PRODUCT].at(ALARM)
    shown = Figure(score, digits=1)
    return Report(
        [table, by_file], [Promise("NAB at the alarm line", f">= {WANTED:g}", shown, score >= WANTED)]
    )


def _line(bench: Bench, line: float) -> tuple[Figure, str, Figure]:
    found, windows, false = bench.alarms(line)
    return Figure(bench.at(line), digits=1), f"{found} of {windows}", Figure(false, digits=1)
