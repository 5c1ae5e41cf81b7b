"""Speed of the simulator: the history of each shipped scenario, without a broker.

``python -m tests.benchmarks.generation [SCENARIO...]`` prints readings, CPU seconds, and those for 500,000.
"""

import sys
import time

from simulator.events import history
from simulator.scenario import load, names

START = 1_790_000_000.0
PER = 500_000


def main() -> None:
    """Print a line per scenario, and the total."""
    total, spent = 0, 0.0
    for name in sys.argv[1:] or names():
        began = time.process_time()
        count = sum(message.readings for message in history(load(name), seed=1, start=START))
        took = time.process_time() - began
        total, spent = total + count, spent + took
        _tell(name, count, took)
    _tell("all", total, spent)


def _tell(name: str, count: int, took: float) -> None:
    each = took / max(1, count) * PER
    print(f"{name:<13} {count:>9,} readings {took:6.2f} s CPU {each:6.1f} s for {PER:,}")


if __name__ == "__main__":
    main()
