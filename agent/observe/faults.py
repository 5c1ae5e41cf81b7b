"""Faults of our own code: logged with their place, counted, shown in the status."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from agent.domain.fault import fault_words, place_of

SHOWN_S = 86_400.0  # so long a fault is a problem of the status
_EFFECTS = {
    "caller": "the windows concerned keep their local verdict",
    "telemetry": "a log line, a metric or a span is missing",
    "decoder": "the message concerned is in quarantine",
}
#: The parts of the agent whose faults are caught, and the log event of each.
EVENTS = {"caller": "ai_internal_fault", "telemetry": "telemetry_failed", "decoder": "decoder_failed"}
REMEDY = "report this line: it is a fault of edge-agent, neither of the provider nor of the device"


@dataclass(slots=True)
class _Seen:
    """The last fault of one part."""

    words: str
    at: float
    count: int


class FaultLog:
    """Takes faults from any thread. Nothing that goes wrong in here reaches the code that reports one.

    Args:
        log: The log.
        count: Counts a fault; gets the configured model that it concerns, or an empty text.
        mono: Monotonic clock, seconds.
    """

    def __init__(
        self,
        *,
        log: Callable[..., None],
        count: Callable[[str], None],
        mono: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._count = count
        self._mono = mono
        self._seen: dict[str, _Seen] = {}
        self._lock = threading.Lock()

    def note(
        self, part: str, error: BaseException, *, model: str = "", counted: bool = False, **fields: Any
    ) -> None:
        """Log and count a fault in ``part``; with ``counted`` another count holds it already."""
        with self._lock:
            seen = self._seen.setdefault(part, _Seen("", 0.0, 0))
            seen.words, seen.at, seen.count = fault_words(error), self._mono(), seen.count + 1
        if not counted:
            self._safely(lambda: self._count(model))
        about = {"model": model} if model else {}
        self._safely(
            lambda: self._log(
                EVENTS[part],
                level="error",
                error_type="internal",
                error=type(error).__name__,
                place=place_of(error),
                **about,
                **fields,
                remedy=REMEDY,
            )
        )

    def age_s(self) -> float | None:
        """Return how long ago the newest fault was, None without one."""
        with self._lock:
            newest = max((seen.at for seen in self._seen.values()), default=None)
        return None if newest is None else self._mono() - newest

    def problems(self) -> list[str]:
        """Return each part's newest fault of the last day, in a sentence."""
        with self._lock:
            recent = [
                (part, seen.words, seen.count)
                for part, seen in self._seen.items()
                if self._mono() - seen.at < SHOWN_S
            ]
        return [
            f"A fault of edge-agent itself in the {part}, {count} so far: {words}; {_EFFECTS[part]}."
            f" Report the log line {EVENTS[part]} and restart the agent if it goes on."
            for part, words, count in recent
        ]

    def _safely(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception:  # noqa: BLE001 -- the log or the metrics are broken; the status still has the fault
            return


class Guard:
    """A reusable context that keeps errors from leaving it and reports them to ``note``."""

    def __init__(self, *, note: Callable[[Exception], None]) -> None:
        self._note = note

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self.take(error)
        return True

    def take(self, error: Exception) -> None:
        """Report a fault."""
        self._note(error)
