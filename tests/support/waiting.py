"""Polling for an event, with limits for an idle machine that load stretches."""

import time
from collections.abc import Callable

PATIENCE = 6.0


def wait_for(
    condition: Callable[[], object],
    limit_s: float = 10.0,
    what: str = "the condition holds",
    every_s: float = 0.05,
) -> None:
    """Poll until ``condition`` holds; fail with ``what`` after ``PATIENCE`` times ``limit_s``."""
    deadline = time.monotonic() + PATIENCE * limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {PATIENCE * limit_s:g} s: {what}")
        time.sleep(every_s)
