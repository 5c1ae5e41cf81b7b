"""The report of a run: one record, its table next to the control's, and totals."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.bound import most_duplicates
from tests.faults.checker import Findings


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One run."""

    agent: str
    fault: str
    seed: int
    rate: float
    seconds: float
    faults: int
    findings: Findings
    recovery_s: Sequence[float]  # from a kill to the first reading that is received again
    interrupted: int  # kills before the recovery from the one before
    settled: bool
    exit_code: int
    stop_s: float
    peak_rss_mib: float
    max_descriptors: int
    max_threads: int
    ended: Sequence[str]  # ends that nobody asked for
    asking: int = 0  # kills with a question to the model open
    overspent: str | None = None
    reasons: dict[str, int]  # of the verdicts, as source/reason
    model: dict[str, int]  # how the model answered

    def problems(self) -> list[str]:
        """Name everything that must not be."""
        out = self.findings.broken()
        if not self.settled:
            out.append("the agent was not done in time")
        if self.exit_code != 0:
            out.append(f"SIGTERM ended in exit code {self.exit_code}")
        if self.overspent is not None:
            out.append(f"the budget was passed: {self.overspent}")
        if self.findings.duplicated > self.bound:
            out.append(f"duplicated {self.findings.duplicated}, the bound is {self.bound}")
        return out + [f"ended by itself: {text}" for text in self.ended]

    @property
    def bound(self) -> int:
        """The most messages that may be there twice."""
        return most_duplicates(losses=self.faults + len(self.ended), rate=self.rate)

    def as_dict(self) -> dict[str, Any]:
        """Return the record for the JSON lines file."""
        found = self.findings.as_dict()
        return {
            "agent": self.agent,
            "fault": self.fault,
            "seed": self.seed,
            "rate": self.rate,
            "seconds": round(self.seconds, 1),
            "faults": self.faults,
            **{name: value for name, value in found.items() if name != "examples"},
            "recovery_s": {name: round(at, 3) for name, at in quantiles(self.recovery_s).items()},
            "interrupted": self.interrupted,
            "settled": self.settled,
            "exit_code": self.exit_code,
            "stop_s": round(self.stop_s, 2),
            "peak_rss_mib": round(self.peak_rss_mib, 1),
            "max_descriptors": self.max_descriptors,
            "max_threads": self.max_threads,
            "ended": len(self.ended),
            "asking": self.asking,
            "bound": self.bound,
            "budget": self.overspent or "kept",
            "reasons": self.reasons,
            "model": self.model,
        }


def find_recoveries(kills: Sequence[float], received: Sequence[float]) -> tuple[list[float], int]:
    """Return seconds from each kill to the first reading received after it, and how many were cut short."""
    times = sorted(received)
    out, interrupted = [], 0
    for number, at in enumerate(kills):
        place = bisect_right(times, at)
        ends = kills[number + 1] if number + 1 < len(kills) else float("inf")
        if place < len(times) and times[place] < ends:
            out.append(times[place] - at)
        else:
            interrupted += 1
    return out, interrupted


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p99 and max; nothing for no values."""
    ordered = sorted(values)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {"p50": ordered[last // 2], "p99": ordered[int(last * 0.99)], "max": ordered[last]}


def say_bound(faults: int, fatal: int) -> str:
    """Return the 95 % bound on the chance of loss per fault: the rule of three when nothing was lost."""
    if fatal:
        return f"LOST readings, in runs with {faults} kills"
    share = min(100.0, 300 / max(faults, 1))
    return f"0 lost in {faults} kills: at 95 % confidence less than {share:.2g} % of kills lose any"


_ROWS = (
    ("kills", "faults"), ("kills with a question open", "asking"), ("sent", "sent"),
    ("acknowledged by the broker", "acked"), ("LOST", "lost"),
    ("duplicated", "duplicated"), ("bound on duplicates", "bound"),
    ("quarantined (broken on purpose)", "quarantined"), ("windows", "windows"),
    ("windows without a verdict", "missing"), ("verdict ids", "verdicts"),
    ("verdicts sent again, same bytes", "repeats"), ("ids with two contents", "conflicting"),
    ("verdicts of no window", "unknown"), ("readings in no or two windows", "strays"),
    ("out of order", "disordered"), ("sums of verdicts differ from acks by", "unexplained"),
    ("integrity_check", "integrity"), ("budget", "budget"), ("recovery p50/p99/max, s", "recovery"),
    ("peak RSS, MiB", "peak_rss_mib"), ("SIGTERM, s", "stop_s"), ("ended by itself", "ended"),
)  # fmt: skip


#: Known only of an agent with a journal.
_JOURNALED = frozenset(
    {"missing", "conflicting", "unknown", "strays", "disordered", "unexplained", "integrity"}
    | {"asking", "bound", "budget"}
)


def show(results: Sequence[Result]) -> str:
    """Return runs side by side as a table."""
    columns = [[result.agent, *(_cell(result.as_dict(), key) for _, key in _ROWS)] for result in results]
    labels = ["", *(label for label, _ in _ROWS)]
    width = max(map(len, labels))
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for number, label in enumerate(labels):
        cells = (column[number].rjust(size) for column, size in zip(columns, widths, strict=True))
        lines.append(f"{label.ljust(width)}  {'  '.join(cells)}")
    return "\n".join(lines)


def _cell(record: dict[str, Any], key: str) -> str:
    if key in _JOURNALED and record["agent"] != "ours":
        return "-"
    if key == "recovery":
        return "/".join(f"{at:.2f}" for at in record["recovery_s"].values()) or "-"
    if key == "strays":
        return str(record["uncovered"] + record["covered_twice"] + record["open"])
    return str(record[key])


def append(path: Path, results: Iterable[Result]) -> None:
    """Add one JSON line per run."""
    with path.open("a") as file:
        for result in results:
            file.write(json.dumps(result.as_dict()) + "\n")


def total(path: Path) -> dict[str, dict[str, int]]:
    """Return sums over all runs in a file, by agent."""
    sums: dict[str, dict[str, int]] = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        mine = sums.setdefault(record["agent"], {})
        for name in ("faults", "sent", "acked", "lost", "duplicated", "conflicting", "missing", "repeats"):
            mine[name] = mine.get(name, 0) + record[name]
    return sums
