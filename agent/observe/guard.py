"""Keeps faults of the telemetry away from the work that it describes."""

from collections.abc import Callable
from types import TracebackType

from agent.observe.traces import Span


class Guard:
    """A reusable context that swallows what goes wrong inside it, counts it and hands it to ``note``."""

    def __init__(self, *, note: Callable[[Exception], None]) -> None:
        self._note = note
        self.faults = 0

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
        """Count a fault and hand it on."""
        self.faults += 1
        self._note(error)


class GuardedSpan(Span):
    """The end of a span whose faults stay inside ``guard``."""

    def __init__(self, span: Span, guard: Guard) -> None:
        self._span = span
        self._guard = guard
        self.trace_id, self.span_id, self.traceparent = span.trace_id, span.span_id, span.traceparent

    def end(self) -> None:
        """End it; a second end does nothing."""
        with self._guard:
            self._span.end()
