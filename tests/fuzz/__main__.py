"""``python -m tests.fuzz``: each hostile input ends well, and soon.

Usage: ``python -m tests.fuzz --inputs 300000 --seed 1 [decode reply wire config]``.

Prints a line per target: inputs, findings (what else was raised, or took too long), and the slowest input.
Exits with 1 if there is a finding.
"""

import argparse
import random
import sys
import time
from dataclasses import dataclass, field

from tests.fuzz.targets import TARGETS, Target

LIMIT_S = 0.050  # CPU time of this thread, the best of three
SHOWN = 5


@dataclass
class Result:
    """The findings of a run."""

    inputs: int = 0
    worst_s: float = 0.0
    worst: bytes = b""
    findings: list[str] = field(default_factory=list)


def timed(target: Target, data: bytes) -> float:
    """Return the CPU seconds of one reading."""
    start = time.thread_time()
    target.read(data)
    return time.thread_time() - start


def measured(target: Target, data: bytes, enough_s: float) -> float:
    """Return the least CPU time of up to three readings; one that is quick enough is not repeated."""
    best = timed(target, data)
    for _ in range(2):
        if best <= enough_s:
            break
        best = min(best, timed(target, data))
    return best


def fuzz(name: str, *, inputs: int, seed: int) -> Result:
    """Read so many inputs; each is made from the seed and its number alone."""
    result = Result()
    with TARGETS[name]() as target:
        for number in range(inputs):
            data = target.make(random.Random(f"{name} {seed} {number}"))
            result.inputs += 1
            try:
                spent_s = measured(target, data, max(result.worst_s, LIMIT_S / 2))
            except Exception as error:  # noqa: BLE001 - that is what is sought
                result.findings.append(f"{number}: {error!r:.120} from {len(data)} bytes {data[:60]!r}")
                continue
            if spent_s > result.worst_s:
                result.worst_s, result.worst = spent_s, data
            if spent_s > LIMIT_S:
                result.findings.append(
                    f"{number}: {spent_s * 1e3:.1f} ms for {len(data)} bytes {data[:60]!r}"
                )
    return result


def main() -> int:
    """Fuzz the targets that are named, or all, and report."""
    options = argparse.ArgumentParser(prog="python -m tests.fuzz")
    options.add_argument("targets", nargs="*", choices=[[], *TARGETS])
    options.add_argument("--inputs", type=int, default=300_000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    failed = False
    for name in given.targets or TARGETS:
        start = time.monotonic()
        result = fuzz(name, inputs=given.inputs, seed=given.seed)
        took_s, slowest = time.monotonic() - start, f"{len(result.worst):,} bytes, {result.worst[:40]!r}"
        print(
            f"{name}: {result.inputs:,} inputs, {len(result.findings)} findings, "
            f"slowest {result.worst_s * 1e3:.1f} ms ({slowest}), {took_s:.0f} s",
            flush=True,
        )
        for finding in result.findings[:SHOWN]:
            print(f"  {finding}", flush=True)
        failed |= bool(result.findings)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
