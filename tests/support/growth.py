"""Measures how work grows with its input: CPU time of this thread at two sizes."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

GROWTH = 8  # how much larger the larger input is
MOST = 3 * GROWTH  # linear work grows by 8, quadratic by 64
FLOOR_S = 0.004  # below it the work is small at any growth, and a ratio would be noise
BEST_OF = 3

#: A run of each kind of character that a pattern may wait on or stop at, and what nearly begins something.
RUNS = (
    "a", "A", "0", " ", "\n", "\t", '"', "'", "\\", "`", "<", "/", "@", ".", "-", "_", ":", ",", "{", "[",
    "=", "+", "#", "é", "\u0301", "\u200b", "\x00", "a.", "a-", "a ", "a\n", " \n", '\\"', '"\\', "1,", "1.",
    "0x", "//", '" ', "{}", "a@", ".a", "f:",
)  # fmt: skip


def cpu_s(work: Callable[[], object], *, best_of: int = 1) -> float:
    """Return the CPU seconds of this thread that ``work`` takes, the least of several."""
    best = float("inf")
    for _ in range(best_of):
        start = time.thread_time()
        work()
        best = min(best, time.thread_time() - start)
    return best


def growth(work: Callable[[Any], object], make: Callable[[int], Any], size: int) -> float:
    """Return how the work grows from an input of ``size`` / 8 to one of ``size``; 0 if it is small."""
    large = make(size)
    if cpu_s(partial(work, large)) < FLOOR_S:
        return 0.0
    small = make(size // GROWTH)
    ratio = float("inf")
    for _ in range(BEST_OF):  # other work on the machine disturbs one measurement, seldom three
        few = cpu_s(partial(work, small), best_of=BEST_OF)
        many = cpu_s(partial(work, large))
        ratio = min(ratio, many / max(few, 1e-6)) if many >= FLOOR_S else 0.0
        if ratio <= MOST:
            break
    return ratio


def repeated(piece: str, size: int, *, start: str = "", end: str = "") -> str:
    """Return about ``size`` characters of ``piece`` between ``start`` and ``end``."""
    return start + piece * (size // len(piece)) + end


def shapes(beginnings: tuple[str, ...] = (), *, end: str = "") -> Iterator[tuple[str, Callable[[int], str]]]:
    """Yield makers of adversarial texts by name: runs, runs behind a beginning, the beginning repeated."""
    for run in (*RUNS, *beginnings):
        yield f"{run!r} *", partial(repeated, run, end=end)
    for start in beginnings:
        for run in RUNS:
            yield f"{start!r} + {run!r} *", partial(repeated, run, start=start, end=end)
            yield f"{start + run!r} *", partial(repeated, start + run, end=end)
