"""The agent with a census of its memory.

Run as ``python -m tests.faults.census FILE run --config AGENT.yaml``.

A thread of the harness writes one JSON object a minute to FILE: what the allocators hold (blocks of Python's
own, bytes of the C library's in use and free), how many objects of each type the collector knows, and how
many a full collection takes away. A leak is in these counts; resident memory alone also counts free
memory that is not given back. With ``PYTHONTRACEMALLOC=1`` it also names the lines that allocated the most.
"""

import ctypes
import gc
import json
import sys
import threading
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

from agent.cli import main

EVERY_S = 60.0
TYPES, LINES = 400, 400  # reported, the most frequent and the largest ones


class _Mallinfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and later."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
            "keepcost",
        )
    ]  # fmt: skip


def c_heap() -> dict[str, int]:
    """Return bytes that ``malloc`` has given out and bytes that it keeps; empty without glibc 2.33."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return {}
    ask.restype = _Mallinfo
    seen = ask()
    return {"c_used": seen.uordblks + seen.hblkhd, "c_free": seen.fordblks, "c_mapped": seen.hblkhd}


def census() -> dict[str, Any]:
    """Count now. Takes some 50 ms of the interpreter."""
    before = sys.getallocatedblocks()
    unreachable = gc.collect()
    types = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    return {
        "blocks_before": before,
        "blocks": sys.getallocatedblocks(),
        "unreachable": unreachable,
        "uncollectable": len(gc.garbage),
        "objects": types.total(),
        "types": dict(types.most_common(TYPES)),
        **c_heap(),
        **_lines(),
    }


def _lines() -> dict[str, Any]:
    """Return the lines of code whose memory is held, with bytes and blocks, under ``PYTHONTRACEMALLOC=1``."""
    if not tracemalloc.is_tracing():
        return {}
    found = tracemalloc.take_snapshot().statistics("lineno")[:LINES]
    return {"lines": {str(one.traceback): (one.size, one.count) for one in found}}


def _write(path: Path) -> None:
    begun = time.monotonic()
    while True:
        time.sleep(EVERY_S)
        line = json.dumps({"at": round(time.monotonic() - begun, 1), **census()})
        with path.open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    threading.Thread(target=_write, args=(Path(sys.argv[1]),), name="census", daemon=True).start()
    sys.exit(main(sys.argv[2:]))
