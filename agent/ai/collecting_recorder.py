"""A recorder that keeps a few sums and tells nobody, for calls that are not the agent's own."""

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from agent.ai.protocols import BreakerState, BudgetWindow, CallRecord, CallStart, Retry
from agent.domain.records import Check, Grounding, Reason


class MuteScope:
    """One call; its record is given to ``into``."""

    trace_id: str | None = None
    span_id: str | None = None

    def __init__(self, into: list[CallRecord]) -> None:
        self._into = into

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the call."""

    def retried(self, retry: Retry) -> None:
        """Ignore an attempt."""

    def finish(self, record: CallRecord) -> None:
        """Keep the record."""
        self._into.append(record)


@dataclass(slots=True)
class MuteRecorder:
    """Keeps the records of all calls and how often claims held."""

    calls: list[CallRecord] = field(default_factory=list)
    grounding: dict[Grounding, int] = field(default_factory=lambda: dict.fromkeys(Grounding, 0))
    failed: list[Check] = field(default_factory=list)

    def call(self, start: CallStart) -> MuteScope:
        """Begin a call."""
        del start
        return MuteScope(self.calls)

    def share_used_up(self, device: str) -> None:
        """Nothing."""

    def suppressed(self, reason: Reason, windows: int) -> None:
        """Ignore it."""

    def cache_looked_up(self, result: str) -> None:
        """Ignore it."""

    def grounding_checked(self, result: Grounding, checks: tuple[Check, ...]) -> None:
        """Count the result and keep what did not hold."""
        self.grounding[result] += 1
        self.failed += [check for check in checks if not check.held]

    def breaker_changed(self, provider: str, state: BreakerState, why: str, open_s: float) -> None:
        """Ignore it."""

    def budget_changed(self, window: BudgetWindow, state: str, spent: float, limit: float) -> None:
        """Ignore it."""

    def injection_suspected(self, rule: str, origin: str) -> None:
        """Ignore it."""

    def faulted(self, error: BaseException, *, model: str, recorded: bool) -> None:
        """Ignore it: the caller's own counters hold it."""
