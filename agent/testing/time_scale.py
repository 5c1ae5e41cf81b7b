"""The time scale: agent time, or a multiple of it in a trial's state directory.

A trial of six hours in three minutes needs windows, silences and audits to last as long as in the devices'
event times. ``EDGE_AGENT_PACE`` is ``wall:mono:speed``: at ``time.monotonic() == mono`` it is ``wall`` (Unix
seconds), from then on time passes ``speed`` times as fast. Like a failpoint it holds only where a file
``.test-state`` is in the state directory; start-up refuses it anywhere else.
"""

import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.domain.enums import AgentError
from agent.testing.failpoint import MARKER

VARIABLE = "EDGE_AGENT_PACE"
MAX_SPEED = 1000.0
LEAST_TURN_S = 0.02  # a turn of a loop is not made shorter than this


class TimeScaleRefusedError(AgentError):
    """A time scale is set outside a test's state directory, or cannot be read."""


@dataclass(frozen=True, slots=True)
class TimeScale:
    """The line that agent time and the wall clock of verdicts follow; the default is real time."""

    began: float = 0.0  # time.monotonic() from which ``speed`` holds
    speed: float = 1.0
    base: float | None = None  # wall time at ``began``; None: the machine's clock

    def stretch(self, mono: float) -> float:
        """Return how far agent time is at a monotonic time, both in seconds since an unknown moment."""
        passed = mono - self.began
        return mono if passed <= 0.0 else self.began + passed * self.speed

    def wall(self) -> float:
        """Return Unix seconds."""
        return time.time() if self.base is None else self.wall_at(time.monotonic(), 0.0)

    def wall_at(self, mono: float, real: float) -> float:
        """Return the wall time of a monotonic time that was ``real`` on the machine's clock."""
        return real if self.base is None else self.base + self.stretch(mono) - self.began

    def turn_s(self, usual_s: float) -> float:
        """Return how long a loop may sleep that sleeps ``usual_s`` in real time."""
        return usual_s if self.speed == 1.0 else max(LEAST_TURN_S, usual_s / self.speed)


def time_scale_of(environ: Mapping[str, str], state_dir: Path) -> TimeScale:
    """Return the time scale that the environment sets, real time where it sets none.

    Raises:
        TimeScaleRefusedError: outside a test's state directory, or not ``wall:mono:speed``.
    """
    wanted = environ.get(VARIABLE, "")
    if not wanted:
        return TimeScale()
    if not (state_dir / MARKER).exists():
        raise TimeScaleRefusedError(
            f"{VARIABLE} is set, but {state_dir / MARKER} does not exist: unset it, "
            "only a test's state directory may use it"
        )
    try:
        base, began, speed = map(float, wanted.split(":"))
    except ValueError:
        base = began = speed = math.nan
    if not (math.isfinite(base + began) and 1.0 <= speed <= MAX_SPEED):
        raise TimeScaleRefusedError(
            f"{VARIABLE}={wanted}: expected wall:mono:speed with a speed from 1 to 1000"
        )
    return TimeScale(began, speed, base)


def time_scale_here(state_dir: Path) -> TimeScale:
    """Return the time scale that this process's environment sets."""
    return time_scale_of(os.environ, state_dir)
